"""A real HTTP/1.1 receiver on a loopback port. It records all requests, and answers or misbehaves as configured.

with Receiver() as receiver:
    receiver.answer(status=500)                  # from now on
    receiver.queue(resetting(), answering(200))  # but these first, one request each
    ...
    [first, second] = receiver.wait_for(2)
"""

import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from threading import Condition, Event, Thread
from time import monotonic
from types import TracebackType
from typing import BinaryIO


@dataclass(frozen=True)
class Received:
    """A received request. `headers` by lower-case name; `at` is monotonic time; `connection` counts from 1."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int


@dataclass(frozen=True)
class Line:
    """The connection to the sender. `over` is set when the receiver closes; behaviours wait for it and do not sleep."""

    sock: socket.socket
    over: Event


# Answers one request. Returns whether the connection stays open.
Behaviour = Callable[[Line], bool]


def answering(
    status: int = 200, body: bytes = b"", headers: Iterable[tuple[str, str]] = (), delay: float = 0
) -> Behaviour:
    """A normal response after `delay` seconds. Adds Content-Length unless `headers` give the length of the body."""
    headers = list(headers)
    names = {name.lower() for name, _ in headers}
    if not names & {"content-length", "transfer-encoding"} and status not in (204, 304):
        headers.append(("content-length", str(len(body))))
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *[f"{name}: {value}" for name, value in headers], "", ""]
    keeps = not any(name.lower() == "connection" and value.lower() == "close" for name, value in headers)
    return raw("\r\n".join(lines).encode("latin-1") + body, keep_open=keeps, delay=delay)


def raw(answer: bytes, keep_open: bool = False, delay: float = 0) -> Behaviour:
    """Sends these bytes unchanged."""

    def behave(line: Line) -> bool:
        line.over.wait(delay)
        line.sock.sendall(answer)
        return keep_open

    return behave


def dripping(pieces: Iterable[bytes], interval: float) -> Behaviour:
    """Sends the pieces (there may be infinitely many) with a pause after each, then closes."""

    def behave(line: Line) -> bool:
        for piece in pieces:
            line.sock.sendall(piece)
            if line.over.wait(interval):
                break
        return False

    return behave


def hanging(first: bytes = b"") -> Behaviour:
    """Sends `first`, then nothing, and keeps the connection open."""

    def behave(line: Line) -> bool:
        line.sock.sendall(first)
        line.over.wait()
        return False

    return behave


def resetting(first: bytes = b"") -> Behaviour:
    """Sends `first`, then resets the connection (RST)."""

    def behave(line: Line) -> bool:
        line.sock.sendall(first)
        line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return behave


def closing() -> Behaviour:
    """Closes without an answer."""
    return raw(b"")


def free_port() -> int:
    """A free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Receiver:
    """The server, a context manager. Thread-safe. `requests` grows as requests arrive."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self._tls = tls
        self._changed = Condition()
        self._over = Event()
        self._standing = answering()
        self._queued: deque[Behaviour] = deque()
        self._open: set[socket.socket] = set()
        self._threads: list[Thread] = []
        six = ":" in host
        family = socket.AF_INET6 if six else socket.AF_INET
        self._server = socket.create_server((host, 0), family=family, backlog=256)
        self.port = int(self._server.getsockname()[1])
        self.origin = f"{'https' if tls else 'http'}://{f'[{host}]' if six else host}:{self.port}"
        self.url = f"{self.origin}/hook"
        self._start(self._accept)

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def answer(
        self, status: int = 200, body: bytes = b"", headers: Iterable[tuple[str, str]] = (), delay: float = 0
    ) -> None:
        """From now on, answers like this when no behaviour is queued."""
        self.behave(answering(status, body, headers, delay))

    def behave(self, behaviour: Behaviour) -> None:
        """From now on, behaves like this when no behaviour is queued."""
        with self._changed:
            self._standing = behaviour

    def queue(self, *behaviours: Behaviour) -> None:
        """Uses each of these behaviours for one request, before the permanent one."""
        with self._changed:
            self._queued.extend(behaviours)

    def wait_for(self, number: int, timeout: float = 10) -> list[Received]:
        """All requests so far, once there are `number`. AssertionError if they do not arrive in time."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.requests) >= number, timeout)
            assert came, f"{len(self.requests)} of {number} requests came within {timeout} s"
            return list(self.requests)

    def clear(self) -> None:
        """Forgets the requests so far."""
        with self._changed:
            self.requests.clear()

    def drop_connections(self) -> None:
        """Closes every connection, as receivers do with idle connections."""
        with self._changed:
            for sock in self._open:
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends all connections and threads. From now on the port refuses connections."""
        self._over.set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            for number in count(1):
                sock, _ = self._server.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections = number
                self._start(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            with self._changed:
                self._open.add(sock)
            if self._tls:
                plain, sock = sock, self._tls.wrap_socket(sock, server_side=True)
                with self._changed:
                    self._open.discard(plain)
                    self._open.add(sock)
            with sock.makefile("rb") as stream:
                while not self._over.is_set() and self._exchange(sock, stream, number):
                    pass
        except (OSError, ValueError):
            pass  # the sender disconnected, or did not trust our certificate
        finally:
            with self._changed:
                self._open.discard(sock)
            sock.close()

    def _exchange(self, sock: socket.socket, stream: BinaryIO, number: int) -> bool:
        request = _read(stream, number)
        if request is None:
            return False
        with self._changed:
            self.requests.append(request)
            behaviour = self._queued.popleft() if self._queued else self._standing
            self._changed.notify_all()
        return behaviour(Line(sock, self._over))


def _read(stream: BinaryIO, number: int) -> Received | None:
    first = stream.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Received(first[0], first[1], headers, body, monotonic(), number)
