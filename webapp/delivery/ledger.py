"""What is due. Every statement here runs on a connection that its caller opened.

*Due* is one predicate, in three parts that have an index each: clicked (a manual retry or a test waits for its one
try), fresh (never tried), again (its next automatic try has come). The same words serve the batch, the last look after
a drain and the sweep, for a look that counts what the batch refuses would ring for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Subquery,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    text,
    true,
    union_all,
)

from webapp.clock import now_sql
from webapp.models import ApiKey, Authentication, Delivery, Lane, PreviousSecret, Webhook, WebhookState

BATCH = 20
CLICKED_SHARE = 5  # of a batch at most, so that retrying 50,000 never starves a new lead
FRESH_SHARE = 15  # with the clicked ones, while old ones wait to be tried again
GIVE_UP_AFTER = 5 * 86400.0  # seconds of failures only, and a webhook may be paused

# Written as SQL with literals: SQLite uses a partial index only where the query repeats its condition word for word.
CLICKED = text("deliveries.retry_at IS NOT NULL")
FRESH = text("deliveries.state = 'pending' AND deliveries.tries = 0")
AGAIN = text("deliveries.state = 'pending' AND deliveries.tries > 0")
UNCLICKED = text("deliveries.retry_at IS NULL")

ACTIVE = Webhook.state == WebhookState.ACTIVE


class Due(NamedTuple):
    """A delivery as selected for sending; `retry_at` is the click it answers, None for an automatic try."""

    id: int
    message_id: str
    payload: bytes
    test: bool
    state: str
    tries: int
    retry_at: float | None
    retried_by_id: int | None


@dataclass(frozen=True)
class Target:
    """A webhook's settings, read just before the batch they are for."""

    webhook_id: int
    url: str | None
    signed: bool
    token_id: int | None
    token_encrypted: bytes | None  # None where the token was revoked or never chosen
    token_used_at: datetime | None
    previous_encrypted: bytes | None  # what the token was before it was rotated, which signs too until then
    previous_until: float | None  # epoch seconds
    automatic_retries: bool
    parallel_requests: int
    failing_long: bool  # it may be paused for its failures


class Batch(NamedTuple):
    target: Target
    rows: Sequence[Due]


_COLUMNS = [getattr(Delivery, name) for name in Due._fields]


def _part(order: Any, limit: int, *conditions: Any) -> Subquery:
    of_webhook = Delivery.webhook_id == bindparam("webhook_id")
    # The limit as a literal: it is what tells PostgreSQL, planning for any values, how little is read.
    return (
        select(*_COLUMNS)
        .where(of_webhook, *conditions)
        .order_by(order)
        .limit(literal(limit, literal_execute=True))
        .subquery()
    )


def _parts() -> Any:
    clicked = _part(Delivery.retry_at, CLICKED_SHARE, CLICKED)
    fresh = _part(Delivery.id, BATCH, FRESH, UNCLICKED)
    again = _part(Delivery.due_at, BATCH, AGAIN, UNCLICKED, Delivery.due_at <= now_sql())
    return union_all(*(select(literal(rank).label("rank"), part) for rank, part in enumerate((clicked, fresh, again))))


_DUE = _parts().subquery("due")
_SETTINGS = (  # the fields of Target after the first
    Webhook.url,
    Webhook.authentication == Authentication.SHARED_TOKEN,
    Webhook.shared_token_id,
    ApiKey.secret_encrypted,
    ApiKey.last_used_at,
    PreviousSecret.secret_encrypted,
    PreviousSecret.until,
    Webhook.automatic_retries,
    Webhook.parallel_requests,
    func.coalesce(now_sql() - Lane.failing_since > GIVE_UP_AFTER, false()),
)
_BATCH = (
    select(*_SETTINGS, _DUE)
    .outerjoin(ApiKey, and_(ApiKey.id == Webhook.shared_token_id, ApiKey.revoked_at.is_(None)))
    .outerjoin(PreviousSecret, and_(PreviousSecret.key_id == ApiKey.id, PreviousSecret.until > now_sql()))
    .join(Lane, Lane.webhook_id == Webhook.id)
    .join(_DUE, true())
    .where(Webhook.id == bindparam("webhook_id"), ACTIVE)
)


def batch(connection: Connection, webhook_id: int, limit: int = BATCH) -> Batch | None:
    """What is due for a webhook, at most `limit` in the order of sending, with its settings; None where nothing is.

    Both by one statement, each row with the settings: to ask twice would cost more than that.
    """
    found: Sequence[Any] = connection.execute(_BATCH, {"webhook_id": webhook_id}).all()
    if not found:
        return None
    settings = len(_SETTINGS)
    return Batch(Target(webhook_id, *found[0][:settings]), _shares([row[settings:] for row in found])[:limit])


def _shares(found: Sequence[Any]) -> list[Due]:
    """Clicked ones, then fresh ones to their share, then old ones; fresh ones again where room is left."""
    ranked: tuple[list[Due], list[Due], list[Due]] = ([], [], [])
    for row in found:
        ranked[row[0]].append(Due._make(row[1:]))
    clicked, fresh, again = ranked
    share = FRESH_SHARE - len(clicked)
    rows = clicked + fresh[:share] + again
    return (rows[:BATCH] + fresh[share:])[:BATCH]


def is_due(webhook: Any = Webhook.id) -> Any:
    """The predicate as SQL, for a webhook's row: whether any delivery of it is due. Ask only of active webhooks."""
    of_webhook = Delivery.webhook_id == webhook
    return or_(
        exists().where(of_webhook, CLICKED),
        exists().where(of_webhook, FRESH),
        exists().where(of_webhook, AGAIN, Delivery.due_at <= now_sql()),
    )


# Whether a lane is held: its lease ends between now and now + :lease seconds. The upper bound is for clocks that are
# set back: a lease from the future locks nothing.
LEASE = bindparam("lease", type_=Lane.lease_until.type)
HELD = and_(Lane.lease_until > now_sql(), Lane.lease_until <= now_sql() + LEASE)


# Of the id that is given, not of the joined row's: so each part of the predicate is one look into its index.
_THIS = bindparam("webhook_id", type_=Webhook.id.type)
_LAST_LOOK = select(Lane.slow_since).join(Webhook).where(Lane.webhook_id == _THIS, ACTIVE, is_due(_THIS))


def last_look(connection: Connection, webhook_id: int) -> tuple[bool, bool]:
    """Whether anything is due for a webhook, and whether its lane is slow."""
    lane = connection.execute(_LAST_LOOK, {"webhook_id": webhook_id}).one_or_none()
    return lane is not None, lane is not None and lane.slow_since is not None


_PATIENT = or_(Lane.slow_since.is_not(None), Lane.failures > 0)
_DUE_LANES = select(Lane.webhook_id, _PATIENT).join(Webhook).where(ACTIVE, ~HELD, is_due())


def due_lanes(connection: Connection, lease: float) -> Sequence[tuple[int, bool]]:
    """The free lanes with due deliveries, for the sweep: webhook id, and whether those on the fast queue go first.

    That is so of slow lanes, and of those that failed last: their retries become due by the dozen, between two sweeps.
    """
    return [(webhook_id, slow) for webhook_id, slow in connection.execute(_DUE_LANES, {"lease": lease})]
