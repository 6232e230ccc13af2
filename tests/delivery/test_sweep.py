"""The sweep: it rings lanes whose ring was lost, one sweeper at a time."""

from typing import Any

import pytest
from sqlalchemy import event, update

from tests.conftest import ON_POSTGRESQL
from tests.support.factories import delivery_of, point_at, submit
from tests.support.receiver import Receiver
from tests.support.valkey import Valkey
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import lanes, states
from webapp.delivery import sweep as sweep_module
from webapp.delivery.rings import queues
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lane, Webhook, WebhookState


def jobs(queue: str = "fast") -> list[str]:
    return list(queues.get(queue).get_job_ids())


def sweep() -> None:
    db.session.rollback()
    Sweep().once()


def test_a_lost_ring_is_rung_again_although_its_marker_is_set(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    submit(interface)
    queues.get("fast").empty()
    sweep()
    assert len(jobs()) == 1


def test_a_lane_whose_job_waits_is_not_rung_twice(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    submit(interface)
    for _ in range(3):
        sweep()
        with transaction():  # the next sweeper's turn
            db.session.execute(update(Lane).values(lease_until=0))
    assert len(jobs()) == 1


def test_a_locked_lane_and_one_with_nothing_due_are_not_rung(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    sweep()
    assert jobs() == []
    submit(interface)
    queues.redis.flushall()
    with transaction():
        db.session.execute(update(Lane).values(token="held", lease_until=now_sql() + 20))
    sweep()
    assert jobs() == []


def test_a_retry_is_rung_when_its_time_has_come_and_not_before(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    receiver.answer(status=500)
    submit(interface)
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    queues.redis.flushall()
    sweeper = Sweep()
    sweeper.once()
    assert jobs() == []
    with transaction():
        db.session.execute(update(Delivery).values(due_at=now_sql()))
    sweeper.once()
    assert jobs() == []  # retries become due by the dozen after a failure: they do not delay healthy webhooks
    assert len(jobs("slow")) == 1


def test_a_slow_lane_is_rung_on_the_slow_queue(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    submit(interface)
    queues.redis.flushall()
    with transaction():
        db.session.execute(update(Lane).values(slow_since=now_sql()))
    sweep()
    assert (len(jobs("fast")), len(jobs("slow"))) == (0, 1)


def test_only_one_sweeper_works_at_a_time(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    first, second = Sweep(), Sweep()
    db.session.rollback()
    first.once()
    submit(interface)
    queues.redis.flushall()
    db.session.rollback()
    second.once()
    assert jobs() == []
    first.resign()
    second.once()
    assert len(jobs()) == 1


def test_deliveries_that_a_pause_missed_are_held_and_after_a_deletion_cancelled(
    interface: Interface,
) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    lead = submit(interface)
    with transaction():
        db.session.execute(update(Webhook).values(state=WebhookState.PAUSED))
    sweeper = Sweep()
    sweeper.once()
    assert delivery_of(lead).state == DeliveryState.ON_HOLD
    with transaction():
        db.session.execute(update(Webhook).values(state=WebhookState.ARCHIVED))
        db.session.execute(update(Delivery).values(state=DeliveryState.PENDING))
    sweeper.once()
    assert delivery_of(lead).state == DeliveryState.CANCELLED


def test_held_deliveries_that_a_resume_missed_are_due_and_after_a_deletion_cancelled(
    interface: Interface,
) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    lead = submit(interface)
    sweeper = Sweep()
    with transaction():  # captured on hold while the webhook was resumed
        db.session.execute(update(Delivery).values(state=DeliveryState.ON_HOLD, state_reason=states.PAUSED_REASON))
    sweeper.once()
    assert delivery_of(lead).state == DeliveryState.PENDING
    with transaction():
        db.session.execute(update(Delivery).values(state=DeliveryState.ON_HOLD, state_reason="The token was revoked."))
    sweeper.once()
    assert delivery_of(lead).state == DeliveryState.ON_HOLD
    with transaction():
        db.session.execute(update(Webhook).values(state=WebhookState.ARCHIVED))
    sweeper.once()
    assert delivery_of(lead).state == DeliveryState.CANCELLED


def test_a_webhook_resumed_during_a_sweep_is_not_held_again(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    lead = submit(interface)
    webhook_id = interface.webhook.id
    db.session.rollback()
    with db.engine.begin() as connection:  # the sweep read it while the webhook was paused
        sweep_module._correct(connection, webhook_id)
    assert delivery_of(lead).state == DeliveryState.PENDING


def test_a_lead_is_kept_when_valkey_is_down_and_rung_when_it_is_back(interface: Interface, valkey: Valkey) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    valkey.stop()
    lead = submit(interface)
    assert delivery_of(lead).state == DeliveryState.PENDING
    sweeper = Sweep()
    db.session.rollback()
    sweeper.once()
    valkey.start()
    sweeper.once()
    assert len(jobs()) == 1


@pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL reads small tables as a whole, with any index")
def test_a_sweep_reads_deliveries_by_an_index(interface: Interface) -> None:
    """It once read every delivery for each webhook that was paused or deleted."""
    statements = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "deliveries" in statement:
            statements.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        sweep()
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert len(statements) == 3
    with db.engine.connect() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", given).all() for words, given in statements]
    assert all(plans)
    assert not [step.detail for plan in plans for step in plan if step.detail.startswith("SCAN deliveries")]
