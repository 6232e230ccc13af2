"""Sign-in."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, PasswordField

from webapp.forms.rules import NotEmpty


class SignInForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """The shape of the address is not checked: an invalid address belongs to no user."""

    email = EmailField("Email", [NotEmpty("Enter your email address.")], render_kw={"autocomplete": "username"})
    password = PasswordField(
        "Password", [NotEmpty("Enter your password.")], render_kw={"autocomplete": "current-password"}
    )
    remember = BooleanField("Stay signed in for 30 days")
