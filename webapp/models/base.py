"""The base class of all models, and the column types they share."""

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import JSON, BigInteger, Double, Enum, Index, Integer, MetaData, text
from sqlalchemy.orm import DeclarativeBase, mapped_column

from webapp.clock import UTCDateTime

E = TypeVar("E", bound=StrEnum)

# SQLite assigns ids automatically only in a column declared INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own name
        datetime: UTCDateTime,
        float: Double,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        list[str]: JSON,
    }


def enum_column(enum: type[E], **kw: Any) -> Any:
    """A StrEnum stored as text with a CHECK constraint, so that both databases refuse other values."""
    values = [member.value for member in enum]
    kind = Enum(
        enum,
        native_enum=False,
        create_constraint=True,
        name=enum.__name__.lower(),
        values_callable=lambda _: values,
        length=32,
    )
    return mapped_column(kind, **kw)


def partial_index(name: str, *columns: Any, where: str, unique: bool = False) -> Index:
    """An index over the rows for which `where` is true (SQL that means the same on both databases)."""
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
