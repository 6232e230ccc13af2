"""Recording a batch: attempts, the deliveries moved on, the lane's health, what is to be reported. One transaction.

The lane's row is updated first, where the token is still ours: under that row's lock nothing else moves these
deliveries. Where the token is not ours any more, somebody took the lane after our lease ended: the attempts are kept,
for they were made, and nothing newer is overwritten. PostgreSQL is told all of it by one statement, SQLite one by one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Connection, Double, bindparam, case, func, literal, null, or_, select, update

from webapp.clock import now_sql
from webapp.db import bulk
from webapp.delivery import ledger
from webapp.delivery.ledger import GIVE_UP_AFTER, Target
from webapp.delivery.moves import GONE, Move, Sent, Unsendable
from webapp.models import ApiKey, Attempt, Delivery, DeliveryState, Lane, Reason, ReportEntry, ReportKind, Webhook
from webapp.webhooks.outcome import ErrorKind

EXCERPT = 500  # characters of the last response kept with the delivery, for the Leads page
USED_PRECISION = timedelta(minutes=1)
GIVE_UP_TRIES = 10  # failures in a row, for longer than ledger.GIVE_UP_AFTER, before a webhook is paused


class Health(NamedTuple):
    """What tries say of a lane: the shape of its UPDATE. Tests tell nothing of a webhook's health."""

    slow: bool | None  # a time-out was met, or an answer (False), or neither (None)
    delivered: bool
    failed: bool
    keeps: bool  # the lane is not let go


_FAILED = bindparam("failed", type_=Lane.failures.type)


def _fence(health: Health) -> Any:
    """The UPDATE of a lane that is still ours: under its lock nothing else moves its deliveries."""
    values: dict[str, Any] = {"abandoned": False}
    values |= {"lease_until": now_sql() + ledger.LEASE} if health.keeps else {"lease_until": 0.0, "token": null()}
    if health.slow is not None:
        values["slow_since"] = func.coalesce(Lane.slow_since, now_sql()) if health.slow else null()
    if health.delivered:
        values |= {"succeeded_at": now_sql(), "failures": 0, "failing_since": null()}
    elif health.failed:
        values |= {"failures": Lane.failures + _FAILED, "failing_since": func.coalesce(Lane.failing_since, now_sql())}
    ours = update(Lane).where(Lane.webhook_id == bindparam("lane"), Lane.token == bindparam("holder")).values(values)
    failing_for = (now_sql() - Lane.failing_since).label("failing_for")
    return ours.returning(Lane.webhook_id, Lane.failures, failing_for)


_fence_alone = cache(_fence)


@cache
def _as_one(health: Health, many_tries: bool | None, many_told: bool | None) -> Any:
    """All that is recorded as one statement, which PostgreSQL knows; the two as `bulk.many` says.

    Everything but the attempts joins the fence, so that it is not where the fence is not passed. By a join and not by a
    sub-select, which PostgreSQL could not ask again where a row was changed meanwhile.
    """
    fence = _fence(health).cte("fence")
    parts: list[Any] = []
    if many_tries is not None:
        parts.append(_ATTEMPTS.statement("postgresql", many_tries))
        parts.append(_MOVES.statement("postgresql", many_tries, webhook=fence.c.webhook_id))
    if many_told is not None:
        parts.append(_ENTRIES.statement("postgresql", many_told, webhook_id=fence.c.webhook_id))
        # Whether a window is open is asked of the row as it is now: it may be closed while the fence is waited for.
        due_at = func.coalesce(Webhook.report_due_at, now_sql())
        parts.append(update(Webhook).where(Webhook.id == fence.c.webhook_id).values(report_due_at=due_at))
    return select(fence.c.failures, fence.c.failing_for).add_cte(*(part.cte() for part in parts))


