"""Locks whose waiters get them in time.

A plain `threading.Lock` does not promise that: a thread that writes in a loop keeps all others out.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections import deque
from threading import Lock

HELD, NEXT = 0, 1  # bytes
LOOK_EVERY = 0.0001  # seconds between looks at a gate that another process holds


class Line:
    """First come, first served, but for those that are `short`: they go before the others.

    `enter` and `leave` may be called by different threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken = False
        self._short: deque[Lock] = deque()
        self._long: deque[Lock] = deque()

    def enter(self, timeout: float, short: bool = False) -> bool:
        """Waits for its turn, at most `timeout` seconds; whether it came."""
        waiting = self._short if short else self._long
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            turn = Lock()
            turn.acquire()
            waiting.append(turn)
        if turn.acquire(timeout=timeout):
            return True
        with self._lock:
            if turn not in waiting:
                return True  # it came at the last moment
            waiting.remove(turn)
        return False

    def leave(self) -> None:
        """Hands over to the next."""
        with self._lock:
            if waiting := self._short or self._long:
                waiting.popleft().release()
            else:
                self._taken = False


class Gate:
    """A lock among processes, by two bytes of a file; the system lets it go when its holder dies.

    Who is there takes the first byte and waits for the second, which is the lock: so whoever leaves, and would enter
    again at once, finds somebody before it. A process's threads stand in a `Line`: one of them may be at the gate.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file, self._opened_by = -1, 0

    def enter(self, timeout: float) -> bool:
        """Waits for its turn, at most `timeout` seconds; whether it came. False, too, where the file cannot be used."""
        ends_at = time.monotonic() + timeout
        try:
            if self._opened_by != os.getpid():  # not what a fork handed down
                self._open()
            if not self._take(NEXT, ends_at):
                return False
            try:
                return self._take(HELD, ends_at)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, NEXT)
        except OSError:  # another user's file, a file system without locks: who goes first is then left to chance
            return False

    def leave(self) -> None:
        with contextlib.suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, HELD)

    def _open(self) -> None:
        """Makes the file, where it is missing, for whoever may write to the directory's database."""
        directory = os.stat(os.path.dirname(self._path) or ".")
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
            with contextlib.suppress(OSError):  # root does it for the user whose directory it is
                os.fchown(self._file, directory.st_uid, directory.st_gid)
        self._opened_by = os.getpid()

    def _take(self, byte: int, ends_at: float) -> bool:
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                if time.monotonic() > ends_at:
                    return False
                time.sleep(LOOK_EVERY)
            else:
                return True
