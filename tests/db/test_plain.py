"""What the driver writes without a session is what a session would have written. So are its errors and its turns."""

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Integer, bindparam, case, inspect, literal, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.conftest import ON_POSTGRESQL
from tests.support.factories import point_at
from tests.support.waiting import wait_until
from webapp.db import bulk
from webapp.db.transactions import after_commit, transaction
from webapp.db.write_turns import FairLock
from webapp.extensions import db
from webapp.models import Account, Delivery, DeliveryState, Interface, Lead
from webapp.services.intake import capture, published_forms
from webapp.services.intake.capture import NewLead, Submission

# What a lead's columns may hold, all at once: Unicode beyond the first plane, quotes and percent signs, characters that
# SQL or a driver might take for its own, NULL beside empty values, numbers that JSON writes in several ways.
FULL: dict[str, Any] = {
    "name": 'Zoë 山田　太郎 🧑‍🚀 O\'Neill; -- %s %(name)s :name ? \\ "x"',
    "email": "zoë@bücher.example",
    "visitor": "zoë@bücher.example",
    "fields": {
        "name": "\u2028 \U0001f600 é",
        "seats": 40,
        "price": 0.1,
        "big": 1e22,
        "none": None,
        "yes": True,
        "": [],
    },
    "source": {"utm": {"source": None}, "page_url": "https://x.example/?q=%20&a=1", "hops": 2, "click_ids": {}},
    "typed": {"phone": "(030) 12 34"},
    "marks": {"phone": "unparsed"},
    "undeclared": {"a[]": ["x", {"y": [1, None]}]},
    "consents": [{"key": "terms", "given": False, "page": None}],
    "nonce": "0" * 64,
    "received_at": datetime(2026, 3, 31, 23, 59, 59, 999999, timezone(timedelta(hours=5, minutes=45))),
    "test": True,
    "no_webhook": True,
    "anonymise_after_delivery": True,
}
DIFFERS = {"id", "public_id", "nonce", "message_id", "lead_id", "due_at", "payload"}  # in any two rows
BARE: dict[str, Any] = {
    "name": "",
    "email": "",
    "visitor": None,
    "fields": {},
    "source": {},
    "received_at": datetime(2026, 1, 1, tzinfo=UTC),
}


@pytest.fixture
def hooked(interface: Interface) -> Interface:
    point_at(interface, "https://crm.example/hook")
    return interface


def submission(interface: Interface, values: dict[str, Any], number: int) -> Submission:
    form = published_forms.get(interface.public_id)
    owner = {"account_id": form.interface.account_id, "interface_id": form.interface.id}
    nonce = f"{number:064}" if values.get("nonce") else None
    return Submission(form, NewLead(**{**values, **owner, "nonce": nonce, "public_id": f"lead_{number}"}))


def captured(hooked: Interface, values: list[dict[str, Any]], first: int, way: Callable[[], Any]) -> list[str]:
    submissions = [submission(hooked, each, first + number) for number, each in enumerate(values)]
    with way():
        assert capture.capture(submissions) == [lead.public_id for _, lead in submissions]
    return [lead.public_id for _, lead in submissions]


def stored(model: type[Any], lead_id: str) -> list[dict[str, Any]]:
    """The rows as the database has them, every column as text and with its type, but for what differs in each row."""
    kind = "pg_typeof" if ON_POSTGRESQL else "typeof"
    names = [name for name in [column.name for column in model.__table__.columns] if name not in DIFFERS]
    asked = ", ".join(f"CAST({name} AS text), CAST({kind}({name}) AS text)" for name in names)
    of_lead = {
        "leads": "public_id = :lead_id",
        "deliveries": "lead_id = (SELECT id FROM leads WHERE public_id = :lead_id)",
    }
    table = model.__tablename__
    query = text(f"SELECT {asked} FROM {table} WHERE {of_lead[table]}")
    with transaction():
        rows = db.session.execute(query, {"lead_id": lead_id}).all()
    return [dict(zip(names, zip(row[::2], row[1::2], strict=True), strict=True)) for row in rows]


@pytest.mark.parametrize("group", [[FULL], [BARE], [FULL, BARE, FULL]], ids=["full", "bare", "several"])
def test_the_driver_stores_every_column_as_the_session_does(hooked: Interface, group: list[dict[str, Any]]) -> None:
    by_session = captured(hooked, group, 100, transaction)
    by_driver = captured(hooked, group, 200, bulk.plain_transaction)
    for one, other in zip(by_session, by_driver, strict=True):
        for model in (Lead, Delivery):
            assert len(stored(model, one)) == 1
            assert stored(model, one) == stored(model, other)


