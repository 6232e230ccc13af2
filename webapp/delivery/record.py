"""Recording a batch: attempts, the deliveries moved on, the lane's health, what is to be reported. One transaction.

The lane's row is updated first, where the token is still ours: under that row's lock nothing else moves these
deliveries. Where the token is not ours any more, somebody took the lane after our lease ended: the attempts are kept,
for they were made, and nothing newer is overwritten.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Connection, Double, Executable, bindparam, case, func, literal, null, or_, update

from webapp.clock import now_sql
from webapp.delivery import bulk, ledger
from webapp.delivery.ledger import Due, Target
from webapp.models import ApiKey, Attempt, Delivery, DeliveryState, Lane, Reason, ReportEntry, ReportKind, Webhook
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.schedule import next_delay

EXCERPT = 500  # characters of the last response kept with the delivery, for the Leads page
GONE = 410
USED_PRECISION = timedelta(minutes=1)
GIVE_UP_AFTER = 5 * 86400.0  # seconds of failures only, and
GIVE_UP_TRIES = 10  # at least so many of them, before a webhook is paused


class Sent(NamedTuple):
    """One try: the id made before it, when it began, and what came of it."""

    due: Due
    attempt_id: str
    started_at: datetime
    timestamp: int
    outcome: Outcome


class Unsendable(NamedTuple):
    """A delivery that could not be sent at all, and why: it is Held, never sent unsigned."""

    due: Due
    reason: str


class Move(NamedTuple):
    """Where a delivery goes after a try. `delay`: seconds to the next automatic one; None with keep_due False: none."""

    state: DeliveryState
    tries: int
    keep_due: bool
    delay: float | None
    gave_up: bool


def move(sent: Sent, retries: Sequence[float]) -> Move:
    """The next state of a delivery. `retries` are the waits of its schedule, empty where retries are off.

    A click is one try: it leaves the automatic schedule and its count as they are.
    """
    due, outcome = sent.due, sent.outcome
    clicked = due.retry_at is not None
    tries = due.tries if clicked else due.tries + 1
    if outcome.delivered:
        return Move(DeliveryState.DELIVERED, tries, keep_due=False, delay=None, gave_up=False)
    if clicked:
        waits = due.state == DeliveryState.PENDING and not due.test
        return Move(DeliveryState(due.state) if waits else DeliveryState.FAILED, tries, waits, None, gave_up=False)
    final = outcome.code == GONE or outcome.error == ErrorKind.BLOCKED_ADDRESS
    delay = None if final else next_delay(retries, tries, outcome.retry_after)
    if delay is None:
        gave_up = bool(retries) and not final
        return Move(DeliveryState.FAILED, tries, keep_due=False, delay=None, gave_up=gave_up)
    return Move(DeliveryState.PENDING, tries, keep_due=False, delay=delay, gave_up=False)


_FAILED = bindparam("failed", type_=Lane.failures.type)


@cache
def _fence(slow: bool | None, delivered: bool, failed: bool, keeps: bool) -> Any:
    """The UPDATE of a lane; `slow`: its drain met a time-out, or an answer (False), or neither (None)."""
    values: dict[str, Any] = {"abandoned": False}
    values |= {"lease_until": now_sql() + ledger.LEASE} if keeps else {"lease_until": 0.0, "token": null()}
    if slow is not None:
        values["slow_since"] = func.coalesce(Lane.slow_since, now_sql()) if slow else null()
    if delivered:
        values |= {"succeeded_at": now_sql(), "failures": 0, "failing_since": null()}
    elif failed:
        values |= {"failures": Lane.failures + _FAILED, "failing_since": func.coalesce(Lane.failing_since, now_sql())}
    ours = update(Lane).where(Lane.webhook_id == bindparam("lane"), Lane.token == bindparam("holder")).values(values)
    return ours.returning(Lane.failures, (now_sql() - Lane.failing_since).label("failing_for"))


def fence(connection: Connection, webhook_id: int, token: str, lease: float | None, sent: Sequence[Sent]) -> Any:
    """Writes the lane's health, if the lane is still ours, and renews its lease or (None) lets it go; None if not ours.

    Tests tell nothing of a webhook's health. Only automatic tries count as failures: a click says nothing about time.
    """
    real = [one for one in sent if not one.due.test]
    failed = sum(not one.outcome.delivered and one.due.retry_at is None for one in real)
    slow = None
    if any(one.outcome.error == ErrorKind.TIMEOUT for one in real):
        slow = True
    elif any(one.outcome.error is None or one.outcome.code < 999 for one in real):
        slow = False
    delivered = any(one.outcome.delivered for one in real)
    given: dict[str, Any] = {"lane": webhook_id, "holder": token}
    if lease is not None:
        given["lease"] = lease
    if failed and not delivered:
        given["failed"] = failed
    return connection.execute(_fence(slow, delivered, failed > 0, lease is not None), given).one_or_none()


_ATTEMPTS = bulk.inserting(
    Attempt,
    *("id", "delivery_id", "reason", "user_id", "started_at", "url", "timestamp", "signed_with_id", "code", "error"),
    *("response", "truncated", "response_headers", "duration_ms"),
)
_ENTRIES = bulk.inserting(ReportEntry, "webhook_id", "delivery_id", "attempt_id", "kind")
_REPORT_NOW = update(Webhook).where(Webhook.id == bindparam("webhook")).values(report_due_at=now_sql())
_REPORT = _REPORT_NOW.where(Webhook.report_due_at.is_(None))


def attempts(connection: Connection, target: Target, sent: Sequence[Sent]) -> None:
    """Inserts one row a try; a row that is there already, by its id, stays."""
    _ATTEMPTS.execute(connection, [_attempt(target, one) for one in sent])


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


def token_used(connection: Connection, target: Target, sent: Sequence[Sent]) -> None:
    """Writes when a Shared Token last signed; to the minute, for its row is shared by all webhooks that use it."""
    if not (target.signed and sent):
        return
    at = sent[-1].started_at
    if target.token_used_at is None or at - target.token_used_at > USED_PRECISION:
        connection.execute(update(ApiKey).where(ApiKey.id == target.token_id).values(last_used_at=at))


def _move_statement(dialect: str, to: bulk.Values) -> Executable:
    """A cancelled delivery stays cancelled. `retry_at` is cleared only if it is the click that was answered: one that
    came while this try was under way waits for its own."""
    return (
        update(Delivery)
        .where(Delivery.id == to["delivery"])
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
    {
        "delivery": Delivery.id.type,
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


def deliveries(connection: Connection, moves: Sequence[tuple[Sent, Move]]) -> None:
    """Moves deliveries on, and copies the answer to where the Leads page reads it."""
    rows = [
        {
            "delivery": sent.due.id,
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
        for sent, goes in moves
    ]
    _MOVES.execute(connection, rows)


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


def to_report(connection: Connection, webhook_id: int, moves: Sequence[tuple[Sent, Move]], paused: bool) -> None:
    """Writes what the owner is to be told, once a delivery and kind, and that a report is due.

    While a window is open its end decides; a pause does not wait for it, and is told whatever caused it.
    """
    failed = [(sent, goes) for sent, goes in moves if sent.due.retry_at is None and not sent.outcome.delivered]
    told = [_entry(webhook_id, sent, ReportKind.FAILED) for sent, _ in failed]
    told += [_entry(webhook_id, sent, ReportKind.GAVE_UP) for sent, goes in failed if goes.gave_up]
    if not (told or paused):
        return
    _ENTRIES.execute(connection, told)
    if paused:
        _tell_pause(connection, _entry(webhook_id, moves[-1][0], ReportKind.PAUSED))
        connection.execute(_REPORT_NOW, {"webhook": webhook_id})
    else:
        report_soon(connection, webhook_id)


def report_soon(connection: Connection, webhook_id: int) -> None:
    """Says that a report is due, unless one will be at the end of a window."""
    connection.execute(_REPORT, {"webhook": webhook_id})


def _entry(webhook_id: int, sent: Sent, kind: ReportKind) -> dict[str, Any]:
    return {"webhook_id": webhook_id, "delivery_id": sent.due.id, "attempt_id": sent.attempt_id, "kind": kind}


def _tell_pause(connection: Connection, entry: dict[str, Any]) -> None:
    """A webhook that the same delivery pauses once more, after a resume, is told of once more."""
    paused = bulk.insert(connection.dialect.name, ReportEntry).values(entry)
    again = {"attempt_id": paused.excluded.attempt_id, "report_id": None}
    connection.execute(paused.on_conflict_do_update(index_elements=["delivery_id", "kind"], set_=again))


def pause_reason(lane: Any, sent: Sequence[Sent]) -> str | None:
    """Why a webhook is to be paused after these tries, in words; None: it goes on."""
    if any(one.outcome.code == GONE and not one.due.test for one in sent):
        return "The receiver answered 410 Gone: it wants no more leads at this address."
    if lane.failures >= GIVE_UP_TRIES and lane.failing_for is not None and lane.failing_for > GIVE_UP_AFTER:
        return "Every try has failed for more than five days."
    return None
