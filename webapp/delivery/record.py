"""Records a batch in one transaction: attempts, the deliveries' new states, the lane's health, entries for reports.

It first updates the lane's row, if the token is still this drain's: the *fence*. Under that row's lock nothing else
changes these deliveries. If another drain has taken the lane since, only the attempts are inserted, because they were
made, and nothing newer is overwritten. PostgreSQL gets all of it in one statement, SQLite one statement after another.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Connection, Double, bindparam, case, func, literal, null, or_, select, update

from webapp.clock import now_sql
from webapp.db import bulk
from webapp.db.bulk import Plain, Statement
from webapp.delivery import ledger, pausing, rests
from webapp.delivery.ledger import Move, Sent, Unsendable, WebhookSettings
from webapp.delivery.pausing import FencedLane
from webapp.models import ApiKey, Attempt, Delivery, DeliveryState, Lane, Reason, ReportEntry, ReportKind, Webhook
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind

EXCERPT = 500  # characters of the last response stored with the delivery, for the Leads page
USED_PRECISION = timedelta(minutes=1)


class LaneHealth(NamedTuple):
    """What the attempts of a batch say about a lane: the shape of its UPDATE. Tests count only where it says so."""

    slow: bool | None  # True: an attempt timed out; False: the receiver answered; None: neither
    delivered: bool
    failed: bool
    keeps: bool  # the lane stays locked
    answered: bool = False  # with success, be it a test
    rests: bool | None = None  # True: a receiver asks for a rest; False: a rest is over; None: neither. Tests count
    unended: bool | None = None  # whether the last answer did not end; None: there was none


def fenced(health: LaneHealth) -> dict[str, Any]:
    """The new values of a lane's row, as SQL."""
    values: dict[str, Any] = {"abandoned": False}
    values |= {"lease_until": now_sql() + ledger.LEASE} if health.keeps else {"lease_until": 0.0, "token": null()}
    if health.slow is not None:
        values["slow_since"] = func.coalesce(Lane.slow_since, now_sql()) if health.slow else null()
    if health.unended is not None:
        values["unended_since"] = func.coalesce(Lane.unended_since, now_sql()) if health.unended else null()
    if health.delivered:
        values |= {"succeeded_at": now_sql(), "failures": 0, "failing_since": null()}
    elif health.answered:
        values |= {"failures": 0, "failing_since": null()}
    elif health.failed:
        values |= pausing.failed()
    if health.rests is not None:
        values |= rests.begins() if health.rests else {"tries_first": False}
    return values


def _fence(health: LaneHealth) -> Any:
    """The UPDATE of a lane that this drain still holds. Under its lock nothing else changes the lane's deliveries."""
    ours = update(Lane).where(Lane.webhook_id == bindparam("lane"), Lane.token == bindparam("holder"))
    ours = ours.values(fenced(health))
    failing_for = (now_sql() - Lane.failing_since).label("failing_for")
    return ours.returning(Lane.webhook_id, Lane.failures, failing_for)


_fence_alone = cache(lambda health: Statement(_fence(health)))


@cache
def _one_statement(health: LaneHealth, tries: bool | None, moves: bool | None, told: bool | None) -> Statement:
    """PostgreSQL: everything that is recorded, in one statement; the last arguments as `bulk.many` returns them.

    All parts but the attempts join the fence, so they change nothing if the fence does not match. By a join, not by a
    sub-select, because PostgreSQL checks a join again if the row was changed while the statement waited for it.
    """
    fence = _fence(health).cte("fence")
    parts: list[Any] = []
    if tries is not None and moves is not None:
        parts.append(ATTEMPTS.statement("postgresql", tries))
        parts.append(MOVES.statement("postgresql", moves, webhook=fence.c.webhook_id))
    if told is not None:
        parts.append(_ENTRIES.statement("postgresql", told, webhook_id=fence.c.webhook_id))
        # Reads the row as it is then: the window may close while this statement waits for the fence.
        due_at = func.coalesce(Webhook.report_due_at, now_sql())
        parts.append(update(Webhook).where(Webhook.id == fence.c.webhook_id).values(report_due_at=due_at))
    found = select(fence.c.webhook_id, fence.c.failures, fence.c.failing_for)
    return Statement(found.add_cte(*(part.cte() for part in parts)))


