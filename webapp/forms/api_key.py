"""A new row of the API Keys page, and a new secret for one."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, RadioField, SelectChoice, SelectField, StringField
from wtforms.validators import ValidationError

from webapp.forms.rules import Line
from webapp.models import KeyAccess

TYPES = [SelectChoice("shared", "Shared Token"), SelectChoice("api", "API Key")]  # app.css shows Access by these values
ACCESS = [
    SelectChoice(KeyAccess.PRIVATE.value, "Private: read and change, for your servers"),
    SelectChoice(KeyAccess.PUBLIC.value, "Public: submit leads only, for browsers"),
]


class ApiKeyForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    type = RadioField("Type", choices=TYPES, default="shared", validate_choice=False)
    access = SelectField("Access", choices=ACCESS, default=KeyAccess.PRIVATE.value, validate_choice=False)
    name = StringField("Name", [Line("The name", 100)], render_kw={"autocomplete": "off"})

    def validate_type(self, field: RadioField) -> None:
        if field.data not in {choice.value for choice in TYPES}:
            raise ValidationError("Choose Shared Token or API Key.")

    def validate_access(self, field: SelectField) -> None:
        """Access is a question about an API Key; what stands there for a Shared Token does not matter."""
        if self.type.data == "api" and field.data not in {choice.value for choice in ACCESS}:
            raise ValidationError("Choose Private or Public.")


OVERLAPS = [  # hours
    SelectChoice("0", "Ends at once"),
    SelectChoice("1", "Signs too for 1 hour"),
    SelectChoice("24", "Signs too for 24 hours"),
    SelectChoice("72", "Signs too for 3 days"),
    SelectChoice("168", "Signs too for 7 days"),
]


class RotateForm(FlaskForm):  # type: ignore[misc]
    """A new secret for a Shared Token, and how long the old one goes on beside it."""

    overlap = SelectField("The old secret", choices=OVERLAPS, default="24", validate_choice=False)
    force = BooleanField("End the secret before it at once, and rotate all the same")

    def validate_overlap(self, field: SelectField) -> None:
        if field.data not in {choice.value for choice in OVERLAPS}:
            raise ValidationError("Choose how long the old secret goes on signing.")
