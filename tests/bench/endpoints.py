"""Receivers that measure and receivers that misbehave: one asyncio server, each in a process of its own.

By the first part of the path: /measure notes when a request was complete and answers 200, /fail answers 500, /slow
answers 200 after a second (/slow-10 after ten), /hang takes the request and never answers, /hang-some does so with the
first of each five and answers the others 200, /drop answers 200, but ends the connection after reading every 20th
request.
"""

import asyncio
import json
import os
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.request import urlopen

from tests.bench.machine import python, running
from tests.support.receiver import free_port
from tests.support.waiting import wait_until

DROPS = 20  # of so many requests at /drop one gets no answer


class Arrival(NamedTuple):
    """One request at /measure: complete at `at` (CLOCK_MONOTONIC, which all processes of a machine share)."""

    message_id: str
    at: float
    timestamp: str
    signature: str
    body: str

    @property
    def lead_id(self) -> str:
        return str(json.loads(self.body)["data"]["lead"]["id"])


class Server(asyncio.Protocol):
    """One connection. State of all of them stands on the class: a process serves one scenario."""

    arrivals: ClassVar[list[Arrival]] = []
    received: ClassVar[int] = 0  # requests at /measure
    waiting: ClassVar[set["Server"]] = set()
    some: ClassVar[Iterator[int]] = count()
    drops: ClassVar[list[str]] = []  # the webhook-ids of the requests at /drop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""

    def connection_lost(self, error: Exception | None) -> None:
        self.waiting.discard(self)

    def data_received(self, received: bytes) -> None:
        self.buffer += received
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self._request(first.split()[1].split("/")[1], headers, rest[:length])

    def _request(self, path: str, headers: dict[str, str], body: bytes) -> None:
        if path == "measure":
            names = ("webhook-timestamp", "webhook-signature")
            given = [headers.get(name, "") for name in names]
            Server.received += 1
            self.arrivals.append(Arrival(headers.get("webhook-id", ""), time.monotonic(), *given, body.decode()))
            self._answer(200)
        elif path == "fail":
            self._answer(500)
        elif path == "hang-some" and next(self.some) % 5:
            self._answer(200)
        elif path == "hang-some":
            self.waiting.add(self)
        elif path == "drop":
            self.drops.append(headers.get("webhook-id", ""))
            if len(self.drops) % DROPS:
                self._answer(200)
            else:
                self.transport.close()
        elif path in ("hang", "slow", "slow-10"):
            self.waiting.add(self)
            if path != "hang":
                asyncio.get_running_loop().call_later(10 if path == "slow-10" else 1, self._answer_late)
        else:
            self._answer(200, self._control(path))

    def _answer_late(self) -> None:
        if self in self.waiting:
            self.waiting.discard(self)
            self._answer(200)

    def _answer(self, status: int, body: bytes = b'{"received":true}') -> None:
        head = f"HTTP/1.1 {status} Answered\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)

    def _control(self, path: str) -> bytes:
        if path == "arrivals":
            found = json.dumps(self.arrivals).encode()
            self.arrivals.clear()
            return found
        if path == "received":
            return str(self.received).encode()
        if path == "dropped":
            found = json.dumps(self.drops).encode()
            self.drops.clear()
            return found
        if path == "release":
            for one in list(self.waiting):
                one.transport.abort()
        return str(len(self.waiting)).encode()


async def serve(port: int, secure_port: int, certificate: str) -> None:
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate:
        context.load_cert_chain(certificate)
        await loop.create_server(Server, "127.0.0.1", secure_port, ssl=context, backlog=1024)
    server = await loop.create_server(Server, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


class Endpoints:
    """The server as scenarios see it."""

    def __init__(self) -> None:
        self.port, self.secure_port = free_port(), free_port()

    def url(self, deed: str, host: str = "127.0.0.1", secure: bool = False) -> str:
        """Where to send webhooks that are to be measured, failed, hung, …"""
        return f"https://{host}:{self.secure_port}/{deed}" if secure else f"http://{host}:{self.port}/{deed}"

    def arrivals(self) -> list[Arrival]:
        """What came to /measure since this was asked last."""
        return [Arrival(*row) for row in json.loads(self._ask("arrivals"))]

    def dropped(self) -> list[str]:
        """The webhook-ids of the requests at /drop since this was asked last."""
        return [str(name) for name in json.loads(self._ask("dropped"))]

    def received(self) -> int:
        """How many requests came to /measure so far."""
        return int(self._ask("received"))

    def waiting(self) -> int:
        """How many requests are being kept waiting."""
        return int(self._ask("waiting"))

    def release(self) -> None:
        """Resets every connection that is being kept waiting, so that nobody must wait out a deadline."""
        self._ask("release")

    def answers(self) -> bool:
        try:
            return self.waiting() == 0
        except OSError:
            return False

    def _ask(self, path: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=30) as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def running_endpoints(directory: Path, certificate: Path | None = None) -> Iterator[Endpoints]:
    endpoints = Endpoints()
    arguments = [str(endpoints.port), str(endpoints.secure_port), str(certificate or "")]
    with running(python("tests.bench.endpoints", *arguments), os.environ, directory / "endpoints.log"):
        wait_until(endpoints.answers, "the receiver to answer")
        yield endpoints


def main(arguments: Sequence[str]) -> None:
    port, secure_port, certificate = arguments
    asyncio.run(serve(int(port), int(secure_port), certificate))


if __name__ == "__main__":
    main(sys.argv[1:])
