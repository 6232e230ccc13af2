"""The answers to an interface's fields: cleaned, validated, and what is wrong with each.

Without WTForms, because the same answers come form-encoded, as multipart or as JSON, from people and from programs.
Every text that leaves here was cleaned by `clean`.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from webapp.models import Field, FieldType, Interface
from webapp.services.files.uploads import Upload
from webapp.services.intake import consents, contact_details, file_answers, other_values
from webapp.services.intake.file_answers import NO_FILES, PostedFiles
from webapp.services.intake.rules import InvalidAnswer, JsonNumber, Read, Rules
from webapp.services.interfaces import dates, form_texts, numbers
from webapp.services.interfaces.field_types import CHOICES

CONTROLS = {FieldType.EMAIL: "email", FieldType.PHONE: "tel", FieldType.DATE: "date", FieldType.URL: "url"}
LONGEST = {FieldType.EMAIL: 254, FieldType.PHONE: 200, FieldType.LONG_TEXT: 20_000, FieldType.URL: 2048}
LONG = 500  # characters of any other type

_NEWLINES = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_PLAIN_SPACES = re.compile(r"[ \n\t]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


@dataclasses.dataclass
class Answer:
    """One field and its answer: `value` and `ticked` are what the control shows, `kept` is what is stored.

    `typed` is what was typed, where another value is stored. `mark` is what a receiver must know about the value:
    UNPARSED or CUT (see rules.py). `files` are those that a File field has, each with a reference if it is shown again.
    """

    field: Field
    value: str = ""
    ticked: Sequence[str] = ()
    kept: object = ""
    typed: str | None = None
    mark: str | None = None
    files: Sequence[Upload] = ()
    errors: list[str] = dataclasses.field(default_factory=list)

    @property
    def key(self) -> str:
        return str(self.field.key)

    @property
    def control(self) -> str:
        """The `type` of its <input>, where it is one. Numbers are text, too: type=number drops what it rejects, as
        type=date drops 31.03.2027."""
        is_written_out = self.field.type == FieldType.DATE and self.typed is not None
        return "text" if is_written_out else CONTROLS.get(self.field.type, "text")

    @property
    def target(self) -> str:
        """The id, without the prefix, of the control that a link to this field points to."""
        return f"{self.key}-1" if self.field.type in (FieldType.RADIO, FieldType.CHECKBOXES) else self.key

    @property
    def days(self) -> tuple[str, str]:
        """The first and the last day that a Date field accepts."""
        return dates.bounds(self.field)


def rules_of(interface: Interface) -> Rules:
    return Rules(form_texts.of(interface), interface.country, interface.language)


class LeadForm:
    """The answers to an interface's fields, in order. Values that no field asks for are not read.

    `fault` is a sentence about the form as a whole, for the visitor; empty if there is none.
    """

    def __init__(
        self,
        fields: Iterable[Field],
        sent: Mapping[str, object] | None = None,
        *,
        repeated: Mapping[str, Sequence[str]] | None = None,
        hidden: Mapping[str, str] | None = None,
        files: PostedFiles = NO_FILES,
        rules: Rules | None = None,
    ) -> None:
        """`sent` holds what was posted, by field key: text, or JSON's types. Without it the form is empty and valid.

        `repeated` holds all values of each name of a form post, for checkboxes; `hidden` holds values for hidden fields
        that were not sent, by key, such as the query of the form's URL.
        """
        self.rules, self.fault = rules or Rules(), ""
        self.answers = [Answer(each) for each in fields]
        for answer in self.answers:
            _begin(answer, hidden or {}, self.rules)
            if sent is not None and answer.field.type == FieldType.FILE:
                _take_files(answer, sent, files, self.rules)
            elif sent is not None:
                _validate(answer, sent, repeated or {}, self.rules)

    @classmethod
    def of(cls, interface: Interface, sent: Mapping[str, object] | None = None, **more: Any) -> "LeadForm":
        """The form of an interface, with its words."""
        return cls(interface.fields, sent, rules=rules_of(interface), **more)

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
    def typed(self) -> dict[str, str]:
        """What was typed, by field key, where another value is stored."""
        return {answer.key: answer.typed for answer in self.answers if answer.typed is not None}

    @property
    def marks(self) -> dict[str, str]:
        """UNPARSED or CUT by field key, only for the answers that have a mark."""
        return {answer.key: answer.mark for answer in self.answers if answer.mark}

    @property
    def errors(self) -> dict[str, list[str]]:
        """Sentences by field key, only for fields with an invalid answer; "_form": about the form as a whole."""
        of_form = {"_form": [self.fault]} if self.fault else {}
        return of_form | {answer.key: answer.errors for answer in self.answers if answer.errors}


def _begin(answer: Answer, hidden: Mapping[str, str], rules: Rules) -> None:
    """What the control shows before a visitor types. A consent is never ticked by default."""
    field, kind = answer.field, answer.field.type
    if kind == FieldType.CHECKBOXES:
        answer.ticked, answer.kept = (field.default or "").splitlines(), []
    elif kind == FieldType.CONSENT:
        answer.kept = False
    elif kind == FieldType.FILE:
        answer.kept = []
    elif kind == FieldType.HIDDEN:
        answer.value = clean(hidden.get(field.key) or field.default or "", multiline=True)
    elif kind == FieldType.NUMBER and field.default:
        answer.value = numbers.written(field.default, rules.language)  # it is read in that language when it comes back
    else:
        answer.value = field.default or ""


def _validate(answer: Answer, sent: Mapping[str, object], repeated: Mapping[str, Sequence[str]], rules: Rules) -> None:
    """Fills in the value to store or the errors; an invalid value stays in its control, to be corrected."""
    field, kind = answer.field, answer.field.type
    if kind == FieldType.HEADING:
        answer.kept = answer.value
        return
    try:
        if kind == FieldType.HIDDEN:
            _validate_hidden(answer, sent)
        elif kind == FieldType.CHECKBOXES:
            answer.ticked = [one for one in _listed(field, sent, repeated) if one]
            answer.kept = other_values.ticked(field, answer.ticked, rules)
        elif kind == FieldType.CONSENT:
            _validate_consent(answer, _listed(field, sent, repeated), rules)
        else:
            _validate_text(answer, _everything(field, sent, repeated) if field.sent_as else sent.get(field.key), rules)
    except InvalidAnswer as invalid:
        answer.errors.append(str(invalid))


def _validate_text(answer: Answer, sent: object, rules: Rules) -> None:
    field, kind = answer.field, answer.field.type
    text = _text(field, sent)
    answer.value = clean(text, multiline=kind == FieldType.LONG_TEXT, keep_spaces=kind == FieldType.TEXT)
    if kind == FieldType.NUMBER and isinstance(sent, JsonNumber | int | float):
        rules = rules._replace(exact=True)
    answer.kept, answer.mark = validate_answer(field, answer.value, rules)
    answer.typed = _typed(text, answer.kept) if kind in READ else None


def _validate_hidden(answer: Answer, sent: Mapping[str, object]) -> None:
    """The control keeps the whole value: a form that is shown again must not send a shorter one without its mark."""
    if answer.key in sent:
        answer.value = clean(other_values.hidden_text(sent[answer.key]), multiline=True)
    answer.kept, answer.mark = other_values.hidden(answer.value)


def _validate_consent(answer: Answer, sent: Sequence[str], rules: Rules) -> None:
    answer.kept = consents.read(answer.field, sent, rules)
    answer.typed = None if consents.is_plain_answer(sent) else _bounded(sent[-1])


def _take_files(answer: Answer, sent: Mapping[str, object], files: PostedFiles, rules: Rules) -> None:
    answer.files, wrong = file_answers.read(answer.field, sent.get(answer.key), files, rules)
    answer.kept, answer.errors = [file.entry for file in answer.files], [wrong] if wrong else []


def _typed(text: str, kept: object) -> str | None:
    """The text without what no database stores, if it says more than the value that is kept; else None."""
    typed = (text if text.isprintable() else _without_halves(text).replace("\0", "")).strip()
    return _bounded(typed) if typed and typed != str(kept) else None


def _bounded(typed: str) -> str:
    """A lead keeps at most LONG characters of what was typed: the spaces within a phone number have no limit."""
    return typed if len(typed) <= LONG else typed[: LONG - 1] + "…"


def _listed(field: Field, sent: Mapping[str, object], repeated: Mapping[str, Sequence[str]]) -> list[str]:
    """All values that were sent for a field, from a form or as a list of JSON."""
    given = repeated.get(field.key) or sent.get(field.key)
    listed = given if isinstance(given, list | tuple) else [given]
    return [clean(_text(field, each)) for each in listed]


def _everything(field: Field, sent: Mapping[str, object], repeated: Mapping[str, Sequence[str]]) -> str:
    """All that was sent for a field made of undeclared answers, as one text: nothing of it is lost or refused."""
    several = [one for one in repeated.get(field.key, ()) if one]
    given = several if len(several) > 1 else sent.get(field.key)
    if isinstance(given, list) and not any(isinstance(one, list | dict) for one in given):
        return ", ".join(filter(None, (_text(field, one) for one in given)))
    return other_values.hidden_text(given) if isinstance(given, list | dict) else _text(field, given)


def _text(field: Field, sent: object) -> str:
    """The value as text; InvalidAnswer for a list or an object."""
    if sent is None:
        return ""
    if isinstance(sent, bool):
        return "true" if sent else "false"
    if isinstance(sent, str | int | float):
        return str(sent)
    raise InvalidAnswer(f"{field.label} must be text, not a list or an object.")


def clean(text: str, multiline: bool = False, keep_spaces: bool = False) -> str:
    """What a visitor typed without NUL (PostgreSQL refuses it), other controls and halves of surrogate pairs, trimmed.

    Never refused. Newlines become \\n, or a space unless `multiline`. What emoji and right-to-left scripts need stays.
    One line has single plain spaces. With `keep_spaces` others stay: 山田　太郎 has a wide one.
    """
    if not text.isprintable():  # else its only space is the plain one, and it has nothing of the rest
        text = _CONTROLS.sub("", _NEWLINES.sub("\n", _without_halves(text)))
    if keep_spaces:
        text = _PLAIN_SPACES.sub(" ", text)
    return text.strip() if multiline or keep_spaces else " ".join(text.split())


def _without_halves(text: str) -> str:
    """Browsers can submit half a surrogate pair: matching halves are joined, single ones become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def longest(field: Field) -> int:
    """The most characters that an answer to this field may have."""
    ours = LONGEST.get(field.type, LONG)
    limited = field.maximum if field.type in (FieldType.TEXT, FieldType.LONG_TEXT) else ""
    return min(int(limited or ours), ours)


