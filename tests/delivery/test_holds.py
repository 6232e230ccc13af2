"""Holding a lane: how long, how carefully after a crash, and what happens to it when a drain ends early."""

from typing import Any

import pytest
from sqlalchemy import select, update

from tests.support.factories import ADA, captured, point_at
from tests.support.lanes import Clock, taken
from tests.support.receiver import Line, Receiver, answering
from webapp.clock import now_sql
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import lanes, ledger
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lane


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def webhook_id(interface: Interface, receiver: Receiver) -> int:
    point_at(interface, receiver.url)
    found = interface.webhook.id
    db.session.rollback()
    return found


@pytest.fixture
def abandoned(webhook_id: int) -> None:
    """A worker died while it held the lane."""
    with transaction():
        db.session.execute(update(Lane).values(token="the dead", lease_until=now_sql() - 1))


def submit(interface: Interface, number: int) -> None:
    """Captures `number` leads, and removes their rings."""
    with transaction():
        for _ in range(number):
            captured(interface.public_id, ADA)
    queues.redis.flushall()


def jobs() -> int:
    return len(queues.get("fast").get_job_ids())


def due() -> int:
    with read_autocommit() as connection:
        return len(connection.scalars(select(Delivery.id).where(Delivery.state == DeliveryState.PENDING)).all())


def is_free() -> bool:
    with read_autocommit() as connection:
        return connection.execute(select(Lane.token, Lane.lease_until)).one() == (None, 0.0)


def sent_at_first_and_in_all(hold: lanes.Hold, receiver: Receiver) -> tuple[int, int]:
    """How many requests were sent until the lane was let go, and in all after another drain."""
    sent = lanes._send_all(hold, lambda: False)
    assert not (sent and sent.ended)
    first = len(receiver.requests)
    assert is_free()
    lanes.drain(hold.webhook_id)
    assert due() == 0
    return first, len(receiver.requests)


@pytest.mark.parametrize(("late", "received"), [(1, 20), (-1, 25)])
def test_a_following_batch_is_sent_only_if_the_lease_lasts_long_enough(
    interface: Interface,
    webhook_id: int,
    receiver: Receiver,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    late: float,
    received: int,
) -> None:
    submit(interface, 25)
    hold = lanes._take(webhook_id)
    assert hold is not None
    read = ledger.batch

    def read_following(*given: Any, **limit: Any) -> Any:
        if receiver.requests:
            monkeypatch.setattr(ledger, "batch", read)
            clock.forward(ledger.LEASE_MARGIN + late)
        return read(*given, **limit)

    monkeypatch.setattr(ledger, "batch", read_following)
    assert sent_at_first_and_in_all(hold, receiver) == (received, 25)


@pytest.mark.parametrize(("late", "received"), [(1, 0), (-1, 3)])
def test_a_first_batch_is_sent_only_if_the_lease_lasts_long_enough(
    interface: Interface,
    webhook_id: int,
    receiver: Receiver,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    late: float,
    received: int,
) -> None:
    submit(interface, 3)
    hold = lanes._take(webhook_id)
    assert hold is not None
    read = lanes._select

    def read_first(hold: lanes.Hold) -> Any:
        monkeypatch.setattr(lanes, "_select", read)
        clock.forward(ledger.LEASE_MARGIN + late)
        return read(hold)

    monkeypatch.setattr(lanes, "_select", read_first)
    assert sent_at_first_and_in_all(hold, receiver) == (received, 3)


def test_when_a_slice_is_over_the_rest_stays_due_and_is_rung_once(
    interface: Interface, webhook_id: int, receiver: Receiver, clock: Clock
) -> None:
    def tick(line: Line) -> bool:
        if len(receiver.requests) == 30:  # in the middle of the second batch
            clock.forward(ledger.SLICE)
        return answering(200)(line)

    receiver.behave(tick)
    submit(interface, 3 * ledger.BATCH)
    lanes.drain(webhook_id)
    assert (len(receiver.requests), due(), jobs()) == (30, 30, 1)
    assert is_free()
    lanes.drain(webhook_id)
    assert (len(receiver.requests), due(), jobs()) == (60, 0, 1)


@pytest.mark.usefixtures("abandoned")
def test_an_abandoned_lane_is_taken_carefully_until_a_batch_is_recorded(
    interface: Interface, webhook_id: int, receiver: Receiver
) -> None:
    submit(interface, 3)
    hold, batch = taken(webhook_id)
    assert (hold.careful, len(batch.rows)) == (True, 1)
    sent = lanes.sending.Sending(batch, lambda: False)
    sent.run()
    lanes._record(hold, batch, sent, more=False)
    hold, batch = taken(webhook_id)
    assert (hold.careful, len(batch.rows)) == (False, 2)


@pytest.mark.usefixtures("abandoned")
def test_a_lane_let_go_because_it_could_not_be_read_is_taken_carefully_again(
    interface: Interface, webhook_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(interface, 3)
    with monkeypatch.context() as unread:
        unread.setattr(lanes, "_select", lambda hold: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lanes.drain(webhook_id)
    assert is_free()
    hold, batch = taken(webhook_id)
    assert (hold.careful, len(batch.rows)) == (True, 1)


@pytest.mark.usefixtures("abandoned")
def test_a_lane_let_go_because_nothing_was_due_is_taken_carefully_again(
    interface: Interface, webhook_id: int, receiver: Receiver
) -> None:
    lanes.drain(webhook_id)
    assert is_free()
    submit(interface, 3)
    hold, batch = taken(webhook_id)
    assert (hold.careful, len(batch.rows)) == (True, 1)


def test_a_lane_let_go_after_a_drain_is_not_taken_carefully(
    interface: Interface, webhook_id: int, receiver: Receiver
) -> None:
    lanes.drain(webhook_id)
    submit(interface, 3)
    hold, batch = taken(webhook_id)
    assert (hold.careful, len(batch.rows)) == (False, 3)
