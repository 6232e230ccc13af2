"""Options, numbers, dates, web addresses and hidden values: read from text."""

import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from webapp.models import Field
from webapp.services.intake.rules import CUT, InvalidAnswer, JsonNumber, Read, Rules
from webapp.services.interfaces import dates, numbers
from webapp.services.interfaces.numbers import Unclear

LONGEST_HIDDEN = 20_000  # characters
CUT_SIGN = "… (cut)"  # the end of a hidden value that was cut, here or by embed.js

_SCHEME = re.compile(r"(?:[a-z][a-z0-9+.-]*://|(?:javascript|data|mailto|tel):)", re.IGNORECASE)


def choice(field: Field, typed: str, rules: Rules) -> Read:
    if typed not in (field.options or []):
        raise rules.invalid("choice", field)
    return Read(typed)


def ticked(field: Field, typed: Sequence[str], rules: Rules) -> list[str]:
    """The options ticked, each once, in the order they are offered."""
    if set(typed) - set(field.options or []):
        raise rules.invalid("choice", field)
    if field.required and not typed:
        raise rules.invalid("needed", field)
    return [option for option in field.options or [] if option in typed]


def number(field: Field, typed: str, rules: Rules) -> Read:
    try:
        found = numbers.exact(typed) if rules.exact else numbers.read(typed, rules.language)
    except Unclear as unclear:
        raise rules.invalid("number_unclear", field, first=unclear.first, second=unclear.second) from None
    except ValueError:
        raise rules.invalid("number", field) from None
    if field.minimum and found < numbers.exact(field.minimum):
        raise rules.invalid("least", field, limit=numbers.written(field.minimum, rules.language))
    if field.maximum and found > numbers.exact(field.maximum):
        raise rules.invalid("most", field, limit=numbers.written(field.maximum, rules.language))
    return Read(found)


def day(field: Field, typed: str, rules: Rules) -> Read:
    try:
        found = dates.read(typed, rules.language)
    except Unclear as unclear:
        raise rules.invalid("date_unclear", field, first=unclear.first, second=unclear.second) from None
    except ValueError:
        raise rules.invalid("date", field) from None
    if field.minimum and found < field.minimum:
        raise rules.invalid("earliest", field, limit=field.minimum)
    if field.maximum and found > field.maximum:
        raise rules.invalid("latest", field, limit=field.maximum)
    first, last = dates.bounds(field)
    if not first <= found <= last:
        raise rules.invalid("date_range", field, first=first, last=last)
    return Read(found)


def url(field: Field, typed: str, rules: Rules) -> Read:
    """People write example.com; the stored value begins with http:// or https://."""
    address = typed if _SCHEME.match(typed) else f"https://{typed}"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:  # an opening bracket without a closing one, or a port that is not a number
        raise rules.invalid("url", field) from None
    if parts.scheme not in ("http", "https") or "." not in host.strip(".") or " " in address or parts.username:
        raise rules.invalid("url", field)
    return Read(address)


def hidden(value: str) -> Read:
    """A hidden field's value. A visitor cannot shorten it, so it is cut and never refused."""
    if len(value) > LONGEST_HIDDEN:
        return Read(value[: LONGEST_HIDDEN - len(CUT_SIGN)] + CUT_SIGN, CUT)
    return Read(value, CUT if value.endswith(CUT_SIGN) else None)


def hidden_text(sent: object) -> str:
    """What was sent for a hidden field as text: lists and objects as JSON, with numbers as they were written."""
    if sent is None or isinstance(sent, str):
        return sent or ""
    try:
        return _json(sent)
    except RecursionError:  # only a program nests so deep
        raise InvalidAnswer("This is nested too deep.") from None


def _json(value: object) -> str:
    if isinstance(value, JsonNumber):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {_json(value[name])}" for name in value) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
