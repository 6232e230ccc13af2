"""What each type of field makes of an answer: the value that is kept, or the sentence that says what is wrong."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from webapp.models import FieldType
from webapp.services.interfaces import field_types
from webapp.services.interfaces.form_texts import DEFAULTS, fill

LONGEST = {FieldType.EMAIL: 254, FieldType.PHONE: 50, FieldType.LONG_TEXT: 20_000, FieldType.URL: 2048}
LONG = 500  # characters of any other type

_PHONE = re.compile(r"[+\d\s().,/–-]{3,}(?:\s*(?:ext|x|#|\*|,|;)\.?\s*\d{1,8})?", re.IGNORECASE)
_SCHEME = re.compile(r"(?:[a-z][a-z0-9+.-]*://|(?:javascript|data|mailto|tel):)", re.IGNORECASE)


class Wrong(Exception):
    """An answer that cannot be taken; the text is a sentence for the visitor."""


class Rules(NamedTuple):
    """What counts for a whole form: its words, and the country whose phone numbers need no code."""

    words: Mapping[str, str] = DEFAULTS
    country: str | None = None

    def wrong(self, name: str, field: Any, **values: object) -> Wrong:
        return Wrong(fill(self.words[name], label=field.label, **values))


def longest(field: Any) -> int:
    """How many characters of an answer can be taken at most."""
    ours = LONGEST.get(field.type, LONG)
    limited = field.maximum if field.type in (FieldType.TEXT, FieldType.LONG_TEXT) else ""
    return min(int(limited or ours), ours)


def judge(field: Any, typed: str, rules: Rules) -> object:
    """The value that is kept of a clean text; Wrong for one that cannot be taken."""
    if len(typed) > longest(field):
        raise rules.wrong("too_long", field, number=len(typed), limit=longest(field))
    if not typed:
        if field.required and field.type != FieldType.HIDDEN:
            raise rules.wrong("needed", field)
        return None if field.type == FieldType.NUMBER else ""
    return _JUDGES.get(field.type, _text)(field, typed, rules)


def judge_ticked(field: Any, ticked: list[str], rules: Rules) -> list[str]:
    """The options ticked, each once, in the order they are offered."""
    if set(ticked) - set(field.options or []):
        raise rules.wrong("choice", field)
    if field.required and not ticked:
        raise rules.wrong("needed", field)
    return [option for option in field.options or [] if option in ticked]


def judge_consent(field: Any, sent: str, rules: Rules) -> bool:
    """Whether it was given. Our own page sends the version of the words it showed: another one is asked for again."""
    if re.fullmatch(r"v\d+", sent) and sent != f"v{field.version or 1}":
        raise rules.wrong("consent_changed", field)
    is_given = sent.lower() not in ("", "false", "no", "off", "0")
    if field.required and not is_given:
        raise rules.wrong("consent", field)
    return is_given


def _text(field: Any, typed: str, rules: Rules) -> str:
    least = int(field.minimum or 0) if field.type in (FieldType.TEXT, FieldType.LONG_TEXT) else 0
    if len(typed) < least:
        raise rules.wrong("too_short", field, limit=least)
    return typed


def _email(field: Any, typed: str, rules: Rules) -> str:
    try:
        return str(validate_email(typed, check_deliverability=False).normalized)
    except EmailNotValidError:
        name, at, domain = typed.partition("@")
        incomplete = "email_dot" if name and domain and "." not in domain else "email"
        raise rules.wrong(incomplete if at else "email_at", field) from None


def _phone(field: Any, typed: str, rules: Rules) -> str:
    """E.164 where the number is valid, by itself or in the form's country; as typed where it may be one anyway."""
    international = f"+{typed[2:]}" if typed.startswith("00") else typed
    try:
        number = phonenumbers.parse(international, rules.country)
        if phonenumbers.is_valid_number(number) and not number.extension:  # E.164 would lose the extension
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        pass  # without its country only the looks of a national number can be judged
    digits = sum(unicodedata.category(character) == "Nd" for character in typed)
    if not _PHONE.fullmatch(typed) or not 4 <= digits <= 24:
        raise rules.wrong("phone", field)
    return typed


def _choice(field: Any, typed: str, rules: Rules) -> str:
    if typed not in (field.options or []):
        raise rules.wrong("choice", field)
    return typed


def _number(field: Any, typed: str, rules: Rules) -> int | float:
    try:
        found = field_types.number(typed)
    except ValueError:
        raise rules.wrong("number", field) from None
    if field.minimum and found < field_types.number(field.minimum):
        raise rules.wrong("least", field, limit=field.minimum)
    if field.maximum and found > field_types.number(field.maximum):
        raise rules.wrong("most", field, limit=field.maximum)
    return found


def _date(field: Any, typed: str, rules: Rules) -> str:
    try:
        found = date.fromisoformat(typed).isoformat()
    except ValueError:
        raise rules.wrong("date", field) from None
    if field.minimum and found < field.minimum:
        raise rules.wrong("earliest", field, limit=field.minimum)
    if field.maximum and found > field.maximum:
        raise rules.wrong("latest", field, limit=field.maximum)
    return found


def _url(field: Any, typed: str, rules: Rules) -> str:
    """People write example.com; what is kept begins with http:// or https://."""
    address = typed if _SCHEME.match(typed) else f"https://{typed}"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:  # a bracket without its other half, a port that is no number
        raise rules.wrong("url", field) from None
    if parts.scheme not in ("http", "https") or "." not in host.strip(".") or " " in address or parts.username:
        raise rules.wrong("url", field)
    return address


_JUDGES: Mapping[FieldType, Callable[[Any, str, Rules], object]] = {
    FieldType.EMAIL: _email,
    FieldType.PHONE: _phone,
    FieldType.SELECT: _choice,
    FieldType.RADIO: _choice,
    FieldType.NUMBER: _number,
    FieldType.DATE: _date,
    FieldType.URL: _url,
}
