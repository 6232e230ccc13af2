"""An RQ worker with many slots: jobs are dequeued in the main thread and performed on a pool of threads.

Slots are for waiting on sockets, not for computing. RQ's own job time-out cannot interrupt a thread; the sender's
deadline is the guard instead.
"""

import contextlib
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import structlog
from flask import Flask
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, worker_registration
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker.base import BaseWorker

log = structlog.get_logger()

TTL = 20  # seconds; a worker says this often, less 15, that it lives, and registers again if Redis forgot it
RECONNECT = 2.0

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


class Slots:
    """The threads of a process, shared by the workers it starts one after another when Redis comes and goes."""

    def __init__(self, app: Flask, count: int) -> None:
        self.app = app
        self._free = threading.Semaphore(count)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="slot")
        self._busy: set[Future[None]] = set()

    def perform(self, worker: "ThreadedWorker", job: Job, queue: Queue, execution: Execution) -> None:
        """Performs a job on a slot, and returns once another one is free (or the process is stopping)."""
        self._free.acquire()
        future = self._pool.submit(self._perform, worker, job, queue, execution)
        self._busy.add(future)
        future.add_done_callback(self._ended)
        while not self._free.acquire(timeout=0.5):
            if is_stopping():
                return
        self._free.release()

    def _perform(self, worker: "ThreadedWorker", job: Job, queue: Queue, execution: Execution) -> None:
        try:
            with self.app.app_context():
                worker.perform_job(job, queue, execution)
        except RedisError as error:
            log.warning("Redis went away during a job", job=job.id, error=type(error).__name__)
        finally:
            worker.executions.pop(execution.id, None)

    def _ended(self, future: Future[None]) -> None:
        self._busy.discard(future)
        self._free.release()

    def drained(self, within: float) -> bool:
        """Waits for what is in flight, at most `within` seconds; whether all of it has ended."""
        return not wait(list(self._busy), timeout=within).not_done


class ThreadedWorker(BaseWorker):
    """Performs jobs on `slots`; ends when the process is told to, or when Redis goes away."""

    death_penalty_class = NoTimeout
    max_connection_wait_time = RECONNECT

    def __init__(self, queue: Queue, slots: Slots) -> None:
        super().__init__([queue], connection=queue.connection, serializer=queue.serializer, worker_ttl=TTL)
        self.slots = slots
        self.log_job_description = False
        self._dequeuing = False

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Hands a job to a slot, and returns once another one is free."""
        self.slots.perform(self, job, queue, self.prepare_execution(job))

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        self._dequeuing = True
        try:
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        finally:
            self._dequeuing = False

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Says that it lives; after FLUSHALL it registers again, so that the dashboard shows it."""
        super().heartbeat(timeout, pipeline)
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
        with contextlib.suppress(RedisError):  # Redis forgets us by itself
            super().teardown()  # type: ignore[no-untyped-call]


def serve(app: Flask, queue_name: str, slots_count: int) -> bool:
    """Performs the jobs of one queue until SIGTERM or SIGINT; whether all that was in flight then ended in time.

    A Redis that goes away ends a worker but not the process: another one is started until Redis is back.
    """
    config = app.extensions["leadhook"]
    slots = Slots(app, slots_count)
    connection = Redis.from_url(config.redis_url)  # not the web's: RQ sets time-outs of its own on it
    while not is_stopping():
        queue = Queue(queue_name, connection=connection, serializer=JSONSerializer)
        try:
            ThreadedWorker(queue, slots).work(logging_level="WARNING")
        except RedisError as error:
            log.warning("Redis cannot be reached, trying again", error=type(error).__name__)
        _stopping.wait(RECONNECT / 2)
    return slots.drained(within=config.deadline + 4)


def stop(*_: Any) -> None:
    """Tells this process to end, from a signal that comes while no worker runs."""
    _stopping.set()
