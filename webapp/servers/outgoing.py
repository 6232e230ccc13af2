"""What a client has read of its answer: how long a thread waits for it."""

import fcntl
import socket
import struct
import termios
import time
from contextlib import suppress

from webapp.servers.waits import EarlierAnswer

PATIENCE = 10.0  # seconds that a client may keep us waiting during one answer, besides what LEAST_RATE gives it
LEAST_RATE = 4096  # bytes a second that a client must read


class AnswerSocket(socket.socket):
    """The socket of a client. The time limit is one for the whole answer, however many pieces it has."""

    has_waited: bool | None = None  # whether the request has waited for news; None: it cannot
    late_answer: EarlierAnswer | None = None  # the answer of a request that waited in vain

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self._maybe_unread = 0
        self.begin_answer()

    def begin_answer(self) -> None:
        self._sent, self._waited = 0, 0.0

    def sendall(self, data: bytes, flags: int = 0) -> None:  # type: ignore[override]  # gunicorn gives bytes
        """BlockingIOError once the client has kept us waiting too long."""
        rest = memoryview(data)
        while True:
            try:
                sent = self.send(rest, flags | socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = self._send_later(rest, flags)
            self._sent += sent
            self._maybe_unread += sent
            if sent == len(rest):
                return
            rest = rest[sent:]

    def unread(self, enough: int = 0) -> int:
        """Bytes that we sent and that have not left: the client reads nothing, or its network is slow. The system is
        asked only where there may be more than `enough`."""
        if self._maybe_unread > enough:
            self._maybe_unread = 0
            with suppress(OSError):
                self._maybe_unread = struct.unpack("i", fcntl.ioctl(self, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        return self._maybe_unread

    def setblocking(self, flag: bool) -> None:
        """A call to the system only where it changes something: gunicorn asks for it with each request."""
        if flag != self.getblocking():
            super().setblocking(flag)

    def _send_later(self, data: memoryview, flags: int) -> int:
        began = time.monotonic()
        left = PATIENCE + max(self._sent - self.unread(), 0) / LEAST_RATE - self._waited
        if left <= 0:
            raise BlockingIOError
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, time_value(left))
        try:
            return self.send(data, flags)
        finally:
            self._waited += time.monotonic() - began


def time_value(seconds: float) -> bytes:
    """A struct timeval; never 0, which means no limit."""
    whole = int(seconds)
    return struct.pack("ll", whole, max(int((seconds - whole) * 1_000_000), 1000))
