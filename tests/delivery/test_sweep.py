"""The sweep: it rings lanes whose ring was lost, one sweeper at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, update

from tests.conftest import ON_POSTGRESQL
from tests.support.factories import delivery_of, point_at, submit
from tests.support.receiver import Receiver
from tests.support.valkey import Valkey
from webapp.clock import now_sql
from webapp.db.plain_reads import PlainSelect
from webapp.db.transactions import transaction
from webapp.delivery import lanes, states
from webapp.delivery import sweep as sweep_module
from webapp.delivery.rings import queues
from webapp.delivery.sweep import EVERY, LEASE, RENEW_EVERY, Sweep
from webapp.extensions import db
from webapp.models import (
    Delivery,
    DeliveryState,
    Interface,
    Lane,
    Mail,
    PreviousSecret,
    Sweeper,
    Webhook,
    WebhookState,
)
from webapp.services import api_keys


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
@pytest.mark.parametrize("idle", [True, False])
def test_a_sweep_reads_deliveries_by_an_index(interface: Interface, idle: bool) -> None:
    """It once read every delivery for each webhook that was paused or deleted."""
    point_at(interface, "http://127.0.0.1:9/")
    if not idle:
        submit(interface)
    db.session.rollback()
    sweeper = Sweep()
    with said() as statements:
        sweeper.once()
    reads = [(words, given) for words, given in statements if "deliveries" in words]
    assert len(reads) == 3  # what is wrong, which lanes are due, which leads are unmarked
    with said() as statements:
        sweeper.once()
    reads += [(words, given) for words, given in statements if "deliveries" in words]
    assert len(reads) == 3 + (1 if idle else 3)  # the question; then the first two again
    with db.engine.connect() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", given).all() for words, given in reads]
    assert all(plans)
    assert not [step.detail for plan in plans for step in plan if step.detail.startswith("SCAN deliveries")]


@contextmanager
def said() -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent within the block, each with its values."""
    found: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        found.append((statement, parameters))

    def note_plain(one: PlainSelect, dialect: Any, values: dict[str, Any]) -> tuple[str, Any]:
        found.append(statement_of(one, dialect, values))
        return found[-1]

    statement_of = PlainSelect._statement  # the driver runs it, without SQLAlchemy's events
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlainSelect, "_statement", note_plain)
        for engine in db.engines.values():
            event.listen(engine, "before_cursor_execute", note)
        try:
            yield found
        finally:
            for engine in db.engines.values():
                event.remove(engine, "before_cursor_execute", note)


def test_while_there_is_nothing_to_do_it_asks_once_and_writes_only_to_keep_its_lease(
    interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    db.session.rollback()
    now = 1000.0
    monkeypatch.setattr(sweep_module.time, "monotonic", lambda: now)
    sweeper = Sweep()
    sweeper.once()  # the first one looks at everything
    with said() as statements:
        sweeper.once()
    assert begins(statements) == ["SELECT"]
    now += RENEW_EVERY
    with said() as statements:
        sweeper.once()
    assert begins(statements) == ["SELECT", "UPDATE"]
    assert RENEW_EVERY + 2 * EVERY < LEASE


def begins(statements: list[tuple[str, Any]]) -> list[str]:
    """The first word of each statement but SQLite's BEGIN."""
    return [word for word in (words.split()[0] for words, _ in statements) if word != "BEGIN"]


def lose_a_ring(interface: Interface) -> None:
    submit(interface)
    queues.redis.flushall()


def begin_maintenance(interface: Interface) -> None:
    over = now_sql() + 60
    db.session.execute(update(Webhook).values(maintenance_from=now_sql() - 1, maintenance_until=over))


def end_maintenance(interface: Interface) -> None:
    db.session.execute(update(Webhook).values(state=WebhookState.PAUSED, state_reason="Maintenance"))
    db.session.execute(update(Webhook).values(maintenance_from=None, maintenance_until=now_sql() - 1))


def miss_a_pause(interface: Interface) -> None:
    submit(interface)
    db.session.execute(update(Webhook).values(state=WebhookState.PAUSED))


def miss_a_resume(interface: Interface) -> None:
    submit(interface)
    held = {"state": DeliveryState.ON_HOLD, "state_reason": states.PAUSED_REASON}
    db.session.execute(update(Delivery).values(held))


def fail_and_wait(interface: Interface) -> None:
    submit(interface)
    db.session.execute(update(Delivery).values(tries=1, due_at=now_sql() - 1))


def click(interface: Interface) -> None:
    submit(interface)
    failed = {"state": DeliveryState.FAILED, "retry_at": now_sql()}
    db.session.execute(update(Delivery).values(failed))


def owe_a_mail(interface: Interface) -> None:
    db.session.add(Mail(kind="report", message_id="<1@a>", recipients=[], subject="", body_text="", body_html=""))


def owe_a_report(interface: Interface) -> None:
    db.session.execute(update(Webhook).values(report_due_at=now_sql() - 1))


def end_an_overlap(interface: Interface) -> None:
    token, _ = api_keys.create_shared_token(interface.account_id, None, "Old")
    db.session.add(PreviousSecret(key_id=token.id, secret_encrypted=b"", hint="", until=now_sql() - 1))


@pytest.mark.parametrize(
    "happen",
    [
        *(lose_a_ring, fail_and_wait, click, begin_maintenance, end_maintenance),
        *(miss_a_pause, miss_a_resume, owe_a_mail, owe_a_report, end_an_overlap),
    ],
    ids=lambda happen: happen.__name__,
)
def test_an_idle_sweep_finds_at_once_what_has_to_be_done(interface: Interface, happen: Any) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    db.session.rollback()
    sweeper = Sweep()
    sweeper.once()
    assert not sweep_module._anything()
    with transaction():
        happen(interface)
    db.session.rollback()
    with said() as statements:
        sweeper.once()
    assert len(statements) > 2


def test_another_sweeper_takes_over_when_an_idle_one_is_gone(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    db.session.rollback()
    first, second = Sweep(), Sweep()
    first.once()
    second.once()
    lose_a_ring(interface)
    db.session.rollback()
    second.once()
    assert jobs() == []
    with transaction():
        db.session.execute(update(Sweeper).values(lease_until=now_sql()))
    second.once()
    assert len(jobs()) == 1
