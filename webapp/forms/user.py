"""The users of an account: invitations, roles, and the passwords that users choose."""

from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField, RadioField, SelectChoice, StringField
from wtforms.validators import EqualTo, ValidationError

from webapp.forms.rules import NotEmpty, SingleLine
from webapp.models import Role
from webapp.services.people.users import ASSIGNABLE_ROLES

ROLES = [SelectChoice(role.value, role.label) for role in ASSIGNABLE_ROLES]


class RoleForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    role = RadioField("Role", choices=ROLES, validate_choice=False)

    def validate_role(self, field: RadioField) -> None:
        if field.data not in {choice.value for choice in ROLES}:
            raise ValidationError("Choose Admin, Editor or Leads only.")

    @property
    def chosen(self) -> Role:
        """The chosen role. The form must be valid."""
        return Role(self.role.data)


class InvitationForm(RoleForm):
    """The service checks whether the e-mail address is valid."""

    email = EmailField("Email", [NotEmpty("Enter an email address.")], render_kw={"autocomplete": "off"})


class AcceptForm(FlaskForm):  # type: ignore[misc]
    name = StringField("Name", [SingleLine("The name", 200)], render_kw={"autocomplete": "name"})
    password = PasswordField("Password", [NotEmpty("Choose a password.")], render_kw={"autocomplete": "new-password"})


class ForgotForm(FlaskForm):  # type: ignore[misc]
    """The shape of the address is not checked: an invalid address belongs to no user."""

    email = EmailField("Email", [NotEmpty("Enter your email address.")], render_kw={"autocomplete": "username"})


class NewPasswordForm(FlaskForm):  # type: ignore[misc]
    new = PasswordField("New password", [NotEmpty("Enter a new password.")], render_kw={"autocomplete": "new-password"})
    again = PasswordField(
        "New password, again",
        [NotEmpty("Enter the new password again."), EqualTo("new", "The two new passwords are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )
