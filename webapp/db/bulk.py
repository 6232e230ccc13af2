"""Writes many rows at once on both databases, by SQLAlchemy or (`Plain`) by the driver itself.

SQLite repeats a prepared statement in microseconds. PostgreSQL exchanges messages for each statement, which cost more
than the row. So several rows are sent to it as one JSON document, which the server reads as a table. A single row is
not: the planner assumes a hundred rows in such a document, and would scan a small table for them.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import ARRAY, JSON, Connection, Dialect, Engine, Text, any_, bindparam, cast, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.types import TypeEngine

from webapp.db.engines import AUTOCOMMIT, is_lost
from webapp.db.transactions import TAKE_TURN, collecting_callbacks, end_transaction, in_transaction
from webapp.extensions import db

Values = Mapping[str, Any]
Make = Callable[[str, Values], Any]
Processors = list[tuple[int, Callable[[Any], Any]]]
_COUNTED = {"preserve_rowcount": True}
_plain: ContextVar["Plain | None"] = ContextVar("leadhook_plain", default=None)


@contextmanager
def plain_transaction() -> Iterator[None]:
    """As `transaction()`, with `plain()` instead of a session. It cannot be inside another transaction.

    A session costs more than the statements: after each wait for the disk its code is no longer in the processor's
    cache. On PostgreSQL each statement commits itself, so only one of the block may write.
    """
    if in_transaction():
        raise RuntimeError("a plain transaction cannot be inside another one")
    if db.session.registry.has():
        end_transaction()
    with collecting_callbacks():
        connection = Plain(db.engines.get(AUTOCOMMIT) or db.engine)
        token = _plain.set(connection)
        try:
            yield
            connection.commit()
        finally:
            _plain.reset(token)
            connection.close()


@contextmanager
def driver() -> Iterator["Plain"]:
    """A connection for statements that commit themselves, run by the driver; or for one transaction, from its `begin`
    to its `commit`, of what SQLite writes by several."""
    connection = Plain(db.engines.get(AUTOCOMMIT) or db.engine)
    try:
        yield connection
    finally:
        connection.close()


def plain() -> "Plain | None":
    """The connection of the current plain transaction, which begins now or has begun; None outside of one."""
    if connection := _plain.get():
        connection.begin()
    return connection


class Plain:
    """A connection of the pool whose driver runs statements itself: SQLAlchemy's pool, turns and errors, and no more.

    On SQLite it is one transaction, from `begin` to `commit`; else `close` rolls it back. On PostgreSQL the engine must
    be one whose connections commit each statement.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self.dialect = engine, engine.dialect
        self._pooled: PoolProxiedConnection | None = None

    def begin(self) -> None:
        """Takes a connection, and on SQLite a turn as a writer; does nothing where that was done."""
        if self._pooled is None and self.take_turn(priority=False):
            self.execute("BEGIN IMMEDIATE")

    def take_turn(self, priority: bool = True) -> bool:
        """On SQLite a turn as a writer, until `close`; False where none is needed. A single statement has priority."""
        info = self._open().info
        if take_turn := info.get(TAKE_TURN):
            take_turn(info, priority)
        return take_turn is not None

    def commit(self) -> None:
        if self._pooled is not None and TAKE_TURN in self._pooled.info:
            self.execute("COMMIT")

    def close(self) -> None:
        """Gives the connection back to the pool, which rolls back what was not committed."""
        if self._pooled is not None:
            self._pooled.close()

    def _open(self) -> PoolProxiedConnection:
        if self._pooled is None:
            try:
                self._pooled = self._engine.raw_connection()
            except self.dialect.loaded_dbapi.Error as error:
                raise self._explained("", error) from error
        return self._pooled

    def execute(self, sql: str, given: Any = (), many: bool = False) -> Any:
        """The driver's cursor after the statement; `many`: after one for each of several parameters. Errors are
        SQLAlchemy's, as a session raises them."""
        cursor = self._open().cursor()
        try:
            (cursor.executemany if many else cursor.execute)(sql, given)
        except self.dialect.loaded_dbapi.Error as error:
            raise self._explained(sql, error) from error
        return cursor

    def all(self, cursor: Any) -> Any:
        """All rows. With the last one SQLite commits the statement, so this may fail after `execute` did not."""
        try:
            return cursor.fetchall()
        except self.dialect.loaded_dbapi.Error as error:
            raise self._explained("", error) from error

    def _explained(self, sql: str, error: Any) -> Any:
        """The error as SQLAlchemy raises it. The pool forgets all connections if one is of no use."""
        if self._pooled is not None and (is_lost(error) or self.dialect.is_disconnect(error, self._pooled, None)):
            self._pooled.invalidate(error)
            self._engine.dispose()
        base = self.dialect.loaded_dbapi.Error
        return DBAPIError.instance(sql, None, error, base, hide_parameters=True, dialect=self.dialect)


