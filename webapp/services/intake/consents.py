"""Consent as it is kept with a lead: the exact words, their version, when and on which page they were agreed to."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from webapp.clock import utcnow
from webapp.models import FieldType

_LINK = re.compile(r"\[([^\[\]]+)\]\((https?://[^\s()<>\"]+)\)")


class Part(NamedTuple):
    """A piece of a statement; with `href`, a link."""

    text: str
    href: str | None = None


def given(
    fields: Iterable[Any], values: Mapping[str, object], page: str | None, at: datetime | None = None
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


def parts(statement: str) -> list[Part]:
    """A statement in pieces, [words](https://…) made links."""
    found, end = [], 0
    for link in _LINK.finditer(statement):
        found += [Part(statement[end : link.start()]), Part(link[1], link[2])]
        end = link.end()
    return [part for part in (*found, Part(statement[end:])) if part.text]
