"""Transactions: where one begins, what it may do, and what runs after its commit.

SQLite has one writer at a time. A transaction that began as a reader cannot become a writer while another one writes:
SQLite refuses it at once with "database is locked". So what a transaction may do is decided before its first statement:

- `transaction()` writes. SQLite is given BEGIN IMMEDIATE.
- In a request, everything outside `transaction()` only reads. SQLite is given BEGIN, so that validating a form and
  rendering a page do not hold the write lock.
- Jobs and commands may write anywhere, except within `read_only()`.
- A single statement needs no transaction: `autocommit()` and `read_autocommit()`.
- What is written most, an ordinary lead, needs no session: `plain_transaction()` in bulk.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import structlog
from flask import Flask, has_request_context
from sqlalchemy import Connection, Engine, ExceptionContext, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session, SessionTransaction

from webapp.db import slow_reads
from webapp.db.engines import AUTOCOMMIT, is_lost
from webapp.db.write_turns import FairLock, ProcessLock
from webapp.extensions import db

log = structlog.get_logger()

BUSY_TIMEOUT = 30  # seconds a writer waits for the ones before it
TAKE_TURN = "take_turn"  # in the info of SQLite's connections: takes their turn as a writer
IDLE = 0.25  # seconds: a connection that was idle for less is not checked before it is used again

# None: only reads in a request, may write elsewhere
_reads_only: ContextVar[bool | None] = ContextVar("leadhook_reads_only", default=None)
_begins: ContextVar[bool] = ContextVar("leadhook_begins", default=True)  # False: the statement commits itself
_after_commit: ContextVar[list[Callable[[], object]] | None] = ContextVar("leadhook_after_commit", default=None)


@contextmanager
def transaction() -> Iterator[None]:
    """A transaction that writes: commits when the block ends, rolls back when it raises, then runs `after_commit`'s.

    A block inside another joins it; only the outermost commits. In a request, the reads before it end here: rows that
    were loaded are loaded again, under the write lock. RuntimeError where those "reads" changed something.
    """
    if in_transaction():
        yield
        return
    if _only_reads():
        end_transaction()
    with collecting_callbacks():
        token = _reads_only.set(False)
        try:
            yield
            db.session.commit()
        except BaseException:
            db.session.rollback()
            raise
        finally:
            _reads_only.reset(token)


@contextmanager
def collecting_callbacks() -> Iterator[None]:
    """Runs `after_commit`'s callbacks when the block ends, which must commit; not where it raises."""
    callbacks: list[Callable[[], object]] = []
    token = _after_commit.set(callbacks)
    try:
        yield
    finally:
        _after_commit.reset(token)
    for callback in callbacks:
        try:
            callback()
        except Exception as error:  # the commit succeeded, so the caller must not be told that it failed
            log.error("a callback after a commit failed", exc_info=error)


def in_transaction() -> bool:
    """Whether a `transaction()` is open, or a plain one."""
    return _after_commit.get() is not None


def after_commit(callback: Callable[[], object]) -> None:
    """Runs `callback` once the current transaction is committed; never if it is rolled back."""
    callbacks = _after_commit.get()
    if callbacks is None:
        raise RuntimeError("after_commit() needs a transaction() around it")
    callbacks.append(callback)


@contextmanager
def read_only() -> Iterator[None]:
    """Within the block, transactions that begin only read, so on SQLite they wait for no writer."""
    token = _reads_only.set(True)
    try:
        yield
    finally:
        _reads_only.reset(token)


@contextmanager
def read_autocommit() -> Iterator[Connection]:
    """A connection for one or two statements that change nothing, without BEGIN and ROLLBACK around them."""
    with read_only(), autocommit() as connection:
        yield connection


@contextmanager
def autocommit() -> Iterator[Connection]:
    """A connection for one statement that commits itself: SQLite is locked no longer than the statement takes."""
    token = _begins.set(False)
    try:
        engines = db.engines
        with (engines.get(AUTOCOMMIT) or engines[None]).connect() as connection:
            yield connection
    finally:
        _begins.reset(token)


def end_transaction() -> None:
    """Ends the current transaction, which must have changed nothing, so that slow work (a password hash, DNS) holds no
    lock. RuntimeError where it did: a rollback would lose the caller's changes without a word."""
    session = db.session()
    if _has_changes(session):
        raise RuntimeError("the transaction has changes that ending it would lose: do the slow work before them")
    session.rollback()


def _has_changes(session: Session) -> bool:
    """Whether a rollback would lose something: changed objects, or statements that were sent already."""
    if session.new or session.deleted or any(session.is_modified(changed) for changed in session.dirty):
        return True
    connection: Connection | None = session.info.get("connection")
    if connection is None or connection.invalidated:  # the server ended it, and an error has said so
        return False
    return session.in_transaction() and "wrote" in connection.info


@event.listens_for(db.session, "after_begin")
def _note_connection(session: Session, transaction: Any, connection: Connection) -> None:
    session.info["connection"] = connection
    if _only_reads():
        session.info["read"] = slow_reads.begin(connection)


