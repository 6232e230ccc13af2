"""Connections to PostgreSQL that the next test on the same database goes on with.

A new connection is a new process of the server that reads the catalog again: ten milliseconds of processor time. One
that is kept has neither settings, locks, temporary tables nor prepared statements of the test before.
"""

import select
from collections import defaultdict
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.pq import ExecStatus, PGconn, TransactionStatus
from sqlalchemy import Engine

GO_ON = ("blueprints", "delivery", "services")  # whose tests are about what they ask the database, not about how
MOST = 4  # for each database and way of connecting: a test with many threads may have had more


def may_go_on(request: Any, folder: str) -> bool:
    """Whether a test may have the connections of those before it, and leave its own to the next one.

    A test that asks for the server itself may change its settings, and a session begins with those.
    """
    asked = request.node._fixtureinfo
    theirs = [each for found in asked.name2fixturedefs.values() for each in found if each.baseid != "tests"]
    asks_for_server = [asked.argnames, *(fixture.argnames for fixture in theirs)]
    return folder in GO_ON and not any("postgres" in names for names in asks_for_server)


class KeptConnections:
    def __init__(self) -> None:
        self._kept: defaultdict[Any, list[PGconn]] = defaultdict(list)  # by database and options
        self._dead = PGconn.connect_start(b"host=/nowhere")
        self._dead.finish()

    def serve(self, engine: Engine) -> None:
        """The engine takes a kept connection where there is one that was opened as it opens its own."""
        dialect: Any = engine.pool._dialect  # type: ignore[attr-defined]
        opens = dialect.connect

        def connect(context: Any, **options: Any) -> Any:
            kind = options["dbname"], repr(sorted(options.items()))
            if (kept := self._take(kind)) is None:
                connection = opens(context=context, **options)
            else:
                connection = psycopg.Connection(kept)
                connection._adapters = AdaptersMap(context.adapters)
                connection.prepare_threshold = options.get("prepare_threshold", connection.prepare_threshold)
            connection.opened_as = kind
            return connection

        dialect.connect = connect

    def keep(self, engine: Engine) -> None:
        """Closes the engine's connections, and keeps those that the next test can have: its own test is over."""
        dialect: Any = engine.pool._dialect  # type: ignore[attr-defined]
        closes = dialect.do_close

        def do_close(connection: Any) -> None:
            kept = self._kept[connection.opened_as]
            if len(kept) < MOST and _forgets(connection.pgconn):
                kept.append(connection.pgconn)
                connection.pgconn = self._dead
            else:
                closes(connection)

        dialect.do_close = do_close
        engine.dispose()
        dialect.do_close = closes

    def pids(self, name: str) -> list[int]:
        """The server's processes of a database's kept connections."""
        return [kept.backend_pid for kind, connections in self._kept.items() if kind[0] == name for kept in connections]

    def close(self, name: str | None = None) -> None:
        """Of one database, or of all."""
        for kind in [kind for kind in self._kept if name in (None, kind[0])]:
            for kept in self._kept.pop(kind):
                kept.finish()

    def _take(self, kind: Any) -> PGconn | None:
        while self._kept[kind]:
            kept = self._kept[kind].pop()
            if not _was_ended(kept):
                return kept
            kept.finish()
        return None


def _forgets(connection: PGconn) -> bool:
    """Whether the session is as it was when it began."""
    is_idle = connection.transaction_status == TransactionStatus.IDLE
    return is_idle and connection.exec_(b"DISCARD ALL").status == ExecStatus.COMMAND_OK


def _was_ended(connection: PGconn) -> bool:
    """By the server, or by a test on another connection: then there is something to read."""
    poll = select.poll()
    poll.register(connection.socket, select.POLLIN)
    return bool(poll.poll(0))
