"""Controls of a webhook's page that are made from declarations: the settings of authentications and of formats."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask_wtf import FlaskForm
from wtforms import Field, Form, PasswordField, SelectChoice, SelectField, StringField, TextAreaField

from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.conditions import WORDS
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.settings import Setting
from webapp.webhooks.shown_addresses import MASK

PLAIN = {"autocomplete": "off", "spellcheck": "false"}
ROWS = {"headers": 3, "content": 2, "template": 16}


class SecretAreaField(TextAreaField):  # type: ignore[misc]  # WTForms has no types
    """Several lines that are a secret: they are never shown again, as in a PasswordField."""

    def _value(self) -> str:
        return ""


class MaskedLinesField(TextAreaField):  # type: ignore[misc]
    """Lines of `Name: value` whose values are secrets. What was typed is not shown again: without its value, a line is
    refused, so that no one takes it for saved."""

    def _value(self) -> str:
        lines = [line.partition(":") for line in (self.data or "").splitlines()]
        shown = [f"{name}{colon} {MASK}" if value.strip() == MASK else f"{name}{colon}" for name, colon, value in lines]
        return "\n".join(shown)


class RuleForm(Form):  # type: ignore[misc]
    """One row of a condition. A row without a field does not count."""

    field = SelectField("Field", validate_choice=False)
    comparison = SelectField(
        "Comparison", choices=[SelectChoice(name, words) for name, words in WORDS.items()], validate_choice=False
    )
    value = TextAreaField("Value", render_kw={"rows": 1, **PLAIN})


def control_of(setting: Setting) -> Field:
    """The control of one setting."""
    limit = {} if setting.name == "template" else {"maxlength": 4096}
    attributes = {**PLAIN, **limit}
    if setting.choices:
        choices = [SelectChoice(value, words) for value, words in setting.choices]
        return SelectField(setting.label, choices=choices, default=setting.default, validate_choice=False)
    if setting.lines:
        kind = SecretAreaField if setting.secret else TextAreaField
        attributes["rows"] = ROWS.get(setting.name, 3)
        return kind(setting.label, default=setting.default, render_kw=attributes)
    kind = PasswordField if setting.secret else StringField
    return kind(setting.label, default=setting.default, render_kw=attributes)


def schemes() -> list[tuple[str, str, Sequence[Setting]]]:
    """The name, title and settings of each authentication that has settings of its own."""
    return [(name, scheme.TITLE, scheme.SETTINGS) for name, scheme in SCHEMES.items()]


def formats() -> list[tuple[str, str, Sequence[Setting]]]:
    """The name, title and settings of each format."""
    return [(name, each.title, each.settings) for name, each in FORMATS.items()]


def add_controls(form: type[FlaskForm], kind: str, declared: Sequence[tuple[str, str, Sequence[Setting]]]) -> None:
    """Adds a control for each setting, under the names of services/webhooks/connections.py: `control`."""
    for name, _, settings in declared:
        for setting in settings:
            setattr(form, f"{kind}-{name}-{setting.name}", control_of(setting))


def stored_values(kind: str, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored values, by the names of their controls."""
    return {f"{kind}-{name}-{key}": value for key, value in values.items()}