@event.listens_for(db.session, "after_transaction_end")
def _forget_connection(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:  # else only a flush ended
        session.info.pop("connection", None)
        if read := session.info.pop("read", None):
            read.end()


def _only_reads() -> bool:
    chosen = _reads_only.get()
    return has_request_context() if chosen is None else chosen


def bind(app: Flask) -> None:
    """Gives SQLite its BEGIN and its pragmas, PostgreSQL its checks of idle connections."""
    with app.app_context():
        engines = dict(db.engines)
    for name, engine in engines.items():
        if name != AUTOCOMMIT:  # its connections are never the session's, and events cost each statement some time
            _note_writes(engine)
        event.listen(engine, "handle_error", _explain)
        if engine.dialect.name == "sqlite":
            _bind_sqlite(engine, synchronous=app.config["SQLITE_SYNCHRONOUS"])
        else:
            _bind_postgresql(engine)


def _explain(context: ExceptionContext) -> None:
    if has_request_context():
        slow_reads.explain(db.session().info.get("read"), context.sqlalchemy_exception)


def disconnect() -> None:
    """Closes this process's connections of the current app: before it forks, or when it is done."""
    db.session.remove()
    for engine in db.engines.values():
        engine.dispose()


def _note_writes(engine: Engine) -> None:
    """Marks a connection whose transaction has sent anything but a SELECT."""

    @event.listens_for(engine, "after_cursor_execute")
    def note(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.startswith("SELECT"):
            connection.info["wrote"] = True

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.info.pop("wrote", None)


def _bind_sqlite(engine: Engine, synchronous: str) -> None:
    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, record: Any) -> None:
        dbapi_connection.isolation_level = None  # else sqlite3 begins transactions itself, and always deferred
        cursor = dbapi_connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()
        record.info[TAKE_TURN] = take_turn

    # SQLite's own wait for its one writer sleeps longer and longer while the lock may be free. So the threads of a
    # process queue here, and only one thread per process waits at SQLite.
    threads, processes = FairLock(), ProcessLock(f"{engine.url.database}-gate")

    def take_turn(info: dict[Any, Any], priority: bool) -> None:
        if not info.get("has_turn"):
            info["has_turn"] = threads.acquire(BUSY_TIMEOUT, priority)
            info["has_gate"] = info["has_turn"] and processes.acquire(BUSY_TIMEOUT)

    @event.listens_for(engine, "engine_disposed")
    def close_gate(engine: Engine) -> None:
        processes.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if _only_reads():
            if _begins.get():
                _begin(connection, "BEGIN")
            return
        # A single statement has priority over transactions: it is short, and a lead to be sent waits for it.
        take_turn(connection.info, priority=not _begins.get())
        if _begins.get():
            _begin(connection, "BEGIN IMMEDIATE")

    @event.listens_for(engine, "checkin")
    @event.listens_for(engine, "invalidate")
    def give_up_turn(dbapi_connection: Any, record: Any, *error: Any) -> None:
        if record.info.pop("has_gate", False):
            processes.release()
        if record.info.pop("has_turn", False):
            threads.release()


def _begin(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
    connection.info.pop("wrote", None)


def _bind_postgresql(engine: Engine) -> None:
    """Checks a connection that was idle before it is used; one that was just used is not checked, for a check costs as
    much as a statement.

    All connections are dropped once the server is known to be read-only: a demoted primary, a standby. Such a server
    still answers SELECTs, so a pool would keep them long after there is a new primary.
    """

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, record: Any) -> None:
        """One type for all whole numbers: psycopg takes one by the value, and each would be a statement of its own."""
        if dbapi_connection.prepare_threshold == 0:
            dbapi_connection.adapters.register_dumper(int, engine.dialect.loaded_dbapi.types.numeric.Int8Dumper)

    @event.listens_for(engine, "checkin")
    def checkin(dbapi_connection: Any, record: Any) -> None:
        record.info["used_at"] = monotonic()
        if record.info.pop("stopped", False):  # PostgreSQL may stop the next statement instead
            record.invalidate()

    @event.listens_for(engine, "checkout")
    def checkout(dbapi_connection: Any, record: Any, proxy: Any) -> None:
        if monotonic() - record.info.get("used_at", monotonic()) < IDLE:
            return
        try:
            usable = _may_write(dbapi_connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error
        if not usable:
            raise InvalidatePoolError

    @event.listens_for(engine, "handle_error")
    def treat_as_lost(context: ExceptionContext) -> None:
        if is_lost(context.original_exception):
            context.is_disconnect = True


def _may_write(dbapi_connection: Any) -> bool:
    """Whether the server of this connection takes writes. A psycopg Error where the connection is broken."""
    before = dbapi_connection.autocommit
    dbapi_connection.autocommit = True
    try:
        [answer] = dbapi_connection.execute("SHOW transaction_read_only").fetchone()
    finally:
        if not dbapi_connection.closed:
            dbapi_connection.autocommit = before
    return bool(answer == "off")
