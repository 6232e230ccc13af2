"""My User Profile: name and password."""

from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import EqualTo

from webapp.forms.rules import NotEmpty, SingleLine


class NameForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    name = StringField("Name", [SingleLine("The name", 200, required=False)], render_kw={"autocomplete": "name"})


class PasswordForm(FlaskForm):  # type: ignore[misc]
    """The service checks the current password, and whether the new one is good enough."""

    current = PasswordField(
        "Current password", [NotEmpty("Enter your current password.")], render_kw={"autocomplete": "current-password"}
    )
    new = PasswordField("New password", [NotEmpty("Enter a new password.")], render_kw={"autocomplete": "new-password"})
    again = PasswordField(
        "New password, again",
        [NotEmpty("Enter the new password again."), EqualTo("new", "The two new passwords are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )
