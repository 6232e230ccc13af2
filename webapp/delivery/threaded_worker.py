"""An RQ worker with many slots: the main thread dequeues jobs, a pool of threads performs them.

RQ's job timeout cannot interrupt a thread; the sender's deadline limits a job instead.
"""

import contextlib
import logging
import secrets
import signal
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
from rq.exceptions import DequeueTimeout, NoSuchJobError, StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker.base import BaseWorker, WorkerStatus

from webapp.config import Config
from webapp.delivery import rings, worker_figures
from webapp.delivery.rings import FAST, SLOW, queues
from webapp.delivery.slots import Slots, StopSign, ToldToStop
from webapp.delivery.watching import Watcher
from webapp.log import Trouble
from webapp.servers import redis_server

log = structlog.get_logger()

TTL = 20  # seconds; an idle worker sends a heartbeat every TTL - 15, and registers again if Redis lost it
BEAT = 2.0  # seconds between two heartbeats at least
RECONNECT = 1.0  # seconds between two tries while Redis cannot be reached
ANSWERS = 5  # seconds that Redis may take to answer
GOODBYE = 1.0  # seconds that an ending process waits for Redis
SLOW_PACE = 0.1  # seconds between two jobs of `slow`: its receivers can wait, and other queues need the processor

_stopping = StopSign()
trouble = Trouble("Redis cannot be used, trying again", "Redis can be used again")  # of this process, with its queue


def is_stopping() -> bool:
    """Whether this process was asked to end: then a drain begins no new batch."""
    return _stopping.is_set


class NoTimeout(BaseDeathPenalty):
    """Turns off RQ's timeout: it uses a signal, which reaches only the main thread."""

    def setup_death_penalty(self) -> None:
        pass

    def cancel_death_penalty(self) -> None:
        pass


class OneQueue(Queue):
    """The only queue of a worker. A job's data is read later, in the same round trip that begins the job."""

    @classmethod
    def dequeue_any(
        cls, queues: Iterable[Queue], timeout: int | None, connection: Redis, *args: Any, **options: Any
    ) -> tuple[Job, Queue] | None:
        """The next job and its queue; only the job's id is loaded. ToldToStop once the process was asked to end."""
        [queue] = queues
        job_id = cls._move(queue, connection, timeout)
        return (Job(job_id.decode(), connection=connection, serializer=queue.serializer), queue) if job_id else None

    @staticmethod
    def _move(queue: Queue, connection: Redis, timeout: int | None) -> bytes | None:
        """As RQ takes a job, but a signal may end the wait: this command is read by hand, so that it ends only that."""
        pool, places = connection.connection_pool, (queue.key, queue.intermediate_queue_key, "LEFT", "RIGHT")
        line: Any = pool.get_connection()
        try:
            line.send_command(*(("LMOVE", *places) if timeout is None else ("BLMOVE", *places, timeout)))
            if not _stopping.breaking(lambda: line.can_read((timeout or 0) + ANSWERS)):
                raise RedisTimeoutError("Timeout reading from socket")
            job_id: bytes | None = line.read_response()
        except BaseException:
            line.disconnect()
            raise
        finally:
            pool.release(line)
        if timeout and job_id is None:
            raise DequeueTimeout(timeout, queue.key)
        return job_id

    @cached_property
    def started_job_registry(self) -> StartedJobRegistry:
        """Made once. RQ makes one for each job."""
        return StartedJobRegistry(self.name, connection=self.connection, serializer=self.serializer)