def write(
    connection: Connection | Plain,
    settings: WebhookSettings,
    token: str,
    lease: float | None,
    moves: Sequence[tuple[Sent, Move]],
    unanswered: Sequence[Sent] = (),
) -> FencedLane | None:
    """Records attempts, and renews the lane's lease by `lease` seconds, or (None) lets the lane go.

    `unanswered`: the first requests of tries that sent two. They become attempts and change nothing else.
    Returns None if this drain no longer holds the lane.
    """
    real = [sent for sent, _ in moves if not sent.due.test]
    failed = sum(one.counts_as_failure for one in real)
    timed_out = any(one.outcome.error == ErrorKind.TIMEOUT for one in real)
    came = any(one.outcome.error is None or one.outcome.code != NO_ANSWER for one in real)
    slow = timed_out if timed_out or came else None
    delivered = any(one.outcome.delivered for one in real)
    answered = delivered or any(sent.outcome.delivered for sent, _ in moves)
    unended = next((one.outcome.unended for one, _ in reversed(moves) if one.outcome.code != NO_ANSWER), None)
    given: dict[str, Any] = {"lane": settings.webhook_id, "holder": token}
    if lease is not None:
        given["lease"] = lease
    if failed and not answered:
        given |= {"failed": failed, "silence": pausing.silence()}
    resting = None
    if settings.resting is not None or any(sent.outcome.asks_for_rest for sent, _ in moves):
        resting = rests.change(settings, [sent for sent, _ in moves], given)
    health = LaneHealth(slow, delivered, failed > 0, lease is not None, answered, resting, unended)
    tries = [attempt_row(settings, sent) for sent in (*unanswered, *(sent for sent, _ in moves))]
    moved = [move_row(settings, sent, goes) for sent, goes in moves]
    told = [] if settings.quiet else _report_entries(settings, moves)
    if connection.dialect.name == "postgresql":
        if moves:
            given |= ATTEMPTS.parameters(tries) | MOVES.parameters(moved)
        if told:
            given |= _ENTRIES.parameters(told)
        statement = _one_statement(health, *map(bulk.many, (tries, moved, told)))
        return _fenced_lane(statement.rows(connection, given))
    lane = _fenced_lane(_fence_alone(health).rows(connection, given))
    ATTEMPTS.execute(connection, tries)
    if lane is not None:
        MOVES.execute(connection, moved)
        _ENTRIES.execute(connection, told)
        if told:
            report_soon(connection, settings.webhook_id)
    return lane


def _fenced_lane(rows: Sequence[Any]) -> FencedLane | None:
    return FencedLane(*rows[0][1:]) if rows else None


def _try_is_of(given: bulk.Values) -> Sequence[Any]:
    return bulk.found_by(Delivery.id, given, "delivery_id")


def _entry_is_of(given: bulk.Values) -> Sequence[Any]:
    return [*_try_is_of(given), Delivery.webhook_id.is_not_distinct_from(given["webhook_id"])]


ATTEMPTS = bulk.inserting(
    "attempt",
    Attempt,
    *("id", "delivery_id", "reason", "user_id", "started_at", "url", "timestamp", "signed_with_id", "code", "error"),
    *("response", "truncated", "response_headers", "duration_ms"),
    where=_try_is_of,
    key="delivery_id",
)
_ENTRY = "webhook_id", "delivery_id", "attempt_id", "kind"
_ENTRIES = bulk.inserting("entry", ReportEntry, *_ENTRY, where=_entry_is_of, key="delivery_id")


def attempt_row(settings: WebhookSettings, sent: Sent) -> dict[str, Any]:
    due, outcome = sent.due, sent.outcome
    reason = Reason.TEST if due.test else Reason.RETRY if due.retry_at is not None else Reason.AUTOMATIC
    return {
        "id": sent.attempt_id,
        "delivery_id": due.id,
        "reason": reason,
        "user_id": None if due.retry_at is None else due.retried_by_id,
        "started_at": sent.started_at,
        "url": settings.url,
        "timestamp": sent.timestamp,
        "signed_with_id": settings.token_id if settings.signed else None,
        "code": outcome.code,
        "error": outcome.error,
        "response": outcome.body,
        "truncated": outcome.truncated,
        "response_headers": [list(pair) for pair in outcome.headers],
        "duration_ms": outcome.duration_ms,
    }


def _move_statement(dialect: str, to: bulk.Values) -> Any:
    """A cancelled delivery stays cancelled. `retry_at` is cleared only if it is the click that this attempt answers: a
    click that came during the attempt gets an attempt of its own. IS NOT DISTINCT FROM, which no index serves: else
    PostgreSQL may read all deliveries of the webhook."""
    return (
        update(Delivery)
        .where(*bulk.found_by(Delivery.id, to, "delivery"), Delivery.webhook_id.is_not_distinct_from(to["webhook"]))
        .values(
            state=case((Delivery.state == DeliveryState.CANCELLED, Delivery.state), else_=to["new_state"]),
            state_reason=to["reason"],
            tries=to["new_tries"],
            due_at=case((to["keep_due"], Delivery.due_at), else_=now_sql() + to["delay"]),
            retry_at=case((Delivery.retry_at == to["picked"], null()), else_=Delivery.retry_at),
            last_code=to["code"],
            last_response=to["response"],
            last_error=to["error"],
            last_duration_ms=to["duration_ms"],
            last_at=to["at"],
        )
        .execution_options(synchronize_session=False)
    )


