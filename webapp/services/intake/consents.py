"""Consents: what counts as a yes, and the record of what was agreed to. Only forms with a consent come here."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from webapp.clock import utcnow
from webapp.models import Field, FieldType
from webapp.services.intake.rules import Rules

_YES = frozenset({"true", "on", "yes", "1", "checked"})
_NO = frozenset({"", "false", "off", "no", "0"})
# What ASP.NET sends for a box that is ticked: its hidden "false" comes after the box.
_TICKED_BEFORE_FALSE = ["true", "false"]


def read(field: Field, sent: Sequence[str], rules: Rules) -> bool:
    """Whether consent was given: only by one of the yes-values that docs/forms.md names. The last value sent counts.

    Our page sends the version of the words it showed; another version is asked again.
    """
    words = [each.lower() for each in sent]
    last = words[-1] if words and words != _TICKED_BEFORE_FALSE else "true" if words else ""
    current = f"v{field.version or 1}"
    if re.fullmatch("v[0-9]+", last) and last != current:
        raise rules.invalid("consent_changed", field)
    is_given = last in _YES or last == current
    if field.required and not is_given:
        raise rules.invalid("consent", field)
    return is_given


def is_plain_answer(sent: Sequence[str]) -> bool:
    """Whether a consent's last value is a plain yes or no, which says no more than true or false."""
    return not sent or sent[-1].lower() in _YES | _NO or bool(re.fullmatch("v[0-9]+", sent[-1].lower()))


def given(
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
