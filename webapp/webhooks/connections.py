"""Connections to receivers: with a strict deadline while in use, and kept for reuse while idle."""

import os
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf
from threading import Event, Lock, Thread
from time import monotonic

from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.outcome import read_response
from webapp.webhooks.response import HttpResponse

# Webhook id, TLS, host, port, client certificate: no connection is shared between webhooks or certificates.
Key = tuple[int, bool, str, int, ClientCertificate | None]
RECEIVE_BYTES = 16384  # the most that a TLS record holds
SILENCE = 2.0  # seconds without a byte after which an answer whose headers are there is not read any further
DISTRUST = 600.0  # seconds without kept connections for a webhook whose receiver sent bytes that belong to no answer
MOST_DISTRUSTED = 1024


# A receiver that refuses early (413) closes while we still send; its response may already be there to read. One that
# refuses our TLS certificate has sent an alert.
CLOSED_EARLY = suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)


def after(ahead: Iterator[bytes], receive: Callable[[], bytes]) -> Callable[[], bytes]:
    """Returns these pieces, one at a time, and then what `receive` does."""

    def replay() -> bytes:
        for piece in ahead:
            return piece
        return receive()

    return replay


class HttpConnection:
    """A blocking connection, used by one thread at a time. A Watch ends a request that takes too long.

    `has_sent`: something of the current request may have left. `has_received`: the first byte of the current response
    has arrived. `expired`: the deadline, or `silent_at`, passed before the response was complete. `unsent`: what of the
    request is still to be written. `pieces`: what was read without waiting, of a response that is not whole.
    """

    __slots__ = (
        *("_poll", "expired", "has_received", "has_sent", "idle_since", "key", "opened_at", "pieces", "silent_at"),
        *("sock", "unsent"),
    )

    def __init__(self, sock: socket.socket, key: Key) -> None:
        self.sock = sock
        self.key = key
        self.opened_at = self.idle_since = monotonic()
        self.has_received = self.has_sent = self.expired = False
        self.silent_at = inf
        self.begin(b"")
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        sock.settimeout(None)

    def begin(self, request: bytes) -> None:
        """Sets a request, of which nothing is written yet. Then call `answer`, or see exchanges.py."""
        self.unsent = request
        self.pieces: list[bytes] = []
        self.has_received = False
        # Where the first call fails, nothing has left; but of several TLS records some may have.
        self.has_sent = self.key[1] and len(request) > RECEIVE_BYTES

    def answer(self, max_body: int) -> HttpResponse:
        """Writes what is left of the request, and reads its response.

        OSError or BadResponse if there is none; `expired` then tells whether the deadline was the reason.
        """
        if self.unsent:
            request, self.unsent = self.unsent, b""
            with CLOSED_EARLY:
                sent = self.sock.send(request)
                self.has_sent = True
                if sent < len(request):
                    self.sock.sendall(request[sent:])
        if not self.pieces:
            return read_response(self._receive, max_body, self._receive_body)
        ahead = iter(self.pieces)
        return read_response(after(ahead, self._receive), max_body, after(ahead, self._receive_body))

    def _receive(self) -> bytes:
        return self.received(self.sock.recv(RECEIVE_BYTES))

    def received(self, received: bytes) -> bytes:
        """These bytes, which were just read; TimeoutError if the connection ended because its time was over."""
        if self.expired:  # the connection looks closed by the receiver, but `expire` closed it
            raise TimeoutError
        self.has_received = self.has_received or bool(received)
        return received

    def _receive_body(self) -> bytes:
        watch.hasten(self, monotonic() + SILENCE)
        return self._receive()

    def expire(self) -> None:
        """Ends any wait on the connection. Called from another thread."""
        self.expired = True
        # SSLSocket.shutdown would drop the TLS layer, and the reader would continue on the raw socket.
        with suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def is_quiet(self) -> bool:
        """Whether nothing has arrived since the last response: no close, and no bytes of a next response."""
        return not self._poll.poll(0)

    def holds_bytes(self) -> bool:
        """Whether bytes arrived that belong to no response. Only for a connection that is not used any more.

        A 408 does not count: receivers send it before they close a connection that was idle for too long.
        """
        self.sock.settimeout(0)
        try:
            received = self.sock.recv(12)
        except OSError:  # closed; or TLS had something to say that is no data
            return False
        return bool(received) and not (received.startswith(b"HTTP/1.") and received.endswith(b" 408"))

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
        connection.silent_at = inf
        self._deadlines[connection] = expires
        if not self._thread:
            self._start()
        if expires < self._wakes_at:
            self._wake.set()

    def hasten(self, connection: HttpConnection, until: float) -> None:
        """Expires a connection that is watched at `until` already, if it is not hastened again or ended before.

        The time is stored in the connection: in the dictionary it could come after `_expire` has taken the entry out.
        """
        connection.silent_at = until
        if until < self._wakes_at:
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
            # While anything is watched, it looks every SILENCE seconds, so that no `hasten` has to wake it: what falls
            # silent after this look is not over before the next one.
            watched, latest = self._deadlines.copy().items(), monotonic() + SILENCE
            self._wakes_at = min((min(expires, one.silent_at, latest) for one, expires in watched), default=inf)
            self._wake.wait(None if self._wakes_at == inf else max(self._wakes_at - monotonic(), 0))
            now = monotonic()
            for connection, expires in self._deadlines.copy().items():
                if expires <= now or connection.silent_at <= now:
                    self._expire(connection)

    def _expire(self, connection: HttpConnection) -> None:
        with self._lock:
            if self._deadlines.pop(connection, None) is not None:
                connection.expire()


