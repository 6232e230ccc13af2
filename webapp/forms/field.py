"""One question on the Fields tab: the settings that its type has, with labels for that type."""

from typing import Any

from flask_wtf import FlaskForm
from wtforms import BooleanField, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.widgets import TextArea

from webapp.models import Field, FieldType
from webapp.services.interfaces.field_types import KINDS, as_typed
from webapp.services.interfaces.fields import AUTOCOMPLETE, TEXTS

TOKENS = [SelectChoice("", "Nothing in particular"), *(SelectChoice(*pair) for pair in AUTOCOMPLETE.items())]
LIMITS = {
    FieldType.NUMBER: ("Smallest number", "Largest number"),
    FieldType.DATE: ("Earliest date", "Latest date"),
    **dict.fromkeys(TEXTS, ("Fewest characters", "Most characters")),
}
PLAIN = {"autocomplete": "off"}


class FieldForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """Create it with `of`. Validation is in services/interfaces/fields.py, because previews need it too."""

    label = StringField("Label", render_kw={**PLAIN, "maxlength": 200, "required": True})
    key = StringField("Key in the payload", render_kw={**PLAIN, "maxlength": 64})
    statement = TextAreaField("What the visitor agrees to", render_kw={"rows": 4, "maxlength": 2000, "required": True})
    options = TextAreaField("Options, one per line", render_kw={"rows": 5, "required": True})
    placeholder = StringField("Placeholder", render_kw={**PLAIN, "maxlength": 200})
    default = StringField("Begins with", render_kw=PLAIN)
    minimum = StringField("At least", render_kw=PLAIN)
    maximum = StringField("At most", render_kw=PLAIN)
    autocomplete = SelectField("Browsers fill in", choices=TOKENS, validate_choice=False)
    file_types = TextAreaField("Accepted files", render_kw={"rows": 4})
    file_count = StringField("Most files", render_kw={**PLAIN, "inputmode": "numeric", "maxlength": 2})
    file_megabytes = StringField("Largest file, in MB", render_kw={**PLAIN, "inputmode": "numeric", "maxlength": 4})
    file_link_days = StringField("Days its link works", render_kw={**PLAIN, "inputmode": "numeric", "maxlength": 4})
    help = TextAreaField("Help text", render_kw={"rows": 2, "maxlength": 500})
    required = BooleanField("Required")
    half = BooleanField("Half width")

    @classmethod
    def of(cls, kind: FieldType, field: Field | None = None, locked: bool = False, **initial: Any) -> "FieldForm":
        """The form of a field, of a new field with `initial` values, or with what was posted. `locked`: fixed key."""
        data = as_typed(field) if field else initial
        form: FieldForm = cls(data=data)
        always = {"label", "key", "csrf_token"} if kind != FieldType.HEADING else {"label", "csrf_token"}
        for name in {each.name for each in form} - always - KINDS[kind].settings:
            del form[name]
        form._adapt_to(kind)
        if locked and "key" in form:
            form.key.render_kw = {"readonly": True}
        return form

    def _adapt_to(self, kind: FieldType) -> None:
        """Sets the labels and controls that differ between field types."""
        if "minimum" in self:
            self.minimum.label.text, self.maximum.label.text = LIMITS[kind]
        if kind == FieldType.DATE:
            for control in (self.minimum, self.maximum, self.default):
                control.render_kw = {"type": "date"}
        if kind == FieldType.HIDDEN:
            self.default.label.text = "Value"
        if kind in (FieldType.LONG_TEXT, FieldType.CHECKBOXES):
            self.default.widget, self.default.render_kw = TextArea(), {"rows": 2}
        if kind == FieldType.CHECKBOXES:
            self.default.label.text = "Ticked from the start"

    @property
    def settings(self) -> dict[str, Any]:
        """What was posted, by column of Field; `options` as typed."""
        return {each.name: each.data for each in self if each.name != "csrf_token"}
