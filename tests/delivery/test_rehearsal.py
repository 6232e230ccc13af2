"""The rehearsal of a worker process: it leaves everything as it was, and stops nobody from starting."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, event, text

from tests.support.factories import point_at, submit
from tests.support.reporting import fail
from webapp.db.transactions import transaction
from webapp.delivery.rehearsal import rehearse
from webapp.extensions import db
from webapp.models import Interface
from webapp.services.reports import reports
from webapp.services.reports.report_texts import TEMPLATES


def rows() -> dict[str, list[tuple[Any, ...]]]:
    """Whatever the database holds."""
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


def test_a_database_that_is_not_ready_is_no_reason_not_to_start(interface: Interface) -> None:
    with transaction():
        db.session.execute(text("ALTER TABLE lanes RENAME TO not_yet"))
    rehearse()


@pytest.fixture
def executed(app: Flask) -> Iterator[list[str]]:
    """The statements that the database is asked, one after the other."""
    found: list[str] = []

    def keep(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", keep)
    yield found
    event.remove(Engine, "before_cursor_execute", keep)


def test_reports_are_rehearsed_to_the_last_and_change_nothing(
    app: Flask, interface: Interface, executed: list[str]
) -> None:
    before = rows()
    executed.clear()
    reports.rehearse()
    assert "INSERT INTO reports" in executed[-1], "something was refused before the report was"
    assert rows() == before
    assert app.jinja_env.cache is not None
    compiled = {name for _, name in app.jinja_env.cache}
    parts = ("subject.txt", "body.txt", "body.html")
    assert compiled >= {f"email/{template}/{part}" for template in TEMPLATES.values() for part in parts}


def test_what_a_first_report_reads_and_writes_was_rehearsed(interface: Interface, executed: list[str]) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    fail(interface)
    executed.clear()
    reports.rehearse()
    rehearsed = set(executed)
    executed.clear()
    assert reports.compile_due() == 1
    news = [statement for statement in executed if statement not in rehearsed]
    unrehearsed = [statement for statement in news if "report_entries" in statement or "INSERT" in statement]
    assert not unrehearsed


def test_reports_are_no_reason_not_to_start_without_a_database(interface: Interface) -> None:
    with transaction():
        db.session.execute(text("ALTER TABLE report_entries RENAME TO not_yet"))
    reports.rehearse()
