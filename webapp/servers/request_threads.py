"""The threads of a web process that work on requests."""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from webapp.servers.incoming import Connection


class RequestThreads:
    """Threads that work on connections in the order in which they come; they begin with the first one."""

    def __init__(self, number: int, name: str, work: Callable[[Connection], None]) -> None:
        self._number, self._name, self._work = number, name, work
        self._queue: SimpleQueue[Connection | None] = SimpleQueue()
        self._has_begun = False

    def begin(self) -> None:
        """Begins the threads, once. Only for the loop: two threads might both begin them, and a process that has more
        of them than `end` knows would never end."""
        if not self._has_begun:
            self._has_begun = True
            for number in range(self._number):
                threading.Thread(target=self._run, name=f"{self._name}-{number}").start()

    def put(self, conn: Connection) -> None:
        """In any thread once they have begun; before that, in the loop's."""
        self.begin()
        self._queue.put(conn)

    def end(self) -> None:
        """Those that are at work end after it; what waits is left."""
        while not self._queue.empty():
            with suppress(Empty):
                self._queue.get_nowait()
        for _ in range(self._number):
            self._queue.put(None)

    def _run(self) -> None:
        while (conn := self._queue.get()) is not None:
            self._work(conn)