def write(
    connection: Connection, target: Target, token: str, lease: float | None, moves: Sequence[tuple[Sent, Move]]
) -> Any:
    """Records tries, and renews the lease of their lane or (None) lets it go: its failures and for how long it has had
    nothing else (`failing_for`, seconds), or None where the lane is not ours any more.

    Only automatic tries count as failures: a click says nothing about time.
    """
    real = [sent for sent, _ in moves if not sent.due.test]
    failed = sum(not one.outcome.delivered and one.due.retry_at is None for one in real)
    slow = None
    if any(one.outcome.error == ErrorKind.TIMEOUT for one in real):
        slow = True
    elif any(one.outcome.error is None or one.outcome.code < 999 for one in real):
        slow = False
    delivered = any(one.outcome.delivered for one in real)
    health = Health(slow, delivered, failed > 0, lease is not None)
    given: dict[str, Any] = {"lane": target.webhook_id, "holder": token}
    if lease is not None:
        given["lease"] = lease
    if failed and not delivered:
        given["failed"] = failed
    tries = [_attempt(target, sent) for sent, _ in moves]
    moved = [_moved(target, sent, goes) for sent, goes in moves]
    told = _told(target, moves)
    if connection.dialect.name == "postgresql":
        if moves:
            given |= _ATTEMPTS.parameters(tries) | _MOVES.parameters(moved)
        if told:
            given |= _ENTRIES.parameters(told)
        return connection.execute(_as_one(health, bulk.many(moves), bulk.many(told)), given).one_or_none()
    lane = connection.execute(_fence_alone(health), given).one_or_none()
    _ATTEMPTS.execute(connection, tries)
    if lane is not None:
        _MOVES.execute(connection, moved)
        _ENTRIES.execute(connection, told)
        if told:
            report_soon(connection, target.webhook_id)
    return lane


def _try_is_of(given: bulk.Values) -> Sequence[Any]:
    return [Delivery.id == given["delivery_id"]]


def _entry_is_of(given: bulk.Values) -> Sequence[Any]:
    return [Delivery.id == given["delivery_id"], Delivery.webhook_id == given["webhook_id"]]


_ATTEMPTS = bulk.inserting(
    "attempt",
    Attempt,
    *("id", "delivery_id", "reason", "user_id", "started_at", "url", "timestamp", "signed_with_id", "code", "error"),
    *("response", "truncated", "response_headers", "duration_ms"),
    where=_try_is_of,
)
_ENTRIES = bulk.inserting("entry", ReportEntry, "webhook_id", "delivery_id", "attempt_id", "kind", where=_entry_is_of)


def _attempt(target: Target, sent: Sent) -> dict[str, Any]:
    due, outcome = sent.due, sent.outcome
    reason = Reason.TEST if due.test else Reason.RETRY if due.retry_at is not None else Reason.AUTOMATIC
    return {
        "id": sent.attempt_id,
        "delivery_id": due.id,
        "reason": reason,
        "user_id": None if due.retry_at is None else due.retried_by_id,
        "started_at": sent.started_at,
        "url": target.url,
        "timestamp": sent.timestamp,
        "signed_with_id": target.token_id if target.signed else None,
        "code": outcome.code,
        "error": outcome.error,
        "response": outcome.body,
        "truncated": outcome.truncated,
        "response_headers": [list(pair) for pair in outcome.headers],
        "duration_ms": outcome.duration_ms,
    }


