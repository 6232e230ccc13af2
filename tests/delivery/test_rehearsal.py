"""The rehearsal of a worker process: it leaves everything as it was, and stops nobody from starting."""

from typing import Any

from sqlalchemy import text

from tests.support.factories import point_at, submit
from webapp.delivery.rehearsal import rehearse
from webapp.extensions import db
from webapp.models import Interface
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
