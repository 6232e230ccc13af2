"""Shapes that several resources have, and the example of each."""

from datetime import datetime
from typing import Annotated, overload

import msgspec
from msgspec import Meta

from webapp.webhooks.payload import utc_text

Moment = Annotated[str, Meta(description="A time in UTC.", extra_json_schema={"format": "date-time"})]
Cursor = Annotated[
    str,
    Meta(
        max_length=100,
        pattern="^[A-Za-z0-9_-]*$",
        description="`next` of the page before; leave it out for the first page.",
    ),
]
Limit = Annotated[int, Meta(ge=1, le=100, description="How many a page has at most.")]
Next = Annotated[str | None, Meta(description="The cursor of the next page; null on the last one.")]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """A body without content: {} or none at all."""


class PageQuery(msgspec.Struct, forbid_unknown_fields=True):
    cursor: Cursor = ""
    limit: Limit = 25


@overload
def moment(at: datetime) -> str: ...
@overload
def moment(at: None) -> None: ...
def moment(at: datetime | None) -> str | None:
    """Such as 2026-11-23T08:00:00.123Z."""
    return utc_text(at) if at else None
