"""Which deliveries are due, and what becomes of them after an attempt.

Every statement here runs on a connection that its caller opened.

*Due* is one predicate with three parts, each with an index: clicked (a manual retry or a test waits for its attempt),
fresh (not tried yet), again (the time of its next automatic attempt has come). The batch, the last look after a drain
and the sweep use the same: a look that finds rows which the batch does not take would ring for ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Subquery,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    true,
    union_all,
)

from webapp.clock import now_sql
from webapp.config import current_config
from webapp.db.bulk import Plain, Statement
from webapp.models import ApiKey, Authentication, Delivery, DeliveryState, Lane, PreviousSecret, Webhook, WebhookState
from webapp.webhooks.outcome import ErrorKind, Outcome, Stop
from webapp.webhooks.schedule import next_delay

SLICE = 2.0  # seconds a lane is drained before other lanes get their turn
LEASE_MARGIN = 15.0  # seconds that recording may take after the longest batch
BATCH = 20
CLICKED_SHARE = 5  # rows of a batch at most, so that a bulk retry of 50,000 does not delay new leads
FRESH_SHARE = 15  # rows together with the clicked ones, while older deliveries wait for another attempt
GIVE_UP_AFTER = 5 * 86400.0  # seconds with failures only, after which a webhook may be paused

# SQL text with literals: SQLite uses a partial index only if the query repeats its condition literally.
CLICKED = text("deliveries.retry_at IS NOT NULL")
FRESH = text("deliveries.state = 'pending' AND deliveries.tries = 0")
AGAIN = text("deliveries.state = 'pending' AND deliveries.tries > 0")
UNCLICKED = text("deliveries.retry_at IS NULL")

ACTIVE = Webhook.state == WebhookState.ACTIVE

# A lane is locked while its lease ends between now and now + :lease seconds. The upper bound is for clocks that are set
# back: a lease that ends later than any lease can does not lock the lane. The same goes for rests.
LEASE = bindparam("lease", type_=Lane.lease_until.type)
LANE_LOCKED = and_(Lane.lease_until > now_sql(), Lane.lease_until <= now_sql() + LEASE)
LONGEST_REST = 3600.0  # seconds that a receiver can have its webhook rest at most
RESTING = and_(Lane.tries_first, Lane.rests_until > now_sql(), Lane.rests_until <= now_sql() + LONGEST_REST)


def lease() -> float:
    """Seconds a lane stays locked: always longer than the longest batch (slice + deadline)."""
    return SLICE + current_config.deadline + LEASE_MARGIN


class Due(NamedTuple):
    """A delivery to send. `retry_at`: the click that asked for this attempt; None for an automatic one."""

    id: int
    message_id: str
    payload: bytes
    test: bool
    state: str
    tries: int
    retry_at: float | None
    retried_by_id: int | None
    hops: int | None = None
    content_type: str | None = None  # None: JSON


@dataclass(frozen=True)
class WebhookSettings:
    """A webhook's settings, read together with the batch that they are for."""

    webhook_id: int
    url: str | None
    signed: bool
    token_id: int | None
    token_encrypted: bytes | None  # None if the token was revoked or never chosen
    token_used_at: datetime | None
    previous_encrypted: bytes | None  # the secret before a rotation, which signs too; None if its overlap has ended
    automatic_retries: bool
    parallel_requests: int
    failing_long: bool  # it has failed for GIVE_UP_AFTER, and may be paused
    account_id: int = 0
    automatic: bool = False  # *Parallel requests* is Automatic, and there is no rate
    connected: bool = False  # it has more settings than these: connecting.py
    quiet: bool = False  # a shadow, or the account's own: its failures are not reported
    rate: int | None = None  # requests a second at most
    slow: bool = False
    resting: bool | None = None  # True: the receiver asked for a rest; False: it is over, one lead tries first
    read_at: float = 0.0  # by the database's clock


class Batch(NamedTuple):
    settings: WebhookSettings
    rows: Sequence[Due]


_COLUMNS = [getattr(Delivery, name) for name in Due._fields]


def _part(order: Any, limit: int, *conditions: Any) -> Subquery:
    of_webhook = Delivery.webhook_id == bindparam("webhook_id")
    # The limit is no parameter, so that PostgreSQL's generic plan knows how few rows are read.
    few: Any = literal_column(str(limit))
    return select(*_COLUMNS).where(of_webhook, *conditions).order_by(order).limit(few).subquery()


