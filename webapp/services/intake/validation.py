"""Validates one answer by its field's type: returns the value to store, or says in a sentence what is wrong."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from typing import NamedTuple
from urllib.parse import urlsplit

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from webapp.models import Field, FieldType
from webapp.services.interfaces import field_types
from webapp.services.interfaces.form_texts import DEFAULTS, fill

LONGEST = {FieldType.EMAIL: 254, FieldType.PHONE: 50, FieldType.LONG_TEXT: 20_000, FieldType.URL: 2048}
LONG = 500  # characters of any other type

_PHONE = re.compile(r"[+\d\s().,/–-]{3,}(?:\s*(?:ext|x|#|\*|,|;)\.?\s*\d{1,8})?", re.IGNORECASE)
_SCHEME = re.compile(r"(?:[a-z][a-z0-9+.-]*://|(?:javascript|data|mailto|tel):)", re.IGNORECASE)
_NEWLINES = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


class InvalidAnswer(Exception):
    """An answer that is not accepted; the text is a sentence for the visitor."""


class Rules(NamedTuple):
    """What applies to a whole form: its words, and the country whose phone numbers need no country code."""

    words: Mapping[str, str] = DEFAULTS
    country: str | None = None

    def invalid(self, name: str, field: Field, **values: object) -> InvalidAnswer:
        return InvalidAnswer(fill(self.words[name], label=field.label, **values))


def clean(text: str, multiline: bool = False) -> str:
    """What a visitor typed without NUL (PostgreSQL refuses it), other controls and halves of surrogate pairs, trimmed.

    Never refused. Newlines become \\n, or a space unless `multiline`. What emoji and right-to-left scripts need stays.
    """
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = _CONTROLS.sub("", _NEWLINES.sub("\n", text))
    return text.strip() if multiline else " ".join(text.split())


def longest(field: Field) -> int:
    """The most characters that an answer to this field may have."""
    ours = LONGEST.get(field.type, LONG)
    limited = field.maximum if field.type in (FieldType.TEXT, FieldType.LONG_TEXT) else ""
    return min(int(limited or ours), ours)


def validate_answer(field: Field, typed: str, rules: Rules) -> object:
    """The value to store for a text that `clean` returned; InvalidAnswer where it is not accepted."""
    if len(typed) > longest(field):
        raise rules.invalid("too_long", field, number=len(typed), limit=longest(field))
    if not typed:
        if field.required and field.type != FieldType.HIDDEN:
            raise rules.invalid("needed", field)
        return None if field.type == FieldType.NUMBER else ""
    return _VALIDATORS.get(field.type, _text)(field, typed, rules)


def validate_ticked(field: Field, ticked: list[str], rules: Rules) -> list[str]:
    """The options ticked, each once, in the order they are offered."""
    if set(ticked) - set(field.options or []):
        raise rules.invalid("choice", field)
    if field.required and not ticked:
        raise rules.invalid("needed", field)
    return [option for option in field.options or [] if option in ticked]


def validate_consent(field: Field, sent: str, rules: Rules) -> bool:
    """Whether consent was given. Our page sends the version of the words it showed; an older version is asked again."""
    if re.fullmatch(r"v\d+", sent) and sent != f"v{field.version or 1}":
        raise rules.invalid("consent_changed", field)
    is_given = sent.lower() not in ("", "false", "no", "off", "0")
    if field.required and not is_given:
        raise rules.invalid("consent", field)
    return is_given


def _text(field: Field, typed: str, rules: Rules) -> str:
    least = int(field.minimum or 0) if field.type in (FieldType.TEXT, FieldType.LONG_TEXT) else 0
    if len(typed) < least:
        raise rules.invalid("too_short", field, limit=least)
    return typed


def _email(field: Field, typed: str, rules: Rules) -> str:
    try:
        return str(validate_email(typed, check_deliverability=False).normalized)
    except EmailNotValidError:
        name, at, domain = typed.partition("@")
        incomplete = "email_dot" if name and domain and "." not in domain else "email"
        raise rules.invalid(incomplete if at else "email_at", field) from None


def _phone(field: Field, typed: str, rules: Rules) -> str:
    """E.164 where the number is valid, alone or in the form's country; as typed where it only looks like a number."""
    international = f"+{typed[2:]}" if typed.startswith("00") else typed
    try:
        number = phonenumbers.parse(international, rules.country)
        if phonenumbers.is_valid_number(number) and not number.extension:  # E.164 would lose the extension
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        pass  # a national number whose country is not known: only its shape can be checked
    digits = sum(unicodedata.category(character) == "Nd" for character in typed)
    if not _PHONE.fullmatch(typed) or not 4 <= digits <= 24:
        raise rules.invalid("phone", field)
    return typed


def _choice(field: Field, typed: str, rules: Rules) -> str:
    if typed not in (field.options or []):
        raise rules.invalid("choice", field)
    return typed


def _number(field: Field, typed: str, rules: Rules) -> int | float:
    try:
        found = field_types.number(typed)
    except ValueError:
        raise rules.invalid("number", field) from None
    if field.minimum and found < field_types.number(field.minimum):
        raise rules.invalid("least", field, limit=field.minimum)
    if field.maximum and found > field_types.number(field.maximum):
        raise rules.invalid("most", field, limit=field.maximum)
    return found


def _date(field: Field, typed: str, rules: Rules) -> str:
    try:
        found = date.fromisoformat(typed).isoformat()
    except ValueError:
        raise rules.invalid("date", field) from None
    if field.minimum and found < field.minimum:
        raise rules.invalid("earliest", field, limit=field.minimum)
    if field.maximum and found > field.maximum:
        raise rules.invalid("latest", field, limit=field.maximum)
    return found


def _url(field: Field, typed: str, rules: Rules) -> str:
    """People write example.com; the stored value begins with http:// or https://."""
    address = typed if _SCHEME.match(typed) else f"https://{typed}"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:  # an opening bracket without a closing one, or a port that is not a number
        raise rules.invalid("url", field) from None
    if parts.scheme not in ("http", "https") or "." not in host.strip(".") or " " in address or parts.username:
        raise rules.invalid("url", field)
    return address


_VALIDATORS: Mapping[FieldType, Callable[[Field, str, Rules], object]] = {
    FieldType.EMAIL: _email,
    FieldType.PHONE: _phone,
    FieldType.SELECT: _choice,
    FieldType.RADIO: _choice,
    FieldType.NUMBER: _number,
    FieldType.DATE: _date,
    FieldType.URL: _url,
}
