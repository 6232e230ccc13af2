"""Lanes: ring, take, drain. The database is the queue and the lane's row its lock; Redis is only the bell.

No ring is lost: *ring* sets a marker and enqueues a job only if it was not set; the *job* begins by the marker being
cleared, then takes the lane; at its *end* it lets the lane go, commits, and only then looks once more; *capture* rings
after its commit. Whatever commits before the lane is let go is seen by the last look, whatever comes after finds it
free. What a crash or a Redis outage swallows, the sweep rings again within seconds.
"""

import secrets
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, bindparam, func, null, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from webapp.clock import now_sql
from webapp.config import current_config
from webapp.db.transactions import autocommit, read_autocommit
from webapp.delivery import ledger, record, sending, states
from webapp.delivery.ledger import Batch
from webapp.delivery.moves import move
from webapp.delivery.queues import FAST, MAIL, SLOW, queues
from webapp.extensions import db
from webapp.models import Lane

log = structlog.get_logger()
T = TypeVar("T")

SLICE = 2.0  # seconds a lane is drained before others have their turn
LEASE_MARGIN = 15.0  # seconds: what recording may take on top of the longest batch
MARKER_SECONDS = 3600
FAILURE_TTL = 86400
RECORD_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds between tries to record, the last repeating


def lease() -> float:
    """Seconds a lane is held: longer than the longest batch (slice + deadline) by construction."""
    return SLICE + current_config.deadline + LEASE_MARGIN


# Ring ----------------------------------------------------------------------------------------------------------------


def ring(webhook_id: int, slow: bool = False) -> None:
    """Sees to it that a job will drain this lane; harmless if one waits already, or if Redis is away."""
    _ring(str(webhook_id), SLOW if slow else FAST, "webapp.jobs.drain", webhook_id)


def ring_mail() -> None:
    """Sees to it that a job will send what mail is due."""
    _ring("mail", MAIL, "webapp.jobs.send_mail")


def ring_forget() -> None:
    """Sees to it that a job will delete and anonymise what leads it is time for."""
    _ring("forget", MAIL, "webapp.jobs.forget")


def _ring(name: str, queue: str, job: str, *arguments: int) -> None:
    if queues.resting:
        return
    try:
        if queues.redis.set(_marker(name), 1, nx=True, ex=MARKER_SECONDS):
            enqueue(name, queue, job, *arguments)
    except RedisError as error:
        queues.failed()
        log.warning("the bell could not be rung, the sweep will", lane=name, error=type(error).__name__)


def enqueue(name: str, queue: str, job: str, *arguments: int) -> None:
    """Puts a job into a queue; its id begins with the lane's name, by which the sweep knows that it waits."""
    job_id = f"{name}-{secrets.token_hex(6)}"
    with queues.redis.pipeline(transaction=False) as pipeline:  # what the job is about goes before it
        queues.get(queue).enqueue(
            job,
            *arguments,
            job_id=job_id,
            job_timeout=-1,
            result_ttl=0,
            failure_ttl=FAILURE_TTL,
            pipeline=pipeline,
        )
        pipeline.execute()


def mark(name: str) -> None:
    """Sets a marker whether or not it is there, as the sweep does, which knows that no job waits."""
    queues.redis.set(_marker(name), 1, ex=MARKER_SECONDS)


def unmark(job_id: str, pipeline: Redis) -> None:
    """Says that a job begins: a ring from now on needs another one. Where that is not heard, rings are swallowed until
    the sweep, which does not trust the marker."""
    pipeline.delete(_marker(job_id.rpartition("-")[0]))


def _marker(name: str) -> str:
    return f"leadhook:rung:{name}"


# Statements made once: building them would cost more than running them.
_LANE = Lane.webhook_id == bindparam("lane")
_FREE = select(Lane.slow_since).where(_LANE, ~ledger.HELD)
_TAKE = (
    update(Lane)
    .where(_LANE, ~ledger.HELD)
    .values(
        token=bindparam("holder"),
        lease_until=now_sql() + ledger.LEASE,
        abandoned=or_(Lane.abandoned, Lane.lease_until > 0),
    )
    .returning(Lane.abandoned)
)
# PostgreSQL does not wait for its disk to say that a lane is ours: a crash that forgets it frees the lane before its
# time, and of the two that hold it then one is refused when it records.
_UNFLUSHED = func.set_config("synchronous_commit", "off", True).is_not(None)
_TAKES = {"sqlite": _TAKE, "postgresql": _TAKE.where(_UNFLUSHED)}
_LET_GO = update(Lane).where(_LANE, Lane.token == bindparam("holder")).values(token=null(), lease_until=0.0)


def ring_unless_held(webhook_id: int) -> None:
    """Rings after a commit, unless a drain is under way: its last look will see what was committed."""
    with read_autocommit() as connection:
        free = connection.execute(_FREE, {"lane": webhook_id, "lease": lease()}).one_or_none()
    if free is not None:
        ring(webhook_id, slow=free.slow_since is not None)


# Take ----------------------------------------------------------------------------------------------------------------


class Hold:
    """A lane that is ours: the token proves it, until `ends_at` (monotonic) for certain."""

    def __init__(self, webhook_id: int, token: str, careful: bool, ends_at: float) -> None:
        self.webhook_id = webhook_id
        self.token = token
        self.careful = careful  # somebody died holding it: one row a batch until one is recorded
        self.ends_at = ends_at


