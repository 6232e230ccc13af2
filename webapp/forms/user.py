"""People of an account: who is invited, in which role, and the passwords they choose."""

from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField, RadioField, SelectChoice, StringField
from wtforms.validators import EqualTo, ValidationError

from webapp.forms.rules import Given, Line
from webapp.models import Role
from webapp.services.people.users import GIVEN_ROLES

ROLES = [SelectChoice(role.value, role.label) for role in GIVEN_ROLES]


class RoleForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    role = RadioField("Role", choices=ROLES, validate_choice=False)

    def validate_role(self, field: RadioField) -> None:
        if field.data not in {choice.value for choice in ROLES}:
            raise ValidationError("Choose Admin, Editor or Leads only.")

    @property
    def chosen(self) -> Role:
        """The role of a form that is valid."""
        return Role(self.role.data)


class InvitationForm(RoleForm):
    """Whether the address is one is for the service to say."""

    email = EmailField("Email", [Given("Enter an email address.")], render_kw={"autocomplete": "off"})


class AcceptForm(FlaskForm):  # type: ignore[misc]
    name = StringField("Name", [Line("The name", 200)], render_kw={"autocomplete": "name"})
    password = PasswordField("Password", [Given("Choose a password.")], render_kw={"autocomplete": "new-password"})


class ForgotForm(FlaskForm):  # type: ignore[misc]
    """The address is not checked for its shape: what is no address is nobody's either."""

    email = EmailField("Email", [Given("Enter your email address.")], render_kw={"autocomplete": "username"})


class NewPasswordForm(FlaskForm):  # type: ignore[misc]
    new = PasswordField("New password", [Given("Enter a new password.")], render_kw={"autocomplete": "new-password"})
    again = PasswordField(
        "New password, again",
        [Given("Enter the new password again."), EqualTo("new", "The two new passwords are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )
