"""Up to which number all deliveries are there: what comes later has a larger one.

SQLite has one writer at a time, which takes the next number and commits: the last number is the horizon.

PostgreSQL gives a number out before the commit, so 8 may be committed after 9. Who writes to the table holds a lock on
it, from before it takes a number until after its commit. So: read the last number, then list the writers. Once all of
those have ended, no smaller number can come any more: who began later took a larger one. CREATE INDEX CONCURRENTLY
waits for writers in the same way. Writers need not know of it, and pay nothing.
"""

import time
from threading import Lock
from typing import NamedTuple

from sqlalchemy import func, select, text

from webapp.db.transactions import read_autocommit
from webapp.models import Delivery
from webapp.per_app import per_app

PAUSES = (0.0, 0.01, 0.02, 0.04)  # seconds before each look of `settled`: a writer takes milliseconds

_LAST = select(func.max(Delivery.id))
_WRITERS = text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND relation = 'deliveries'::regclass"
    " AND mode = 'RowExclusiveLock' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Candidate(NamedTuple):
    """A number that becomes the horizon once these writers have ended."""

    number: int
    writers: frozenset[str]


class Horizon:
    """What this process knows of the horizon. Its threads share it, and look one after the other: a list of writers is
    compared only with an older one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._settled = 0
        self._candidate: Candidate | None = None

    def settled(self) -> int:
        """The horizon, after some looks where transactions write just now. While one of them takes long, it is an older
        horizon: 0, if this process knows none."""
        wanted = 0
        for pause in PAUSES:
            time.sleep(pause)
            settled, last = self.look()
            wanted = wanted or last
            if settled >= wanted:
                break
        return settled

    def look(self) -> tuple[int, int]:
        """The horizon, and the last number now."""
        with self._lock:
            with read_autocommit() as connection:
                last = connection.scalar(_LAST) or 0
                writers = set(connection.scalars(_WRITERS)) if connection.dialect.name == "postgresql" else set[str]()
            if self._candidate and writers.isdisjoint(self._candidate.writers):
                self._settled, self._candidate = self._candidate.number, None
            if not writers:
                self._settled, self._candidate = last, None
            elif self._candidate is None and last > self._settled:
                self._candidate = Candidate(last, frozenset(writers))
            return self._settled, last


horizon: Horizon = per_app("feed_horizon")
