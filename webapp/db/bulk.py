"""Writes many rows at once on both databases.

SQLite repeats a prepared statement in microseconds. PostgreSQL exchanges messages for each statement, which cost more
than the row. So several rows are sent to it as one JSON document, which the server reads as a table. A single row is
not: the planner assumes a hundred rows in such a document, and would scan a small table for them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, Connection, Text, bindparam, cast, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

Values = Mapping[str, Any]
_COUNTED = {"preserve_rowcount": True}


class Bulk:
    """A statement for many rows. `make(dialect, values)` builds it; `values` are the columns of a row as SQL, by name.

    Its parameters begin with `name`, so that one statement can contain several of these.
    """

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]], make: Callable[[str, Values], Any]) -> None:
        self._name = name
        self._columns = columns
        self._make = make
        self._made = cache(self.statement)

    def statement(self, dialect: str, as_table: bool, **instead: Any) -> Any:
        """The SQL for one row, or (`as_table`) for a document; `instead`: SQL for values that are not parameters."""
        return self._make(dialect, {**self._values(as_table), **instead})

    def _values(self, as_table: bool) -> Values:
        if not as_table:
            return {name: bindparam(f"{self._name}__{name}", type_=kind) for name, kind in self._columns.items()}
        document = cast(bindparam(f"{self._name}__rows", type_=Text()), JSON)
        columns = [column(name, kind) for name, kind in self._columns.items()]
        table = func.json_to_recordset(document).table_valued(*columns)
        table = table.render_derived(name=f"given_{self._name}", with_types=True)
        return {name: table.c[name] for name in self._columns}

    def execute(self, connection: Connection, rows: Sequence[Values]) -> int:
        """Runs it for these rows, dictionaries by column name, datetimes aware; returns how many rows it changed."""
        if not rows:
            return 0
        dialect = connection.dialect.name
        as_table = dialect == "postgresql" and len(rows) > 1
        given: Any = self.parameters(rows)
        if not as_table and len(rows) > 1:
            given = [self.parameters([row]) for row in rows]
        return connection.execute(self._made(dialect, as_table), given, execution_options=_COUNTED).rowcount

    def parameters(self, rows: Sequence[Values]) -> dict[str, Any]:
        """The statement's parameters for these rows: the values of one row, or several rows as a document."""
        if len(rows) == 1:
            return {f"{self._name}__{name}": value for name, value in rows[0].items()}
        return {f"{self._name}__rows": json.dumps(rows, default=_as_text)}


def many(rows: Sequence[Any]) -> bool | None:
    """Whether these rows are sent as a document; None where there are no rows."""
    return len(rows) > 1 if rows else None


def _as_text(value: object) -> str:
    """A value that JSON has no type for, in the form that PostgreSQL reads."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def insert(dialect: str, model: type[Any]) -> Any:
    """An INSERT with ON CONFLICT: the same SQL on both databases, but two functions in SQLAlchemy."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(model)


def inserting(name: str, model: type[Any], *names: str, where: Callable[[Values], Sequence[Any]]) -> Bulk:
    """Inserts rows of a model into these columns, if `where` is true; a row that exists already is left as it is."""

    def make(dialect: str, given: Values) -> Any:
        rows = select(*(given[name] for name in names)).where(*where(given))
        return insert(dialect, model).from_select(list(names), rows, include_defaults=False).on_conflict_do_nothing()

    return Bulk(name, {name: getattr(model, name).type for name in names}, make)
