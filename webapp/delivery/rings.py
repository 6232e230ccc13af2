"""Rings: how a worker learns that a lane has due deliveries, or that mail or leads wait. The RQ queues are here.

Redis only wakes the workers: all data is in the database. If a ring is lost, the sweep repeats it within seconds.

Captures ring lanes by the hundred: they only add their lanes to a set, and one job serves all of them (serving.py).
Other rings have a job of their own.
"""

import secrets
import threading
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, cast

import structlog
from flask import Flask
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer
from sqlalchemy import bindparam, exists, or_, select

from webapp.db.transactions import read_autocommit
from webapp.delivery import ledger
from webapp.extensions import REST
from webapp.log import Trouble
from webapp.models import Delivery, Lane
from webapp.per_app import per_app
from webapp.servers import redis_server

if TYPE_CHECKING:
    from redis.client import Pipeline

log = structlog.get_logger()

FAST, SLOW, MAIL = "fast", "slow", "mail"
NAMES = (FAST, SLOW, MAIL)

WEB_TIMEOUT = 0.2  # seconds a request may wait for Redis
BELL_PACE = 0.006  # seconds from one ring of the bell to the next: under load one is for several captures
PATIENCE = 2.0  # seconds that `serving.py` waits for an answer, which may come when the next lane is rung


class _Queue(Queue):
    """A queue whose jobs have no dependencies. RQ would open a Redis transaction per job to look for them."""

    def setup_dependencies(self, job: Job, pipeline: "Pipeline | None" = None) -> Job:
        """Does nothing: there are no dependencies."""
        return job


class Queues:
    """The connection to Redis and the queues by name; `resting` for a while after Redis failed."""

    def __init__(self, redis_url: str) -> None:
        # Without retries: the sweep repeats a ring that failed, and a request must not wait for Redis.
        never = Retry(NoBackoff(), 0)
        waits = {"socket_timeout": WEB_TIMEOUT, "socket_connect_timeout": WEB_TIMEOUT, "retry": never}
        self.redis = redis_server.connect(redis_url, **waits)
        self.patient = redis_server.connect(redis_url, **waits | {"socket_timeout": PATIENCE})  # for rings to come
        self.of_worker = redis_server.connect(redis_url)  # of its own: RQ changes its timeouts
        # Jobs have only ids as arguments, so JSON is enough.
        self._named = {name: _Queue(name, connection=self.redis, serializer=JSONSerializer) for name in NAMES}
        self._failed_at = -REST
        self.trouble = Trouble("Redis cannot be used; the sweep queues the jobs later", "Redis can be used again")

    def disconnect(self) -> None:
        """Closes the connections, before a fork; they are opened again where they are needed."""
        for each in (self.redis, self.patient, self.of_worker):
            each.connection_pool.disconnect()

    def get(self, name: str) -> Queue:
        """The queue called `name`, one of NAMES."""
        return self._named[name]

    @property
    def resting(self) -> bool:
        """Whether Redis failed less than REST seconds ago, and is not asked again yet."""
        return time.monotonic() - self._failed_at < REST

    def failed(self, error: Exception) -> None:
        """Notes that Redis could not be used. The reason stands in the log at once, then once a minute."""
        self._failed_at = time.monotonic()
        self.trouble.report(redis_server.reason(error))

    def worked(self) -> None:
        """Notes that Redis could be used, so that the next failure is logged at once."""
        if self.trouble.reason:
            self.trouble.over()

    def state(self) -> str:
        """`ok`, `away`, or `unusable`: a server that answers, but takes no writes of ours. Found out by a write."""
        try:
            redis_server.probe(self.redis)
        except (RedisError, OSError) as error:
            self.failed(error)
            return "unusable" if redis_server.answers(error) else "away"
        self.trouble.over()
        return "ok"


queues: Queues = per_app("queues")


# Ring ----------------------------------------------------------------------------------------------------------------

MARKER_SECONDS = 3600
FAILURE_TTL = 86400  # seconds a failed job is kept, for the dashboard
# While a lane rests, only a person's retry or a test is worth a ring.
_LANE = Lane.webhook_id == bindparam("lane")
_HAS_WORK = or_(~ledger.RESTING, exists().where(Delivery.webhook_id == bindparam("lane"), ledger.CLICKED))
_FREE = select(Lane.slow_since).where(_LANE, ~ledger.LANE_LOCKED, _HAS_WORK)


# The jobs that belong to no lane: the name of the marker, with which their ids begin; the queue and the job.
JOBS = {
    "serve": (FAST, "webapp.jobs.serve"),
    "mail": (MAIL, "webapp.jobs.send_mail"),
    "forget": (MAIL, "webapp.jobs.forget"),
}


def ring(webhook_id: int, slow: bool = False) -> None:
    """Has a job drain this lane. Does nothing if one waits already; without Redis the sweep does it later."""
    _ring(str(webhook_id), *_drain(webhook_id, slow))


rung_key = "leadhook:rung-lanes"  # a sorted set: webhook ids by the time of their ring
serving_key = "leadhook:serving"  # exists while a job serves these lanes


