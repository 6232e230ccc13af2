"""The time: one clock for people, one for the machine.

People read aware UTC datetimes (`utcnow`). Due times and leases are epoch seconds as a double. They are written *and*
compared with the database's clock (`now_sql`), so that hosts whose clocks differ agree on what is due.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def utcnow() -> datetime:
    """The current date and time, aware, in UTC."""
    return datetime.now(UTC)


def moment(epoch: float) -> datetime:
    """Epoch seconds as an aware UTC datetime."""
    return datetime.fromtimestamp(epoch, UTC)


def utc(at: datetime) -> str:
    """The exact time for people: 23 Nov 2026, 14:03:41 UTC."""
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


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
