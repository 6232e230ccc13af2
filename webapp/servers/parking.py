"""The part of the web process's worker that holds connections whose requests wait for news: see waits.py.

A waiting connection is one of those that the loop waits for. It goes on when there is news, when its time is over, when
its client sends more, or when the process stops. One thread answers those that go on: hundreds of them must not take
the threads of those who post leads.
"""

import random
import socket
import time
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from webapp.servers.incoming import Connection
from webapp.servers.request_threads import RequestThreads
from webapp.servers.waits import Wait, Waits, offered


class Parking(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The connections of a process that the loop waits for. Methods run in the loop's thread, except `_park` and
    `_wait`."""

    wsgi: Any
    waiting: dict[Connection, None]  # for their client, or for news, in the order in which they began to
    woken: RequestThreads

    def run(self) -> None:
        self.wsgi = offered(self.wsgi)
        super().run()

    def _park(self, conn: Connection, waits: Waits) -> None:
        """In any thread. News may come before the loop has the connection, so that is looked at last."""
        wait, news = waits.wait, list[bool]()

        def wake() -> None:
            news.append(True)
            self.method_queue.defer(self._wake, conn, wait)

        conn.wait, conn.late_answer = wait, waits.answer
        late = wait.seconds * random.uniform(0.8, 1)  # noqa: S311 - so that not all of them end at once
        conn.timeout = time.monotonic() + late
        try:
            wait.begin(wake)
        except Exception:  # it waits for the end of its time
            self.log.exception("A request waits for news that cannot come")
        self._wait(conn, self._stirs)
        if news:
            self.method_queue.defer(self._wake, conn, wait)

    def _wake(self, conn: Connection, wait: Wait) -> None:
        if conn.wait is wait and conn in self.waiting:
            conn.late_answer = None
            self._resume(conn)

    def _resume(self, conn: Connection) -> None:
        """With the answer from before, unless there is news."""
        self._stop_waiting(conn)
        self._end_wait(conn)
        conn.ask_again(conn.late_answer)
        conn.receive()
        self.woken.put(conn)

    def _stirs(self, conn: Connection) -> None:
        """Its client has left, or sends the next request already: then this one waits no longer."""
        if conn.wait is None:  # it went on after the poller had seen this, and waits for its next request by now
            return
        try:
            has_left = not conn.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            has_left = True
        if has_left:
            self._stop_waiting(conn)
            self._close(conn)
        else:
            self._resume(conn)

    def _end_wait(self, conn: Connection) -> None:
        if conn.wait:
            conn.wait.end()
            conn.wait = None

    def _wait(self, conn: Connection, readable: Callable[[Connection], None]) -> None:
        """In any thread."""
        try:
            self.poller.register(conn.sock, EVENT_READ, partial(self._when_readable, conn, readable))
        except (OSError, ValueError, KeyError, RuntimeError):
            # It is closed already, or the system has no more memory for it. RuntimeError: the poller looks for a closed
            # one among all others, and another thread has just added one of those.
            self.method_queue.defer(self._close, conn)
            return
        self.waiting[conn] = None
        if self.nr_conns >= self.worker_connections:  # the loop accepts none now, and there was none to close before
            self.method_queue.defer(self._make_room, conn)

    def _when_readable(self, conn: Connection, readable: Callable[[Connection], None], _: Any) -> None:
        if conn in self.waiting:  # else it was closed a moment ago, or its thread will have put it there in a moment
            readable(conn)

    def _stop_waiting(self, conn: Connection) -> None:
        del self.waiting[conn]
        self.poller.unregister(conn.sock)

    def _make_room(self, but: Connection | None = None) -> None:
        """Closes the connection that has waited longest for its client."""
        conn = next((each for each in list(self.waiting) if each is not but), None)
        if conn:
            self._stop_waiting(conn)
            self._close(conn)

    def _close(self, conn: Connection) -> None:
        self._end_wait(conn)
        self.nr_conns -= 1
        conn.close()
