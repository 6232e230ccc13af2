"""Recording while another transaction has locked the lane's row: its changes count. And how often recording is tried
again when the database fails."""

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tests.conftest import ON_POSTGRESQL
from tests.support.factories import delivery_of, point_at, sign, submit
from tests.support.lanes import Clock, taken
from tests.support.receiver import Receiver
from tests.support.waiting import wait_until
from webapp.clock import now_sql
from webapp.db.bulk import Plain
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import lanes, ledger, record, states
from webapp.delivery.ledger import Batch
from webapp.delivery.sending import Sending
from webapp.extensions import db
from webapp.models import (
    ApiKey,
    Delivery,
    DeliveryState,
    Interface,
    Lane,
    Lead,
    ReportEntry,
    ReportKind,
    Webhook,
    WebhookState,
)
from webapp.services.interfaces import interfaces
from webapp.services.webhooks import webhooks

FIVE_DAYS = 5 * 86400.0


@pytest.fixture
def failed(interface: Interface, receiver: Receiver) -> Lead:
    """A lead that the receiver will refuse."""
    point_at(interface, receiver.url)
    receiver.answer(status=500)
    return submit(interface)


def sent_batch() -> tuple[lanes.Hold, Batch, Sending]:
    """Sends what is due, and does not record it yet."""
    webhook_id = db.session.scalars(select(Webhook.id)).one()
    db.session.rollback()
    hold, batch = taken(webhook_id)
    sent = Sending(batch, lambda: False)
    sent.run()
    return hold, batch, sent


def record_after(app: Flask, change: Callable[[Connection, int], Any]) -> bool:
    """Sends what is due, and records it while `change` runs with the lane's row locked; whether the lane was ours."""
    hold, batch, sent = sent_batch()
    webhook_id = hold.webhook_id

    def record() -> None:
        with app.app_context():
            lanes._record(hold, batch, sent, more=False)

    recording = threading.Thread(target=record)
    with transaction():
        connection = db.session.connection()
        states.lock_lane(connection, webhook_id)
        change(connection, webhook_id)
        recording.start()
        if connection.dialect.name == "postgresql":  # on SQLite no other transaction begins before the commit
            wait_until(one_waits, "the record to wait for the lane")
    recording.join(30)
    assert not recording.is_alive()
    return db.session.scalars(select(Lane.token)).one() is None


def one_waits() -> bool:
    with db.engine.connect() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return connection.execute(text(waiting)).scalar_one() > 0


def test_a_click_during_recording_gets_an_attempt_of_its_own(app: Flask, failed: Lead) -> None:
    def click(connection: Connection, webhook_id: int) -> None:
        connection.execute(update(Delivery).values(retry_at=now_sql()))

    assert record_after(app, click)
    delivery = delivery_of(failed)
    assert (delivery.tries, delivery.last_code) == (1, 500)
    assert delivery.retry_at is not None


def test_a_cancelled_delivery_stays_cancelled(app: Flask, failed: Lead) -> None:
    assert record_after(app, states.cancel)
    delivery = delivery_of(failed)
    assert (delivery.state, delivery.last_code) == (DeliveryState.CANCELLED, 500)
    assert [attempt.code for attempt in delivery.attempts] == [500]


def test_a_lane_that_is_lost_meanwhile_is_not_changed(app: Flask, failed: Lead) -> None:
    def take(connection: Connection, webhook_id: int) -> None:
        connection.execute(update(Lane).values(token="another", lease_until=now_sql() + 60))

    assert not record_after(app, take)
    delivery = delivery_of(failed)
    assert (delivery.state, delivery.tries, delivery.last_code) == (DeliveryState.PENDING, 0, None)
    assert [attempt.code for attempt in delivery.attempts] == [500]
    assert db.session.scalar(select(func.count()).select_from(ReportEntry)) == 0


def test_a_failure_is_reported_even_if_a_window_closes_meanwhile(app: Flask, failed: Lead) -> None:
    with transaction():
        db.session.execute(update(Webhook).values(report_due_at=now_sql() + 3600))

    def close(connection: Connection, webhook_id: int) -> None:
        connection.execute(update(Webhook).values(report_due_at=None))

    assert record_after(app, close)
    assert db.session.scalar(select(func.count()).select_from(ReportEntry)) == 1
    assert db.session.scalars(select(Webhook.report_due_at)).one() is not None


def test_an_open_window_stays_open(app: Flask, failed: Lead) -> None:
    with transaction():
        db.session.execute(update(Webhook).values(report_due_at=4e9))
    assert record_after(app, lambda connection, webhook_id: None)
    assert db.session.scalars(select(Webhook.report_due_at)).one() == 4e9


