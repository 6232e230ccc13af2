"""Rings after captures: at once, or on a thread that gathers them."""

import threading

import pytest
from flask import Flask

from tests.support.waiting import wait_until
from webapp.delivery import lanes
from webapp.delivery.bell import Bell


def test_without_its_thread_a_ring_happens_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    monkeypatch.setattr(lanes, "ring_unless_held", rung.append)
    Bell().ring(7)
    assert rung == [7]


def test_what_comes_while_it_rings_is_rung_once_and_an_error_ends_nothing(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[int] = []
    ringing, go_on = threading.Event(), threading.Event()

    def ring(webhook_id: int) -> None:
        rung.append(webhook_id)
        ringing.set()
        go_on.wait(30)
        if webhook_id == 1:
            raise RuntimeError

    monkeypatch.setattr(lanes, "ring_unless_held", ring)
    bell = Bell()
    bell.start(app)
    bell.ring(1)
    assert ringing.wait(30)
    for webhook_id in (2, 3, 2, 2, 3):
        bell.ring(webhook_id)
    go_on.set()
    wait_until(lambda: len(rung) >= 3, "the others to be rung")
    assert rung == [1, 2, 3]
