"""Options, numbers, dates and web addresses: read from text."""

import re
from datetime import date
from urllib.parse import urlsplit

from webapp.models import Field
from webapp.services.intake.rules import Read, Rules
from webapp.services.interfaces import field_types

_SCHEME = re.compile(r"(?:[a-z][a-z0-9+.-]*://|(?:javascript|data|mailto|tel):)", re.IGNORECASE)


def choice(field: Field, typed: str, rules: Rules) -> Read:
    if typed not in (field.options or []):
        raise rules.invalid("choice", field)
    return Read(typed)


def number(field: Field, typed: str, rules: Rules) -> Read:
    try:
        found = field_types.number(typed)
    except ValueError:
        raise rules.invalid("number", field) from None
    if field.minimum and found < field_types.number(field.minimum):
        raise rules.invalid("least", field, limit=field.minimum)
    if field.maximum and found > field_types.number(field.maximum):
        raise rules.invalid("most", field, limit=field.maximum)
    return Read(found)


def day(field: Field, typed: str, rules: Rules) -> Read:
    try:
        found = date.fromisoformat(typed).isoformat()
    except ValueError:
        raise rules.invalid("date", field) from None
    if field.minimum and found < field.minimum:
        raise rules.invalid("earliest", field, limit=field.minimum)
    if field.maximum and found > field.maximum:
        raise rules.invalid("latest", field, limit=field.maximum)
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
