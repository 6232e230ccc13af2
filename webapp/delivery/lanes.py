"""Lanes: take, drain, let go. The database is the queue, the lane's row is its lock, Redis only wakes a worker.

No ring is lost. *Ring* sets a marker in Redis and enqueues a job only if the marker was not set. The *job* clears the
marker, then takes the lane. At its *end* it lets the lane go, commits, and only then looks once more for due rows.
*Capture* rings after its commit. So the last look sees a delivery that was committed before the lane was let go, and a
later one finds the lane free. After a crash or a Redis outage the sweep rings again, within seconds.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import structlog
from sqlalchemy import Connection, bindparam, null, or_, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from webapp.clock import now_sql
from webapp.config import current_config
from webapp.db import bulk
from webapp.db.bulk import Plain, Statement
from webapp.delivery import events, ledger, pausing, record, rings, sending, states
from webapp.delivery.ledger import Batch, WebhookSettings
from webapp.extensions import db
from webapp.models import Lane

log = structlog.get_logger()
T = TypeVar("T")

QUICK = 20  # milliseconds of an answer that a round waits for
WRITE_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds before writing is tried again, the last one repeating


# Built once: building a statement costs more than running it.
_LANE = Lane.webhook_id == bindparam("lane")
HOLDER = bindparam("holder", type_=Lane.token.type)
TAKEN = {
    "token": HOLDER,
    "lease_until": now_sql() + ledger.LEASE,
    "abandoned": or_(Lane.abandoned, Lane.lease_until > 0),
}
LET_GO = {"token": null(), "lease_until": 0.0}
# PostgreSQL waits for its disk: else a crash loses the take, the lane is free, and what was sent for it is sent again.
_TAKE = Statement(update(Lane).where(_LANE, ~ledger.LANE_LOCKED).values(TAKEN).returning(Lane.abandoned))
_LET_GO = Statement(update(Lane).where(_LANE, Lane.token == HOLDER).values(LET_GO))


class Hold:
    """A lane that this drain has locked; `token` proves it. The lock lasts until `ends_at` (monotonic) at least."""

    def __init__(self, webhook_id: int, token: str, careful: bool, ends_at: float) -> None:
        self.webhook_id = webhook_id
        self.token = token
        self.careful = careful  # the last holder died: one row per batch until a batch is recorded
        self.ends_at = ends_at
        self.is_lost = False  # another drain has taken the lane since


class Underway(NamedTuple):
    """What a thread sends one by one. While one send takes long, widening.py takes the lane over."""

    hold: Hold
    sent: sending.Sending
    stopping: Callable[[], bool]
    begun_at: float  # monotonic
    thread: int


# The sends of this process that may be taken over. Who takes an entry out owns the lane.
underway: dict[sending.Sending, Underway] = {}
send_begun = threading.Event()  # the watcher, which waits while nothing is under way, has something to watch


def take(connection: Plain, webhook_id: int) -> Hold | None:
    """Locks a lane; None if another drain holds it."""
    token, ends_at = secrets.token_hex(8), time.monotonic() + ledger.lease()
    given = {"lane": webhook_id, "holder": token, "lease": ledger.lease()}
    connection.take_turn()
    found = _TAKE.rows(connection, given)
    return Hold(webhook_id, token, bool(found[0][0]), ends_at) if found else None


# Drain ---------------------------------------------------------------------------------------------------------------


def drain(webhook_id: int, stopping: Callable[[], bool] = lambda: False, returns: bool = False) -> None:
    """Sends a webhook's due deliveries until none is left, the slice is over or `stopping()`; rings if any are left.

    `returns`: once there is no full batch, a lane whose receiver answers quickly goes back to the rounds of serving.py,
    in which it costs less.
    """
    if stopping():
        rings.ring_unless_locked(webhook_id)  # for another process
        return
    hold = _take(webhook_id)
    if hold:
        go_on(hold, stopping, returns=returns)


def is_ordinary(settings: WebhookSettings) -> bool:
    """Whether a webhook has no settings that a round does not know."""
    has_own_way = settings.rate or settings.connected or settings.parallel_requests > 1
    return not has_own_way and settings.resting is None and not settings.failing_long


def _may_return(sent: sending.Sending | None) -> bool:
    if sent is None or sent.ended or not sent.tries or not is_ordinary(sent.batch.settings):
        return False
    return all(one.outcome.delivered for one in sent.tries) and sent.tries[-1].outcome.duration_ms <= QUICK


def go_on(
    hold: Hold, stopping: Callable[[], bool], begun: sending.Sending | None = None, returns: bool = False
) -> None:
    """The same for a lane that is locked already; `begun`: what is sent of its first batch."""
    # The slice of a batch that has begun counts from the take: a thread that gets it late must still end in the lease.
    slice_ends_at = (hold.ends_at - ledger.lease() if begun else time.monotonic()) + ledger.SLICE
    taken: Hold | None = hold

    def turn_is_over() -> bool:
        return stopping() or time.monotonic() >= slice_ends_at

    while taken:
        sent = _send_all(taken, turn_is_over, stopping, begun)
        with bulk.driver() as connection:
            due, slow = ledger.last_look(connection, hold.webhook_id)
        if not due:
            return
        if returns and _may_return(sent) and rings.ring_lanes([hold.webhook_id]):
            return
        if (sent and sent.ended) or turn_is_over():
            # Without a look-up's turn it waits in the other queue, which has a pace; the lane itself is not slow.
            rings.ring(hold.webhook_id, slow or (sent is not None and sent.had_no_turn))
            return
        taken, begun = _take(hold.webhook_id), None


def _take(webhook_id: int) -> Hold | None:
    with bulk.driver() as connection:
        return take(connection, webhook_id)


def _send_all(
    hold: Hold,
    turn_is_over: Callable[[], bool],
    stopping: Callable[[], bool] = lambda: False,
    begun: sending.Sending | None = None,
) -> sending.Sending | None:
    """Sends batch after batch until the lane is let go or lost. Returns how the last one went; None without any."""
    sent: sending.Sending | None = None
    batch = begun.batch if begun else _first_batch(hold)
    while batch is not None:
        sent, begun, more = begun or sending.Sending(batch, turn_is_over), None, False
        try:
            _send(hold, sent, stopping)
            # After a batch that was not full there is seldom another one: let the lane go, then look again.
            more = len(batch.rows) == ledger.BATCH and not (sent.ended or turn_is_over())
        finally:
            batch = None if sent.is_taken_over else _in_time(hold, _record(hold, batch, sent, more))
    return sent


def _send(hold: Hold, sent: sending.Sending, stopping: Callable[[], bool]) -> None:
    """Sends a batch. With *Automatic*, widening.py may take over what is left; not when one lead is tried first."""
    settings = sent.batch.settings
    if not settings.automatic or hold.careful or settings.resting is not None:
        sent.run()
        return
    underway[sent] = Underway(hold, sent, stopping, time.monotonic(), threading.get_ident())
    if not send_begun.is_set():
        send_begun.set()
    try:
        sent.run()
    finally:
        if underway.pop(sent, None) is None and sent.wait_for_others:
            sent.is_taken_over = sent.ended = True
            sent.wait_for_others()


def _first_batch(hold: Hold) -> Batch | None:
    """The first due deliveries, read after the lock is committed; lets the lane go if there are none."""
    batch = None
    try:
        batch = _select(hold)
    finally:
        if batch is None:
            _let_go(hold)
    return _in_time(hold, batch)


def _in_time(hold: Hold, batch: Batch | None) -> Batch | None:
    """The batch; None, and the lane let go, if it was read so late that sending it could outlast the lease."""
    if batch is not None and time.monotonic() > hold.ends_at - ledger.lease() + ledger.LEASE_MARGIN:
        log.warning("a batch was read too late to send; the next drain sends it", webhook=hold.webhook_id)
        _let_go(hold)
        return None
    return batch


def _select(hold: Hold) -> Batch | None:
    with bulk.driver() as connection:
        return ledger.batch(connection, hold.webhook_id, limit=1 if hold.careful else ledger.BATCH)


def _let_go(hold: Hold) -> None:
    def once() -> None:
        with bulk.driver() as connection:
            connection.take_turn()
            _LET_GO.run(connection, {"lane": hold.webhook_id, "holder": hold.token})

    _retry_while_leased(hold, once)


def give_back(hold: Hold, slow: bool) -> None:
    """Lets a lane go from which nothing was sent, and rings it."""
    _let_go(hold)
    rings.ring(hold.webhook_id, slow)


def _record(hold: Hold, batch: Batch, sent: sending.Sending, more: bool) -> Batch | None:
    """Records a batch and reads the next one; None: the lane was let go or lost."""
    return _retry_while_leased(hold, lambda: _record_once(hold, batch, sent, more))


def _retry_while_leased(hold: Hold, write: Callable[[], T]) -> T:
    """Repeats a write that fails until the lease ends: deadlocks pass, and databases come back."""
    for number in range(10_000):
        try:
            return write()
        except (DBAPIError, PoolTimeoutError) as error:
            pause = WRITE_PAUSES[min(number, len(WRITE_PAUSES) - 1)]
            if time.monotonic() + pause > hold.ends_at:
                raise
            cause = error.orig if isinstance(error, DBAPIError) else error
            log.warning("writing to a lane failed; trying again", webhook=hold.webhook_id, error=type(cause).__name__)
            time.sleep(pause)
    raise AssertionError("unreachable")


def record_part(hold: Hold, batch: Batch, sent: sending.Sending) -> Batch | None:
    """Records a part of what is sent, renews the lease, and reads what is due now. The lane stays locked."""
    return _retry_while_leased(hold, lambda: _record_once(hold, batch, sent, more=True, keeps=True))


def record_last(hold: Hold, batch: Batch, sent: sending.Sending) -> None:
    """Records the last part, and lets the lane go."""
    _record(hold, batch, sent, more=False)


def _record_once(hold: Hold, batch: Batch, sent: sending.Sending, more: bool, keeps: bool = False) -> Batch | None:
    settings = batch.settings
    retries = current_config.retry_schedule if settings.automatic_retries else ()
    moves = [(one, ledger.move(one, retries)) for one in sent.tries]
    used_at = record.token_use(settings, sent.tries)
    may_pause = record.may_pause(settings, sent.tries)
    has_event = not settings.quiet and any(goes.state in ledger.ENDS_IN_FAILURE for _, goes in moves)
    has_others = bool(used_at or sent.unsendable or may_pause or has_event)
    following, ends_at = None, time.monotonic() + ledger.lease()
    with _recording(has_others, more) as connection:
        lane = record.write(connection, settings, hold.token, ledger.lease() if more else None, moves, sent.unanswered)
        if lane is None:
            log.warning("another drain took the lane before this one recorded", webhook=hold.webhook_id)
            hold.is_lost = True
            return None
        if isinstance(connection, Connection):
            if used_at:
                record.token_used(connection, settings, used_at)
            record.unsendable(connection, sent.unsendable)
            if has_event:
                events.note_failures(connection, settings.account_id, moves)
            reason = pausing.pause_reason(lane, sent.tries) if may_pause else None
            if reason and states.pause(connection, settings.webhook_id, reason) and not settings.quiet:
                states.report_pause(connection, settings.webhook_id, sent.tries[-1])
        if more:
            following = ledger.batch(connection, hold.webhook_id)
            if following is None and not keeps:
                _LET_GO.run(connection, {"lane": hold.webhook_id, "holder": hold.token})
    hold.ends_at = ends_at
    return following


@contextmanager
def _recording(has_others: bool, more: bool) -> Iterator[Connection | Plain]:
    """A transaction of a record. Without `has_others`, what else is written, the driver runs its statements itself:
    on PostgreSQL, where each then commits itself, only if the record is all, and no `more` is read after it."""
    if has_others or (more and db.engine.dialect.name == "postgresql"):
        with db.engine.begin() as connection:
            yield connection
        return
    with bulk.driver() as plain:
        plain.begin()
        yield plain
        plain.commit()