def _parts() -> Any:
    clicked = _part(Delivery.retry_at, CLICKED_SHARE, CLICKED)
    fresh = _part(Delivery.id, BATCH, FRESH, UNCLICKED)
    again = _part(Delivery.due_at, BATCH, AGAIN, UNCLICKED, Delivery.due_at <= now_sql())
    return union_all(*(select(literal(rank).label("rank"), part) for rank, part in enumerate((clicked, fresh, again))))


_DUE = _parts().subquery("due")
SETTINGS = (  # the fields of WebhookSettings after the first
    Webhook.url,
    Webhook.authentication == Authentication.SHARED_TOKEN,
    Webhook.shared_token_id,
    ApiKey.secret_encrypted,
    ApiKey.last_used_at,
    PreviousSecret.secret_encrypted,
    Webhook.automatic_retries,
    Webhook.parallel_requests,
    func.coalesce(now_sql() - Lane.failing_since > GIVE_UP_AFTER, false()),
    Webhook.account_id,
    and_(Webhook.automatic_parallel, Webhook.parallel_requests == 1, Webhook.rate.is_(None)),
    Webhook.connection.is_not(None),
    or_(Webhook.is_shadow, Webhook.interface_id.is_(None)),
    Webhook.rate,
    Lane.slow_since.is_not(None),
    case((Lane.tries_first, RESTING)),
    now_sql(),
)
WITH_SETTINGS = (
    select(*SETTINGS)
    .outerjoin(ApiKey, and_(ApiKey.id == Webhook.shared_token_id, ApiKey.revoked_at.is_(None)))
    .outerjoin(PreviousSecret, and_(PreviousSecret.key_id == ApiKey.id, PreviousSecret.until > now_sql()))
    .join(Lane, Lane.webhook_id == Webhook.id)
    .where(ACTIVE)
)
_BATCH = Statement(WITH_SETTINGS.add_columns(_DUE).join(_DUE, true()).where(Webhook.id == bindparam("webhook_id")))


def batch(connection: Connection | Plain, webhook_id: int, limit: int = BATCH) -> Batch | None:
    """A webhook's due deliveries, at most `limit`, in the order of sending, with its settings; None if none is due.

    One statement reads both, each row with the settings: two statements would cost more.
    """
    found: Sequence[Any] = _BATCH.rows(connection, {"webhook_id": webhook_id})
    if not found:
        return None
    width = len(SETTINGS)
    settings, rows = WebhookSettings(webhook_id, *found[0][:width]), _shares([row[width:] for row in found])[:limit]
    if settings.resting is not None:
        # A person's retry and a test go through a rest.
        rows = [row for row in rows if row.retry_at is not None] if settings.resting else rows[:1]
    return Batch(settings, rows) if rows else None


def _shares(found: Sequence[Any]) -> list[Due]:
    """Clicked rows, then fresh ones up to their share, then older ones; then more fresh ones if there is room."""
    ranked: tuple[list[Due], list[Due], list[Due]] = ([], [], [])
    for row in found:
        ranked[row[0]].append(Due._make(row[1:]))
    clicked, fresh, again = ranked
    share = FRESH_SHARE - len(clicked)
    rows = clicked + fresh[:share] + again
    return (rows[:BATCH] + fresh[share:])[:BATCH]


def is_due(webhook: Any = Webhook.id, has: Callable[..., Any] = lambda *of: exists().where(*of)) -> Any:
    """SQL: whether the webhook has a due delivery. Only for active webhooks, and beside their lane."""
    of_webhook = Delivery.webhook_id == webhook
    fresh, again = has(of_webhook, FRESH), has(of_webhook, AGAIN, Delivery.due_at <= now_sql())
    return or_(has(of_webhook, CLICKED), and_(~RESTING, or_(fresh, again)))


# With the id as a parameter, not the joined row's column: so each part of the predicate is one index lookup.
_THIS = bindparam("webhook_id", type_=Webhook.id.type)
_LAST_LOOK = Statement(select(Lane.slow_since).join(Webhook).where(Lane.webhook_id == _THIS, ACTIVE, is_due(_THIS)))


def last_look(connection: Connection | Plain, webhook_id: int) -> tuple[bool, bool]:
    """Whether a webhook has a due delivery, and whether its lane is slow."""
    found = _LAST_LOOK.rows(connection, {"webhook_id": webhook_id})
    return bool(found), bool(found) and found[0][0] is not None


