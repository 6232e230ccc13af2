"""My User Profile: the name, and the password."""

from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import EqualTo

from webapp.forms.rules import Given, Line


class NameForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    name = StringField("Name", [Line("The name", 200, required=False)], render_kw={"autocomplete": "name"})


class PasswordForm(FlaskForm):  # type: ignore[misc]
    """Whether the current one is right, and the new one good enough, is for the service to say."""

    current = PasswordField(
        "Current password", [Given("Enter your current password.")], render_kw={"autocomplete": "current-password"}
    )
    new = PasswordField("New password", [Given("Enter a new password.")], render_kw={"autocomplete": "new-password"})
    again = PasswordField(
        "New password, again",
        [Given("Enter the new password again."), EqualTo("new", "The two new passwords are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )
