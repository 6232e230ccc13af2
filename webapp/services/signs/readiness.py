"""Readiness: whether a lead can be written now. Found out by a probe, at most every two seconds in a process.

What counts is a write. A demoted primary, a standby and a full disk answer every SELECT.
"""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic, time
from typing import Any

from flask import Flask, current_app
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from webapp.clock import now_sql
from webapp.db.write_turns import GroupCommit
from webapp.extensions import db
from webapp.log import Trouble
from webapp.models import Interface, Lead
from webapp.per_app import per_app
from webapp.services.signs import health

EVERY = 2.0  # seconds between two probes
PATIENCE = 3.0  # seconds that a request waits for a probe: then the database does not answer
HANGS = "The database has not answered for seconds."
COPIES = 4  # how often the largest body can be in the columns of its lead and deliveries
LOCK_WAIT = "SET LOCAL lock_timeout = '2s'"


@dataclass(frozen=True)
class Readiness:
    """`database` and `redis` as health.py says. `clock_offset`: seconds by which this host's clock is ahead of the
    database's; None where it does not answer. `why`: for the log and `flask doctor`, where it is not `writable`."""

    database: str
    writable: bool
    redis: str
    clock_offset: float | None = None
    why: str = ""


class Probe:
    """What one process knows about its readiness. `transaction`: webapp.db.transactions.transaction."""

    def __init__(self, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        self._transaction = transaction
        self._lock = Lock()
        self._running: Event | None = None  # set when the probe that runs now has ended
        self._asked_at = -EVERY
        self._last = Readiness("away", False, "away")
        self._proved = False  # a lead was written, in a transaction that was then rolled back
        self._hangs = Trouble("the database does not answer", "the database answers again")
        self._trouble = Trouble("leads cannot be written", "leads can be written again")

    def readiness(self) -> Readiness:
        """The readiness, at most two seconds old. After a capture that failed, nothing is writable until a probe is.

        A server that hangs (a stopped process, a network that drops packets) does not answer: then this returns
        PATIENCE after the probe began.
        """
        with self._lock:
            if self._running is None and monotonic() >= self._asked_at + EVERY:
                app, ended = current_app._get_current_object(), Event()  # type: ignore[attr-defined]
                # First: where the system has no thread left, the next request must try again.
                Thread(target=self._run, args=(app, ended), name="readiness", daemon=True).start()
                self._running, self._asked_at = ended, monotonic()
            running, left = self._running, self._asked_at + PATIENCE - monotonic()
        if running is not None and not running.wait(max(0.0, left)):
            self._hangs.report(HANGS)
            return Readiness("away", False, self._last.redis, why=HANGS)
        return replace(self._last, writable=False) if _captures_fail() else self._last

    def rehearse(self) -> None:
        """Probes now, on this thread, for the processes that are forked from this one: they need no proof of their own,
        which takes four times the memory of any later probe."""
        self._last, self._asked_at = self._ask(), monotonic()

    def _run(self, app: Flask, ended: Event) -> None:
        """On a thread of its own, because nothing can end a read from a server that hangs."""
        found = Readiness("away", False, "away", why="The probe failed in Leadhook's own code: see the log.")
        try:
            with app.app_context():
                found = self._ask()
                self._hangs.over()
        finally:
            with self._lock:
                self._last, self._asked_at, self._running = found, monotonic(), None
            ended.set()

    def _ask(self) -> Readiness:
        database, redis = health.database(), health.redis()
        if database != "ok":
            return Readiness(database, False, redis)
        offset, why = None, ""
        try:
            offset, why = self._examine()
        except (SQLAlchemyError, OSError) as error:
            db.session.rollback()
            self._proved, why = False, health.reason(error)
        if why:
            self._trouble.report(why)
        else:
            self._trouble.over()
        return Readiness(database, not why, redis, offset, why)

    def _examine(self) -> tuple[float, str]:
        """The clock offset, and why nothing can be written; raises what the database raises."""
        offset, read_only = _clock_and_mode()
        if read_only:
            self._proved = False
            _drop_connections()
            return offset, "The database server takes no writes: it is a standby, or was set to read-only."
        if db.engine.dialect.name == "sqlite":
            _allocate(db.engine.url.database or "")
        if not self._proved or _captures_fail():
            for captures in (_captures, _other_captures):
                captures.last_error = None
            self._prove()
            self._proved = True
        return offset, ""

    def _prove(self) -> None:
        """Writes a lead as large as any, rolls it back, and commits a small change."""
        with self._transaction():
            if db.engine.dialect.name == "postgresql":
                db.session.execute(text(LOCK_WAIT))
            savepoint = db.session.begin_nested()
            _write_largest_lead()
            savepoint.rollback()
            db.session.execute(text("UPDATE alembic_version SET version_num = version_num"))


probe: Probe = per_app("readiness")
_captures: GroupCommit[Any, Any] = per_app("captures")
_other_captures: GroupCommit[Any, Any] = per_app("other_captures")


def _captures_fail() -> bool:
    """Whether the last capture of this process failed for a reason that the next one would meet too."""
    errors = [error for group in (_captures, _other_captures) if (error := group.last_error)]
    return any(issubclass(each, DBAPIError | NoConnection) and not issubclass(each, _OF_ONE_LEAD) for each in errors)


_OF_ONE_LEAD = (DataError, IntegrityError)  # else a stranger could turn the readiness off with a value


def clock_offset() -> float:
    """Seconds by which this host's clock is ahead of the database's; SQLite has the host's clock."""
    return _clock_and_mode()[0]


def _clock_and_mode() -> tuple[float, bool]:
    on_postgresql = db.engine.dialect.name == "postgresql"
    mode = func.current_setting("transaction_read_only") if on_postgresql else text("'off'")
    before = time()
    clock, read_only = db.session.execute(select(now_sql(), mode)).one()
    offset = (before + time()) / 2 - clock
    db.session.rollback()
    return offset, read_only == "on"


def _drop_connections() -> None:
    """Has the refusal of a write end all connections (webapp/db/transactions.py), so that a new primary is found."""
    for engine in db.engines.values():
        with contextlib.suppress(DBAPIError), engine.connect() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = version_num WHERE false"))


def _largest() -> int:
    return COPIES * int(current_app.config["MAX_CONTENT_LENGTH"])


def _allocate(database: str) -> None:
    """OSError where the folder of an SQLite file has no room for the largest lead, in the log and in the file.

    Allocates the room for a moment: free space, quotas, limits on files and read-only file systems all count.
    """
    path = Path(database).absolute()
    if not path.is_file():  # in memory
        return
    with tempfile.TemporaryFile(dir=path.parent) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, 2 * _largest())
        else:  # macOS
            file.write(bytes(2 * _largest()))
            file.flush()


def _write_largest_lead() -> None:
    """Inserts a lead into the first interface; nothing where there is no interface yet."""
    interface = db.session.execute(select(Interface.id, Interface.account_id).order_by(Interface.id).limit(1)).first()
    if interface is not None:
        noise = secrets.token_hex(_largest() // 2)  # PostgreSQL would compress a text that repeats
        values = {"interface_id": interface.id, "account_id": interface.account_id, "spam": "probe"}
        db.session.execute(insert(Lead).values(fields={"probe": noise}, source={}, **values))
