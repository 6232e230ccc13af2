"""Malicious receivers with real workers: each attempt ends in time, with a clear message, and uses no more memory."""

import gzip
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count, repeat
from pathlib import Path
from threading import Event, Thread

import pytest
from flask import Flask
from redis.exceptions import RedisError
from rq.worker import Worker

from tests.conftest import AppMaker
from tests.journeys.conftest import Workers
from tests.support.factories import ADA, captured, delivery_of
from tests.support.receiver import Behaviour, Line, Receiver, closing, dripping, raw, resetting
from tests.support.waiting import wait_until
from webapp.db.transactions import read_only, transaction
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import Attempt, Interface, Lead
from webapp.services.interfaces import interfaces
from webapp.services.people import users

pytestmark = pytest.mark.once

DEADLINE = 1.0
EACH = 5  # leads of each kind in a round
LATE = 3.0  # for a busy machine; without a deadline these would last for ever
OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(bytes(10_000_000))
TIMED_OUT = f"Timed out: no complete response within {DEADLINE:g} s"
NOT_SHOWN = f"({len(BOMB)} bytes not shown: the response is not text, and its Content-Encoding is gzip)"


def flooding(first: bytes, again: bytes) -> Behaviour:
    """Sends as fast as it can, until the connection is closed."""

    def behave(line: Line) -> bool:
        line.sock.sendall(first)
        while not line.over.is_set():
            line.sock.sendall(again)
        return False

    return behave


@dataclass(frozen=True)
class Rogue:
    """A receiver's behaviour, and what must be stored: the code, and the message or the start of the body."""

    behaviour: Behaviour
    code: int
    words: str
    truncated: bool = False
    lasts: bool = False  # until the deadline