def _move_statement(dialect: str, to: bulk.Values) -> Any:
    """A cancelled delivery stays cancelled. `retry_at` is cleared only if it is the click that was answered: one that
    came while this try was under way waits for its own."""
    return (
        update(Delivery)
        .where(Delivery.id == to["delivery"], Delivery.webhook_id == to["webhook"])
        .values(
            state=case((Delivery.state == DeliveryState.CANCELLED, Delivery.state), else_=to["new_state"]),
            state_reason="",
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


_MOVES = bulk.Bulk(
    "move",
    {
        "delivery": Delivery.id.type,
        "webhook": Delivery.webhook_id.type,
        "new_state": Delivery.state.type,
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
)


def _moved(target: Target, sent: Sent, goes: Move) -> dict[str, Any]:
    """How a delivery moves on, and its answer for where the Leads page reads it."""
    return {
        "delivery": sent.due.id,
        "webhook": target.webhook_id,
        "new_state": goes.state,
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


_REPORT_NOW = update(Webhook).where(Webhook.id == bindparam("webhook")).values(report_due_at=now_sql())
_REPORT = _REPORT_NOW.where(Webhook.report_due_at.is_(None))  # while a window is open, its end decides


def _told(target: Target, moves: Sequence[tuple[Sent, Move]]) -> list[dict[str, Any]]:
    """What the owner is to be told of, once a delivery and kind."""
    failed = [(sent, goes) for sent, goes in moves if sent.due.retry_at is None and not sent.outcome.delivered]
    told = [_entry(target.webhook_id, sent, ReportKind.FAILED) for sent, _ in failed]
    return told + [_entry(target.webhook_id, sent, ReportKind.GAVE_UP) for sent, goes in failed if goes.gave_up]


def _entry(webhook_id: int, sent: Sent, kind: ReportKind) -> dict[str, Any]:
    return {"webhook_id": webhook_id, "delivery_id": sent.due.id, "attempt_id": sent.attempt_id, "kind": kind}


def report_soon(connection: Connection, webhook_id: int) -> None:
    """Says that a report is due, unless one will be at the end of a window."""
    connection.execute(_REPORT, {"webhook": webhook_id})


def report_pause(connection: Connection, webhook_id: int, sent: Sent) -> None:
    """Says that a try paused the webhook: that waits for no window. A webhook that the same delivery pauses once more,
    after a resume, is told of once more."""
    entry = bulk.insert(connection.dialect.name, ReportEntry).values(_entry(webhook_id, sent, ReportKind.PAUSED))
    again = {"attempt_id": entry.excluded.attempt_id, "report_id": None}
    connection.execute(entry.on_conflict_do_update(index_elements=["delivery_id", "kind"], set_=again))
    connection.execute(_REPORT_NOW, {"webhook": webhook_id})


def token_use(target: Target, sent: Sequence[Sent]) -> datetime | None:
    """When a Shared Token last signed, where that is to be written: to the minute, for all webhooks share its row."""
    if not (target.signed and sent):
        return None
    at = sent[-1].started_at
    return at if target.token_used_at is None or at - target.token_used_at > USED_PRECISION else None


def token_used(connection: Connection, target: Target, at: datetime) -> None:
    """Writes when a Shared Token last signed."""
    connection.execute(update(ApiKey).where(ApiKey.id == target.token_id).values(last_used_at=at))


def unsendable(connection: Connection, rows: Sequence[Unsendable]) -> None:
    """Holds what could not be sent, with the reason; a click on it is answered by that. A test, which nobody waits for
    once it could not be sent, fails instead: held, it would go out later as if it were a lead."""
    for due, reason in rows:
        delivery = update(Delivery).where(Delivery.id == due.id)
        kept = or_(Delivery.state == DeliveryState.CANCELLED, literal(due.state == DeliveryState.DELIVERED))
        held = DeliveryState.FAILED if due.test else DeliveryState.HELD
        connection.execute(
            delivery.values(state=case((kept, Delivery.state), else_=held.value), state_reason=reason, retry_at=null())
        )


def may_pause(target: Target, sent: Sequence[Sent]) -> bool:
    """Whether `pause_reason` may find one: it is asked within a transaction."""
    return target.failing_long or any(one.outcome.code == GONE for one in sent)


def pause_reason(lane: Any, sent: Sequence[Sent]) -> str | None:
    """Why a webhook is to be paused after these tries, in words; None: it goes on, as it does where none was made."""
    if any(one.outcome.code == GONE and not one.due.test for one in sent):
        return "The receiver answered 410 Gone: it wants no more leads at this address."
    if sent and lane.failures >= GIVE_UP_TRIES and lane.failing_for is not None and lane.failing_for > GIVE_UP_AFTER:
        return "Every try has failed for more than five days."
    return None
