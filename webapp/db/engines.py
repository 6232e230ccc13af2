"""How connections to the database are made: pools, and the settings that PostgreSQL gives each session.

Settings are sent while connecting, with `options`. A pooler such as PgBouncer refuses them there, so with
DATABASE_PREPARED_STATEMENTS=off they belong to the role instead: `db upgrade` sets them (migrations/env.py). A session
never sets them itself: behind a pooler they would stay for the next client.
"""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import URL, make_url

_SCAN = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
PrintJson = Callable[[Any], str]
AUTOCOMMIT = "autocommit"  # the bind whose statements commit themselves

SETTINGS = {
    # A transaction whose client is gone must not lock a lane's row for ever.
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "utc",
    # Our statements run for milliseconds. Where an estimate is wrong, compiling one took a second.
    "jit": "off",
    # One person's search must not take all processors from those who send leads.
    "max_parallel_workers_per_gather": "0",
}
# How long a server that is gone is waited for. DATABASE_URL may say something else.
WAITS = {
    "connect_timeout": 10,  # seconds
    "tcp_user_timeout": 10_000,  # milliseconds
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
# For processes with few statements, which find their rows through an index for any values. In a large table PostgreSQL
# would plan them again each time, which takes longer than running them. And the plan is kept while a table grows: made
# for a small one, it read the whole table each time.
PLANS_ONCE = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


def is_lost(error: Any) -> bool:
    """Whether the connection of this error of psycopg is of no use any more: the server takes no writes (25006), or a
    column that a prepared statement returns has another type now. Other errors have its code (0A000), too."""
    state = getattr(error, "sqlstate", None)
    return state == "25006" or (state == "0A000" and error.diag.source_function == "RevalidateCachedQuery")


def options(
    database_url: str, prepares: bool, plans_once: bool, pool_size: int, print_json: PrintJson = json.dumps
) -> dict[str, Any]:
    """Arguments of `create_engine`. `prepares`: statements may be prepared, and settings sent while connecting.
    `print_json`: for SQLite, whose texts are always in UTF-8. A database of PostgreSQL may have another encoding, which
    takes only the escapes of json.dumps."""
    found: dict[str, Any] = {"pool_size": pool_size, "pool_timeout": 30}
    found["pool_use_lifo"] = True  # the connection used last has its statements prepared
    found["hide_parameters"] = True  # errors are logged, and a visitor's data must not be
    url = make_url(database_url)
    if url.get_backend_name() == "postgresql":
        ours = {name: value for name, value in WAITS.items() if name not in url.query}
        found["connect_args"] = {**ours, **_session(url, prepares, plans_once)}
        found["max_overflow"] = 0
    else:
        found |= {"json_serializer": print_json, "json_deserializer": _from_json}  # psycopg reads JSON itself
    return found


def _from_json(document: str) -> Any:
    """As json.loads, in half the time, for what json.dumps or msgspec wrote: without a space before or behind it."""
    try:
        return _SCAN(document, 0)[0]
    except StopIteration:
        return json.loads(document)


def _session(url: URL, prepares: bool, plans_once: bool) -> dict[str, Any]:
    given = url.query.get("options", "")
    theirs = given if isinstance(given, str) else " ".join(given)
    if not prepares:  # options in the URL are sent, because somebody asked for them
        return {"prepare_threshold": None, **({"options": theirs} if theirs else {})}
    settings = SETTINGS | (PLANS_ONCE if plans_once else {})
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    found: dict[str, Any] = {"options": f"{theirs} {ours}".strip()}  # of two, PostgreSQL takes the last
    return found | ({"prepare_threshold": 0} if plans_once else {})  # at once, not the sixth time


def binds(database_url: str, prepares: bool, plans_once: bool, pool_size: int) -> dict[str, Any]:
    """On PostgreSQL, separate connections for autocommit statements.

    With the others, switching to autocommit and back, and a rollback without a transaction, took a third of the
    processor time of the statement itself.
    """
    if make_url(database_url).get_backend_name() != "postgresql":
        return {}
    found = options(database_url, prepares, plans_once, pool_size)
    found |= {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True, "pool_reset_on_return": None}
    return {AUTOCOMMIT: {"url": database_url, **found}}