def test_what_cannot_be_sent_is_held_even_after_five_days_of_failures(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    sign(interface)
    lead = submit(interface)
    with transaction():
        db.session.execute(update(ApiKey).values(revoked_at=func.now()))
        db.session.execute(
            update(Lane).values(failures=50, failing_since=now_sql() - FIVE_DAYS - 60, failed_at=now_sql())
        )
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    assert delivery_of(lead).state == DeliveryState.ON_HOLD
    assert db.session.scalars(select(Webhook.state)).one() == WebhookState.ACTIVE


def entries() -> list[ReportKind]:
    with read_autocommit() as connection:
        return list(connection.scalars(select(ReportEntry.kind)))


def test_a_410_does_not_change_a_pause_by_hand_or_its_reason(
    app: Flask, interface: Interface, failed: Lead, receiver: Receiver
) -> None:
    receiver.answer(status=410)
    assert record_after(app, lambda *_: webhooks.pause(interface.webhook, "The CRM moves house."))
    webhook = db.session.scalars(select(Webhook)).one()
    assert (webhook.state, webhook.state_reason) == (WebhookState.PAUSED, "The CRM moves house.")
    assert delivery_of(failed).last_code == 410
    assert entries() == [ReportKind.FAILED]


def test_a_410_does_not_pause_the_webhook_of_a_deleted_interface(
    app: Flask, interface: Interface, failed: Lead, receiver: Receiver
) -> None:
    receiver.answer(status=410)
    assert record_after(app, lambda *_: interfaces.archive(interface))
    webhook = db.session.scalars(select(Webhook)).one()
    assert (webhook.state, webhook.state_reason) == (WebhookState.ARCHIVED, "")
    assert (delivery_of(failed).state, delivery_of(failed).last_code) == (DeliveryState.CANCELLED, 410)
    assert entries() == [ReportKind.FAILED]


def deadlock() -> Exception:
    return OperationalError("UPDATE lanes", {}, Exception("deadlock detected"))


def no_connection() -> Exception:
    return PoolTimeoutError("QueuePool limit of size 10 overflow 10 reached, connection timed out")


@pytest.mark.parametrize("written", [False, True], ids=["nothing", "all"])
@pytest.mark.parametrize("fault", [deadlock, no_connection])
def test_recording_that_fails_is_tried_again_until_it_succeeds(
    failed: Lead, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], Exception], written: bool
) -> None:
    """Also if all was written, and only the confirmation was lost."""
    hold, batch, sent = sent_batch()
    faults, write = [fault() for _ in range(3)], record.write

    def faulty(*given: Any) -> Any:
        lane = write(*given) if written or not faults else None
        if faults:
            raise faults.pop()
        return lane

    monkeypatch.setattr(lanes, "WRITE_PAUSES", (0.001,))
    monkeypatch.setattr(record, "write", faulty)
    lanes._record(hold, batch, sent, more=False)
    assert faults == []
    delivery = delivery_of(failed)
    assert (delivery.status, delivery.tries, delivery.last_code) == ("Retrying", 1, 500)
    assert len(delivery.attempts) == 1
    assert entries() == [ReportKind.FAILED]


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no server that could close a connection")
def test_recording_survives_a_database_that_closes_connections(failed: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    hold, batch, sent = sent_batch()
    clock, write, dead = Clock(monkeypatch), record.write, list[int]()

    def closed(connection: Plain, *given: Any) -> Any:
        if not dead:
            dead.extend(connection.execute("SELECT pg_backend_pid()").fetchone())
            with db.engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": dead[0]})
        return write(connection, *given)

    monkeypatch.setattr(record, "write", closed)
    lanes._record(hold, batch, sent, more=False)
    assert clock.now > 1000  # it paused once at least
    assert [attempt.code for attempt in delivery_of(failed).attempts] == [500]


@pytest.mark.parametrize("fault", [deadlock, no_connection])
def test_recording_that_fails_is_not_tried_longer_than_the_lease(
    failed: Lead, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], Exception]
) -> None:
    clock = Clock(monkeypatch)
    began_at = clock.now
    hold, batch, sent = sent_batch()
    tried_at = []

    def faulty(*given: Any) -> None:
        tried_at.append(clock.now)
        raise fault()

    monkeypatch.setattr(record, "write", faulty)
    with pytest.raises(type(fault())):
        lanes._record(hold, batch, sent, more=False)
    longest = lanes.WRITE_PAUSES[-1]
    assert ledger.lease() - longest <= tried_at[-1] - began_at <= ledger.lease()
    assert all(later - earlier <= longest for earlier, later in itertools.pairwise(tried_at))
    assert delivery_of(failed).state == DeliveryState.PENDING


def test_a_url_that_is_saved_during_recording_does_not_rest_for_the_old_one(
    app: Flask, failed: Lead, receiver: Receiver
) -> None:
    receiver.answer(429, headers=[("Retry-After", "600")])

    def save(connection: Connection, webhook_id: int) -> None:
        webhook = db.session.get_one(Webhook, webhook_id)
        settings = {"authentication": webhook.authentication, "shared_token": None}
        interfaces.update_lead_generation(webhook.interface, url=f"{receiver.origin}/another", **settings)

    assert record_after(app, save)
    assert db.session.scalars(select(Lane.tries_first)).one() is False
    assert delivery_of(failed).last_code == 429
