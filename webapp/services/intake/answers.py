"""The public form, made from an interface's fields: what was sent, made clean, and what is wrong with it.

Plain validation and no WTForms: the same answers come form-encoded, multipart or as JSON, from people and programs, and
this runs while a transaction is open. Every text that leaves here has no control characters, no NUL (which PostgreSQL
refuses), no half of a surrogate pair, newlines as \\n. Emoji and right-to-left text stay as they were typed.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from webapp.models import FieldType
from webapp.services.intake.submissions import clean
from webapp.services.intake.validation import Rules, Wrong, judge, judge_consent, judge_ticked
from webapp.services.interfaces import form_texts

CONTROLS = {FieldType.EMAIL: "email", FieldType.PHONE: "tel", FieldType.DATE: "date", FieldType.URL: "url"}


@dataclasses.dataclass
class Answer:
    """One question and what was answered: `value` and `ticked` are what the control shows, `kept` what is kept."""

    field: Any  # a Field, or a row of its columns
    value: str = ""
    ticked: Sequence[str] = ()
    kept: object = ""
    errors: list[str] = dataclasses.field(default_factory=list)

    @property
    def key(self) -> str:
        return str(self.field.key)

    @property
    def control(self) -> str:
        """The `type` of its <input>, where it is one. A number is typed as text: type=number drops what it dislikes."""
        return CONTROLS.get(self.field.type, "text")

    @property
    def target(self) -> str:
        """The id, after the prefix, of the control that a link to this question leads to."""
        return f"{self.key}-1" if self.field.type in (FieldType.RADIO, FieldType.CHECKBOXES) else self.key


class LeadForm:
    """The answers to an interface's fields, in their order. What no field asks for is dropped."""

    def __init__(
        self,
        fields: Iterable[Any],
        sent: Mapping[str, object] | None = None,
        *,
        repeated: Mapping[str, Sequence[str]] | None = None,
        hidden: Mapping[str, str] | None = None,
        rules: Rules | None = None,
    ) -> None:
        """`sent` is what came, by field key: text, or what JSON has. Without it the form is empty and not judged.

        `repeated` has all values of each name of a form post, for checkboxes; `hidden` what hidden fields hold that
        were not sent, by key, such as the query of the form's address.
        """
        self.rules = rules or Rules()
        self.answers = [Answer(each) for each in fields]
        for answer in self.answers:
            _begin(answer, hidden or {})
            if sent is not None:
                _judge(answer, sent, repeated or {}, self.rules)

    @classmethod
    def of(cls, interface: Any, sent: Mapping[str, object] | None = None, **more: Any) -> "LeadForm":
        """The form of an interface, in its words."""
        return cls(interface.fields, sent, rules=Rules(form_texts.of(interface), interface.country), **more)

    @property
    def words(self) -> Mapping[str, str]:
        return self.rules.words

    @property
    def values(self) -> dict[str, Any]:
        """Every declared field by key, in order, headings aside; what was left empty is empty in its own type."""
        return {
            answer.key: answer.value if answer.errors else answer.kept
            for answer in self.answers
            if answer.field.type != FieldType.HEADING
        }

    @property
    def errors(self) -> dict[str, list[str]]:
        """Sentences by field key, only for the fields that need another look."""
        return {answer.key: answer.errors for answer in self.answers if answer.errors}


def _begin(answer: Answer, hidden: Mapping[str, str]) -> None:
    """What stands in the control before anyone has typed. Nobody agrees by default: a consent begins unticked."""
    field, kind = answer.field, answer.field.type
    if kind == FieldType.CHECKBOXES:
        answer.ticked, answer.kept = (field.default or "").splitlines(), []
    elif kind == FieldType.CONSENT:
        answer.kept = False
    elif kind == FieldType.HIDDEN:
        answer.value = clean(hidden.get(field.key) or field.default or "")
    else:
        answer.value = field.default or ""


def _judge(answer: Answer, sent: Mapping[str, object], repeated: Mapping[str, Sequence[str]], rules: Rules) -> None:
    """Fills in what is kept, or what is wrong; a value that is refused is kept in its control, to be put right."""
    field, kind = answer.field, answer.field.type
    if kind == FieldType.HEADING or (kind == FieldType.HIDDEN and field.key not in sent):
        answer.kept = answer.value
        return
    try:
        if kind == FieldType.CHECKBOXES:
            answer.ticked = _several(field, sent, repeated)
            answer.kept = judge_ticked(field, list(answer.ticked), rules)
            return
        answer.value = clean(_text(field, sent.get(field.key)), multiline=kind == FieldType.LONG_TEXT)
        if kind == FieldType.CONSENT:
            answer.kept = judge_consent(field, answer.value, rules)
        else:
            answer.kept = judge(field, answer.value, rules)
            answer.value = answer.kept if isinstance(answer.kept, str) else answer.value
    except Wrong as wrong:
        answer.errors.append(str(wrong))
        answer.value = "" if kind == FieldType.CONSENT else answer.value


def _several(field: Any, sent: Mapping[str, object], repeated: Mapping[str, Sequence[str]]) -> list[str]:
    given = repeated.get(field.key) or sent.get(field.key)
    listed = given if isinstance(given, list | tuple) else [given]
    return [one for one in (clean(_text(field, each)) for each in listed) if one]


def _text(field: Any, sent: object) -> str:
    """What was sent as text; Wrong for what has no plain form."""
    if sent is None:
        return ""
    if isinstance(sent, bool):
        return "true" if sent else "false"
    if isinstance(sent, str | int | float):
        return str(sent)
    raise Wrong(f"{field.label} must be text, not a list or an object.")
