"""The time: one clock for people, one for the machine.

People read aware UTC datetimes (`utcnow`), which `UTCDateTime` stores. Due times and leases are epoch seconds as a
double. They are written *and* compared with the database's clock (`now_sql`), so that hosts whose clocks differ agree
on what is due.
"""

from datetime import UTC, datetime
from typing import Any

from itsdangerous import SignatureExpired, TimestampSigner
from sqlalchemy import DateTime, Double
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


def utcnow() -> datetime:
    """The current date and time, aware, in UTC."""
    return datetime.now(UTC)


def moment(epoch: float) -> datetime:
    """Epoch seconds as an aware UTC datetime."""
    return datetime.fromtimestamp(epoch, UTC)


def utc(at: datetime) -> str:
    """The exact time for people: 23 Nov 2026, 14:03:41 UTC."""
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a naive datetime cannot be stored")
    return at.astimezone(UTC)


def _as_text(at: datetime | None) -> str | None:
    """Such as 2026-11-23 08:00:00.123456."""
    return None if at is None else _in_utc(at).isoformat(" ", "microseconds")[:26]


class UTCDateTime(TypeDecorator[datetime]):
    """A timezone-aware UTC datetime. Refuses naive values; returns aware values on SQLite too."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _in_utc(value)

    def bind_processor(self, dialect: Dialect) -> Any:
        """For SQLite the text that SQLAlchemy writes, in half of the time."""
        return _as_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class now_sql(FunctionElement[float]):  # noqa: N801 - reads like the SQL function it is
    """The database's clock as epoch seconds (double). It advances during a transaction."""

    type = Double()
    inherit_cache = True


@compiles(now_sql, "postgresql")
def _postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    # Without the SELECT, clock_timestamp() is volatile and the planner uses no index on a due time. now() does not
    # advance during a transaction.
    return "(SELECT extract(epoch FROM clock_timestamp())::double precision)"


@compiles(now_sql, "sqlite")
def _sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    # Debian 12's SQLite 3.40 has no unixepoch('subsec').
    return "((julianday('now') - 2440587.5) * 86400.0)"


class SkewedSigner(TimestampSigner):
    """Refuses what is too old, but not what comes from the future, as itsdangerous does: it was signed with our key, by
    a host whose clock is ahead."""

    def unsign(self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False) -> Any:
        value, signed_at = super().unsign(signed_value, return_timestamp=True)
        if max_age is not None and self._age(signed_at) > max_age:
            raise SignatureExpired("The signature is too old.", payload=value, date_signed=signed_at)
        return (value, signed_at) if return_timestamp else value

    def _age(self, signed_at: datetime) -> float:
        return self.get_timestamp() - signed_at.timestamp()
