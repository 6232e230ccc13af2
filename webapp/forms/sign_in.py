"""Sign-in."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, PasswordField

from webapp.forms.rules import Given


class SignInForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """The address is not checked for its shape: what is no address is nobody's either."""

    email = EmailField("Email", [Given("Enter your email address.")], render_kw={"autocomplete": "username"})
    password = PasswordField(
        "Password", [Given("Enter your password.")], render_kw={"autocomplete": "current-password"}
    )
    remember = BooleanField("Stay signed in for 30 days")
