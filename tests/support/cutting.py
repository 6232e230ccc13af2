"""A receiver that cuts connections at every stage of a request, and counts every request that reached it.

What can be counted exactly, and is: a request is *whole* once the receiver's application has read its last byte, and
*begun* if its first byte reached the receiver's machine, but the application cut the connection before it had read all
of it. The sender cannot tell the two apart, so both must be on record. A request that was still on its way when the
receiver reset the connection reached no one and can be counted by no one: so this receiver resets a connection only
while a request is there, and where it closes after an answer it goes on reading, to see what was under way.
"""

import random
import select
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread
from typing import NamedTuple

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\naccepted"
HEAD = len(ANSWER) - 8
NOTHING, PART, WHOLE = "nothing", "part", "whole"
KEEP, FIN, RST = "keep", "FIN", "RST"


class Stage(NamedTuple):
    """How much of the request is read, how many bytes of the answer are sent, and how the connection ends then."""

    reads: str
    sends: int
    end: str


ANSWERS = Stage(WHOLE, len(ANSWER), KEEP)
_READ_AND_SENT = ((NOTHING, 0), (PART, 0), (WHOLE, 0), (WHOLE, 12), (WHOLE, HEAD), (WHOLE, HEAD + 3))
_CUT = [Stage(reads, sends, end) for reads, sends in _READ_AND_SENT for end in (FIN, RST)]
CUTS = (*_CUT, Stage(WHOLE, len(ANSWER), FIN))


class Cutter:
    """The receiver. `whole`: the requests read to the end, by webhook-id. `begun`: how many others began to arrive."""

    def __init__(self, tls: ssl.SSLContext | None = None, seed: int = 1, every: float = 0.4) -> None:
        self.whole: Counter[str] = Counter()
        self.begun = 0
        self.stages: Counter[Stage] = Counter()
        self._tls, self._every, self._random, self._lock = tls, every, random.Random(seed), Lock()
        self._threads: list[Thread] = []
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.getsockname()[1]}/"

    @property
    def requests(self) -> int:
        """All that arrived, in part or whole."""
        return self.whole.total() + self.begun

    def serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                sock, _ = self._server.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = Thread(target=self._connection, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Takes no more connections, and waits until those that are open are closed by the sender."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _connection(self, sock: socket.socket) -> None:
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            while self._request(sock):
                pass
        except OSError:
            pass  # the sender closed it
        finally:
            sock.close()

    def _request(self, sock: socket.socket) -> bool:
        """Whether the connection stays open after the next request."""
        wait = select.poll()  # not select(): this process may have opened more than 1024 files
        wait.register(sock, select.POLLIN)
        wait.poll()
        if not self._tls and not sock.recv(1, socket.MSG_PEEK):
            return False
        with self._lock:
            stage = self._random.choice(CUTS) if self._random.random() < self._every else ANSWERS
        if not self._read(sock, stage):
            return False
        sock.sendall(ANSWER[: stage.sends])
        if stage.end == RST:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif stage.end == FIN:
            socket.socket.shutdown(sock, socket.SHUT_WR)
            self._read_on(sock, counts=stage.reads == WHOLE)
        return stage.end == KEEP

    def _read(self, sock: socket.socket, stage: Stage) -> bool:
        """Reads what the stage says and counts the request; False if the sender has closed the connection instead."""
        if stage.reads == NOTHING and not self._tls:
            self._count(stage, "")
            return True
        received = sock.recv(10)
        if not received:
            return False
        if stage.reads != WHOLE:  # of an encrypted connection only reading tells whether a request or its end arrived
            self._count(stage, "")
            return True
        while b"\r\n\r\n" not in received:
            received += self._more(sock)
        head, _, body = received.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
        while len(body) < int(fields["content-length"]):
            body += self._more(sock)
        self._count(stage, fields["webhook-id"])
        return True

    def _more(self, sock: socket.socket) -> bytes:
        more = sock.recv(65536)
        if not more:
            raise ConnectionResetError
        return more

    def _read_on(self, sock: socket.socket, counts: bool) -> None:
        """Until the sender closes. After a whole request, more bytes are another one, which was under way."""
        under_way = False
        with suppress(OSError):
            while sock.recv(65536):
                under_way = True
        if under_way and counts:
            with self._lock:
                self.begun += 1

    def _count(self, stage: Stage, message_id: str) -> None:
        with self._lock:
            self.stages[stage] += 1
            if message_id:
                self.whole[message_id] += 1
            else:
                self.begun += 1


@contextmanager
def cutting(tls: ssl.SSLContext | None = None, seed: int = 1, every: float = 0.4) -> Iterator[Cutter]:
    """A Cutter that serves and cuts a request with the chance `every`, until the sender has closed its connections."""
    cutter = Cutter(tls, seed, every)
    serving = Thread(target=cutter.serve, daemon=True)
    serving.start()
    try:
        yield cutter
    finally:
        with suppress(OSError):
            cutter.close()
        serving.join(5)