def take(connection: Connection, webhook_id: int) -> Hold | None:
    """Takes a lane that nobody holds; None if somebody does."""
    token, ends_at = secrets.token_hex(8), time.monotonic() + lease()
    given = {"lane": webhook_id, "holder": token, "lease": lease()}
    row = connection.execute(_TAKES[connection.dialect.name], given).one_or_none()
    return Hold(webhook_id, token, bool(row.abandoned), ends_at) if row else None


# Drain ---------------------------------------------------------------------------------------------------------------


def drain(webhook_id: int, stopping: Callable[[], bool] = lambda: False) -> None:
    """Sends what is due for one webhook until nothing is, its slice is over or `stopping()`; then rings if more is."""
    slice_ends_at = time.monotonic() + SLICE

    def turn_is_over() -> bool:
        return stopping() or time.monotonic() >= slice_ends_at

    if stopping():
        ring_unless_held(webhook_id)  # somebody else's, then
        return
    while True:
        hold = _take(webhook_id)
        if hold is None:
            return
        ended = _send_all(hold, turn_is_over)
        with read_autocommit() as connection:
            due, slow = ledger.last_look(connection, webhook_id)
        if not due:
            return
        if ended or turn_is_over():
            ring(webhook_id, slow)
            return


def _take(webhook_id: int) -> Hold | None:
    with autocommit() as connection:
        return take(connection, webhook_id)


def _send_all(hold: Hold, turn_is_over: Callable[[], bool]) -> bool:
    """Sends batch after batch until the lane is let go, or lost; whether that is because the receiver wants a rest."""
    ended, batch = False, _first_batch(hold)
    while batch is not None:
        sent, more = sending.Sending(batch, turn_is_over), False
        try:
            sent.run()
            ended = sent.ended
            # After a batch that was not full there is seldom another: the lane is let go, and then looked at again.
            more = len(batch.rows) == ledger.BATCH and not (ended or turn_is_over())
        finally:
            batch = _in_time(hold, _record(hold, batch, sent, more))
    return ended


def _first_batch(hold: Hold) -> Batch | None:
    """What is due, read once the lane is ours for all to see; the lane is given back where nothing is."""
    batch = None
    try:
        batch = _select(hold)
    finally:
        if batch is None:
            _give_back(hold)
    return _in_time(hold, batch)


def _in_time(hold: Hold, batch: Batch | None) -> Batch | None:
    """The batch; None, and the lane given back, where it was read so late that its sends might outlive the lease."""
    if batch is not None and time.monotonic() > hold.ends_at - lease() + LEASE_MARGIN:
        log.warning("a batch was read too late to be sent, another take will", webhook=hold.webhook_id)
        _give_back(hold)
        return None
    return batch


def _select(hold: Hold) -> Batch | None:
    with read_autocommit() as connection:
        return ledger.batch(connection, hold.webhook_id, limit=1 if hold.careful else ledger.BATCH)


def _give_back(hold: Hold) -> None:
    def once() -> None:
        with autocommit() as connection:
            connection.execute(_LET_GO, {"lane": hold.webhook_id, "holder": hold.token})

    _insist(hold, once)


def _record(hold: Hold, batch: Batch, sent: sending.Sending, more: bool) -> Batch | None:
    """Records a batch and selects the next; None: the lane is let go or lost."""
    return _insist(hold, lambda: _record_once(hold, batch, sent, more))


def _insist(hold: Hold, deed: Callable[[], T]) -> T:
    """Does it again and again while the lease lasts: deadlocks pass, and databases come back."""
    for number in range(10_000):
        try:
            return deed()
        except (DBAPIError, PoolTimeoutError) as error:
            pause = RECORD_PAUSES[min(number, len(RECORD_PAUSES) - 1)]
            if time.monotonic() + pause > hold.ends_at:
                raise
            cause = error.orig if isinstance(error, DBAPIError) else error
            log.warning("writing to a lane failed, trying again", webhook=hold.webhook_id, error=type(cause).__name__)
            time.sleep(pause)
    raise AssertionError("unreachable")


def _record_once(hold: Hold, batch: Batch, sent: sending.Sending, more: bool) -> Batch | None:
    target = batch.target
    retries = current_config.retry_schedule if target.automatic_retries else ()
    moves = [(one, move(one, retries)) for one in sent.tries]
    used_at = record.token_use(target, sent.tries)
    only_record = not (more or used_at or sent.unsendable or record.may_pause(target, sent.tries))
    following, ends_at = None, time.monotonic() + lease()
    # PostgreSQL records by one statement, which commits itself where nothing else is to be done.
    with autocommit() if only_record and db.engine.dialect.name == "postgresql" else db.engine.begin() as connection:
        lane = record.write(connection, target, hold.token, lease() if more else None, moves)
        if lane is None:
            log.warning("the lane was lost before recording", webhook=hold.webhook_id)
            return None
        if used_at:
            record.token_used(connection, target, used_at)
        record.unsendable(connection, sent.unsendable)
        reason = None if only_record else record.pause_reason(lane, sent.tries)
        if reason and states.pause(connection, target.webhook_id, reason):
            record.report_pause(connection, target.webhook_id, sent.tries[-1])
        if more:
            following = ledger.batch(connection, hold.webhook_id)
            if following is None:
                connection.execute(_LET_GO, {"lane": hold.webhook_id, "holder": hold.token})
    hold.ends_at = ends_at
    return following