def validate_answer(field: Field, typed: str, rules: Rules) -> Read:
    """What a text that `clean` returned is read as; InvalidAnswer where it is not accepted."""
    if len(typed) > longest(field) and (field.maximum or not field.sent_as):
        raise rules.invalid("too_long", field, number=len(typed), limit=longest(field))
    if not typed:
        if field.required:
            raise rules.invalid("needed", field)
        return Read(None if field.type == FieldType.NUMBER else "")
    return _READERS.get(field.type, _plain)(field, typed, rules)


def _plain(field: Field, typed: str, rules: Rules) -> Read:
    least = int(field.minimum or 0) if field.type in (FieldType.TEXT, FieldType.LONG_TEXT) else 0
    if len(typed) < least:
        raise rules.invalid("too_short", field, limit=least)
    return other_values.hidden(typed) if field.sent_as else Read(typed)


_READERS: Mapping[FieldType, Callable[[Field, str, Rules], Read]] = {
    FieldType.EMAIL: contact_details.email,
    FieldType.PHONE: contact_details.phone,
    FieldType.SELECT: other_values.choice,
    FieldType.RADIO: other_values.choice,
    FieldType.NUMBER: other_values.number,
    FieldType.DATE: other_values.day,
    FieldType.URL: other_values.url,
}
READ = frozenset(_READERS) - CHOICES  # the types whose value may be written in several ways
