"""On SQLite a process's writers stand in line; on PostgreSQL connections that died are replaced."""

import os
import threading
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, text

from webapp import transaction
from webapp.extensions import db


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{tmp_path}/x.db", pool_size=2)
    transaction._bind_sqlite(engine, synchronous="OFF")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counts (n INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO counts VALUES (0)"))
    return engine


def count(engine: Engine) -> None:
    with engine.begin() as connection:
        [n] = connection.execute(text("SELECT n FROM counts")).one()
        connection.execute(text("UPDATE counts SET n = :n"), {"n": n + 1})


def counted(engine: Engine) -> int:
    with transaction.reading(), engine.connect() as connection:
        return int(connection.execute(text("SELECT n FROM counts")).scalar_one())


def test_writers_of_many_threads_neither_fail_nor_lose_anything(engine: Engine) -> None:
    threads = [threading.Thread(target=lambda: [count(engine) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counted(engine) == 100


def test_a_writer_that_fails_leaves_the_line(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.begin():
        raise ZeroDivisionError
    connection = engine.connect()
    connection.begin()
    connection.invalidate()
    connection.close()
    count(engine)
    assert counted(engine) == 1


def test_a_reader_passes_a_writer(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE counts SET n = 7"))
        assert counted(engine) == 0
    assert counted(engine) == 7


def test_one_connection_may_write_twice(engine: Engine) -> None:
    with engine.connect() as connection:
        for _ in range(2):
            with connection.begin():
                connection.execute(text("UPDATE counts SET n = n + 1"))
    assert counted(engine) == 2


@pytest.mark.skipif(os.environ.get("LEADHOOK_TEST_DATABASE") != "postgresql", reason="SQLite's connections do not die")
def test_a_connection_that_the_server_ended_while_it_was_idle_is_replaced(app: Flask) -> None:
    with db.engine.connect() as killer:
        with db.engine.connect() as victim:
            pid = victim.execute(text("SELECT pg_backend_pid()")).scalar_one()
            record = victim.connection._connection_record
        record.info["used_at"] = 0.0  # long ago
        killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with db.engine.connect() as next_one:
            assert next_one.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid
