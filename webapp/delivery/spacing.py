"""A webhook's rate: its sends begin one after another, at least a part of a second apart.

The space after the last send of a batch passes before the lane is let go. So the next drain, also one of another
process or host, may send at once, and needs to know nothing. Every request of the lane counts: retries by hand and
tests too. Not counted is the second request of a try whose kept connection ended without an answer.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock


class Spacing:
    """For the sends of one batch, on any number of threads. `rate`: sends a second, 1 at least.

    `may_send`: whether another send may begin at all. It is asked after the wait, because a slice ends meanwhile.
    """

    def __init__(self, rate: int, may_send: Callable[[], bool]) -> None:
        self._space = 1 / rate
        self._may_send = may_send
        self._next_at = 0.0  # monotonic
        self._lock = Lock()

    def may_begin(self, around: Callable[[], AbstractContextManager[None]]) -> bool:
        """Waits, within `around`, until the next send may begin; whether it may. If so, it must begin now.

        One thread waits at a time, for a space at most: those behind it learn at once when the slice is over.
        """
        with self._lock:
            if not self._may_send():
                return False
            self._wait(around)
            if not self._may_send():
                return False
            self._next_at = time.monotonic() + self._space
            return True

    def end(self) -> None:
        """Waits until the next holder of the lane may send."""
        time.sleep(max(self._next_at - time.monotonic(), 0))

    def _wait(self, around: Callable[[], AbstractContextManager[None]]) -> None:
        seconds = self._next_at - time.monotonic()
        if seconds > 0:
            with around():
                time.sleep(seconds)
