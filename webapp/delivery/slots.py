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
from contextlib import contextmanager

ACTIVE = 8  # jobs that may compute at the same time
WAITS_AFTER = 0.02  # seconds of waiting for an answer after which a job is not active
HANGS_AFTER = 1.0  # seconds of waiting after which a job occupies no slot
THREADS_PER_SLOT = 4
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


class Slots:
    """Performs jobs on threads. `begin` returns when a slot is free for the next job, `pace` seconds later at least."""

    def __init__(self, count: int, stopping: Callable[[], bool] = lambda: False, pace: float = 0.0) -> None:
        self._count = count
        self._pace = pace
        self._threads = count * THREADS_PER_SLOT
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="slot")
        self._busy: set[Future[None]] = set()
        self._ended = threading.Event()
        self._stopping = stopping

    def begin(self, job: Callable[[], None]) -> None:
        """Performs a job on a thread; returns when a slot is free for the next one, or the process is stopping."""
        next_at = time.monotonic() + self._pace
        future = self._pool.submit(job)
        self._busy.add(future)
        future.add_done_callback(self._end)
        self._ended.clear()
        while not (self._stopping() or (self._has_room() and time.monotonic() >= next_at)):
            self._ended.wait(POLL)
            self._ended.clear()

    @property
    def busy(self) -> bool:
        """Whether any job is running."""
        return bool(self._busy)

    def _has_room(self) -> bool:
        busy, now = len(self._busy), time.monotonic()
        if busy < min(ACTIVE, self._count):
            return True
        waits = [now - since for since in _waiting.copy().values()]
        active = busy - sum(age > WAITS_AFTER for age in waits)
        taken = busy - sum(age > HANGS_AFTER for age in waits)
        return active < ACTIVE and taken < self._count and busy < self._threads

    def _end(self, future: Future[None]) -> None:
        self._busy.discard(future)
        self._ended.set()

    def drained(self, within: float) -> bool:
        """Waits for running jobs, at most `within` seconds; returns whether all of them ended."""
        return not wait(list(self._busy), timeout=within).not_done
