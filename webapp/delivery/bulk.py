"""Many rows in one statement, and what one dialect says otherwise than the other.

SQLite runs a prepared statement once more in microseconds. PostgreSQL answers each one with messages of its own, which
cost both sides more than the row: there several rows go as one JSON document, which the server reads as a table. A
single one does not, for the server expects a hundred of such a document, and reads through a small table to find them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, Connection, Executable, Text, bindparam, cast, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

Values = Mapping[str, Any]
_ROWS = cast(bindparam("rows", type_=Text()), JSON)
_COUNTED = {"preserve_rowcount": True}


class Bulk:
    """A statement for many rows; `make` is given the rows' values by name, as SQL."""

    def __init__(self, columns: Mapping[str, TypeEngine[Any]], make: Callable[[str, Values], Executable]) -> None:
        self._columns = columns
        self._made = cache(lambda dialect, as_table: make(dialect, self._values(as_table)))

    def _values(self, as_table: bool) -> Values:
        if not as_table:
            return {name: bindparam(name, type_=kind) for name, kind in self._columns.items()}
        columns = [column(name, kind) for name, kind in self._columns.items()]
        table = func.json_to_recordset(_ROWS).table_valued(*columns).render_derived(name="given", with_types=True)
        return {name: table.c[name] for name in self._columns}

    def execute(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
        """Runs it for these rows, dictionaries by the columns' names; how many it inserted or changed.

        Datetimes are aware.
        """
        if not rows:
            return 0
        dialect = connection.dialect.name
        as_table = dialect == "postgresql" and len(rows) > 1
        given: Any = rows[0] if len(rows) == 1 else rows
        if as_table:
            given = {"rows": json.dumps(rows, default=_as_text)}
        return connection.execute(self._made(dialect, as_table), given, execution_options=_COUNTED).rowcount


def _as_text(value: object) -> str:
    """What JSON has no type for, as PostgreSQL reads it."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def insert(dialect: str, model: type[Any]) -> Any:
    """An INSERT that knows ON CONFLICT, which both databases write alike and SQLAlchemy does not."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(model)


def inserting(model: type[Any], *names: str) -> Bulk:
    """Inserts rows of a model by these columns; a row that is there already stays as it is."""

    def make(dialect: str, values: Values) -> Executable:
        statement = insert(dialect, model)
        if dialect == "postgresql":
            statement = statement.from_select(list(names), select(*values.values()), include_defaults=False)
        else:
            statement = statement.values(dict(values))
        done: Executable = statement.on_conflict_do_nothing()
        return done

    return Bulk({name: getattr(model, name).type for name in names}, make)
