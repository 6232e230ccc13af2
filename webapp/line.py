"""Locks whose waiters get them in time.

A plain `threading.Lock` does not promise that: a thread that writes in a loop keeps all others out.
"""

import fcntl
import os
import time
from collections import deque
from threading import Lock

LOOK_EVERY = 0.0003  # seconds between looks at a gate that another process holds


class Line:
    """`enter` and `leave` may be called by different threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken = False
        self._waiting: deque[Lock] = deque()

    def enter(self, timeout: float) -> bool:
        """Waits for its turn, at most `timeout` seconds; whether it came."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            turn = Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=timeout):
            return True
        with self._lock:
            if turn not in self._waiting:
                return True  # it came at the last moment
            self._waiting.remove(turn)
        return False

    def leave(self) -> None:
        """Hands over to the next."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class Gate:
    """A lock among the processes that open one file; let go by the system when its holder dies.

    A process's threads stand in a `Line` before it: only one of them may be at the gate.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file, self._opened_by = -1, 0

    def enter(self, timeout: float) -> bool:
        """Waits until no other process holds it, at most `timeout` seconds; whether it is ours."""
        if self._opened_by != os.getpid():  # what a fork hands down is its parent's lock
            self._file, self._opened_by = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), os.getpid()
        ends_at = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > ends_at:
                    return False
                time.sleep(LOOK_EVERY)
            else:
                return True

    def leave(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
