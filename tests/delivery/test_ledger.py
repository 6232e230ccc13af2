"""Due deliveries, as a drain reads them: by the driver, or by SQLAlchemy in a transaction."""

import dataclasses

import pytest
from sqlalchemy import Connection, text, update
from sqlalchemy.exc import NotSupportedError

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.factories import point_at, sign, submit
from webapp.clock import utcnow
from webapp.db import bulk
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import ledger
from webapp.extensions import db
from webapp.models import Delivery, Interface, Lane


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite plans a statement once, where it prepares it")
def test_a_worker_has_its_batch_query_planned_only_once(make_app: AppMaker) -> None:
    """On a large table PostgreSQL took longer to plan it than to run it. After a start, all sessions plan at once."""
    ours = "statement LIKE '%FROM deliveries%' AND statement NOT LIKE '%pg_prepared%'"
    asked = f"SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE {ours}"
    with make_app(worker=True, plans_once=True).app_context():
        with read_autocommit() as connection:
            for webhook_id in range(20):
                ledger.batch(connection, webhook_id)
            [by_sqlalchemy] = connection.execute(text(asked)).all()
        db.engines["autocommit"].dispose()  # the next connection has prepared nothing yet
        with bulk.driver() as plain:
            for webhook_id in range(20):
                ledger.batch(plain, webhook_id)
            [by_driver] = plain.execute(asked.replace("%", "%%")).fetchall()
    for custom_plans, generic_plans in (by_sqlalchemy, by_driver):
        assert (custom_plans, generic_plans) == (0, 20)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite plans anew after each change")
def test_a_column_that_has_another_type_now_fails_once_in_a_process(make_app: AppMaker) -> None:
    """Deliveries go on while `db upgrade` runs."""
    with make_app(worker=True, plans_once=True).app_context():

        def read() -> None:
            with bulk.driver() as plain:
                ledger.batch(plain, 1)

        read()
        with db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE webhooks ALTER COLUMN url TYPE varchar(2999)"))
        try:
            with pytest.raises(NotSupportedError, match="cached plan"):
                read()
            read()
        finally:
            with db.engine.begin() as connection:
                connection.execute(text("ALTER TABLE webhooks ALTER COLUMN url TYPE varchar(2048)"))


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite's connections are a file")
def test_what_postgresql_does_not_support_costs_no_connection(make_app: AppMaker) -> None:
    """It has the same code as a plan for a column that has another type now."""
    with make_app(worker=True, plans_once=True).app_context(), bulk.driver() as plain:
        before = plain.execute("SELECT pg_backend_pid()").fetchone()
        with pytest.raises(NotSupportedError, match="FOR UPDATE"):
            plain.execute("SELECT count(*) FROM lanes FOR UPDATE")
        assert plain.execute("SELECT pg_backend_pid()").fetchone() == before


def test_the_driver_reads_the_same_batch_as_sqlalchemy(interface: Interface) -> None:
    """Values of every kind, with their types: times, bytes, texts of a StrEnum, NULL."""
    point_at(interface, "https://crm.example/hook")
    sign(interface)
    first, *_ = [submit(interface).id for _ in range(3)]
    webhook_id = interface.webhook.id
    with transaction():
        clicked = (
            update(Delivery).where(Delivery.lead_id == first).values(retry_at=0.1, hops=2, content_type="text/csv")
        )
        db.session.execute(clicked)
        db.session.execute(update(Lane).values(slow_since=1.5, failing_since=1.0))
        interface.webhook.shared_token.last_used_at = utcnow()
    with read_autocommit() as connection:
        by_sqlalchemy = due_of(connection, webhook_id), ledger.last_look(connection, webhook_id)
    with bulk.driver() as plain:
        by_driver = due_of(plain, webhook_id), ledger.last_look(plain, webhook_id)
    assert repr(by_driver) == repr(by_sqlalchemy)
    (settings, rows), last_look = by_driver
    assert [due.retry_at for due in rows] == [0.1, None, None]
    assert settings.token_used_at
    assert settings.token_used_at.tzinfo
    assert settings.failing_long is True
    assert last_look == (True, True)


def due_of(connection: Connection | bulk.Plain, webhook_id: int) -> ledger.Batch:
    """The batch, but for the moment at which it was read."""
    batch = ledger.batch(connection, webhook_id)
    assert batch
    assert batch.settings.read_at > 1e9
    return batch._replace(settings=dataclasses.replace(batch.settings, read_at=0.0))
