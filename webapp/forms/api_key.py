"""The forms of the API Keys page: create a key, and give a Shared Token a new secret."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    PasswordField,
    RadioField,
    SelectChoice,
    SelectField,
    SelectMultipleField,
    StringField,
)
from wtforms.validators import ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from webapp.forms.rules import SingleLine
from webapp.models import Interface, KeyAccess, Scope
from webapp.models.api_key import ACCESS_WORDS, SCOPE_WORDS
from webapp.services.key_access import Grant

# app.css uses these values to show Access only for an API Key.
TYPES = [SelectChoice("shared", "Shared Token"), SelectChoice("api", "API Key")]
ACCESS = [SelectChoice(each.value, f"{each.capitalize()}: {words}") for each, words in ACCESS_WORDS.items()]
SCOPES = [SelectChoice(scope.value, f"{scope.capitalize()}: {words}") for scope, words in SCOPE_WORDS.items()]
LIFETIMES = [  # days
    SelectChoice("", "Never"),
    SelectChoice("30", "In 30 days"),
    SelectChoice("90", "In 90 days"),
    SelectChoice("365", "In a year"),
]


class ApiKeyForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """The form for one account: `interfaces` are those that an API Key can be limited to."""

    type = RadioField("Type", choices=TYPES, default="shared", validate_choice=False)
    access = SelectField("Access", choices=ACCESS, default=KeyAccess.PRIVATE.value, validate_choice=False)
    name = StringField("Name", [SingleLine("The name", 100)], render_kw={"autocomplete": "off"})
    existing = PasswordField("Existing secret", render_kw={"autocomplete": "off", "spellcheck": "false"})
    scopes = SelectMultipleField(
        "Scopes", choices=SCOPES, validate_choice=False, widget=ListWidget(), option_widget=CheckboxInput()
    )
    expires = SelectField("Expires", choices=LIFETIMES, default="", validate_choice=False)
    interfaces = SelectMultipleField(
        "Only these interfaces", validate_choice=False, widget=ListWidget(), option_widget=CheckboxInput()
    )

    def __init__(self, *args: Any, interfaces: Sequence[Interface] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.interfaces.choices = [SelectChoice(each.public_id, each.name) for each in interfaces]
        if not self.is_submitted():
            self.scopes.data = [choice.value for choice in SCOPES]

    def validate_type(self, field: RadioField) -> None:
        if field.data not in {choice.value for choice in TYPES}:
            raise ValidationError("Choose Shared Token or API Key.")

    def validate_access(self, field: SelectField) -> None:
        """Only an API Key has an access; the value posted for a Shared Token is ignored."""
        if self.type.data == "api" and field.data not in {choice.value for choice in ACCESS}:
            raise ValidationError("Choose Private or Public.")

    def validate_scopes(self, field: SelectMultipleField) -> None:
        """The page also sends an empty value, so that none ticked is not the same as none sent: a program that knows no
        scopes gets a key with all of them."""
        if self._is_private and field.raw_data and not self._scopes:
            raise ValidationError("Choose at least one scope.")

    def validate_expires(self, field: SelectField) -> None:
        if field.data not in {None, *(choice.value for choice in LIFETIMES)}:
            raise ValidationError("Choose when the key expires.")

    @property
    def _is_private(self) -> bool:
        return bool(self.type.data == "api" and self.access.data == KeyAccess.PRIVATE.value)

    @property
    def _scopes(self) -> list[Scope]:
        return [scope for scope in Scope if scope.value in (self.scopes.data or ())]

    @property
    def grant(self) -> Grant:
        """What the key may do. A public key can only capture, so the scopes of the page do not count for it."""
        days = self.expires.data
        return Grant(
            scopes=self._scopes if self._is_private and self.scopes.raw_data else None,
            lasts=timedelta(days=int(days)) if days else None,
            interfaces=self.interfaces.data or None,
        )


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
