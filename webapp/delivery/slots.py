"""The threads of a worker process: few compute at a time, many wait on sockets.

Threads that compute take the interpreter from one another, and ten lanes drained at once were a quarter slower than
one. So only a few jobs are *active*: one whose receiver has not answered for a moment does not count, and another may
begin. A job whose receiver has not answered for a second does not take up a slot either, within four times their
number: so the first contact with hundreds of endpoints that hang takes no place from those that answer.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

ACTIVE = 8  # jobs that may compute at a time
WAITS_AFTER = 0.02  # seconds without an answer, and a job is not active any more
HANGS_AFTER = 1.0  # seconds without an answer, and it takes up no slot any more
THREADS_PER_SLOT = 4
LOOK_EVERY = 0.005  # seconds between looks for room, while there is none

_waiting: dict[int, float] = {}  # a thread of this process that waits for a receiver: since when (monotonic)


@contextmanager
def waiting() -> Iterator[None]:
    """Says that within the block the thread computes nothing: it waits for a receiver."""
    thread = threading.get_ident()
    _waiting[thread] = time.monotonic()
    try:
        yield
    finally:
        del _waiting[thread]


class Slots:
    """Performs jobs on threads; `begin` returns when there is room for another one, `pace` seconds later at least."""

    def __init__(self, count: int, stopping: Callable[[], bool] = lambda: False, pace: float = 0.0) -> None:
        self._count = count
        self._pace = pace
        self._threads = count * THREADS_PER_SLOT
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="slot")
        self._busy: set[Future[None]] = set()
        self._ended = threading.Event()
        self._stopping = stopping

    def begin(self, job: Callable[[], None]) -> None:
        """Performs a job on a thread; returns once there is room for the next, or when the process is stopping."""
        next_at = time.monotonic() + self._pace
        future = self._pool.submit(job)
        self._busy.add(future)
        future.add_done_callback(self._end)
        self._ended.clear()
        while not (self._stopping() or (self._has_room() and time.monotonic() >= next_at)):
            self._ended.wait(LOOK_EVERY)
            self._ended.clear()

    @property
    def busy(self) -> bool:
        """Whether a job is being performed."""
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
        """Waits for what is in flight, at most `within` seconds; whether all of it has ended."""
        return not wait(list(self._busy), timeout=within).not_done
