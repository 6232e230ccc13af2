"""Rings after captures: at once, or on a thread that rings a lane once for many captures."""

import threading
from collections.abc import Iterable

import pytest
from flask import Flask
from structlog.testing import capture_logs

from tests.support.serving import rung
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until
from webapp.delivery import rings
from webapp.delivery.rings import Bell


def test_a_second_outage_of_redis_is_logged_at_once_because_a_ring_worked_meanwhile(
    app: Flask, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "REST", 0.0)
    with capture_logs() as logged:
        for _ in range(2):
            valkey.stop()
            rings.ring(1)
            rings.ring(2)
            valkey.start()
            rings.ring(3)
    events = [entry["event"] for entry in logged]
    assert events == ["Redis cannot be used; the sweep queues the jobs later", "Redis can be used again"] * 2


def test_without_the_thread_lanes_are_rung_at_once(app: Flask) -> None:
    Bell().ring([7, 8])
    assert rung() == [7, 8]


def test_captures_during_a_ring_are_rung_together_and_an_error_does_not_stop_the_thread(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[list[int]] = []
    ringing, go_on = threading.Event(), threading.Event()

    def ring(webhook_ids: Iterable[int]) -> None:
        rung.append(list(webhook_ids))
        ringing.set()
        go_on.wait(30)
        if len(rung) == 1:
            raise RuntimeError

    monkeypatch.setattr(rings, "ring_lanes", ring)
    bell = Bell()
    bell.start(app)
    bell.ring([1])
    assert ringing.wait(30)
    for webhook_ids in ([2, 3], [2], [4, 3]):
        bell.ring(webhook_ids)
    go_on.set()
    wait_until(lambda: len(rung) >= 2, "the others to be rung")
    assert rung == [[1], [2, 3, 4]]
