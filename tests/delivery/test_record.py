"""What is recorded while somebody else has the lane's row: what they commit meanwhile counts."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, func, select, text, update

from tests.support.factories import delivery_of, point_at, sign, submit
from tests.support.lanes import taken
from tests.support.receiver import Receiver
from tests.support.waiting import wait_until
from webapp.clock import now_sql
from webapp.delivery import lanes, states
from webapp.extensions import db
from webapp.models import ApiKey, Delivery, DeliveryState, Interface, Lane, Lead, ReportEntry, Webhook, WebhookState
from webapp.transaction import transaction

FIVE_DAYS = 5 * 86400.0


@pytest.fixture
def failed(interface: Interface, receiver: Receiver) -> Lead:
    """A lead that will be refused."""
    point_at(interface, receiver.url)
    receiver.answer(status=500)
    return submit(interface)


def record_after(app: Flask, deed: Callable[[Connection, int], Any]) -> bool:
    """Sends what is due, and records it while `deed` is done under the lane's lock; whether the lane was ours."""
    webhook_id = db.session.scalars(select(Webhook.id)).one()
    db.session.rollback()
    hold, batch = taken(webhook_id)
    sent = lanes.sending.Sending(batch, lambda: False)
    sent.run()

    def record() -> None:
        with app.app_context():
            lanes._record(hold, batch, sent, more=False)

    recording = threading.Thread(target=record)
    with db.engine.begin() as connection:
        states.lock_lane(connection, webhook_id)
        deed(connection, webhook_id)
        recording.start()
        if connection.dialect.name == "postgresql":  # SQLite lets nobody else begin until this is committed
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


def test_a_click_waits_for_a_try_of_its_own(app: Flask, failed: Lead) -> None:
    def click(connection: Connection, webhook_id: int) -> None:
        connection.execute(update(Delivery).values(retry_at=now_sql()))

    assert record_after(app, click)
    delivery = delivery_of(failed)
    assert (delivery.tries, delivery.last_code) == (1, 500)
    assert delivery.retry_at is not None


def test_what_was_cancelled_stays_so(app: Flask, failed: Lead) -> None:
    assert record_after(app, states.cancel)
    delivery = delivery_of(failed)
    assert (delivery.state, delivery.last_code) == (DeliveryState.CANCELLED, 500)
    assert [attempt.code for attempt in delivery.attempts] == [500]


def test_a_lane_that_is_lost_meanwhile_is_left_alone(app: Flask, failed: Lead) -> None:
    def take(connection: Connection, webhook_id: int) -> None:
        connection.execute(update(Lane).values(token="another", lease_until=now_sql() + 60))

    assert not record_after(app, take)
    delivery = delivery_of(failed)
    assert (delivery.state, delivery.tries, delivery.last_code) == (DeliveryState.PENDING, 0, None)
    assert [attempt.code for attempt in delivery.attempts] == [500]
    assert db.session.scalar(select(func.count()).select_from(ReportEntry)) == 0


def test_a_failure_is_reported_though_a_window_closes_meanwhile(app: Flask, failed: Lead) -> None:
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


def test_what_cannot_be_sent_is_held_also_after_five_days_of_failures(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    sign(interface)
    lead = submit(interface)
    with transaction():
        db.session.execute(update(ApiKey).values(revoked_at=func.now()))
        db.session.execute(update(Lane).values(failures=50, failing_since=now_sql() - FIVE_DAYS - 60))
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    assert delivery_of(lead).state == DeliveryState.HELD
    assert db.session.scalars(select(Webhook.state)).one() == WebhookState.ACTIVE
