"""Remembers, for all processes and over restarts, which hosts were once found without a search domain.

Used on the threads of look-ups, and only on machines with search domains: when a process finds such a host for the
first time, and when a host is not found.
"""

import structlog
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from webapp.db import bulk
from webapp.db.transactions import autocommit, read_autocommit
from webapp.models import KnownHost

log = structlog.get_logger()


class KnownHosts:
    """A `Memory` for webhooks/names.py."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __contains__(self, name: str) -> bool:
        """Whether the host is known. Yes as well while the database does not answer: a search domain may be wrong."""
        try:
            with self._app.app_context(), read_autocommit() as connection:
                return connection.scalar(select(KnownHost.name).where(KnownHost.name == name)) is not None
        except SQLAlchemyError as error:
            log.warning("it is not known whether a host was found before", error=type(error).__name__)
            return True

    def add(self, name: str) -> None:
        """Remembers a host; not while the database does not answer."""
        if name in self:
            return
        try:
            with self._app.app_context(), autocommit() as connection:
                row = bulk.insert(connection.dialect.name, KnownHost).values(name=name)
                connection.execute(row.on_conflict_do_nothing())
        except SQLAlchemyError as error:
            log.warning("a host could not be remembered", error=type(error).__name__)
