"""The rehearsal of a worker process: it leaves everything as it was, and stops nobody from starting."""

from typing import Any

from flask import Flask
from sqlalchemy import text

from tests.support.factories import point_at, submit
from webapp.delivery.rehearsal import rehearse
from webapp.extensions import db
from webapp.models import Interface
from webapp.services import report_samples
from webapp.services.report_texts import TEMPLATES
from webapp.transaction import transaction


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


def test_reports_are_worded_with_templates_that_were_compiled_before(app: Flask, interface: Interface) -> None:
    before = rows()
    report_samples.rehearse()
    assert rows() == before
    assert app.jinja_env.cache is not None
    compiled = {name for _, name in app.jinja_env.cache}
    parts = ("subject.txt", "body.txt", "body.html")
    assert compiled >= {f"email/{template}/{part}" for template in TEMPLATES.values() for part in parts}
