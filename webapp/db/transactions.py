"""The unit of work: one transaction, and what must wait for its commit.

On SQLite a session that reads first and writes later meets `database is locked` at once, because a lock is never
upgraded while somebody else writes. So the kind of a transaction is chosen before its first statement: requests that
only read begin deferred, everything else (other methods, jobs, commands) begins IMMEDIATE. A statement that is alone
begins nothing and commits itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import structlog
from flask import Flask, has_request_context, request
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InvalidatePoolError

from webapp.db.write_turns import Gate, Line
from webapp.extensions import db

log = structlog.get_logger()

BUSY_TIMEOUT = 30  # seconds a writer waits for the ones before it
IDLE = 0.25  # seconds: a connection that was idle for less is taken to live
AUTOCOMMIT = "autocommit"  # the bind whose statements commit themselves
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_reading: ContextVar[bool | None] = ContextVar("leadhook_reading", default=None)  # None: by the request's method
_begins: ContextVar[bool] = ContextVar("leadhook_begins", default=True)  # whether a statement begins a transaction
_waiting: ContextVar[list[Callable[[], object]] | None] = ContextVar("leadhook_after_commit", default=None)


@contextmanager
def transaction() -> Iterator[None]:
    """Commits the session when the block ends, rolls back when it raises, then runs what `after_commit` gathered.

    A block inside another joins it: only the outermost commits.
    """
    if _waiting.get() is not None:
        yield
        return
    waiting: list[Callable[[], object]] = []
    token = _waiting.set(waiting)
    try:
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    finally:
        _waiting.reset(token)
    for deed in waiting:
        try:
            deed()
        except Exception as error:  # what is committed is so; whoever asked for it must not be told that it failed
            log.error("what was to follow a commit failed", exc_info=error)


def after_commit(deed: Callable[[], object]) -> None:
    """Runs `deed` once the transaction at hand has been committed; never if it is rolled back."""
    waiting = _waiting.get()
    if waiting is None:
        raise RuntimeError("after_commit() needs a transaction() around it")
    waiting.append(deed)


@contextmanager
def read_only() -> Iterator[None]:
    """Within the block, transactions that begin on SQLite begin deferred: for what reads, and must not wait."""
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


@contextmanager
def read_autocommit() -> Iterator[Connection]:
    """A connection for a statement or two that change nothing: without BEGIN and ROLLBACK around them."""
    with read_only(), autocommit() as connection:
        yield connection


@contextmanager
def autocommit() -> Iterator[Connection]:
    """A connection for one statement that commits itself: SQLite is kept from others no longer than it takes."""
    token = _begins.set(False)
    try:
        engines = db.engines
        with (engines.get(AUTOCOMMIT) or engines[None]).connect() as connection:
            yield connection
    finally:
        _begins.reset(token)


@contextmanager
def allow_write() -> Iterator[None]:
    """Ends the transaction at hand; within the block, a request that only reads may write after all. For a deed that
    is a GET and must be written down, such as a download."""
    db.session.rollback()
    token = _reading.set(False)
    try:
        with transaction():
            yield
    finally:
        _reading.reset(token)


def end_transaction() -> None:
    """Ends the transaction at hand without writing, so that slow work (a password hash) holds no lock."""
    db.session.rollback()


def _only_reads() -> bool:
    chosen = _reading.get()
    if chosen is not None:
        return chosen
    return has_request_context() and request.method in READING_METHODS


def bind(app: Flask) -> None:
    """Hands SQLite its BEGIN and its pragmas, PostgreSQL its guards."""
    with app.app_context():
        engines = [*db.engines.values()]
    for engine in engines:
        if engine.dialect.name == "sqlite":
            _bind_sqlite(engine, synchronous=app.config["SQLITE_SYNCHRONOUS"])
        else:
            _bind_postgresql(engine)


def disconnect() -> None:
    """Closes the connections that this process keeps for the app at hand: before it forks, or where it is done."""
    db.session.remove()
    for engine in db.engines.values():
        engine.dispose()


def _bind_sqlite(engine: Engine, synchronous: str) -> None:
    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, record: Any) -> None:
        dbapi_connection.isolation_level = None  # or sqlite3 begins by itself, and always deferred
        cursor = dbapi_connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    # SQLite's own wait for its one writer sleeps longer and longer, and the lock stands free meanwhile. So a process's
    # threads stand in line here, and only one of each process at SQLite.
    line, gate = Line(), Gate(f"{engine.url.database}-gate")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if _only_reads():
            if _begins.get():
                connection.exec_driver_sql("BEGIN")
            return
        if not connection.info.get("in_line"):
            # One statement goes before transactions: it is short, and a lead that could be sent waits for it.
            connection.info["in_line"] = line.enter(BUSY_TIMEOUT, short=not _begins.get())
            connection.info["in_gate"] = connection.info["in_line"] and gate.enter(BUSY_TIMEOUT)
        if _begins.get():
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine, "checkin")
    @event.listens_for(engine, "invalidate")
    def leave(dbapi_connection: Any, record: Any, *error: Any) -> None:
        if record.info.pop("in_gate", False):
            gate.leave()
        if record.info.pop("in_line", False):
            line.leave()


def _bind_postgresql(engine: Engine) -> None:
    """A connection that has lain idle is asked whether it still lives; one that was just used is not, for the question
    costs as much as a statement."""

    @event.listens_for(engine, "checkin")
    def checkin(dbapi_connection: Any, record: Any) -> None:
        record.info["used_at"] = monotonic()

    @event.listens_for(engine, "checkout")
    def checkout(dbapi_connection: Any, record: Any, proxy: Any) -> None:
        if monotonic() - record.info.get("used_at", monotonic()) < IDLE:
            return
        try:
            engine.dialect.do_ping(dbapi_connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error