def ring_lanes(webhook_ids: Iterable[int]) -> bool:
    """Has one job serve all of these lanes: one conversation with Redis. False without Redis: the sweep rings later.

    It adds the lanes first and asks after that whether a job serves. At its end, a job first says that it ends, and
    looks for lanes after that. So none is left.
    """
    if queues.resting:
        return False
    now = str(time.time())
    added = [part for webhook_id in webhook_ids for part in (now, webhook_id)]
    try:
        _, is_served = redis_server.converse(queues.redis, ("ZADD", rung_key, "NX", *added), ("EXISTS", serving_key))
    except RedisError as error:
        queues.failed(error)
        return False
    if is_served:
        queues.worked()
    else:
        ring_server()
    return True


def ring_server() -> None:
    """Has a job serve the lanes that are rung."""
    _ring("serve", *JOBS["serve"])


def ring_mail() -> None:
    """Has a job send the mails that are due."""
    _ring("mail", *JOBS["mail"])


def ring_forget() -> None:
    """Has a job delete and anonymise the leads whose time has come."""
    _ring("forget", *JOBS["forget"])


def ring_examination(webhook_id: int) -> None:
    """Has a job examine the receiver of a webhook."""
    _ring(f"examine-{webhook_id}", FAST, "webapp.jobs.examine", webhook_id)


def ring_again(webhook_id: int, slow: bool) -> None:
    """Rings a lane for the sweep, which knows that no job waits: whether its marker is set or not."""
    _ring_again(str(webhook_id), *_drain(webhook_id, slow))


def ring_job_again(name: str) -> None:
    """Rings for one of JOBS in the same way."""
    _ring_again(name, *JOBS[name])


def names_with_a_job() -> set[str]:
    """The lanes and JOBS that wait for a worker, for the sweep: a rung lane, too, for this has a job serve them."""
    names = {job_id.rpartition("-")[0] for name in NAMES for job_id in queues.get(name).get_job_ids()}
    lanes = cast(list[bytes], queues.redis.zrange(rung_key, 0, -1))
    if lanes and "serve" not in names and not queues.redis.exists(serving_key):
        ring_job_again("serve")
    return names | {lane.decode() for lane in lanes}


def _drain(webhook_id: int, slow: bool) -> tuple[str, str, int]:
    return SLOW if slow else FAST, "webapp.jobs.drain", webhook_id


def _ring(name: str, queue: str, job: str, *arguments: int) -> None:
    if queues.resting:
        return
    try:
        if queues.redis.set(_marker(name), 1, nx=True, ex=MARKER_SECONDS):
            enqueue(name, queue, job, *arguments)
        queues.worked()
    except RedisError as error:
        queues.failed(error)


def enqueue(name: str, queue: str, job: str, *arguments: int) -> None:
    """Puts a job into a queue. Its id begins with the lane's name: so the sweep knows which lanes have a job."""
    job_id = f"{name}-{secrets.token_hex(6)}"
    with queues.redis.pipeline(transaction=False) as pipeline:  # the job's data is sent before its id
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


def _ring_again(name: str, queue: str, job: str, *arguments: int) -> None:
    mark(name)
    enqueue(name, queue, job, *arguments)


def mark(name: str) -> None:
    """Sets the marker, whether it is set or not."""
    queues.redis.set(_marker(name), 1, ex=MARKER_SECONDS)


def unmark(job_id: str, pipeline: Redis) -> None:
    """Clears the marker when a job begins, so that a ring from now on enqueues another job. If this fails, rings do
    nothing until the sweep, which does not trust markers."""
    pipeline.delete(_marker(job_id.rpartition("-")[0]))


def _marker(name: str) -> str:
    return f"leadhook:rung:{name}"


def ring_unless_locked(webhook_id: int) -> None:
    """Rings after a commit, unless a drain is running (its last look sees what was committed), or the lane rests."""
    with read_autocommit() as connection:
        free = connection.execute(_FREE, {"lane": webhook_id, "lease": ledger.lease()}).one_or_none()
    if free is not None:
        ring(webhook_id, slow=free.slow_since is not None)


# The bell ------------------------------------------------------------------------------------------------------------


class Bell:
    """Rings after captures, on a thread of the web process, so that visitors do not wait for Redis.

    All lanes of captures that come while the thread is busy are rung together. Only gunicorn starts the thread; without
    it (commands, tests, `flask run`) a lane is rung at once. If the process dies first, the sweep rings the lane.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[int, None] = {}
        self._running = False

    def ring(self, webhook_ids: Collection[int]) -> None:
        """Rings the lanes of these webhooks soon, all in one conversation with Redis. Call it after the commit."""
        with self._changed:
            running = self._running
            if running:
                self._waiting.update(dict.fromkeys(webhook_ids))
                self._changed.notify()
        if not running:
            ring_lanes(webhook_ids)

    def start(self, app: Flask) -> None:
        """Rings from now on by a thread, which ends with the process."""
        self._running = True
        threading.Thread(target=self._run, args=(app,), name="bell", daemon=True).start()

    def _run(self, app: Flask) -> None:
        with app.app_context():
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting)
                    webhook_ids, self._waiting = self._waiting, {}
                began_at = time.monotonic()
                try:
                    ring_lanes(webhook_ids)
                except Exception as error:  # the thread must go on with the next lanes
                    log.error("ringing lanes failed; the sweep will ring them", exc_info=error)
                time.sleep(max(0.0, began_at + BELL_PACE - time.monotonic()))


bell: Bell = per_app("bell")
