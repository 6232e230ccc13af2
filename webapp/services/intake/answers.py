"""The answers to an interface's fields: cleaned, validated, and what is wrong with each.

Without WTForms, because the same answers come form-encoded, as multipart or as JSON, from people and from programs.
Every text that leaves here was cleaned by `validation.clean`.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from webapp.clock import utcnow
from webapp.models import Field, FieldType, Interface
from webapp.services.intake.validation import (
    InvalidAnswer,
    Rules,
    clean,
    validate_answer,
    validate_consent,
    validate_ticked,
)
from webapp.services.interfaces import form_texts

CONTROLS = {FieldType.EMAIL: "email", FieldType.PHONE: "tel", FieldType.DATE: "date", FieldType.URL: "url"}


@dataclasses.dataclass
class Answer:
    """One field and its answer: `value` and `ticked` are what the control shows, `kept` is what is stored."""

    field: Field
    value: str = ""
    ticked: Sequence[str] = ()
    kept: object = ""
    errors: list[str] = dataclasses.field(default_factory=list)

    @property
    def key(self) -> str:
        return str(self.field.key)

    @property
    def control(self) -> str:
        """The `type` of its <input>, where it is one. Numbers are text, too: type=number drops what it rejects."""
        return CONTROLS.get(self.field.type, "text")

    @property
    def target(self) -> str:
        """The id, without the prefix, of the control that a link to this field points to."""
        return f"{self.key}-1" if self.field.type in (FieldType.RADIO, FieldType.CHECKBOXES) else self.key


class LeadForm:
    """The answers to an interface's fields, in order. Values that no field asks for are dropped."""

    def __init__(
        self,
        fields: Iterable[Field],
        sent: Mapping[str, object] | None = None,
        *,
        repeated: Mapping[str, Sequence[str]] | None = None,
        hidden: Mapping[str, str] | None = None,
        rules: Rules | None = None,
    ) -> None:
        """`sent` holds what was posted, by field key: text, or JSON's types. Without it the form is empty and valid.

        `repeated` holds all values of each name of a form post, for checkboxes; `hidden` holds values for hidden fields
        that were not sent, by key, such as the query of the form's URL.
        """
        self.rules = rules or Rules()
        self.answers = [Answer(each) for each in fields]
        for answer in self.answers:
            _begin(answer, hidden or {})
            if sent is not None:
                _validate(answer, sent, repeated or {}, self.rules)

    @classmethod
    def of(cls, interface: Interface, sent: Mapping[str, object] | None = None, **more: Any) -> "LeadForm":
        """The form of an interface, with its words."""
        return cls(interface.fields, sent, rules=Rules(form_texts.of(interface), interface.country), **more)

    @property
    def words(self) -> Mapping[str, str]:
        return self.rules.words

    @property
    def values(self) -> dict[str, Any]:
        """Every declared field by key, in order, without headings; an empty answer is empty in its own type."""
        return {
            answer.key: answer.value if answer.errors else answer.kept
            for answer in self.answers
            if answer.field.type != FieldType.HEADING
        }

    @property
    def errors(self) -> dict[str, list[str]]:
        """Sentences by field key, only for fields with an invalid answer."""
        return {answer.key: answer.errors for answer in self.answers if answer.errors}


def _begin(answer: Answer, hidden: Mapping[str, str]) -> None:
    """What the control shows before a visitor types. A consent is never ticked by default."""
    field, kind = answer.field, answer.field.type
    if kind == FieldType.CHECKBOXES:
        answer.ticked, answer.kept = (field.default or "").splitlines(), []
    elif kind == FieldType.CONSENT:
        answer.kept = False
    elif kind == FieldType.HIDDEN:
        answer.value = clean(hidden.get(field.key) or field.default or "")
    else:
        answer.value = field.default or ""


def _validate(answer: Answer, sent: Mapping[str, object], repeated: Mapping[str, Sequence[str]], rules: Rules) -> None:
    """Fills in the value to store or the errors; an invalid value stays in its control, to be corrected."""
    field, kind = answer.field, answer.field.type
    if kind == FieldType.HEADING or (kind == FieldType.HIDDEN and field.key not in sent):
        answer.kept = answer.value
        return
    try:
        if kind == FieldType.CHECKBOXES:
            answer.ticked = _several(field, sent, repeated)
            answer.kept = validate_ticked(field, list(answer.ticked), rules)
            return
        answer.value = clean(_text(field, sent.get(field.key)), multiline=kind == FieldType.LONG_TEXT)
        if kind == FieldType.CONSENT:
            answer.kept = validate_consent(field, answer.value, rules)
        else:
            answer.kept = validate_answer(field, answer.value, rules)
            answer.value = answer.kept if isinstance(answer.kept, str) else answer.value
    except InvalidAnswer as invalid:
        answer.errors.append(str(invalid))
        answer.value = "" if kind == FieldType.CONSENT else answer.value


def _several(field: Field, sent: Mapping[str, object], repeated: Mapping[str, Sequence[str]]) -> list[str]:
    given = repeated.get(field.key) or sent.get(field.key)
    listed = given if isinstance(given, list | tuple) else [given]
    return [one for one in (clean(_text(field, each)) for each in listed) if one]


def _text(field: Field, sent: object) -> str:
    """The value as text; InvalidAnswer for a list or an object."""
    if sent is None:
        return ""
    if isinstance(sent, bool):
        return "true" if sent else "false"
    if isinstance(sent, str | int | float):
        return str(sent)
    raise InvalidAnswer(f"{field.label} must be text, not a list or an object.")


def consents_given(
    fields: Iterable[Field], values: Mapping[str, object], page: str | None, at: datetime | None = None
) -> list[Any]:
    """One entry for each consent among the fields, given or not: key, text, version, given, at (UTC), page or None.

    `text` is the statement as it is set, links included, so that what the visitor read can be shown again.
    """
    moment = (at or utcnow()).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return [
        {
            "key": field.key,
            "text": field.statement or field.label,
            "version": field.version or 1,
            "given": values.get(field.key) is True,
            "at": moment,
            "page": page,
        }
        for field in fields
        if field.type == FieldType.CONSENT
    ]
