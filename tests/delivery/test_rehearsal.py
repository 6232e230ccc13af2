"""The rehearsals of worker processes: they change nothing, and no error in them stops a process from starting."""

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, event, text

import worker
from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.factories import point_at, submit
from tests.support.postgres import Postgres
from tests.support.reporting import fail
from webapp.db import bulk
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import several, threaded_worker
from webapp.delivery.rehearsal import rehearse
from webapp.delivery.rings import FAST, SLOW
from webapp.extensions import db
from webapp.models import Interface
from webapp.services.reports import reports
from webapp.services.reports.report_texts import TEMPLATES


def rows() -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the database, by table."""
    db.session.rollback()
    with db.engine.connect() as connection:
        found = {table: connection.execute(table.select()).all() for table in db.metadata.sorted_tables}
    return {table.name: sorted(map(tuple, each), key=repr) for table, each in found.items()}


def test_it_changes_nothing(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    submit(interface)
    before = rows()
    rehearse()
    assert rows() == before


def test_a_database_that_is_not_ready_does_not_stop_the_start(interface: Interface) -> None:
    with transaction():
        db.session.execute(text("ALTER TABLE lanes RENAME TO not_yet"))
    rehearse()


@pytest.mark.parametrize("role", [FAST, SLOW])
def test_on_postgresql_a_process_of_the_fast_queue_rehearses_in_its_own_sessions_before_it_takes_jobs(
    app: Flask, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    done: list[str] = []

    def serve(_: Flask, queue: str, slots: int) -> bool:
        done.append(queue)
        return True

    monkeypatch.setattr(worker, "rehearse", lambda: done.append("rehearsed"))
    monkeypatch.setattr(threaded_worker, "serve", serve)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert worker._work(app, role, 1) == 0
    assert done == (["rehearsed", FAST] if ON_POSTGRESQL and role == FAST else [role])


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no sessions")
def test_a_database_that_does_not_answer_holds_up_neither_the_start_nor_the_end(
    app: Flask, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def serve(*_: Any) -> bool:
        begun.set()
        return True

    monkeypatch.setattr(threaded_worker, "serve", serve)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker, "REHEARSES", 0.1)
    with db.engine.connect() as other:
        other.execute(text("LOCK TABLE lanes IN ACCESS EXCLUSIVE MODE"))
        working = threading.Thread(target=worker._work, args=(app, FAST, 1), daemon=True)
        working.start()
        assert begun.wait(20)
        working.join(20)
        assert not working.is_alive()
    [rehearsal] = [one for one in threading.enumerate() if one.name == "rehearsal"] or [working]
    rehearsal.join(20)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite plans a statement where it runs it")
def test_what_is_rehearsed_is_planned_for_ids_of_any_size(make_app: AppMaker) -> None:
    """psycopg gives a number the smallest type that it fits into, and PostgreSQL plans for each type."""
    count = text("SELECT name FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared%'")
    with make_app(worker=True, plans_once=True).app_context():
        rehearse()
        with read_autocommit() as connection:
            before = set(connection.execute(count).scalars())
        with bulk.driver() as plain:
            for each in (7, 40_000, 3_000_000_000):
                several.take(plain, [each])
                several.read(plain, [each])
                several.with_newer(plain, [each], [each, 8])
                several.last_look(plain, [each])
        with read_autocommit() as connection:
            assert set(connection.execute(count).scalars()) == before
        with db.engine.begin() as connection:
            assert len(list(connection.execute(count))) > 2 * 3, "what SQLAlchemy records is planned, too"


@pytest.fixture
def executed(app: Flask) -> Iterator[list[str]]:
    """The statements that the database receives, in order."""
    found: list[str] = []

    def keep(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", keep)
    yield found
    event.remove(Engine, "before_cursor_execute", keep)


def test_the_rehearsal_of_reports_renders_every_kind_and_writes_nothing(
    app: Flask, interface: Interface, executed: list[str]
) -> None:
    before = rows()
    executed.clear()
    reports.rehearse()
    written = [statement for statement in executed if not statement.startswith(("SELECT", "BEGIN"))]
    assert not written
    assert rows() == before
    assert app.jinja_env.cache is not None
    compiled = {name for _, name in app.jinja_env.cache}
    parts = ("subject.txt", "body.txt", "body.html")
    assert compiled >= {f"email/{template}/{part}" for template in TEMPLATES.values() for part in parts}


def test_the_reads_of_a_first_report_are_rehearsed(interface: Interface, executed: list[str]) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    fail(interface)
    executed.clear()
    reports.rehearse()
    rehearsed = set(executed)
    executed.clear()
    assert reports.compile_due() == 1
    reads = {statement for statement in executed if statement.startswith("SELECT") and "report_entries" in statement}
    assert reads
    assert reads <= rehearsed


def test_reports_do_not_stop_the_start_without_a_database(interface: Interface) -> None:
    with transaction():
        db.session.execute(text("ALTER TABLE report_entries RENAME TO not_yet"))
    reports.rehearse()