def test_the_driver_stores_what_the_orm_reads(hooked: Interface) -> None:
    captured(hooked, [FULL, BARE], 1, bulk.plain_transaction)
    full, bare = db.session.scalars(select(Lead).order_by(Lead.public_id)).all()
    computed = {"nonce", "no_webhook"}
    assert {name: getattr(full, name) for name in FULL if name not in computed} == {
        name: value for name, value in FULL.items() if name not in computed
    }
    assert full.received_at.utcoffset() == timedelta(0)
    assert {name: getattr(bare, name) for name in BARE} == BARE
    assert (bare.typed, bare.marks, bare.undeclared, bare.nonce, bare.spam, bare.consents) == (*[None] * 5, [])
    assert full.deliveries[0].state == DeliveryState.PENDING
    assert full.deliveries[0].hops == 2
    assert json.loads(full.deliveries[0].payload)["data"]["lead"]["fields"] == {**FULL["fields"], "big": 10**22}


def test_every_column_of_a_lead_and_of_a_delivery_is_written_or_has_its_default(hooked: Interface) -> None:
    """So a new column cannot be forgotten: where it has a default in the ORM only, the statement must name it."""
    written = {
        Lead: {Lead.__mapper__.columns[name].name for name in capture.LEAD_COLUMNS},
        Delivery: {*capture._DELIVERY_COLUMNS, "lead_id", "due_at"},
    }
    for model, names in written.items():
        for column in inspect(model).columns:
            if column.name not in names and not column.primary_key:
                assert column.nullable or column.server_default is not None, column


# Its transaction -----------------------------------------------------------------------------------------------------


def rename(name: str) -> bulk.Statement:
    return bulk.Statement(update(Account).values(name=text(f"'{name}'")))


def fail_after(step: Callable[[], object]) -> None:
    with bulk.plain_transaction():
        step()
        raise ZeroDivisionError


def test_what_is_registered_runs_after_the_commit_and_not_without_one(app: Flask, interface: Interface) -> None:
    called: list[str] = []
    db.session.rollback()
    with bulk.plain_transaction():
        after_commit(lambda: called.append("kept"))
        rename("Kept").run(bulk.plain(), {})
        assert called == []
    with pytest.raises(ZeroDivisionError):
        fail_after(lambda: after_commit(lambda: called.append("lost")))
    assert called == ["kept"]
    assert db.session.scalars(select(Account.name)).all() == ["Kept"]
    assert bulk.plain() is None


@pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL commits each statement")
def test_on_sqlite_what_raises_stores_nothing_and_the_next_writer_has_its_turn(
    app: Flask, interface: Interface
) -> None:
    name = interface.account.name
    db.session.rollback()
    with pytest.raises(ZeroDivisionError):
        fail_after(lambda: rename("Lost").run(bulk.plain(), {}))
    with transaction():
        assert db.session.scalars(select(Account.name)).all() == [name]


@pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL commits before it answers")
def test_on_sqlite_a_commit_that_fails_after_the_rows_is_an_error_of_a_session(app: Flask) -> None:
    """SQLite commits a single statement when its last row is read."""
    with transaction():
        db.session.execute(text("CREATE TABLE one (id INTEGER PRIMARY KEY)"))
        db.session.execute(text("CREATE TABLE two (one REFERENCES one DEFERRABLE INITIALLY DEFERRED)"))
    statement = bulk.Statement(text("INSERT INTO two VALUES (7) RETURNING one").columns(one=Integer))
    with bulk.driver() as connection, pytest.raises(IntegrityError):
        statement.rows(connection, {})


@pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL has many writers")
def test_on_sqlite_it_waits_for_its_turn_in_the_process(app: Flask, interface: Interface) -> None:
    order: list[str] = []
    db.session.rollback()

    def write() -> None:
        with app.app_context(), bulk.plain_transaction():
            bulk.plain()
            order.append("plain")

    with transaction():
        db.session.connection()
        thread = threading.Thread(target=write)
        thread.start()
        wait_until(lambda: len(db.engine.pool._pool.queue) == 0, "it to wait for its turn")
        order.append("session")
    thread.join(60)
    assert order == ["session", "plain"]


def test_it_cannot_be_inside_another_transaction(app: Flask) -> None:
    with transaction(), pytest.raises(RuntimeError, match="inside another one"), bulk.plain_transaction():
        pass


def test_it_refuses_to_lose_what_the_session_has_changed(app: Flask, interface: Interface) -> None:
    interface.name = "Changed"
    with pytest.raises(RuntimeError, match="has changes"), bulk.plain_transaction():
        pass
    db.session.rollback()