class Statement:
    """A statement that SQLAlchemy runs, or the driver of a plain connection: then it is compiled once, and each value
    goes through its column's type, so that both store the same."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._prepared = lru_cache(8)(self._prepare)
        self._returned: WeakKeyDictionary[Dialect, Processors] = WeakKeyDictionary()

    def run(self, connection: Connection | Plain, given: Any) -> Any:
        """The result, with rows and `rowcount`; `given`: parameters by name, or a list of several."""
        if isinstance(connection, Connection):
            return connection.execute(self._statement, given, execution_options=_COUNTED)
        sql, read = self._prepared(connection.dialect)
        if isinstance(given, list):
            return connection.execute(sql, [read(each) for each in given], many=True)
        return connection.execute(sql, read(given))

    def rows(self, connection: Connection | Plain, given: Values) -> Any:
        """All rows of the result as tuples, each value as SQLAlchemy would return it."""
        cursor, dialect = self.run(connection, given), connection.dialect
        if isinstance(connection, Connection):
            return cursor.all()
        if (processors := self._returned.get(dialect)) is None:
            processors = self._returned[dialect] = self._processors(dialect, cursor.description)
        rows = connection.all(cursor)
        return [_processed(row, processors) for row in rows] if processors else rows

    def _prepare(self, dialect: Dialect) -> tuple[str, Callable[[Values], Any]]:
        """Its SQL, and what makes the driver's parameters of ours."""
        compiled = self._statement.compile(dialect=dialect)
        kinds = {name: bind.type.dialect_impl(dialect) for name, bind in compiled.binds.items()}
        processors = {name: kind.bind_processor(dialect) for name, kind in kinds.items()}
        own = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
        names = compiled.positiontup if compiled.positional else list(kinds)
        steps = [(name, processors[name]) for name in names]

        def read(given: Values) -> Any:
            values = {**own, **given} if own else given
            found = [process(values[name]) if process else values[name] for name, process in steps]
            return found if compiled.positional else dict(zip(names, found, strict=True))

        return str(compiled), read

    def _processors(self, dialect: Dialect, described: Sequence[Any]) -> Processors:
        """What makes Python's values of the driver's, by the number of their column."""
        kinds = [column.type.dialect_impl(dialect) for column in self._statement.exported_columns]
        found = [kind.result_processor(dialect, each[1]) for kind, each in zip(kinds, described, strict=True)]
        return [(number, process) for number, process in enumerate(found) if process is not None]


def _processed(row: Sequence[Any], processors: Processors) -> tuple[Any, ...]:
    values = list(row)
    for number, process in processors:
        values[number] = process(values[number])
    return tuple(values)


def json_text(value: Any) -> str:
    """JSON for SQLite: as json.dumps, without spaces and escapes, in a tenth of its time. What msgspec cannot print, a
    subclass of str or half a character, json.dumps prints."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, UnicodeEncodeError):
        return json.dumps(value)


class Bulk:
    """A statement for many rows. `make(dialect, values)` builds it; `values` are the columns of a row as SQL, by name.

    Its parameters begin with `name`, so that one statement can contain several of these. `key`: the column with ids of
    rows that exist; of a document's rows the statement is given them as SQL besides, as the array `keys`.
    """

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]], make: Make, key: str = "") -> None:
        self._name = name
        self._columns = columns
        self._make = make
        self._key = key
        self._prefixed = [(column, f"{name}__{column}") for column in columns]
        self._made = cache(lambda dialect, as_table: Statement(self.statement(dialect, as_table)))

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
        keys = {"keys": bindparam(f"{self._name}__keys", type_=ARRAY(self._columns[self._key]))} if self._key else {}
        return {name: table.c[name] for name in self._columns} | keys

    def execute(self, connection: Connection | Plain, rows: Sequence[Values]) -> int:
        """Runs it for these rows, dictionaries by column name, datetimes aware; returns how many rows it changed."""
        if not rows:
            return 0
        dialect = connection.dialect.name
        as_table = dialect == "postgresql" and len(rows) > 1
        is_one = as_table or len(rows) == 1
        given: Any = self.parameters(rows) if is_one else [self.parameters([row]) for row in rows]
        return int(self._made(dialect, as_table).run(connection, given).rowcount)

    def parameters(self, rows: Sequence[Values]) -> dict[str, Any]:
        """The statement's parameters for these rows: the values of one row, or several rows as a document."""
        if len(rows) == 1:
            return {prefixed: rows[0][name] for name, prefixed in self._prefixed}
        keys = {f"{self._name}__keys": [row[self._key] for row in rows]} if self._key else {}
        return {f"{self._name}__rows": _document(rows)} | keys


def found_by(column: Any, given: Values, name: str) -> Sequence[Any]:
    """SQL conditions: the column is the key `name` of a given row. PostgreSQL is told all keys of a document besides,
    and finds each by the index. For the join alone it reads the whole table while that is small, and a plan that is
    kept does so while the table grows."""
    return [column == given[name], *([column == any_(given["keys"])] if "keys" in given else ())]


def many(rows: Sequence[Any]) -> bool | None:
    """Whether these rows are sent as a document; None where there are no rows."""
    return len(rows) > 1 if rows else None


def _as_text(value: object) -> str:
    """A value that JSON has no type for, in the form that PostgreSQL reads."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


_document = json.JSONEncoder(default=_as_text).encode


def among(dialect: str, column: Any, name: str) -> Any:
    """SQL: the column is one of the values of the parameter `name`, as `ids` gives them. One text for any number."""
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(column.type)))
    return column.in_(select(func.json_each(bindparam(name)).table_valued("value").c.value))


def ids(dialect: str, given: Iterable[int] | Iterable[str]) -> Any:
    """Ids, or other values, as a parameter for `among`."""
    return list(given) if dialect == "postgresql" else json_text(list(given))


def insert(dialect: str, model: type[Any]) -> Any:
    """An INSERT with ON CONFLICT: the same SQL on both databases, but two functions in SQLAlchemy."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(model)


def inserting(name: str, model: type[Any], *names: str, where: Callable[[Values], Any], key: str = "") -> Bulk:
    """Inserts rows of a model into these columns, if `where` is true; a row that exists already is left as it is."""

    def make(dialect: str, given: Values) -> Any:
        rows = select(*(given[name] for name in names)).where(*where(given))
        return insert(dialect, model).from_select(list(names), rows, include_defaults=False).on_conflict_do_nothing()

    return Bulk(name, {name: getattr(model, name).type for name in names}, make, key)
