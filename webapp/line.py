"""A lock whose waiters get it in the order they came.

A plain `threading.Lock` does not promise that: a thread that writes in a loop keeps all others out.
"""

from collections import deque
from threading import Lock


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
