"""The pull feed of a webhook: what the webhook sends, for receivers that ask for it.

A feed follows the numbers of deliveries, up to the horizon (feed_horizon.py), so it skips none that is committed late.
It needs no index of its own: rows are read by their numbers, in steps, and those of other webhooks are passed over.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.orm import joinedload
from werkzeug.exceptions import NotFound

from webapp import ids
from webapp.db.transactions import read_autocommit
from webapp.extensions import db
from webapp.models import Delivery, Interface, Webhook
from webapp.services.webhooks.feed_horizon import horizon

STEP = 5_000  # numbers that one statement passes at most, whichever webhook they are of
STEPS = 20  # a page passes so many steps at most; the next page goes on
ROWS = 100  # that one statement returns at most
MOST_BYTES = 4 * 1024 * 1024  # of payloads, after which a page ends
OVERLAP = 300  # seconds; see `_number`
MOST_SHOWN = 20  # webhooks


class Place(NamedTuple):
    """A place in a feed: after the delivery with this number. `mark` recognises the delivery, `at` says when it was
    read, in Unix seconds."""

    number: int = 0
    mark: str = ""
    at: int = 0


class FeedRow(NamedTuple):
    id: int
    message_id: str
    payload: bytes
    content_type: str | None
    test: bool
    hops: int | None


class FeedRead(NamedTuple):
    """`is_all`: nothing else is there at this time."""

    rows: Sequence[FeedRow]
    next: Place
    is_all: bool


_COLUMNS = [getattr(Delivery, name) for name in FeedRow._fields]
_AFTER: Any = bindparam("after")
_UPTO: Any = bindparam("upto")
_ROWS = select(*_COLUMNS).where(Delivery.id > _AFTER, Delivery.id <= _UPTO, Delivery.webhook_id == bindparam("webhook"))
_ROWS = _ROWS.order_by(Delivery.id).limit(bindparam("most"))
_NEXT = select(func.min(Delivery.id)).where(Delivery.id > _AFTER)
_LAST = select(Delivery.id, Delivery.message_id).where(Delivery.id <= _UPTO).order_by(Delivery.id.desc()).limit(1)


def webhooks_of(account_id: int, only: Sequence[str] | None, public_id: str) -> Sequence[Webhook]:
    """The account's webhooks that send leads now, of the interfaces `only` where there are any given: 21 at most. With
    a public id, the one that has it; NotFound if it is none of them."""
    asked = select(Webhook).join(Interface).where(Webhook.account_id == account_id, Webhook.removed_at.is_(None))
    asked = asked.where(Interface.archived_at.is_(None)).options(joinedload(Webhook.shared_token))
    if only is not None:
        asked = asked.where(Interface.public_id.in_(only))
    if public_id:
        if not (public_id.isascii() and public_id.isprintable()):  # PostgreSQL refuses a NUL
            raise NotFound
        asked = asked.where(Webhook.public_id == public_id)
    found = db.session.scalars(asked.order_by(Webhook.id).limit(MOST_SHOWN + 1)).all()
    if public_id and not found:
        raise NotFound
    return found


def newest() -> Place:
    """The end of all feeds: what comes from now on is after it."""
    upto = horizon.settled()
    with read_autocommit() as connection:
        return _place(connection, upto)


def read(webhook_id: int, place: Place, most: int) -> FeedRead:
    """What the webhook got after this place, in the order of numbers."""
    upto = horizon.settled()
    with read_autocommit() as connection:
        after = _number(connection, place)
        rows, reached = _rows(connection, webhook_id, after, upto, most)
        return FeedRead(rows, _place(connection, reached), reached >= upto)


def _rows(connection: Connection, webhook_id: int, after: int, upto: int, most: int) -> tuple[list[FeedRow], int]:
    """The rows, and up to which number they are all."""
    found, size = list[FeedRow](), 0
    for _ in range(STEPS):
        if after >= upto or len(found) >= most or size >= MOST_BYTES:
            break
        end, few = min(after + STEP, upto), min(most - len(found), ROWS)
        given: dict[str, Any] = {"after": after, "upto": end, "webhook": webhook_id, "most": few}
        rows = [FeedRow._make(row) for row in connection.execute(_ROWS, given)]
        found += rows
        size += sum(len(row.payload) for row in rows)
        after = rows[-1].id if len(rows) == few else end
        if not rows and after < upto:  # where many were deleted, there is a gap
            after = max(after, (connection.scalar(_NEXT, {"after": after}) or after + 1) - 1)
    return found, after


def _place(connection: Connection, number: int) -> Place:
    """After the last delivery up to this number: there, a cursor is recognised again."""
    row = connection.execute(_LAST, {"upto": number}).first()
    return Place(row.id, mark_of(row.message_id), int(time.time())) if row else Place(at=int(time.time()))


def mark_of(message_id: str) -> str:
    return hashlib.blake2s(message_id.encode(), digest_size=4).hexdigest()


def _number(connection: Connection, place: Place) -> int:
    """The number to go on after. SQLite gives the numbers of deleted rows to new ones, if they were the last. So where
    the delivery is gone that the place is after, some minutes are read again: receivers know them by their webhook-id.
    """
    if connection.dialect.name != "sqlite" or not place.number:
        return place.number
    message_id = connection.scalar(select(Delivery.message_id).where(Delivery.id == place.number))
    if message_id and mark_of(message_id) == place.mark:
        return place.number
    older = select(Delivery.id).where(Delivery.message_id < ids.message_ids_from(place.at - OVERLAP))
    return connection.scalar(older.order_by(Delivery.message_id.desc()).limit(1)) or 0
