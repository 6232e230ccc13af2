"""Connections to receivers: with a strict deadline while in use, and kept for reuse while idle."""

import os
import select
import socket
import ssl
from contextlib import suppress
from math import inf
from threading import Event, Lock, Thread
from time import monotonic

from webapp.webhooks.outcome import HttpResponse, read_response

Key = tuple[int, bool, str, int]  # webhook id, TLS, host, port: a connection is never shared between webhooks
RECEIVE_BYTES = 16384


class HttpConnection:
    """A blocking connection, used by one thread at a time. A Watch ends a request that takes too long.

    `has_received`: the first byte of the current response has arrived. `expired`: the deadline passed before the
    response was complete.
    """

    __slots__ = ("_poll", "expired", "has_received", "idle_since", "key", "opened_at", "sock")

    def __init__(self, sock: socket.socket, key: Key) -> None:
        self.sock = sock
        self.key = key
        self.opened_at = self.idle_since = monotonic()
        self.has_received = self.expired = False
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        sock.settimeout(None)

    def exchange(self, request: bytes, max_body: int) -> HttpResponse:
        """Sends a request and reads its response.

        OSError or BadResponse if there is none; `expired` then tells whether the deadline was the reason.
        """
        self.has_received = False
        # A receiver that refuses early (413) closes while we still send; its response may already be there to read.
        # One that refuses our TLS certificate has sent an alert.
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            self.sock.sendall(request)
        return read_response(self._receive, max_body)

    def _receive(self) -> bytes:
        received = self.sock.recv(RECEIVE_BYTES)
        if self.expired:  # the connection looks closed by the receiver, but `expire` closed it
            raise TimeoutError
        self.has_received = self.has_received or bool(received)
        return received

    def expire(self) -> None:
        """Ends any wait on the connection. Called from another thread."""
        self.expired = True
        # SSLSocket.shutdown would drop the TLS layer, and the reader would continue on the raw socket.
        with suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def is_quiet(self) -> bool:
        """Whether nothing has arrived since the last response: no close, and no bytes of a next response."""
        return not self._poll.poll(0)

    def close(self) -> None:
        self.sock.close()


class Watch:
    """Expires connections at their deadlines, from one thread that sleeps until the earliest.

    Socket timeouts apply to single calls: they must be set before each call, and they release the interpreter twice as
    often. With 128 threads that was a quarter of the processor time of a delivery. Here a deadline costs one dictionary
    entry.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everything. A forked process lacks this thread, and must not touch its parent's connections."""
        self._deadlines: dict[HttpConnection, float] = {}
        self._wakes_at = inf
        self._wake = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def begin(self, connection: HttpConnection, expires: float) -> None:
        """Watches a connection until `expires` (monotonic seconds) or until `end`."""
        self._deadlines[connection] = expires
        if not self._thread:
            self._start()
        if expires < self._wakes_at:
            self._wake.set()

    def end(self, connection: HttpConnection) -> bool:
        """Stops watching a connection; returns whether the deadline had not passed yet."""
        if self._deadlines.pop(connection, None) is not None:
            return True
        # Waits until `_expire` is done. Else the caller could close the socket first, and the shutdown would hit a new
        # connection that was given the same file descriptor.
        with self._lock:
            return False

    def _start(self) -> None:
        with self._lock:
            if not self._thread:
                thread = Thread(target=self._run, name="deadlines", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            self._wake.clear()
            self._wakes_at = inf  # a connection added after the copy below sets the event itself
            self._wakes_at = min(self._deadlines.copy().values(), default=inf)
            self._wake.wait(None if self._wakes_at == inf else max(self._wakes_at - monotonic(), 0))
            now = monotonic()
            for connection, expires in self._deadlines.copy().items():
                if expires <= now:
                    self._expire(connection)

    def _expire(self, connection: HttpConnection) -> None:
        with self._lock:
            if self._deadlines.pop(connection, None) is not None:
                connection.expire()


watch = Watch()
os.register_at_fork(after_in_child=watch.reset)


class IdleConnections:
    """Connections kept for reuse. Each `give` closes those that are too old, idle for too long, or too many."""

    def __init__(self, max_idle: int, idle_seconds: float, age_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._age_seconds = age_seconds
        self._lock = Lock()
        self._stacks: dict[Key, list[HttpConnection]] = {}
        self._order: dict[HttpConnection, None] = {}
        self._max_idle = max_idle

    def take(self, key: Key) -> HttpConnection | None:
        """Returns a usable connection, which then belongs to the caller; None if there is none."""
        while True:
            with self._lock:
                stack = self._stacks.get(key)
                if not stack:
                    return None
                connection = stack[-1]
                self._remove(connection)
            if not self._is_stale(connection, monotonic()) and connection.is_quiet():
                return connection
            connection.close()

    def give(self, connection: HttpConnection) -> None:
        """Keeps a connection for the next delivery of its webhook."""
        now = connection.idle_since = monotonic()
        with self._lock:
            self._stacks.setdefault(connection.key, []).append(connection)
            self._order[connection] = None
            while self._order and (len(self._order) > self._max_idle or self._is_stale(next(iter(self._order)), now)):
                self._discard_longest_idle()

    def close(self) -> None:
        with self._lock:
            self._max_idle = 0
            while self._order:
                self._discard_longest_idle()

    def _discard_longest_idle(self) -> None:
        connection = next(iter(self._order))
        self._remove(connection)
        connection.close()

    def _remove(self, connection: HttpConnection) -> None:
        del self._order[connection]
        stack = self._stacks[connection.key]
        stack.remove(connection)
        if not stack:
            del self._stacks[connection.key]

    def _is_stale(self, connection: HttpConnection, now: float) -> bool:
        return now - connection.idle_since > self._idle_seconds or now - connection.opened_at > self._age_seconds
