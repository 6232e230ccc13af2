"""The threads of a worker process: a few compute at a time, many wait on sockets.

Computing threads take the interpreter lock from one another: ten lanes drained at once were a quarter slower than one.
So only a few jobs are *active* at a time. A job that has waited for its receiver for WAITS_AFTER is not active, and
another one may begin. A job that has waited for HANGS_AFTER does not occupy a slot either, up to four times the number
of slots: so the first contact with hundreds of endpoints that hang takes no slots from endpoints that answer.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue

LONGEST = 45.0  # seconds of a job that finds more to do all the time. RQ takes a job of more than 90 s for lost
ACTIVE = 8  # jobs that may compute at the same time
WAITS_AFTER = 0.02  # seconds of waiting for an answer after which a job is not active
HANGS_AFTER = 1.0  # seconds of waiting after which a job occupies no slot
THREADS_PER_SLOT = 4
LEAST_MORE = 64  # threads for what has begun: more than a round has lanes
POLL = 0.005  # seconds between two checks for a free slot

_waiting: dict[int, float] = {}  # by thread id of this process: since when (monotonic) it waits for a receiver


@contextmanager
def waiting() -> Iterator[None]:
    """Notes that the thread waits for a receiver within the block, and computes nothing."""
    thread = threading.get_ident()
    _waiting[thread] = time.monotonic()
    try:
        yield
    finally:
        del _waiting[thread]


def waiting_since(thread: int) -> float | None:
    """Since when (monotonic) the thread of this id waits for a receiver; None if it does not."""
    return _waiting.get(thread)


def _waiting_longer_than(seconds: float) -> int:
    now = time.monotonic()
    return sum(now - since > seconds for since in _waiting.copy().values())


class ToldToStop(BaseException):
    """The process was asked to end while it waited."""


class StopSign:
    """Whether this process was asked to end. A signal handler sets it, at any moment of the main thread: with
    threading.Event, whose lock that thread may hold just then, it would wait for ever."""

    def __init__(self) -> None:
        self.is_set = self._breaks = False
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """For the signal handler. Raises ToldToStop out of what `breaking` calls."""
        self.is_set = True
        self._wakes.put(None)
        if self._breaks:
            self._breaks = False
            raise ToldToStop

    def wait(self, seconds: float) -> bool:
        """Waits until it is set; returns whether it is."""
        with suppress(Empty):
            self._wakes.put(self._wakes.get(timeout=seconds))  # back again, for the next one that waits
        return self.is_set

    def breaking(self, wait: Callable[[], bool]) -> bool:
        """For the main thread: what `wait` returns, or ToldToStop once this is set. `wait` may end anywhere, so it must
        take no lock and log nothing: a lock that is not let go would stop the other threads."""
        self._breaks = True
        try:
            if self.is_set:
                raise ToldToStop
            return wait()
        finally:
            self._breaks = False


class Slots:
    """Performs jobs on threads. `begin` returns when a slot is free for the next job, `pace` seconds later at least."""

    def __init__(self, count: int, stopping: Callable[[], bool] = lambda: False, pace: float = 0.0) -> None:
        self._count = count
        self._pace = pace
        self._threads = count * THREADS_PER_SLOT
        # More threads than `begin` and `has_room` allow: what has begun must not wait behind those that hang.
        self._pool = ThreadPoolExecutor(self._threads + max(count, LEAST_MORE), thread_name_prefix="slot")
        self._busy: set[Future[None]] = set()
        self._ended = threading.Event()
        self._stopping = stopping

    def begin(self, job: Callable[[], None]) -> None:
        """Performs a job on a thread; returns when a slot is free for the next one, or the process is stopping."""
        next_at = time.monotonic() + self._pace
        self._submit(job)
        self._ended.clear()
        while not (self._stopping() or (self._has_room() and time.monotonic() >= next_at)):
            self._ended.wait(POLL)
            self._ended.clear()

    def has_room(self) -> bool:
        """Whether a slot is free for `add`, be many jobs active or not: what another job hands over is soon done."""
        return not self._stopping() and self._has_slot()

    def add(self, job: Callable[[], None]) -> None:
        """Performs a job on a thread, room or not, and does not wait: for what another job has begun."""
        self._submit(job)

    def _submit(self, job: Callable[[], None]) -> None:
        future: Future[None] = Future()
        self._busy.add(future)
        try:
            self._pool.submit(self._perform, job, future)
        except RuntimeError:  # the system has no thread left
            if not self._pool._threads:
                self._busy.discard(future)
                raise
            # The pool has taken the job, and one of its threads performs it later: to raise would have it done twice.

    def _perform(self, job: Callable[[], None], future: Future[None]) -> None:
        try:
            job()
        finally:
            self._busy.discard(future)
            future.set_result(None)
            self._ended.set()

    @property
    def busy(self) -> bool:
        """Whether any job is running."""
        return bool(self._busy)

    def _has_room(self) -> bool:
        busy = len(self._busy)
        if busy < min(ACTIVE, self._count):
            return True
        return busy - _waiting_longer_than(WAITS_AFTER) < ACTIVE and self._has_slot()

    def _has_slot(self) -> bool:
        busy = len(self._busy)
        if busy < self._count:
            return True
        return busy < self._threads and busy - _waiting_longer_than(HANGS_AFTER) < self._count

    def drained(self, within: float) -> bool:
        """Waits for running jobs, at most `within` seconds; returns whether all of them ended."""
        ends_at = time.monotonic() + within
        while self._busy and (left := ends_at - time.monotonic()) > 0:  # a job may have added another one
            wait(list(self._busy), timeout=left)
        return not self._busy
