"""Visitors: one asyncio process that posts forms over kept-alive connections, each from an address of its own.

`--key`: to the REST API, as a program with this API Key, which names the form in the address: /api/v1/leads?<form>.

`--rate 0`: as fast as they are answered (so many connections, each posting again once answered). Otherwise so many a
second at random times, the time counted from when a post was due, so that a server that stalls is not spared the posts
that came meanwhile.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.bench.lead import ANSWERS, BROWSER, TRACKED
from tests.bench.machine import ROOT, CannotMeasure, python

ACCEPTED = frozenset({200, 201, 303})


def visit(url: str, seconds: float, connections: int = 16, rate: float = 0, key: str = "") -> dict[str, Any]:
    """Posts for a while: {"accepted": number, "refused": {status: number}, "seconds": s, "ms": [each]}."""
    arguments = ["--seconds", str(seconds), "--connections", str(connections), "--rate", str(rate), "--key", key]
    command = python("tests.bench.visitors", url, *arguments)
    ended = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=seconds + 90)
    if ended.returncode:
        raise CannotMeasure(ended.stderr[-2000:])
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


class Connection(asyncio.Protocol):
    """Posts one form at a time."""

    def __init__(self, visitors: "Visitors") -> None:
        self.visitors = visitors
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def post(self, due: float) -> None:
        self.due = due
        self.transport.write(self.visitors.request())

    def data_received(self, received: bytes) -> None:
        self.buffer += received
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        closes = b"connection: close" in lower
        self.visitors.answered(self, int(head[9:12]), closes)

    def connection_lost(self, error: Exception | None) -> None:
        self.visitors.lost(self)


class Visitors:
    """All of them; `idle` are the connections that wait for the next post."""

    def __init__(self, url: str, connections: int, rate: float, key: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self.connections, self.rate = connections, rate
        self.body = _lead(parts.query).encode() if key else urlencode(ANSWERS | TRACKED).encode()
        kind = "json" if key else "x-www-form-urlencoded"
        fields = [
            f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nuser-agent: {BROWSER}",
            "accept: application/json" if key else "accept: text/html,application/xhtml+xml\r\naccept-language: en",
            *([f"authorization: Bearer {key}"] if key else []),
            f"content-type: application/{kind}\r\ncontent-length: {len(self.body)}",
            "x-forwarded-for: ",
        ]
        self.head = "\r\n".join(fields)
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.busy: set[Connection] = set()
        self.ms: list[float] = []
        self.statuses: dict[int, int] = {}
        self.over = False
        self.coming: set[asyncio.Future[None]] = set()  # asyncio itself keeps no hold of them

    def request(self) -> bytes:
        number = random.getrandbits(24)
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        return f"{self.head}{address}\r\n\r\n".encode() + self.body

    def answered(self, connection: Connection, status: int, closes: bool) -> None:
        now = time.monotonic()
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status in ACCEPTED:
            self.ms.append((now - connection.due) * 1000)
        self.busy.discard(connection)
        if closes:
            connection.transport.close()  # and another one takes its place
        else:
            self.free(connection)

    def free(self, connection: Connection) -> None:
        if self.due:
            self._post(connection, self.due.popleft())
        elif self.rate or self.over:
            self.idle.append(connection)
        else:
            self._post(connection, time.monotonic())

    def _post(self, connection: Connection, due: float) -> None:
        self.busy.add(connection)
        connection.post(due)

    def lost(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)
        if connection in self.busy:
            self.busy.discard(connection)
            self.statuses[0] = self.statuses.get(0, 0) + 1  # an answer that never came
        elif not self.over:
            self.coming.add(asyncio.ensure_future(self.connect()))

    async def connect(self) -> None:
        _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(self), *self.address)
        self.free(connection)

    async def run(self, seconds: float) -> dict[str, Any]:
        began = time.monotonic()
        await asyncio.gather(*(self.connect() for _ in range(self.connections)))
        if self.rate:
            await self._at_random(began, seconds)
        else:
            await asyncio.sleep(seconds)
        self.over = True
        took = time.monotonic() - began
        accepted = len(self.ms)  # in the closed loop: those answered in time
        ends_at = time.monotonic() + 60
        while (self.busy or self.due) and time.monotonic() < ends_at:
            await asyncio.sleep(0.01)
        refused = {status: number for status, number in self.statuses.items() if status not in ACCEPTED}
        if self.busy or self.due:
            refused[0] = refused.get(0, 0) + len(self.busy) + len(self.due)
        return {"accepted": accepted, "seconds": took, "refused": refused, "ms": [round(ms, 3) for ms in self.ms]}

    async def _at_random(self, began: float, seconds: float) -> None:
        chance, at = random.Random(7), 0.0
        while (at := at + chance.expovariate(self.rate)) < seconds:
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            if self.idle:
                self._post(self.idle.popleft(), began + at)
            else:
                self.due.append(began + at)


def _lead(form: str) -> str:
    """The same lead, as a program sends it that knows of its visitor what a browser says."""
    plain = {name: value for name, value in TRACKED.items() if not name.startswith("utm_")}
    utm = {name.removeprefix("utm_"): value for name, value in TRACKED.items() if name not in plain}
    source = {**plain, "utm": utm, "ip": "203.0.113.7", "user_agent": BROWSER}
    return json.dumps({"interface": form, "fields": ANSWERS, "source": source})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--connections", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--key", default="")
    given = parser.parse_args(arguments)
    print(json.dumps(asyncio.run(Visitors(given.url, given.connections, given.rate, given.key).run(given.seconds))))


if __name__ == "__main__":
    main()
