"""An RQ worker with many slots: jobs are dequeued in the main thread and performed on a pool of threads.

RQ's own job time-out cannot interrupt a thread; the sender's deadline is the guard instead.
"""

import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import structlog
from flask import Flask
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from rq import Queue, worker_registration
from rq.exceptions import NoSuchJobError, StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker.base import BaseWorker, WorkerStatus

from webapp.config import config_of
from webapp.delivery import lanes
from webapp.delivery.queues import SLOW
from webapp.delivery.slots import Slots

log = structlog.get_logger()

TTL = 20  # seconds; a worker says this often, less 15, that it lives, and registers again if Redis forgot it
BEAT = 2.0  # seconds between two of its heartbeats at least
RECONNECT = 2.0
GOODBYE = 1.0  # seconds that a process which ends waits for Redis
# Seconds from job to job of the queue `slow`: its receivers have time, and the others want the processor.
SLOW_PACE = 0.1

_stopping = threading.Event()


def is_stopping() -> bool:
    """Whether this process was told to end: a drain begins no new batch."""
    return _stopping.is_set()


class NoTimeout(BaseDeathPenalty):
    """RQ's time-out is a signal, which reaches only the main thread."""

    def setup_death_penalty(self) -> None:
        pass

    def cancel_death_penalty(self) -> None:
        pass


class OneQueue(Queue):
    """The one queue a worker listens to. What a job is about is read with the conversation that begins it."""

    @classmethod
    def dequeue_any(
        cls, queues: Iterable[Queue], timeout: int | None, connection: Redis, *args: Any, **options: Any
    ) -> tuple[Job, Queue] | None:
        """The next job, of which only the id is known yet."""
        [queue] = queues
        found = cls.lmove(connection, queue.key, timeout)
        return (Job(found[1].decode(), connection=connection, serializer=queue.serializer), queue) if found else None

    @cached_property
    def started_job_registry(self) -> StartedJobRegistry:
        """Made once: RQ would make one for each job."""
        return StartedJobRegistry(self.name, connection=self.connection, serializer=self.serializer)