_PATIENT = or_(Lane.slow_since.is_not(None), Lane.failures > 0)
_DUE_LANES = select(Lane.webhook_id, _PATIENT).join(Webhook).where(ACTIVE, ~LANE_LOCKED, is_due())


def due_lanes(connection: Connection, lease: float) -> Sequence[tuple[int, bool]]:
    """The free lanes with due deliveries, for the sweep: webhook id, and whether its job goes to the slow queue.

    Slow lanes do, and lanes whose last attempt failed: many of their retries become due between two sweeps.
    """
    return [(webhook_id, slow) for webhook_id, slow in connection.execute(_DUE_LANES, {"lease": lease})]


# What becomes of a delivery after an attempt -------------------------------------------------------------------------

LOOP_REASON = (
    "The receiver answered 508: it is a Leadhook form, and this lead goes round in a circle. "
    "Change the Lead Webhook URL, here or there."
)
BLOCKED = (ErrorKind.BLOCKED_ADDRESS, ErrorKind.BLOCKED_NAME)
RELEASES = "The lead is sent when you save another URL or press Retry Webhook."
REASON_LENGTH = 500


class Sent(NamedTuple):
    """One attempt and its outcome. `attempt_id` is made before sending; `timestamp` is the webhook-timestamp sent."""

    due: Due
    attempt_id: str
    started_at: datetime
    timestamp: int
    outcome: Outcome

    @property
    def counts_as_failure(self) -> bool:
        """Not a test or a click, which say nothing about time, and not an ask for a rest that refuses the lead."""
        outcome, is_automatic = self.outcome, self.due.retry_at is None and not self.due.test
        return is_automatic and not outcome.delivered and not (outcome.asks_for_rest and outcome.code >= 300)


class Unsendable(NamedTuple):
    """A delivery that cannot be sent, and why: it is put on hold, never sent unsigned."""

    due: Due
    reason: str


class Move(NamedTuple):
    """The changes to a delivery. `delay`: seconds to the next automatic attempt, None for none, unless `keep_due`.

    `reason`: why it is on hold, as a sentence.
    """

    state: DeliveryState
    tries: int
    keep_due: bool
    delay: float | None
    gave_up: bool
    reason: str = ""


ENDS_IN_FAILURE = (DeliveryState.FAILED, DeliveryState.ON_HOLD)


def move(sent: Sent, retries: Sequence[float]) -> Move:
    """The next state of a delivery. `retries`: the waits of its schedule in seconds, empty where retries are off.

    A manual retry is one attempt: it does not change the automatic schedule or the count of its attempts.
    """
    due, outcome = sent.due, sent.outcome
    clicked = due.retry_at is not None
    tries = due.tries if clicked else due.tries + 1
    if outcome.delivered:
        return Move(DeliveryState.DELIVERED, tries, keep_due=False, delay=None, gave_up=False)
    if outcome.loops or outcome.stop == Stop.HELD:
        return _held(due, tries, LOOP_REASON if outcome.loops else f"{outcome.stop_words} {RELEASES}"[:REASON_LENGTH])
    if clicked and due.state == DeliveryState.PENDING and not due.test:
        return Move(DeliveryState.PENDING, tries, keep_due=True, delay=None, gave_up=False)
    final = clicked or outcome.pauses or outcome.stop == Stop.FAILED or outcome.error == ErrorKind.BLOCKED_ADDRESS
    delay = None if final else next_delay(retries, tries, outcome.retry_after)
    if delay is not None:
        return Move(DeliveryState.PENDING, tries, keep_due=False, delay=delay, gave_up=False)
    gave_up = bool(retries) and not final
    if outcome.error in BLOCKED:
        return _held(due, tries, f"{outcome.body} {RELEASES}"[:REASON_LENGTH], gave_up)
    return Move(DeliveryState.FAILED, tries, keep_due=False, delay=None, gave_up=gave_up)


def _held(due: Due, tries: int, reason: str, gave_up: bool = False) -> Move:
    """A test fails instead: on hold, it would be sent later as if it were a lead. So does one that was delivered."""
    fails = due.test or due.state == DeliveryState.DELIVERED
    state = DeliveryState.FAILED if fails else DeliveryState.ON_HOLD
    return Move(state, tries, keep_due=False, delay=None, gave_up=gave_up, reason=reason)