MOVES = bulk.Bulk(
    "move",
    {
        "delivery": Delivery.id.type,
        "webhook": Delivery.webhook_id.type,
        "new_state": Delivery.state.type,
        "reason": Delivery.state_reason.type,
        "new_tries": Delivery.tries.type,
        "keep_due": Boolean(),
        "delay": Double(),
        "picked": Delivery.retry_at.type,
        "code": Delivery.last_code.type,
        "response": Delivery.last_response.type,
        "error": Delivery.last_error.type,
        "duration_ms": Delivery.last_duration_ms.type,
        "at": Delivery.last_at.type,
    },
    _move_statement,
    key="delivery",
)


def move_row(settings: WebhookSettings, sent: Sent, goes: Move) -> dict[str, Any]:
    """The delivery's new columns, with the last answer, which the Leads page shows."""
    return {
        "delivery": sent.due.id,
        "webhook": settings.webhook_id,
        "new_state": goes.state,
        "reason": goes.reason,
        "new_tries": goes.tries,
        "keep_due": goes.keep_due,
        "delay": goes.delay,
        "picked": sent.due.retry_at,
        "code": sent.outcome.code,
        "response": sent.outcome.body[:EXCERPT],
        "error": sent.outcome.error,
        "duration_ms": sent.outcome.duration_ms,
        "at": sent.started_at,
    }


REPORT_NOW = update(Webhook).where(Webhook.id == bindparam("webhook")).values(report_due_at=now_sql())
_REPORT = Statement(REPORT_NOW.where(Webhook.report_due_at.is_(None)))  # else it waits for the end of its window


def _report_entries(settings: WebhookSettings, moves: Sequence[tuple[Sent, Move]]) -> list[dict[str, Any]]:
    """What the account owner gets a report about; the database keeps one entry per delivery and kind."""
    failed = [(sent, goes) for sent, goes in moves if sent.due.retry_at is None and not sent.outcome.delivered]
    told = [report_entry(settings.webhook_id, sent, ReportKind.FAILED) for sent, _ in failed]
    return told + [report_entry(settings.webhook_id, sent, ReportKind.GAVE_UP) for sent, goes in failed if goes.gave_up]


def report_entry(webhook_id: int, sent: Sent, kind: ReportKind) -> dict[str, Any]:
    return {"webhook_id": webhook_id, "delivery_id": sent.due.id, "attempt_id": sent.attempt_id, "kind": kind}


def report_soon(connection: Connection | Plain, webhook_id: int) -> None:
    """Makes a report due now, unless a window is open: then it is due at its end."""
    _REPORT.run(connection, {"webhook": webhook_id})


def token_use(settings: WebhookSettings, sent: Sequence[Sent]) -> datetime | None:
    """When a Shared Token last signed; None unless a minute later than what is stored: webhooks share the row."""
    if not (settings.signed and sent):
        return None
    at = sent[-1].started_at
    return at if settings.token_used_at is None or at - settings.token_used_at > USED_PRECISION else None


def token_used(connection: Connection, settings: WebhookSettings, at: datetime) -> None:
    """Stores when a Shared Token last signed."""
    connection.execute(update(ApiKey).where(ApiKey.id == settings.token_id).values(last_used_at=at))


def unsendable(connection: Connection, rows: Sequence[Unsendable]) -> None:
    """Puts deliveries that cannot be sent on hold, with the reason, which also answers a manual retry. A test fails
    instead: on hold, it would be sent later as if it were a lead. One without a payload that got it since stays due."""
    for due, reason in rows:
        delivery = update(Delivery).where(Delivery.id == due.id)
        if not due.payload:
            delivery = delivery.where(Delivery.payload == due.payload)
        kept = or_(Delivery.state == DeliveryState.CANCELLED, literal(due.state == DeliveryState.DELIVERED))
        held = DeliveryState.FAILED if due.test else DeliveryState.ON_HOLD
        connection.execute(
            delivery.values(state=case((kept, Delivery.state), else_=held.value), state_reason=reason, retry_at=null())
        )


def may_pause(settings: WebhookSettings, sent: Sequence[Sent]) -> bool:
    """Whether `pausing.pause_reason`, which needs a transaction, may find a reason."""
    return settings.failing_long or any(one.outcome.pauses for one in sent)