watch = Watch()
os.register_at_fork(after_in_child=watch.reset)


class IdleConnections:
    """Connections kept for reuse. Each `give` closes those that are too old, idle for too long, or too many.

    A webhook is *distrusted* after bytes came that belong to no answer: the next such bytes could come while a lead is
    sent, which then had to be sent twice. Its connections are not kept for some minutes.
    """

    def __init__(self, max_idle: int, idle_seconds: float, age_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._age_seconds = age_seconds
        self._lock = Lock()
        self._stacks: dict[Key, list[HttpConnection]] = {}
        self._order: dict[HttpConnection, None] = {}
        self._max_idle = max_idle
        self._distrusted: dict[Key, float] = {}

    def take(self, key: Key) -> HttpConnection | None:
        """Returns a usable connection, which then belongs to the caller; None if there is none."""
        while True:
            with self._lock:
                stack = self._stacks.get(key)
                if not stack:
                    return None
                connection = stack[-1]
                self._remove(connection)
            if not self._is_stale(connection, monotonic()):
                if connection.is_quiet():
                    return connection
                if connection.holds_bytes():
                    self.distrust(key)
            connection.close()

    def give(self, connection: HttpConnection) -> None:
        """Keeps a connection for the next delivery of its webhook."""
        now = connection.idle_since = monotonic()
        with self._lock:  # `distrust` closes what is there, so this must not have looked before it
            if self._distrusted and self._distrusted.get(connection.key, 0.0) > now:
                connection.close()
                return
            self._stacks.setdefault(connection.key, []).append(connection)
            self._order[connection] = None
            while self._order and (len(self._order) > self._max_idle or self._is_stale(next(iter(self._order)), now)):
                self._discard_longest_idle()

    def distrust(self, key: Key) -> None:
        """Keeps no connections of this webhook for DISTRUST seconds, and closes those that wait."""
        with self._lock:
            self._distrusted.pop(key, None)
            self._distrusted[key] = monotonic() + DISTRUST
            if len(self._distrusted) > MOST_DISTRUSTED:
                del self._distrusted[next(iter(self._distrusted))]
            for connection in self._stacks.get(key, [])[:]:
                self._remove(connection)
                connection.close()

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
