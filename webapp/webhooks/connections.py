"""Connections to receivers: in use with a deadline that nothing outlives, and idle between two uses."""

import os
import select
import socket
from contextlib import suppress
from math import inf
from threading import Event, Lock, Thread
from time import monotonic

from webapp.webhooks.outcome import Reply, read_reply

Key = tuple[int, bool, str, int]  # a connection serves one webhook and one origin
RECEIVE_BYTES = 16384


class Connection:
    """One connection, blocking, in use by one thread at a time; a Watch ends what takes too long.

    `heard`: whether the first byte of this answer has come. `expired`: whether time was up before the answer's end.
    """

    __slots__ = ("_poll", "expired", "heard", "idle_since", "key", "opened_at", "sock")

    def __init__(self, sock: socket.socket, key: Key) -> None:
        self.sock = sock
        self.key = key
        self.opened_at = self.idle_since = monotonic()
        self.heard = self.expired = False
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        sock.settimeout(None)

    def ask(self, request: bytes, max_body: int) -> Reply:
        """Sends and reads; an OSError or BadAnswer where no answer came, and `expired` tells if time was the reason."""
        self.heard = False
        # A receiver that refuses early (413) closes while we still send, and its answer may be there.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(request)
        return read_reply(self._receive, max_body)

    def _receive(self) -> bytes:
        received = self.sock.recv(RECEIVE_BYTES)
        if self.expired:  # what looks like the answer's end is our own doing
            raise TimeoutError
        self.heard = self.heard or bool(received)
        return received

    def expire(self) -> None:
        """Ends, from another thread, whatever the connection waits for."""
        self.expired = True
        # Not the method of SSLSocket, which takes the encryption off and would let the reader read on without it.
        with suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def is_quiet(self) -> bool:
        """Whether nothing has come since the last answer: an end, or bytes that would pass for the next answer."""
        return not self._poll.poll(0)

    def close(self) -> None:
        self.sock.close()


class Watch:
    """Expires connections at their deadlines, from one thread, which sleeps until the first of them.

    Socket time-outs would be per call, to be set anew before each, and let go of the interpreter twice as often: with
    128 threads that was a quarter of the processor time of a delivery. Here a deadline costs a dictionary entry.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everything: a forked process has neither this thread nor a right to its parent's connections."""
        self._deadlines: dict[Connection, float] = {}
        self._wakes_at = inf
        self._sooner = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def begin(self, connection: Connection, expires: float) -> None:
        """Watches a connection until `expires` (monotonic seconds) or `end`."""
        self._deadlines[connection] = expires
        if not self._thread:
            self._start()
        if expires < self._wakes_at:
            self._sooner.set()

    def end(self, connection: Connection) -> bool:
        """Whether the connection was still in time; either way it is left alone from now on."""
        if self._deadlines.pop(connection, None) is not None:
            return True
        with self._lock:  # held while it is shut down: closed meanwhile, its number could be another's by now
            return False

    def _start(self) -> None:
        with self._lock:
            if not self._thread:
                thread = Thread(target=self._run, name="deadlines", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            self._sooner.clear()
            self._wakes_at = inf  # whatever begins from here on, too late to be seen below, sets the event itself
            self._wakes_at = min(self._deadlines.copy().values(), default=inf)
            self._sooner.wait(None if self._wakes_at == inf else max(self._wakes_at - monotonic(), 0))
            now = monotonic()
            for connection, expires in self._deadlines.copy().items():
                if expires <= now:
                    self._expire(connection)

    def _expire(self, connection: Connection) -> None:
        with self._lock:
            if self._deadlines.pop(connection, None) is not None:
                connection.expire()


watch = Watch()
os.register_at_fork(after_in_child=watch.reset)


class IdleConnections:
    """Connections between two uses, the longest idle first; those too old or too many are closed as others come."""

    def __init__(self, max_idle: int, idle_seconds: float, age_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._age_seconds = age_seconds
        self._lock = Lock()
        self._stacks: dict[Key, list[Connection]] = {}
        self._order: dict[Connection, None] = {}
        self._max_idle = max_idle

    def take(self, key: Key) -> Connection | None:
        """A connection that can be used at once, and is the caller's from now on."""
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

    def give(self, connection: Connection) -> None:
        """Keeps a connection for its webhook's next delivery."""
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

    def _remove(self, connection: Connection) -> None:
        del self._order[connection]
        stack = self._stacks[connection.key]
        stack.remove(connection)
        if not stack:
            del self._stacks[connection.key]

    def _is_stale(self, connection: Connection, now: float) -> bool:
        return now - connection.idle_since > self._idle_seconds or now - connection.opened_at > self._age_seconds
