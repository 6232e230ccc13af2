"""The public form, made from an interface's fields: what was sent, made clean, and what is wrong with it.

Plain validation and no WTForms: the same answers come form-encoded, multipart or as JSON, from people and programs, and
this runs while a transaction is open. Every value is text when it leaves here: no control characters, no NUL (which
PostgreSQL refuses), no half of a surrogate pair, newlines as \\n. Emoji and right-to-left text stay as they were typed.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from webapp.models import FieldType
from webapp.services.submissions import clean

MAX_LENGTH = {FieldType.TEXT: 500, FieldType.EMAIL: 254, FieldType.PHONE: 50, FieldType.LONG_TEXT: 20_000}

_PHONE = re.compile(r"[+\d\s().,/–-]{3,}(?:\s*(?:ext|x|#|\*|,|;)\.?\s*\d{1,8})?", re.IGNORECASE)


@dataclasses.dataclass
class Answer:
    """One question and what was answered; `value` is what the control shows and what is kept."""

    field: Any  # a Field, or a row of its columns
    value: str = ""
    errors: list[str] = dataclasses.field(default_factory=list)

    @property
    def key(self) -> str:
        return str(self.field.key)

    @property
    def control(self) -> str:
        """The `type` of its <input>; a long text is a <textarea>."""
        return {FieldType.EMAIL: "email", FieldType.PHONE: "tel"}.get(self.field.type, "text")


class LeadForm:
    """The answers to an interface's fields, in their order. What no field asks for is dropped."""

    def __init__(self, fields: Iterable[Any], sent: Mapping[str, object] | None = None) -> None:
        """`sent` is what came, by field key: text, or what JSON has. Without it the form is empty and not judged."""
        self.answers = [Answer(each) for each in fields]
        if sent is not None:
            for answer in self.answers:
                _judge(answer, sent.get(answer.key))

    @property
    def values(self) -> dict[str, str]:
        """Every declared field by key, in order; empty where nothing was answered."""
        return {answer.key: answer.value for answer in self.answers}

    @property
    def errors(self) -> dict[str, list[str]]:
        """Sentences by field key, only for the fields that need another look."""
        return {answer.key: answer.errors for answer in self.answers if answer.errors}


def _judge(answer: Answer, sent: object) -> None:
    """Fills in the value, or what is wrong with it; a value that is refused is kept, to be put right."""
    kind, label = answer.field.type, answer.field.label
    text = _text(sent)
    if text is None:
        answer.errors.append(f"{label} must be text, not a list or an object.")
        return
    answer.value = clean(text, multiline=kind == FieldType.LONG_TEXT)
    limit = MAX_LENGTH[kind]
    if len(answer.value) > limit:
        answer.errors.append(f"{label} is too long: {len(answer.value):,} characters, of which {limit:,} can be taken.")
    elif not answer.value:
        if answer.field.required:
            answer.errors.append(f"{label} is needed.")
    elif kind == FieldType.EMAIL:
        _judge_email(answer)
    elif kind == FieldType.PHONE:
        _judge_phone(answer)


def _text(sent: object) -> str | None:
    """What was sent as text; None for what has no plain form."""
    if sent is None:
        return ""
    if isinstance(sent, bool):
        return "true" if sent else "false"
    return str(sent) if isinstance(sent, str | int | float) else None


def _judge_email(answer: Answer) -> None:
    try:
        answer.value = validate_email(answer.value, check_deliverability=False).normalized
    except EmailNotValidError:
        name, at, domain = answer.value.partition("@")
        if not at:
            answer.errors.append("This address is not complete: it needs an @, as in name@example.com.")
        elif name and domain and "." not in domain:
            answer.errors.append("This address is not complete: the part after @ needs a dot.")
        else:
            answer.errors.append("This is not an e-mail address that mail can reach. Please check it for slips.")


def _judge_phone(answer: Answer) -> None:
    """E.164 where the number is a valid international one; as typed where it may be one of some country."""
    typed = answer.value
    international = f"+{typed[2:]}" if typed.startswith("00") else typed
    try:
        number = phonenumbers.parse(international, None)
        if phonenumbers.is_valid_number(number) and not number.extension:  # E.164 would lose the extension
            answer.value = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            return
    except phonenumbers.NumberParseException:
        pass  # a national number: without its country only its looks can be judged
    digits = sum(unicodedata.category(character) == "Nd" for character in typed)
    if not _PHONE.fullmatch(typed) or not 4 <= digits <= 24:
        answer.errors.append("This is not a phone number. Write digits only, with country code: +44 20 7946 0958.")
