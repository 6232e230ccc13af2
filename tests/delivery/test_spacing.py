"""A webhook with a rate: never more sends a second, over batches, drains and threads; and it is used up."""

import threading
import time
from itertools import pairwise

import pytest
from flask import Flask

from tests.support.factories import delivery_of, point_at, submit
from tests.support.receiver import Received, Receiver
from tests.support.waiting import wait_until
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import lanes, ledger
from webapp.delivery.slots import waiting_since
from webapp.extensions import db
from webapp.models import DeliveryState, Interface, User
from webapp.services.leads import leads

HASTE = (
    0.02  # seconds by which a request may come sooner after the one before: that one may have been on its way longer
)


def drain(webhook_id: int) -> None:
    db.session.rollback()
    lanes.drain(webhook_id)


def prepared(interface: Interface, receiver: Receiver, leads: int, **settings: object) -> int:
    """The webhook's id, with so many leads due."""
    point_at(interface, receiver.url, **settings)
    for _ in range(leads):
        submit(interface)
    webhook_id = interface.webhook.id
    db.session.rollback()
    return webhook_id


def are_spaced(requests: list[Received], rate: int) -> bool:
    """No two of them came together. Half a space is allowed for, because the note of a request may be held up."""
    times = sorted(request.at for request in requests)
    return min(later - sooner for sooner, later in pairwise(times)) > 0.5 / rate


def test_five_a_second_are_kept_over_a_hand_over_between_two_drains(
    interface: Interface, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "SLICE", 0.9)
    webhook_id = prepared(interface, receiver, 8, rate=5)
    began = time.monotonic()
    drain(webhook_id)
    assert 2 <= len(receiver.requests) <= 5, "a slice is over before the sixth"
    while len(receiver.requests) < 8:
        drain(webhook_id)
    times = [request.at for request in receiver.requests]
    assert are_spaced(receiver.requests, 5)
    assert all(later - sooner > 1 - HASTE for sooner, later in zip(times, times[5:], strict=False))
    assert times[-1] - times[0] > 7 / 5 - HASTE
    assert times[-1] - began < 3 * 7 / 5, "it is used up, too"


def test_the_next_holder_may_send_at_once(interface: Interface, receiver: Receiver) -> None:
    """Each lead is sent by a drain of its own, as after each capture."""
    webhook_id = prepared(interface, receiver, 0, rate=10)
    for _ in range(4):
        submit(interface)
        drain(webhook_id)
    assert len(receiver.requests) == 4
    assert are_spaced(receiver.requests, 10)


def test_parallel_requests_begin_one_after_another(interface: Interface, receiver: Receiver) -> None:
    receiver.answer(200, delay=0.2)
    webhook_id = prepared(interface, receiver, 8, rate=20, parallel_requests=8)
    began = time.monotonic()
    drain(webhook_id)
    assert len(receiver.requests) == 8
    assert are_spaced(receiver.requests, 20)
    assert time.monotonic() - began < 8 * 0.2, "they wait for their answers at the same time"


def test_a_slow_receiver_is_not_widened(interface: Interface, receiver: Receiver) -> None:
    """Automatic would send several at a time, and begin some of them later than the slice."""
    webhook_id = prepared(interface, receiver, 1, rate=20)
    with read_autocommit() as connection:
        batch = ledger.batch(connection, webhook_id)
    assert batch
    assert not batch.settings.automatic
    assert batch.settings.rate == 20


def test_no_send_begins_after_the_slice(
    interface: Interface, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "SLICE", 0.1)
    webhook_id = prepared(interface, receiver, 3, rate=5, parallel_requests=4)
    drain(webhook_id)
    assert len(receiver.requests) == 1
    drain(webhook_id)
    assert len(receiver.requests) == 2
    assert are_spaced(receiver.requests, 5)


def test_a_thread_that_waits_leaves_its_slot_to_others(app: Flask, interface: Interface, receiver: Receiver) -> None:
    webhook_id = prepared(interface, receiver, 2, rate=3)

    def sends() -> None:
        with app.app_context():
            lanes.drain(webhook_id)

    thread = threading.Thread(target=sends)
    thread.start()
    receiver.wait_for(1)
    since = []

    def waits_for_its_turn() -> bool:
        since.append(waiting_since(thread.ident or 0) or time.monotonic())
        return time.monotonic() - since[-1] > 0.15

    wait_until(waits_for_its_turn, "the thread to wait although the receiver has answered")
    assert len(receiver.requests) == 1
    thread.join(10)
    assert len(receiver.requests) == 2


def test_tests_and_retries_by_hand_keep_the_rate_too(interface: Interface, receiver: Receiver, owner: User) -> None:
    webhook_id = prepared(interface, receiver, 0, rate=10)
    lead = submit(interface)
    with transaction():
        leads.send_test(db.session.get_one(Interface, interface.id), owner.id)
        leads.send_test(db.session.get_one(Interface, interface.id), owner.id)
    drain(webhook_id)
    assert len(receiver.requests) == 3
    assert are_spaced(receiver.requests, 10)
    assert delivery_of(lead).state == DeliveryState.DELIVERED


def test_without_a_rate_nothing_is_spaced(interface: Interface, receiver: Receiver) -> None:
    webhook_id = prepared(interface, receiver, 20)
    began = time.monotonic()
    drain(webhook_id)
    assert len(receiver.requests) == 20
    assert time.monotonic() - began < 5
