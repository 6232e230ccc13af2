"""SELECTs that are sent very often, and rows that are read very often, without SQLAlchemy's work around them.

Asking for a form's version took 0.16 ms, of which SQLite needed 0.02. A page view has nothing else to do, and an
idle sweep neither.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BindParameter, Select

from webapp.db.engines import AUTOCOMMIT
from webapp.db.transactions import read_autocommit
from webapp.extensions import db


class PlainSelect:
    """A SELECT of at most one row. Values are given and returned as the driver has them."""

    def __init__(self, select: Select[Any]) -> None:
        self._select = select
        self._compiled: dict[str, tuple[str, Sequence[str] | None, dict[str, Any]]] = {}

    def one_or_none(self, **values: Any) -> tuple[Any, ...] | None:
        """The row that is committed now, read without a transaction. SQLAlchemy's errors."""
        engine = db.engines.get(AUTOCOMMIT) or db.engine
        sql, parameters = self._statement(engine.dialect, values)
        raw: Any = None
        try:
            raw = engine.raw_connection()
            return raw.driver_connection.execute(sql, parameters).fetchone()  # type: ignore[no-any-return]
        except engine.dialect.loaded_dbapi.Error:  # SQLAlchemy gives up the other connections, too, and says why
            if raw:
                raw.invalidate()
        finally:
            if raw:
                raw.close()
        with read_autocommit() as connection:
            row = connection.exec_driver_sql(sql, parameters).one_or_none()
            return tuple(row) if row else None

    def _statement(self, dialect: Any, values: dict[str, Any]) -> tuple[str, Any]:
        if dialect.name not in self._compiled:
            made: Any = self._select.compile(dialect=dialect)
            own = {name: _value(bind, dialect) for name, bind in made.binds.items() if not bind.required}
            self._compiled[dialect.name] = str(made), made.positiontup if made.positional else None, own
        sql, order, own = self._compiled[dialect.name]
        given = own | values
        return sql, given if order is None else tuple(given[name] for name in order)


class PlainObjects:
    """A model's rows as plain objects, which all threads may read: each has the values of its columns, and the
    properties of the model's class. Relationships are given by hand. They are equal only to themselves."""

    def __init__(self, model: type[Any]) -> None:
        attributes = list(model.__mapper__.column_attrs)
        self.columns = [attribute.columns[0] for attribute in attributes]  # to be selected, in this order
        self._names = [attribute.key for attribute in attributes]
        properties = {name: each for name, each in vars(model).items() if isinstance(each, property)}
        self._kind = type(model.__name__, (_Plain,), properties)

    def of(self, values: Iterable[Any], **related: Any) -> Any:
        """The object of a row with these values of the columns; `related`: by the name of the relationship."""
        return self._kind(zip(self._names, values, strict=True), related)


class _Plain:
    def __init__(self, *values: Any) -> None:
        for each in values:
            self.__dict__.update(each)


def _value(bind: BindParameter[Any], dialect: Any) -> Any:
    """A value that stands in the statement, as the driver has it."""
    process = bind.type.dialect_impl(dialect).bind_processor(dialect)
    return process(bind.effective_value) if process else bind.effective_value