class ThreadedWorker(BaseWorker):
    """Performs jobs on `slots`; ends when the process is told to, or when Redis goes away."""

    queue_class = OneQueue
    death_penalty_class = NoTimeout
    max_connection_wait_time = RECONNECT

    def __init__(self, app: Flask, queue: Queue, slots: Slots) -> None:
        super().__init__([queue], connection=queue.connection, serializer=queue.serializer, worker_ttl=TTL)
        self.app = app
        self.slots = slots
        self.log_job_description = False
        self._dequeuing = False
        self._beat_at = self._looked_at = -BEAT

    # What RQ asks and tells Redis of a job, in as few conversations as may be: each costs as much as signing a lead.

    def set_state(self, state: str, pipeline: Any = None) -> None:
        """Tells Redis of a state only where it is another one; that jobs come and go is told by the heartbeat."""
        if state != self.get_state():
            super().set_state(state, pipeline)

    def check_for_suspension(self, burst: bool) -> None:
        """Looks whether workers are suspended every few seconds, and not before each job."""
        if time.monotonic() >= self._looked_at + BEAT:
            super().check_for_suspension(burst)
            self._looked_at = time.monotonic()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Reads what a dequeued job is about, hands it to a slot, and returns once there is room for another one.

        Of its execution Redis is told no more than what a job that was left by a crash is known by.
        """
        execution = Execution(secrets.token_hex(8), job.id, connection=self.connection)
        with self.connection.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(job.key)
            queue.started_job_registry.add_execution(execution, pipeline, self.get_heartbeat_ttl(job))
            job.prepare_for_execution(self.name, pipeline)
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            lanes.unmark(job.id, pipeline)
            found, *_ = pipeline.execute()
        try:
            job.restore(found)
        except NoSuchJobError:  # it was deleted meanwhile, from the dashboard
            self._forget(job, queue, execution, self.connection)
            return
        self.executions[execution.id] = execution
        self.slots.begin(lambda: self._perform(job, queue, execution))

    @staticmethod
    def _forget(job: Job, queue: Queue, execution: Execution, connection: Any) -> None:
        """Takes back what `execute_job` told; `connection` is one, or a pipeline."""
        queue.started_job_registry.remove_execution(execution, pipeline=connection)
        connection.delete(job.key)

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        """Was done before the job had a slot."""

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:
        job.ended_at = datetime.now(UTC)

    def handle_job_success(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry, execution: Execution
    ) -> None:
        """Counts and forgets it: no job of ours keeps a result, repeats or has others that wait for it."""
        assert job.started_at
        assert job.ended_at
        with self.connection.pipeline(transaction=False) as pipeline:
            self.increment_successful_job_count(pipeline)
            self.increment_total_working_time(job.ended_at - job.started_at, pipeline)
            self._forget(job, queue, execution, pipeline)
            pipeline.execute()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """A Redis that has gone is not told how a job ended; that is no failure of the job."""
        if isinstance(exc_info[1], (RedisConnectionError, RedisTimeoutError)):
            raise exc_info[1]
        super().handle_exception(job, *exc_info)

    def _perform(self, job: Job, queue: Queue, execution: Execution) -> None:
        try:
            with self.app.app_context():
                self.perform_job(job, queue, execution)
        except RedisError as error:
            log.warning("Redis went away during a job", job=job.id, error=type(error).__name__)
        finally:
            self.executions.pop(execution.id, None)

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        self._dequeuing = True
        try:
            if is_stopping():  # told before RQ listened to signals, or just before this
                raise StopRequested
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        finally:
            self._dequeuing = False

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Says that it lives, every few seconds; after FLUSHALL it registers again, so that the dashboard shows it.

        RQ would say so four times a job, which was a third of a job's cost.
        """
        now = time.monotonic()
        if now < self._beat_at + BEAT:
            return
        self._beat_at = now
        super().heartbeat(timeout, pipeline)
        if self.get_state() == WorkerStatus.IDLE:
            connection = self.connection if pipeline is None else pipeline
            connection.hset(self.key, "state", WorkerStatus.BUSY if self.slots.busy else WorkerStatus.IDLE)
        if pipeline is None and not self.connection.hexists(self.key, "birth"):
            with self.connection.pipeline() as transaction:
                transaction.hset(self.key, mapping=self.serialize())
                worker_registration.register(self, transaction)
                transaction.expire(self.key, self.worker_ttl + 60)
                transaction.execute()

    def _install_signal_handlers(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.request_stop)

    def request_stop(self, signum: int, frame: Any) -> None:
        """Stops at the next chance; a second signal changes nothing, for what is in flight has a deadline anyway."""
        _stopping.set()
        self._stop_requested = True
        if self._dequeuing:
            self._dequeuing = False
            raise StopRequested

    def procline(self, message: str) -> None:
        """Leaves the name in `ps` as it is: worker.py."""

    def subscribe(self) -> None:
        """No channel for commands: what they would stop is a thread, which cannot be stopped."""

    def teardown(self) -> None:
        """Says goodbye to Redis, as jobs in flight do from now on, and waits for none that hangs."""
        pool = self.connection.connection_pool
        settings = {**pool.connection_kwargs, "socket_timeout": GOODBYE, "retry": Retry(NoBackoff(), 0)}
        impatient = ConnectionPool(connection_class=pool.connection_class, **settings)
        self.connection = Redis(connection_pool=impatient, retry=settings["retry"])
        with contextlib.suppress(RedisError):  # Redis forgets us by itself
            super().teardown()  # type: ignore[no-untyped-call]


def serve(app: Flask, queue_name: str, slots_count: int) -> bool:
    """Performs the jobs of one queue until SIGTERM or SIGINT; whether all that was in flight then ended in time.

    A Redis that goes away ends a worker but not the process: another one is started until Redis is back.
    """
    config = config_of(app)
    slots = Slots(slots_count, is_stopping, pace=SLOW_PACE if queue_name == SLOW else 0.0)
    connection = Redis.from_url(config.redis_url)  # not the web's: RQ sets time-outs of its own on it
    while not is_stopping():
        queue = OneQueue(queue_name, connection=connection, serializer=JSONSerializer)
        try:
            ThreadedWorker(app, queue, slots).work(logging_level="WARNING")
        except RedisError as error:
            log.warning("Redis cannot be reached, trying again", error=type(error).__name__)
        _stopping.wait(RECONNECT / 2)
    return slots.drained(within=config.deadline + 4)


def stopped_within(seconds: float) -> bool:
    """Waits; whether the process was told to end meanwhile."""
    return _stopping.wait(seconds)


def stop(*_: Any) -> None:
    """Tells this process to end, from a signal that comes while no worker runs."""
    _stopping.set()
