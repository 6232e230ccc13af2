"""Receivers that answer, refuse, hang, reset, drip and fail by chance, and remember every send that reached them."""

import json
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Lock, Thread
from typing import BinaryIO, cast

from standardwebhooks import Webhook, WebhookVerificationError

from tests.fault.ports import steady_port
from tests.support.receiver import Behaviour, Line, Received, _read, answering, closing, dripping, raw, resetting
from tests.support.waiting import wait_until

HEALTHY, HANGING = "answers", "hangs"
SLOW = 0.3  # seconds
HANGS = 4.0  # seconds; longer than any deadline here, and no thread waits for ever


@dataclass
class Send:
    """A request that came in whole. `at` is the wall clock; `answered` the status whose headers went out whole."""

    receiver: str
    message_id: str
    timestamp: int
    lead: str  # the visitor's name: each post has its own
    body: bytes
    at: float
    fresh: bool  # whether it was the first on its connection
    fault: str  # why it is not what a receiver should get; empty where it is
    behaviour: str = ""
    answered: int | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What tells one try from another: the id and the time that were signed."""
        return self.message_id, self.timestamp


def _dripping_body() -> Behaviour:
    """The headers at once, then a body that never ends."""
    return dripping([b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n", *[b"."] * 40], 0.1)


def _dripping_head() -> Behaviour:
    return dripping([b"HTTP/1.1 200 OK\r\n", *[b"x-slow: 1\r\n"] * 40], 0.1)


# name: (how often, the status that goes out whole if any, what is done)
BEHAVIOURS: dict[str, tuple[int, int | None, Callable[[], Behaviour]]] = {
    HEALTHY: (44, 200, answering),
    "answers 204": (5, 204, lambda: answering(204)),
    "answers late": (20, 202, lambda: answering(202, b"accepted", delay=SLOW)),
    "answers and closes": (3, 200, lambda: answering(200, headers=[("connection", "close")])),
    "fails": (8, 500, lambda: answering(500, b"no")),
    "asks to wait": (3, 503, lambda: answering(503, headers=[("retry-after", "1")])),
    "declines": (3, 422, lambda: answering(422, b"what is this?")),
    HANGING: (3, None, lambda: raw(b"", delay=HANGS)),
    "drips its headers": (2, None, _dripping_head),
    "drips its body": (2, 200, _dripping_body),
    "resets": (4, None, resetting),
    "closes": (3, None, closing),
}


def _is_whole(request: Received) -> bool:
    """Whether its body came to the end: who is killed while sending leaves a part of one."""
    return len(request.body) == int(request.headers.get("content-length", "0"))


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    receiver: "ChanceReceiver"


class _Connection(StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.receiver.serve(self.request, cast(BinaryIO, self.rfile))


class ChanceReceiver:
    """One webhook's receiver; `secret` is the Shared Token it verifies with. What it does is drawn from the seed."""

    def __init__(self, name: str, secret: str, seed: str) -> None:
        self.name = name
        self.port = steady_port()
        self.url = f"http://127.0.0.1:{self.port}/{name}"
        self.sends: list[Send] = []
        self.in_flight = 0
        self.healthy = False
        self.hangs = False  # takes every request, and answers none
        self._webhook = Webhook(secret)
        self._random = random.Random(f"{seed}/{name}")
        self._lock = Lock()
        self._over = Event()
        self._open: set[socket.socket] = set()
        self._server: _Server | None = None

    def listen(self) -> None:
        """Takes connections (again); others may have been given the port for a moment."""
        if self._server is None:
            server = wait_until(self._bound, f"port {self.port} to be free")
            assert server
            server.receiver, self._server = self, server
            Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def refuse(self) -> None:
        """Ends all connections and takes no more until `listen`."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._over.set()
        self.refuse()
        wait_until(lambda: not self._open, f"the connections of {self.name} to end")

    def serve(self, sock: socket.socket, stream: BinaryIO) -> None:
        """Answers one connection until either side ends it."""
        with self._lock:
            self._open.add(sock)
        try:
            for number in count():
                request = _read(stream, number)
                if request is None or not _is_whole(request) or not self._exchange(request, sock):
                    break
        except (OSError, ValueError):
            pass  # the other side went away
        finally:
            with self._lock:
                self._open.discard(sock)

    def _bound(self) -> _Server | None:
        try:
            return _Server(("127.0.0.1", self.port), _Connection)
        except OSError:
            return None

    def _exchange(self, request: Received, sock: socket.socket) -> bool:
        send = self._send(request)
        with self._lock:
            names = list(BEHAVIOURS)
            weights = [BEHAVIOURS[name][0] for name in names]
            chosen = HEALTHY if self.healthy else self._random.choices(names, weights)[0]
            send.behaviour = HANGING if self.hangs else chosen
            self.sends.append(send)
            self.in_flight += 1
        try:
            _, send.answered, behave = BEHAVIOURS[send.behaviour]
            return behave()(Line(sock, self._over))
        finally:
            with self._lock:
                self.in_flight -= 1

    def _send(self, request: Received) -> Send:
        headers, lead, fault = request.headers, "", ""
        try:
            payload = self._webhook.verify(request.body, headers)
            lead = payload["data"]["lead"]["fields"]["name"]
        except (WebhookVerificationError, KeyError, json.JSONDecodeError) as error:
            fault = f"{type(error).__name__}: {error}"
        message_id, timestamp = headers.get("webhook-id", ""), int(headers.get("webhook-timestamp", "0"))
        fresh = request.connection == 0
        return Send(self.name, message_id, timestamp, lead, request.body, time.time(), fresh, fault)
