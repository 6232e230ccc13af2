"""The time: one clock for people, one for the machine.

People read aware UTC datetimes (`utcnow`). Due times and leases are epoch seconds as a double, and are written *and*
compared with the database's own clock (`now_sql`), so that hosts with clocks apart agree on what is due.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def utcnow() -> datetime:
    """The time of day, aware, UTC."""
    return datetime.now(UTC)


class now_sql(FunctionElement[float]):  # noqa: N801 - reads like the SQL function it is
    """The database's clock as epoch seconds (double), moving within a transaction."""

    type = Double()
    inherit_cache = True


@compiles(now_sql, "postgresql")
def _postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    # Bare clock_timestamp() is volatile, so the planner would not use an index on a due time; now() stands still.
    return "(SELECT extract(epoch FROM clock_timestamp())::double precision)"


@compiles(now_sql, "sqlite")
def _sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    # Debian 12's SQLite 3.40 has no unixepoch('subsec').
    return "((julianday('now') - 2440587.5) * 86400.0)"
