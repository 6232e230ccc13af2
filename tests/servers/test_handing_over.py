"""A connection that goes from a thread to the loop and back, while other things happen to it: one step at a time."""

import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config

from webapp.servers.patient_worker import PatientWorker
from webapp.servers.waits import EarlierAnswer, Waits

EARLIER = EarlierAnswer("200 OK", [], b"nothing new")


class Woken:
    """Instead of the thread that answers those that go on."""

    def __init__(self) -> None:
        self.put_in: list[Any] = []
        self.put = self.put_in.append


class Parked:
    """A connection whose request waits for news, and what becomes of it."""

    def __init__(self) -> None:
        self.client, self.sock = socket.socketpair()
        self.wait: Any = None
        self.late_answer: EarlierAnswer | None = None
        self.timeout = time.monotonic() + 600
        self.is_empty, self.is_closing, self.is_closed = True, False, False
        self.asked_again: list[EarlierAnswer | None] = []
        self.ask_again = self.asked_again.append

    def receive(self) -> None:
        """Nothing has come."""

    def close(self) -> None:
        self.is_closed = True
        self.client.close()
        self.sock.close()


class NoNews:
    """What it waits for."""

    seconds = 600

    def begin(self, wake: Any) -> None:
        """There is none."""

    def end(self) -> None:
        """Nothing was begun."""


@pytest.fixture
def worker() -> Iterator[Any]:
    """A worker whose loop is the test."""
    worker: Any = PatientWorker(1, os.getppid(), [], None, 30, Config(), None)
    worker.poller, worker.waiting, worker.woken = selectors.DefaultSelector(), {}, Woken()
    worker.method_queue.init()
    worker.nr_conns, worker._looked_at = 1, 0.0
    yield worker
    worker.poller.close()
    worker.method_queue.close()
    worker.tmp.close()


@pytest.fixture
def parked() -> Iterator[Parked]:
    parked = Parked()
    yield parked
    parked.close()


def test_one_that_begins_to_wait_when_the_process_stops_is_answered(worker: Any, parked: Parked) -> None:
    """Its thread asked the app before the stop. Once it was cut off when the time to stop was over."""
    worker.alive = False
    worker._cap_keepalive(time.monotonic())
    worker._park(parked, Waits(NoNews(), EARLIER))
    worker.murder_pending()
    assert (worker.woken.put_in, parked.asked_again) == ([parked], [EARLIER])


def test_a_look_at_the_poller_from_before_the_news_does_not_ask_again(worker: Any, parked: Parked) -> None:
    """News, its answer and the client's next request come while the loop goes through what the poller saw."""
    wait = NoNews()
    worker._park(parked, Waits(wait, EARLIER))
    parked.client.sendall(b"GET /next")
    [(seen, _)] = worker.poller.select(0)
    worker._wake(parked, wait)
    worker._wait(parked, worker._next_came)  # the thread has answered, and keeps the connection
    seen.data(seen.fileobj)
    assert (worker.woken.put_in, parked.asked_again) == ([parked], [None])
    assert parked in worker.waiting


def test_one_that_was_closed_is_given_up_though_others_come_just_then(worker: Any, parked: Parked) -> None:
    """The poller looks for a closed socket among all others, which is no single step."""
    other = Parked()

    class Comes:
        """In the poller's dictionary: when it is looked at, a thread adds another connection."""

        @property
        def fileobj(self) -> None:
            adds = threading.Thread(target=worker._wait, args=(other, worker._next_came))
            adds.start()
            adds.join(60)

    worker.poller._fd_to_key[10_000_000] = Comes()
    parked.close()
    worker._wait(parked, worker._discard)
    del worker.poller._fd_to_key[10_000_000]
    worker.method_queue.run_callbacks(None)
    assert worker.nr_conns == 0
    assert list(worker.waiting) == [other]
    other.close()
