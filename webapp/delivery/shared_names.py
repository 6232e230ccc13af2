"""The resolver of workers: it shares through the database what all processes must know, also after a restart.

That is: which hosts were once found without a search domain, and answers that came after a try had given up. The next
try is often made by another process, because a lane that timed out goes to the slow queue. The ordinary look-up uses
no statement of this: the first is for machines with search domains, the second for answers that take too long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from flask import Flask
from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import SQLAlchemyError

from webapp.clock import now_sql
from webapp.db import bulk
from webapp.db.transactions import autocommit, read_only
from webapp.models import KnownHost, LateAnswer
from webapp.webhooks.lookups import LATE_SECONDS, Answers
from webapp.webhooks.names import look_up

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True)
class SharedNames:
    """A resolver for `Sender`, with a `Memory` (webhooks/names.py) and `KeepsLate` (webhooks/lookups.py).

    Called on threads without an app context. While the database does not answer, it remembers nothing.
    """

    app: Flask

    def __call__(self, host: str, port: int, family: int = 0, kind: int = 0) -> Answers:
        """As socket.getaddrinfo."""
        return look_up(host, port, family, kind, memory=self)

    def knows(self, name: str) -> bool:
        """Whether the host is known. Yes as well while the database does not answer: a search domain may be wrong."""
        this = select(KnownHost.name).where(KnownHost.name == name)
        rows = self._read("it is not known whether a host was found before", lambda one: one.scalars(this).all())
        return rows is None or bool(rows)

    def add(self, name: str) -> None:
        """Remembers a host that was found as it is written."""

        def insert(connection: Connection) -> None:
            row = bulk.insert(connection.dialect.name, KnownHost).values(name=name)
            connection.execute(row.on_conflict_do_nothing())

        if not self.knows(name):
            self._run("a host could not be remembered", insert)

    def late(self, host: str) -> Sequence[str]:
        """The addresses that came too late for a try within the last minute; most often none."""
        valid = select(LateAnswer.addresses).where(LateAnswer.host == host, LateAnswer.until > now_sql())
        return self._read("late answers could not be read", lambda one: one.scalar(valid)) or ()

    def keep_late(self, host: str, addresses: Sequence[str]) -> None:
        """Keeps addresses for the next try; forgets those whose time is over."""
        values = {"addresses": list(addresses), "until": now_sql() + LATE_SECONDS}

        def keep(connection: Connection) -> None:
            connection.execute(delete(LateAnswer).where(LateAnswer.until <= now_sql()))
            row = bulk.insert(connection.dialect.name, LateAnswer).values(host=host, **values)
            connection.execute(row.on_conflict_do_update(index_elements=["host"], set_=values))

        self._run("a late answer could not be kept", keep)

    def drop_late(self, host: str) -> None:
        """Forgets an answer that was of no use."""
        this = delete(LateAnswer).where(LateAnswer.host == host)
        self._run("a late answer could not be dropped", lambda one: one.execute(this))

    def _read(self, otherwise: str, statements: Callable[[Connection], T]) -> T | None:
        """As `_run`, for what changes nothing: on SQLite it must not stand in the line of the writers."""
        with read_only():
            return self._run(otherwise, statements)

    def _run(self, otherwise: str, statements: Callable[[Connection], T]) -> T | None:
        """Runs statements that commit themselves. None, and a line in the log, if the database does not answer."""
        try:
            with self.app.app_context(), autocommit() as connection:
                return statements(connection)
        except SQLAlchemyError as error:
            log.warning(otherwise, error=type(error).__name__)
            return None