class ThreadedWorker(BaseWorker):
    """Performs jobs on `slots`. Ends when the process is asked to end, or when Redis cannot be reached."""

    queue_class = OneQueue
    death_penalty_class = NoTimeout
    connection_timeout = ANSWERS  # RQ's is longer than a wait for a job, which this does not limit here

    def __init__(self, app: Flask, queue: Queue, slots: Slots) -> None:
        super().__init__([queue], connection=queue.connection, serializer=queue.serializer, worker_ttl=TTL)
        self.app = app
        self.slots = slots
        self.log_job_description = False
        self._beat_at = self._suspension_checked_at = -BEAT

    # RQ's methods that talk to Redis, with as few round trips per job as possible: each costs as much as a signature.

    def set_state(self, state: str, pipeline: Any = None) -> None:
        """Writes the state to Redis only when it changes. The heartbeat writes whether the worker is busy."""
        if state != self.get_state():
            super().set_state(state, pipeline)

    def check_for_suspension(self, burst: bool) -> None:
        """Checks every BEAT seconds whether workers are suspended, not before each job."""
        if time.monotonic() >= self._suspension_checked_at + BEAT:
            super().check_for_suspension(burst)
            self._suspension_checked_at = time.monotonic()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Reads a dequeued job's data, hands the job to a slot, and returns when a slot is free for the next one.

        Writes about the execution only what RQ needs to find a job that a crash left unfinished.
        """
        execution = Execution(secrets.token_hex(8), job.id, connection=self.connection)
        with self.connection.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(job.key)
            queue.started_job_registry.add_execution(execution, pipeline, self.get_heartbeat_ttl(job))
            job.prepare_for_execution(self.name, pipeline)
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            rings.unmark(job.id, pipeline)
            found, *_ = pipeline.execute()
        if trouble.reason:
            trouble.over()  # so that the next failure is logged at once
        try:
            job.restore(found)
        except NoSuchJobError:  # it was deleted on the dashboard while it waited
            self._forget(job, queue, execution, self.connection)
            return
        self.executions[execution.id] = execution
        self.slots.begin(lambda: self._perform(job, queue, execution))

    @staticmethod
    def _forget(job: Job, queue: Queue, execution: Execution, connection: Any) -> None:
        """Removes what `execute_job` wrote. `connection`: a connection or a pipeline."""
        queue.started_job_registry.remove_execution(execution, pipeline=connection)
        connection.delete(job.key)

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        """Does nothing: `execute_job` did it before the job had a slot."""

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:
        job.ended_at = datetime.now(UTC)

    def handle_job_success(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry, execution: Execution
    ) -> None:
        """Counts the job and deletes it: our jobs keep no result, do not repeat, and no other job waits for them."""
        assert job.started_at
        assert job.ended_at
        with self.connection.pipeline(transaction=False) as pipeline:
            self.increment_successful_job_count(pipeline)
            self.increment_total_working_time(job.ended_at - job.started_at, pipeline)
            self._forget(job, queue, execution, pipeline)
            pipeline.execute()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Raises errors of the connection to Redis again: they are not a failure of the job."""
        if isinstance(exc_info[1], (RedisConnectionError, RedisTimeoutError)):
            raise exc_info[1]
        super().handle_exception(job, *exc_info)

    def _perform(self, job: Job, queue: Queue, execution: Execution) -> None:
        try:
            with self.app.app_context():
                self.perform_job(job, queue, execution)
        except RedisError as error:
            log.warning("Redis cannot be used during a job", job=job.id, reason=redis_server.reason(error))
        finally:
            self.executions.pop(execution.id, None)

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """The next job and its queue; waits for Redis and, with a `timeout`, for a job. StopRequested once the process
        was asked to end. RQ's own loop ends only by an exception of the signal handler, which its logger may swallow.
        """
        while not is_stopping():
            try:
                self.set_state(WorkerStatus.IDLE)
                self.heartbeat()
                if self.should_run_maintenance_tasks:
                    self.run_maintenance_tasks()  # type: ignore[no-untyped-call]
                return OneQueue.dequeue_any(self.queues, timeout, self.connection)
            except ToldToStop:
                break
            except DequeueTimeout:
                trouble.over()
            except (RedisConnectionError, RedisTimeoutError) as error:
                trouble.report(redis_server.reason(error))
                _stopping.wait(RECONNECT)
        raise StopRequested

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Sends a heartbeat, at most every BEAT seconds: RQ sends four per job, each in three round trips, which was a
        third of a job's cost. After FLUSHALL it registers the worker again, so that the dashboard shows it.
        """
        now = time.monotonic()
        if now < self._beat_at + BEAT:
            return
        self._beat_at = now
        worker_figures.add_attempts(self.connection)
        if pipeline is not None:
            self._beat(timeout, pipeline)
            return
        with self.connection.pipeline(transaction=False) as own:
            self._beat(timeout, own)
            own.hexists(self.key, "birth")
            is_registered = own.execute()[-1]
        if not is_registered:
            with self.connection.pipeline() as transaction:
                transaction.hset(self.key, mapping=self.serialize())
                worker_registration.register(self, transaction)
                transaction.expire(self.key, self.worker_ttl + 60)
                transaction.execute()

    def _beat(self, timeout: int | None, pipeline: Any) -> None:
        super().heartbeat(timeout, pipeline)
        if self.get_state() == WorkerStatus.IDLE:
            pipeline.hset(self.key, "state", WorkerStatus.BUSY if self.slots.busy else WorkerStatus.IDLE)

    def _install_signal_handlers(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.request_stop)

    def request_stop(self, signum: int, frame: Any) -> None:
        """Stops as soon as possible. A second signal changes nothing: running sends have a deadline anyway."""
        self._stop_requested = True
        _stopping.set()

    def procline(self, message: str) -> None:
        """Does not change the name that `ps` shows: worker.py."""

    def subscribe(self) -> None:
        """Does not listen for RQ's commands: they stop jobs, and a thread cannot be stopped."""

    def teardown(self) -> None:
        """Unregisters from Redis. From now on this and the running jobs wait at most GOODBYE seconds for Redis."""
        pool = self.connection.connection_pool
        settings = {**pool.connection_kwargs, "socket_timeout": GOODBYE, "retry": Retry(NoBackoff(), 0)}
        short_wait = ConnectionPool(connection_class=pool.connection_class, **settings)
        self.connection = Redis(connection_pool=short_wait, retry=settings["retry"])
        with contextlib.suppress(RedisError):  # the registration expires anyway
            worker_figures.add_attempts(self.connection)
            super().teardown()  # type: ignore[no-untyped-call]


def serve(app: Flask, queue_name: str, slots_count: int) -> bool:
    """Performs the jobs of one queue until SIGTERM or SIGINT; returns whether all running jobs then ended in time.

    When Redis cannot be reached, the worker ends but not the process: it starts a new worker until Redis is back.
    """
    config: Config = app.extensions["leadhook_config"]
    if queue_name in (FAST, SLOW):
        Watcher(app).start()
    slots = Slots(slots_count, is_stopping, pace=SLOW_PACE if queue_name == SLOW else 0.0)
    app.extensions["leadhook_slots"] = slots
    logging.getLogger("rq.worker").addFilter(redis_server.without_traceback)
    while not is_stopping():
        queue = OneQueue(queue_name, connection=queues.of_worker, serializer=JSONSerializer)
        try:
            ThreadedWorker(app, queue, slots).work(logging_level="WARNING")
        except RedisError as error:
            trouble.report(redis_server.reason(error))
        _stopping.wait(RECONNECT)
    return slots.drained(within=config.deadline + 4)


def stopped_within(seconds: float) -> bool:
    """Waits; returns whether the process was asked to end meanwhile."""
    return _stopping.wait(seconds)


def stop(*_: Any) -> None:
    """Asks this process to end: the signal handler while no RQ worker runs."""
    _stopping.set()