ROGUES = {
    "dripped headers": Rogue(dripping(chain([OK], repeat(b"x-drip: 1\r\n")), 0.02), 999, TIMED_OUT, lasts=True),
    "dripped interim answers": Rogue(
        dripping(repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), 0.02), 999, TIMED_OUT, lasts=True
    ),
    "dripped body": Rogue(dripping(chain([OK + b"\r\n"], repeat(b"x")), 0.02), 200, "xxxx", truncated=True, lasts=True),
    "endless body": Rogue(flooding(OK + b"\r\n", b"y" * 65536), 200, "y" * 16384, truncated=True),
    "endless chunks": Rogue(
        flooding(OK + b"transfer-encoding: chunked\r\n\r\n", b"1000\r\n" + b"z" * 4096 + b"\r\n"),
        200,
        "z" * 16384,
        truncated=True,
    ),
    "gzip bomb": Rogue(
        raw(OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB) + BOMB),
        200,
        NOT_SHOWN,
        truncated=True,
    ),
    "1 MB header": Rogue(raw(OK + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n"), 999, "sent more than 64 KB of headers"),
    "non-ASCII header": Rogue(
        raw(OK + "x-name: Zürich \udcff\r\n".encode("latin-1", "replace") + b"\r\nok"), 200, "ok"
    ),
    "NUL bytes": Rogue(raw(OK + b"x-\x00a: b\x00c\r\n\r\na\x00b\x00\xff\xfe"), 200, "ab\ufffd\ufffd"),
    "too long a length": Rogue(raw(OK + b"content-length: 900\r\n\r\nshort"), 200, "short", truncated=True),
    "too short a length": Rogue(raw(OK + b"content-length: 2\r\n\r\nlonger"), 200, "lo"),
    "no length": Rogue(raw(OK + b"\r\nuntil the end"), 200, "until the end"),
    "nonsense length": Rogue(raw(OK + b"content-length: -1\r\n\r\nall of it"), 200, "all of it"),
    "reset mid-body": Rogue(resetting(OK + b"content-length: 900\r\n\r\nshort"), 200, "", truncated=True),
    "1xx flood": Rogue(flooding(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100), 999, "sent more than 64 KB of headers"),
    "HTTP/0.9": Rogue(raw(b"<html>hello</html>\r\n\r\n"), 999, "did not answer in HTTP"),
    "immediate close": Rogue(closing(), 999, "closed the connection before its response was complete"),
    "markup": Rogue(
        raw(b"HTTP/1.1 500 <script>\r\nx: <script>\r\n\r\n<script>alert(1)</script>"), 500, "<script>alert"
    ),
}


@contextmanager
def stalling() -> Iterator[dict[str, str]]:
    """Addresses that accept a connection and never finish a TLS handshake: one is silent, one sends single bytes."""
    over = Event()

    def drip() -> None:
        with suppress(OSError):
            sock, _ = slow.accept()
            with sock:
                sock.sendall(b"\x16\x03\x03\x40\x00")  # the start of a 16 KB record
                while not over.wait(0.02):
                    sock.sendall(b"\x02")

    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as slow:
        Thread(target=drip, daemon=True).start()
        stalls = {"TLS silence": silent, "TLS drip": slow}
        yield {name: f"https://127.0.0.1:{server.getsockname()[1]}/" for name, server in stalls.items()}
        over.set()


@pytest.fixture
def app(make_app: AppMaker) -> Iterator[Flask]:
    limits = {"WEBHOOK_DEADLINE": f"{DEADLINE}", "WEBHOOK_CONNECT_TIMEOUT": f"{DEADLINE}"}
    app = make_app(**limits)
    with app.app_context():
        yield app


@pytest.fixture
def pointed_at(app: Flask) -> Callable[[str], int]:
    """Creates an interface with a webhook at that URL; returns its id."""
    with transaction():
        account = users.create_owner("alice@example.com", "correct horse battery", "Brightwater Solar").account_id
    numbers = count(1)

    def make(url: str) -> int:
        with transaction():
            interface = interfaces.create(account, f"Rogue {next(numbers)}")
            interface.webhook.url, interface.webhook.automatic_retries = url, False
            interface.webhook.parallel_requests = 4
            db.session.flush()
            return interface.id

    return make


@pytest.fixture
def rogues() -> Iterator[dict[str, Receiver]]:
    with ExitStack() as stack:
        receivers = {}
        for name, rogue in ROGUES.items():
            receivers[name] = stack.enter_context(Receiver())
            receivers[name].behave(rogue.behaviour)
        yield receivers


def submit(interface_ids: list[int], each: int = 1) -> list[Lead]:
    with transaction():
        found = [db.session.get_one(Interface, interface_id).public_id for interface_id in interface_ids]
        made = [captured(public_id, ADA) for public_id in found for _ in range(each)]
    db.session.rollback()
    return made


def worker_pid() -> int:
    """The process that serves the fast queue."""

    def found() -> int:
        try:
            workers = Worker.all(connection=queues.redis)
        except RedisError:
            return 0
        serving = {name: worker.pid for worker in workers for name in worker.queue_names()}
        return (serving.get("fast") or 0) if serving.keys() >= {"fast", "slow"} else 0

    return wait_until(found, "the workers", timeout=60)


def resident_mb(pid: int) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def tried(number: int) -> bool:
    with read_only():
        found = db.session.query(Attempt).count()
        db.session.rollback()
    return found >= number


def test_every_rogue_ends_in_time_with_a_message_and_uses_no_memory(
    app: Flask, workers: Workers, pointed_at: Callable[[str], int], rogues: dict[str, Receiver]
) -> None:
    urls = {name: receiver.url for name, receiver in rogues.items()}
    with stalling() as stalls:
        urls |= stalls
        ids = {name: pointed_at(url) for name, url in urls.items()}
        workers.start("--slots", str(len(ids)))
        pid = worker_pid()
        sent = dict(zip(ids, submit(list(ids.values())), strict=True))
        wait_until(lambda: tried(len(ids)), "each of them to be tried", timeout=60)

    for name, lead in sent.items():
        [attempt] = delivery_of(lead).attempts
        rogue = ROGUES.get(name, Rogue(closing(), 999, "Timed out: no encrypted connection to 127.0.0.1", lasts=True))
        assert (name, attempt.code, attempt.truncated) == (name, rogue.code, rogue.truncated)
        assert rogue.words in attempt.response, name
        assert len(attempt.response) <= 16384
        assert "\0" not in f"{attempt.response}{attempt.response_headers}"
        assert attempt.duration_ms < (DEADLINE + LATE) * 1000, name
        assert attempt.duration_ms >= (DEADLINE * 900 if rogue.lasts else 0), name

    # Hundreds more of the fast ones: if bodies and headers were kept whole, they would be gigabytes.
    quick = [interface_id for name, interface_id in ids.items() if name in ROGUES and not ROGUES[name].lasts]
    sizes = []
    for round_number in range(1, 5):
        submit(quick, each=EACH)
        expected = len(ids) + len(quick) * EACH * round_number
        wait_until(lambda number=expected: tried(number), "the round", timeout=60)  # type: ignore[misc]
        sizes.append(resident_mb(pid))
    assert sizes[-1] - sizes[0] < 12, f"resident MB after each {len(quick) * EACH}: {sizes}"
