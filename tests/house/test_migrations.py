"""The migrations make what the models say, on both databases."""

import re

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import CheckConstraint, inspect

from tests.support.tree import ROOT
from webapp.extensions import db

SCRIPTS = ScriptDirectory(str(ROOT / "webapp" / "migrations"))


def test_a_migrated_database_is_what_the_models_say(app: Flask) -> None:
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, db.metadata) == []


def test_constraints_and_conditions_of_indexes_are_what_the_models_say(app: Flask) -> None:
    """Alembic compares neither checks nor the conditions of partial indexes."""
    inspector, dialect = inspect(db.engine), db.engine.dialect.name
    for table in db.metadata.sorted_tables:
        checks = {check["name"] for check in inspector.get_check_constraints(table.name)}
        assert checks == {item.name for item in table.constraints if isinstance(item, CheckConstraint)}, table.name
        indexes = [(index["name"], index.get("dialect_options", {})) for index in inspector.get_indexes(table.name)]
        partial = {name for name, options in indexes if options.get(f"{dialect}_where") is not None}
        meant = {index.name for index in table.indexes if index.dialect_options[dialect]["where"] is not None}
        assert partial == meant, table.name


def test_there_is_one_head_and_revisions_are_numbered() -> None:
    assert len(SCRIPTS.get_heads()) == 1
    for number, revision in enumerate(reversed(list(SCRIPTS.walk_revisions())), start=1):
        assert revision.revision == f"{number:04}"
        assert re.search(rf"/{number:04}_\w+\.py$", str(revision.path))


def test_a_database_can_be_taken_down_and_up_again(app: Flask) -> None:
    db.session.remove()
    downgrade(revision="base")
    assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
    upgrade()
    assert set(db.metadata.tables) <= set(inspect(db.engine).get_table_names())
