"""Posts and views of forms over kept-alive connections: one thread writes prepared bytes, so that it costs little."""

import gc
import json
import random
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.bench.lead import ANSWERS, BROWSER, TRACKED

PATIENCE = 60.0  # seconds without an answer
HEADERS = f"user-agent: {BROWSER}\r\naccept-language: en\r\n"


def form_posts(paths: Sequence[str], count: int, accept: str = "application/json") -> list[bytes]:
    """So many submitted forms, round the paths, each by another visitor with other answers and another address."""
    return [_post(paths[number % len(paths)], number, accept) for number in range(count)]


def _post(path: str, number: int, accept: str) -> bytes:
    answers = {
        **ANSWERS,
        "email": f"ada.{number}@example.com",
        "phone": f"+44207946{number % 10000:04}",
        "message": f"{ANSWERS['message']} ({number})",
    }
    body = urlencode(answers | TRACKED).encode()
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{HEADERS}accept: {accept}\r\nx-forwarded-for: {address}\r\n"
        f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def views(path: str, count: int) -> list[bytes]:
    """So many first views of a form."""
    return [f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{HEADERS}accept: text/html\r\n\r\n".encode()] * count


def at_random(rate: float, seconds: float, seed: int) -> list[float]:
    """When visitors come (Poisson), in seconds from the beginning; the same for the same seed."""
    chance, at, found = random.Random(seed), 0.0, []
    while (at := at + chance.expovariate(rate)) < seconds:
        found.append(at)
    return found


@dataclass
class Sent:
    """What came of it. `due` (CLOCK_MONOTONIC) and `bodies` are by request, in their order."""

    began: float
    ended: float
    statuses: Counter[int]
    due: list[float]
    bodies: list[bytes]

    def expect(self, *statuses: int) -> None:
        found = sum(self.statuses[status] for status in statuses)
        assert found == len(self.due), f"answers by status: {dict(self.statuses)}"

    def lead_ids(self) -> list[str]:
        return [str(json.loads(body)["id"]) for body in self.bodies]


def send(port: int, requests: Sequence[bytes], connections: int = 16, times: Sequence[float] = ()) -> Sent:
    """Sends all of them, each connection the next one as soon as it was answered.

    With `times` no request is sent before its time, and `due` is that time, also where all connections were busy.
    """
    sender = _Sender(port, requests, times)
    with _no_garbage():
        return sender.run(connections)


@contextmanager
def _no_garbage() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(eq=False)
class _Line:
    """A connection. `number` is the request it waits for; -1: none."""

    sock: socket.socket
    number: int = -1
    buffer: bytearray = field(default_factory=bytearray)


class _Sender:
    def __init__(self, port: int, requests: Sequence[bytes], times: Sequence[float]) -> None:
        self.port, self.requests, self.times = port, requests, times
        self.selector = selectors.DefaultSelector()
        self.idle: deque[_Line] = deque()
        self.next = self.answered = 0
        self.statuses: Counter[int] = Counter()
        self.due = [0.0] * len(requests)
        self.bodies = [b""] * len(requests)

    def run(self, connections: int) -> Sent:
        self.began = self.answered_at = time.monotonic()
        for _ in range(connections):
            self._connect()
        while self.answered < len(self.requests):
            ready = self.selector.select(min(self._send_due(), PATIENCE))
            silent = self.next > self.answered and time.monotonic() > self.answered_at + PATIENCE
            assert not silent, f"{len(self.requests) - self.answered} requests were not answered"
            for key, _ in ready:
                self._read(key.data)
        ended = time.monotonic()
        for key in list(self.selector.get_map().values()):
            key.data.sock.close()
        self.selector.close()
        return Sent(self.began, ended, self.statuses, self.due, self.bodies)

    def _connect(self) -> None:
        line = _Line(socket.create_connection(("127.0.0.1", self.port), timeout=60))
        line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(line.sock, selectors.EVENT_READ, line)
        self.idle.append(line)

    def _send_due(self) -> float:
        """Sends what may be sent now; the seconds until the next one may be."""
        while self.idle and self.next < len(self.requests):
            now = time.monotonic()
            at = self.began + self.times[self.next] if self.times else now
            if at > now:
                return at - now
            line = self.idle.popleft()
            line.number, self.due[self.next] = self.next, at
            line.sock.sendall(self.requests[self.next])
            self.next += 1
        return PATIENCE

    def _read(self, line: _Line) -> None:
        received = line.sock.recv(65536)
        line.buffer += received
        head, found, body = line.buffer.partition(b"\r\n\r\n")
        if not received:
            self._end(line, 0 if line.number >= 0 else None)
        elif found and len(body) >= _length(head):
            self.bodies[line.number] = bytes(body)
            line.buffer.clear()
            if b"connection: close" in head.lower():
                self._end(line, int(head[9:12]))
            else:
                self._answered(line, int(head[9:12]))
                self.idle.append(line)

    def _answered(self, line: _Line, status: int) -> None:
        self.statuses[status] += 1
        self.answered += 1
        if status:
            self.answered_at = time.monotonic()
        line.number = -1

    def _end(self, line: _Line, status: int | None) -> None:
        """The server closed it: another one takes its place. Status 0 is an answer that never came."""
        if status is not None:
            self._answered(line, status)
        if line in self.idle:
            self.idle.remove(line)
        self.selector.unregister(line.sock)
        line.sock.close()
        self._connect()


def _length(head: bytearray) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