# Its errors ----------------------------------------------------------------------------------------------------------


def test_its_errors_are_sqlalchemys_and_hide_the_values(hooked: Interface) -> None:
    twice = bulk.Statement(
        text("INSERT INTO accounts (id, name, created_at) SELECT id, name, created_at FROM accounts")
    )
    with pytest.raises(IntegrityError) as caught, bulk.plain_transaction():
        twice.run(bulk.plain(), {})
    assert "INSERT INTO accounts" in str(caught.value)
    assert caught.value.__cause__ is caught.value.orig


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite's connections do not die")
def test_a_connection_that_dies_fails_one_group_and_is_replaced(
    hooked: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.db.transactions.IDLE", 3600.0)  # it was used a moment ago, so it is not checked
    first, second, third = [submission(hooked, BARE, number) for number in range(3)]
    with bulk.plain_transaction():
        capture.capture([first])
    ours = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with db.engine.connect() as killer:
        killer.execute(text(f"SELECT pg_terminate_backend(pid, 5000) {ours}"))
    with pytest.raises(OperationalError), bulk.plain_transaction():
        capture.capture([second])
    with bulk.plain_transaction():
        assert capture.capture([third]) == ["lead_2"]


@pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL has many writers")
def test_a_turn_that_does_not_come_is_an_error_of_sqlalchemy(
    hooked: Interface,
) -> None:
    """Another program, which knows no turns, writes to the file."""
    kept = submission(hooked, BARE, 1)
    db.session.rollback()
    ours = db.engine.raw_connection()
    ours.cursor().execute("PRAGMA busy_timeout = 50")
    ours.close()
    with closing(sqlite3.connect(db.engine.url.database or "")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="database is locked"), bulk.plain_transaction():
            capture.capture([kept])
        other.rollback()
    with bulk.plain_transaction():
        assert capture.capture([kept]) == ["lead_1"]


# Statements that commit themselves -----------------------------------------------------------------------------------

VALUES = (
    Delivery.id,
    Delivery.payload,
    Delivery.test,
    Delivery.state,
    Delivery.due_at,
    Delivery.last_error,
    Lead.received_at,
    Lead.fields,
    Lead.fields.label("again"),
    Lead.spam.is_(None),
    case((Lead.test, Delivery.due_at > 0)),
    literal(1.5),
)


def test_rows_are_those_that_sqlalchemy_returns(hooked: Interface) -> None:
    """By value and by type, the same column twice, NULLs, and values that are part of the statement."""
    captured(hooked, [FULL, BARE], 1, bulk.plain_transaction)
    query = select(*VALUES).join(Lead).where(Delivery.id >= bindparam("first"), Delivery.tries == 0)
    query = query.order_by(Delivery.id)
    statement = bulk.Statement(query)
    with transaction():
        expected = [tuple(row) for row in db.session.execute(query, {"first": 1})]
    with bulk.driver() as connection:
        found = statement.rows(connection, {"first": 1})
    assert len(found) == 2
    assert found == expected
    kinds = [[type(value) for value in row] for row in expected]
    assert [[type(value) for value in row] for row in found] == kinds


def test_what_an_update_returns_is_read_as_well(app: Flask, interface: Interface) -> None:
    db.session.rollback()
    renamed = update(Account).values(name=bindparam("given")).returning(Account.id, Account.name, Account.created_at)
    with bulk.driver() as connection:
        connection.take_turn()
        [(_, name, created_at)] = bulk.Statement(renamed).rows(connection, {"given": "Kept"})
    assert (name, created_at.utcoffset()) == ("Kept", timedelta(0))
    assert db.session.scalars(select(Account.name)).all() == ["Kept"]


@pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL has many writers")
def test_on_sqlite_a_single_statement_has_priority_and_its_turn_ends_with_the_connection(
    app: Flask, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`test_write_turns.py` says what priority is."""
    asked: list[bool] = []
    acquire = FairLock.acquire

    def noted(lock: FairLock, timeout: float, priority: bool = False) -> bool:
        asked.append(priority)
        return acquire(lock, 0.0, priority)

    monkeypatch.setattr(FairLock, "acquire", noted)
    db.session.rollback()
    with bulk.driver() as connection:
        assert connection.take_turn()
        rename("One").run(connection, {})
    with bulk.driver() as connection:
        connection.begin()
        rename("Many").run(connection, {})
        connection.commit()
    with bulk.driver() as connection:
        connection.begin()
        rename("Not committed").run(connection, {})
    monkeypatch.undo()
    assert asked == [True, False, False]
    assert db.session.scalars(select(Account.name)).all() == ["Many"]
