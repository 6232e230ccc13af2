"""How PostgreSQL finds rows for a worker, whose statements are planned once, for any values."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text, update

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.factories import ADA, captured, delivery_of, point_at, sign, submit
from tests.support.postgres import Postgres
from tests.support.receiver import Receiver, answering
from tests.support.waiting import wait_until
from webapp.clock import now_sql
from webapp.db.transactions import disconnect, read_autocommit, transaction
from webapp.delivery import lanes, states
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lane, Webhook, WebhookState

# Rows and entries of indexes.
DELIVERIES_READ = """
SELECT seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'deliveries')
FROM pg_stat_user_tables WHERE relname = 'deliveries'
"""
GROWING = ("attempts", "deliveries", "leads", "mails", "report_entries")

pytestmark = pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite counts no reads; test_sweep.py asks it for its plans")


@pytest.fixture
def app(make_app: AppMaker, postgres: Postgres) -> Iterator[Flask]:
    """A worker's app. Its connections read a whole table only if no index can be used."""
    postgres.end_restorers()
    app = make_app(worker=True, plans_once=True)
    with app.app_context():
        for engine in db.engines.values():
            event.listen(engine, "connect", prefer_indexes)
        wait_until(is_alone, "the connection to end that emptied the database, and read whole tables")
        with read_autocommit() as connection:
            connection.execute(text("SELECT pg_stat_reset()"))
        yield app


def prefer_indexes(dbapi_connection: Any, record: Any) -> None:
    dbapi_connection.execute("SET enable_seqscan = off")
    dbapi_connection.execute("SET jit = off")  # reading a whole table now counts as expensive, so jit would compile it
    dbapi_connection.commit()


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    point_at(interface, receiver.url)
    sign(interface)
    return interface


def drain(interface: Interface) -> None:
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def sweep() -> None:
    db.session.rollback()
    sweeper = Sweep()
    sweeper.once()
    sweeper.resign()


def reads() -> dict[str, tuple[int, int]]:
    """How often each table was read as a whole, and by an index."""
    disconnect()
    wait_until(is_alone, "the other connections to end: their reads count after that")
    with read_autocommit() as connection:
        counted = "SELECT relname, seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = ANY(:names)"
        rows = connection.execute(text(counted), {"names": list(GROWING)}).all()
    return {name: (whole, by_index) for name, whole, by_index in rows}


def is_alone() -> bool:
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    with read_autocommit() as connection:
        return connection.execute(text(others)).scalar_one() == 0


def assert_by_indexes_only() -> None:
    counted = reads()
    assert set(counted) == set(GROWING)
    assert {name: whole for name, (whole, _) in counted.items() if whole} == {}


def test_a_drain_reads_no_whole_table_with_any_outcome(pointed: Interface, receiver: Receiver) -> None:
    with transaction():
        for _ in range(25):  # a batch and a following one
            captured(pointed.public_id, ADA)
    drain(pointed)
    receiver.queue(answering(500), answering(200), answering(410))
    failed, _, gone, held = [submit(pointed) for _ in range(4)]
    drain(pointed)
    assert [len(delivery_of(lead).attempts) for lead in (failed, gone, held)] == [1, 1, 0]
    clicked = delivery_of(held)
    assert clicked.state == DeliveryState.ON_HOLD
    with transaction():
        db.session.execute(update(Webhook).values(state=WebhookState.ACTIVE))
        db.session.execute(update(Delivery).where(Delivery.id == clicked.id).values(retry_at=now_sql()))
    drain(pointed)
    assert delivery_of(held).state == DeliveryState.DELIVERED
    point_at(pointed, receiver.url, shared_token=None)
    unsigned = submit(pointed)
    drain(pointed)
    assert delivery_of(unsigned).state == DeliveryState.ON_HOLD
    assert_by_indexes_only()


def test_a_sweep_reads_no_whole_table_whether_it_finds_work_or_not(pointed: Interface) -> None:
    sweep()
    lead = submit(pointed)
    sweep()
    for state, reason, becomes in (
        (WebhookState.PAUSED, "", DeliveryState.ON_HOLD),
        (WebhookState.ACTIVE, states.PAUSED_REASON, DeliveryState.PENDING),
        (WebhookState.ARCHIVED, "", DeliveryState.CANCELLED),
    ):
        with transaction():
            db.session.execute(update(Webhook).values(state=state))
        assert delivery_of(lead).state_reason == reason
        sweep()
        assert delivery_of(lead).state == becomes
    assert_by_indexes_only()


def test_reading_a_whole_table_is_counted(pointed: Interface) -> None:
    """Otherwise the tests above would prove nothing."""
    submit(pointed)
    with transaction():
        db.session.execute(update(Delivery).where(Delivery.last_code == 500).values(tries=0))
        db.session.execute(update(Lane).values(failures=0))
    assert reads()["deliveries"][0] == 1


def test_a_record_reads_only_its_own_deliveries_although_it_was_planned_for_a_small_table(
    pointed: Interface, receiver: Receiver
) -> None:
    """A worker's plan is kept while the table grows. By a join alone, PostgreSQL read all deliveries for each batch."""
    batches, size = 30, 10
    public_id, webhook_id = pointed.public_id, pointed.webhook.id
    for engine in db.engines.values():
        event.remove(engine, "connect", prefer_indexes)
    disconnect()
    for _ in range(batches):
        with transaction():
            for _ in range(size):
                captured(public_id, ADA)
        lanes.drain(webhook_id)
    assert len(receiver.requests) == batches * size
    reads()
    with read_autocommit() as connection:
        read = connection.execute(text(DELIVERIES_READ)).scalar_one()
    assert read < 10 * batches * size
