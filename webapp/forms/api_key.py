"""The forms of the API Keys page: create a key, and give a Shared Token a new secret."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, PasswordField, RadioField, SelectChoice, SelectField, StringField
from wtforms.validators import ValidationError

from webapp.forms.rules import SingleLine
from webapp.models import KeyAccess

# app.css uses these values to show Access only for an API Key.
TYPES = [SelectChoice("shared", "Shared Token"), SelectChoice("api", "API Key")]
ACCESS = [
    SelectChoice(KeyAccess.PRIVATE.value, "Private: read and change, for your servers"),
    SelectChoice(KeyAccess.PUBLIC.value, "Public: submit leads only, for browsers"),
]


class ApiKeyForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    type = RadioField("Type", choices=TYPES, default="shared", validate_choice=False)
    access = SelectField("Access", choices=ACCESS, default=KeyAccess.PRIVATE.value, validate_choice=False)
    name = StringField("Name", [SingleLine("The name", 100)], render_kw={"autocomplete": "off"})
    existing = PasswordField("Existing secret", render_kw={"autocomplete": "off", "spellcheck": "false"})

    def validate_type(self, field: RadioField) -> None:
        if field.data not in {choice.value for choice in TYPES}:
            raise ValidationError("Choose Shared Token or API Key.")

    def validate_access(self, field: SelectField) -> None:
        """Only an API Key has an access; the value posted for a Shared Token is ignored."""
        if self.type.data == "api" and field.data not in {choice.value for choice in ACCESS}:
            raise ValidationError("Choose Private or Public.")


OVERLAPS = [  # hours
    SelectChoice("0", "Ends at once"),
    SelectChoice("1", "Also signs for 1 hour"),
    SelectChoice("24", "Also signs for 24 hours"),
    SelectChoice("72", "Also signs for 3 days"),
    SelectChoice("168", "Also signs for 7 days"),
]


class RotateForm(FlaskForm):  # type: ignore[misc]
    """A new secret for a Shared Token, and how long the old secret keeps signing."""

    overlap = SelectField("The old secret", choices=OVERLAPS, default="24", validate_choice=False)
    force = BooleanField("End the secret before it at once, and rotate anyway")

    def validate_overlap(self, field: SelectField) -> None:
        if field.data not in {choice.value for choice in OVERLAPS}:
            raise ValidationError("Choose how long the old secret keeps signing.")
