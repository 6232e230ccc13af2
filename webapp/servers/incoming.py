"""What a client has sent of its request so far: whether a thread may begin with it, and until when more must come."""

import re
import socket
import struct
import time
from enum import Enum, auto
from typing import Any

from gunicorn import http
from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

PATIENCE = 10.0  # seconds for the head of a request; and for its body, besides what LEAST_RATE gives it
LEAST_RATE = 4096  # bytes a second that a body must bring
BUFFER = 64 * 1024  # bytes of a request that wait in memory until all of it is there
PIECE = 16 * 1024

# The end of a head. gunicorn refuses a line that ends with a line feed alone, so it need not see the rest.
_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]{0,18})")


class Arrival(Enum):
    WAITS = auto()  # more must come
    WHOLE = auto()  # it is all there; or gunicorn will refuse it, or find that the client has left
    LARGE = auto()  # a thread must read the rest
    GONE = auto()  # the client left without a request


def body_length(head: bytes) -> int | None:
    """The bytes of the body that follows this head. None if they are not known: a body in chunks, or a client that
    waits for "100 Continue" before it sends any."""
    head = head.lower()
    if b"\r\ntransfer-encoding:" in head or b"\r\nexpect:" in head:
        return None
    found = _LENGTH.search(head)
    return int(found[1] or b"0") if found else 0


class Reader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Where gunicorn reads a request: first what has come, then from the socket, as long as it comes at LEAST_RATE."""

    def begin(self, received: bytes) -> None:
        self._begun_at: float | None = None  # a thread's wait for the processor or a place does not count
        self._read = 0
        self.unread(received)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """NoMoreData if the client is too slow, as if it had left. Shorter time-outs of the socket hold, too."""
        now = time.monotonic()
        self._begun_at = self._begun_at or now
        left = self._begun_at + PATIENCE + self._read / LEAST_RATE - now
        if left <= 0:
            raise NoMoreData
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time_value(left))
        try:
            piece: bytes = super().chunk(size_hint)
        except (BlockingIOError, TimeoutError):
            raise NoMoreData from None
        self._read += len(piece)
        return piece


class Connection(TConn):  # type: ignore[misc]
    """A client's connection. `timeout`: when to give up what it waits for, by time.monotonic()."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.parser = http.get_parser(cfg, sock, client)
        self.parser.unreader = self.reader = Reader(sock)
        self.data_ready = True  # gunicorn's threads need not wait for the first byte
        self.is_large = self.is_closing = False
        self.discarded = 0
        self.begin()

    def begin(self, early: bytes = b"") -> None:
        """A new request. `early`: what the client has sent of it before the last one was answered."""
        self._received = bytearray(early)
        self._head = self._needs = 0  # bytes of the head, and of all; 0 while not known
        self._is_unknown = False
        self._begun_at = time.monotonic()
        self.timeout = self._begun_at + PATIENCE

    @property
    def is_empty(self) -> bool:
        return not self._received

    def receive(self) -> Arrival:
        """Takes what has come, without waiting."""
        try:
            piece = self.sock.recv(PIECE)
        except BlockingIOError:
            return Arrival.WAITS
        except OSError:
            return Arrival.GONE
        if not piece:
            return Arrival.WHOLE if self._received else Arrival.GONE
        searched = max(len(self._received) - 3, 0)
        self._received += piece
        return self.judge(searched)

    def judge(self, searched: int = 0) -> Arrival:
        """Whether enough is there. `searched`: where the end of the head may begin at the earliest."""
        if not self._head and not self._find_head(searched):
            return Arrival.LARGE if len(self._received) >= BUFFER else Arrival.WAITS
        if self._is_unknown:
            return Arrival.LARGE
        if len(self._received) >= self._needs:
            return Arrival.WHOLE
        if len(self._received) >= BUFFER:
            return Arrival.LARGE
        self.timeout = self._begun_at + PATIENCE + (len(self._received) - self._head) / LEAST_RATE
        return Arrival.WAITS

    def _find_head(self, searched: int) -> bool:
        found = _END.search(self._received, searched)
        if found is None:
            return False
        self._head = found.end()
        self._begun_at = time.monotonic()
        length = body_length(bytes(self._received[: self._head])) if found[0] != b"\n" else 0
        self._is_unknown = length is None
        self._needs = self._head + (length or 0)
        return True

    def hand_over(self, is_large: bool) -> None:
        """To a thread."""
        self.is_large = is_large
        self.reader.begin(bytes(self._received))
        self._received.clear()

    def leftover(self) -> bytes:
        """What the client sent after the request that was answered."""
        return bytes(self.reader.take_buffered())


def time_value(seconds: float) -> bytes:
    """A struct timeval; never 0, which means no limit."""
    whole = int(seconds)
    return struct.pack("ll", whole, max(int((seconds - whole) * 1_000_000), 1000))
