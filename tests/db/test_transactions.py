"""On SQLite the writers of a process wait in order; on PostgreSQL dead connections are replaced."""

import os
import threading
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, select, text, update

from tests.conftest import AppMaker
from tests.support import once
from tests.support.waiting import wait_until
from webapp.db import transactions
from webapp.extensions import db
from webapp.models import Interface

ON_POSTGRESQL = os.environ.get("LEADHOOK_TEST_DATABASE") == "postgresql"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{tmp_path}/x.db", pool_size=2)
    transactions._bind_sqlite(engine, synchronous="OFF")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counts (n INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO counts VALUES (0)"))
    return engine


def count(engine: Engine) -> None:
    with engine.begin() as connection:
        [n] = connection.execute(text("SELECT n FROM counts")).one()
        connection.execute(text("UPDATE counts SET n = :n"), {"n": n + 1})


def counted(engine: Engine) -> int:
    with transactions.read_only(), engine.connect() as connection:
        return int(connection.execute(text("SELECT n FROM counts")).scalar_one())


def test_writers_on_many_threads_do_not_fail_and_lose_nothing(engine: Engine) -> None:
    threads = [threading.Thread(target=lambda: [count(engine) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counted(engine) == 100


def test_a_writer_that_fails_lets_the_next_one_write(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.begin():
        raise ZeroDivisionError
    connection = engine.connect()
    connection.begin()
    connection.invalidate()
    connection.close()
    count(engine)
    assert counted(engine) == 1


def test_a_writer_whose_engine_was_disposed_meanwhile_lets_the_next_one_write(engine: Engine) -> None:
    """Another thread does that, whose connection was lost."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE counts SET n = 7"))
        engine.dispose()
    with engine.begin() as connection:
        assert connection.info["has_turn"]
    assert counted(engine) == 7


def test_a_reader_does_not_wait_for_a_writer(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE counts SET n = 7"))
        assert counted(engine) == 0
    assert counted(engine) == 7


def test_a_connection_can_write_twice(engine: Engine) -> None:
    with engine.connect() as connection:
        for _ in range(2):
            with connection.begin():
                connection.execute(text("UPDATE counts SET n = n + 1"))
    assert counted(engine) == 2


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite's connections do not die")
@pytest.mark.parametrize("name", [None, transactions.AUTOCOMMIT])
def test_a_connection_that_the_server_ended_while_it_was_idle_is_replaced(app: Flask, name: str | None) -> None:
    engine = db.engines[name]
    with engine.connect() as killer:
        with engine.connect() as victim:
            pid = victim.execute(text("SELECT pg_backend_pid()")).scalar_one()
            record = victim.connection._connection_record
        record.info["used_at"] = 0.0  # long ago
        killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with engine.connect() as next_one:
            assert next_one.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid


def test_autocommit_keeps_a_statement_even_if_an_error_follows(app: Flask, interface: Interface) -> None:
    def with_autocommit() -> None:
        with transactions.autocommit() as connection:
            connection.execute(update(Interface).values(name="Kept"))
            raise ZeroDivisionError

    def in_a_transaction() -> None:
        with transactions.transaction():
            db.session.execute(update(Interface).values(name="Rolled back"))
            raise ZeroDivisionError

    db.session.rollback()
    for rename in (with_autocommit, in_a_transaction):
        with pytest.raises(ZeroDivisionError):
            rename()
    assert db.session.scalars(select(Interface.name)).all() == ["Kept"]


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite does not say who is connected")
def test_disconnect_closes_all_connections(app: Flask) -> None:
    with db.engine.connect() as first, transactions.read_autocommit() as second:
        pids = [one.execute(text("SELECT pg_backend_pid()")).scalar_one() for one in (first, second)]
    transactions.disconnect()
    others = create_engine(db.engine.url)
    with others.connect() as connection:
        living = text("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(:pids)")
        wait_until(lambda: connection.execute(living, {"pids": pids}).scalar_one() == 0, "both to end")
    others.dispose()


@pytest.mark.parametrize(("worker", "level"), [(False, 2), (True, 1)])  # 2 is FULL, 1 is NORMAL
def test_an_accepted_lead_survives_a_power_cut(make_app: AppMaker, tmp_path: Path, worker: bool, level: int) -> None:
    app, engine = make_app(worker=worker), create_engine(f"sqlite:///{tmp_path}/other.sqlite3")
    once.BIND_SQLITE(engine, synchronous=app.config["SQLITE_SYNCHRONOUS"])
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA synchronous")) == level
    engine.dispose()
