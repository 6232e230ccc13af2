"""Keeps slow reads harmless: a person who searches or exports cannot take the last thread or the whole machine.

- A page that may read for seconds takes a *turn*: one at once for every two processors of this host, two at most, for
  all web processes together. So a processor stays free for those who send leads. Others wait a moment, a few of each
  process; the rest are told at once to try again. Both kinds count together, so most threads stay free, too.
- Every read of a page is *watched*: it is stopped after 20 seconds, or as soon as its reader has left. A thread asks
  the database to stop it, which works the same way on SQLite, on PostgreSQL and through a pooler, and costs a statement
  nothing. Exports and jobs may take as long as they need.
"""

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import structlog
from flask import has_request_context, request
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import ServiceUnavailable

from webapp.extensions import db
from webapp.per_app import per_app

log = structlog.get_logger()

MOST_AT_ONCE = 2  # slow reads of a kind on this host
AT_ONCE = max(1, min(MOST_AT_ONCE, (os.cpu_count() or 1) // 2))
INSIDE = 6  # threads of a process that read or wait, of both kinds, of its 16
PATIENCE = 5.0  # seconds to wait for a turn
POLL = 0.02  # seconds between two looks for a turn of another process
LONGEST = 20.0  # seconds a page may read
LOOK = 0.25  # seconds between two looks at the readers

BUSY = "Others are searching or exporting just now. Wait a moment, then try again."

_unlimited: ContextVar[bool] = ContextVar("leadhook_unlimited_read", default=False)


class Busy(ServiceUnavailable):
    """503 with a sentence: the page cannot be read now, or it took too long."""

    name = "Please try again"

    def __init__(self, words: str) -> None:
        super().__init__(words, retry_after=5)


class Room:
    """Holds INSIDE threads of a process: those that have a turn of any kind, or wait for one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._lock:
            if self.is_full:
                raise Busy(BUSY)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    @property
    def is_full(self) -> bool:
        return self._inside >= INSIDE


class Turns:
    """At most AT_ONCE holders of a kind on this host.

    Each holds the lock of a file, which the system releases if it dies. Where the files cannot be used, each process
    counts its own holders.
    """

    def __init__(self, directory: Path, kind: str, room: Room) -> None:
        self._paths = [directory / f"{kind}-{number}.turn" for number in range(1, AT_ONCE + 1)]
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._room = room

    @contextmanager
    def turn(self, is_needed: bool = True) -> Iterator[None]:
        """Waits for a turn and holds it; Busy if there is none within PATIENCE, or if too many wait already."""
        if not is_needed:
            yield
            return
        with self._room.inside(), self._place(time.monotonic() + PATIENCE):
            _restart_watch()
            yield

    @property
    def is_full(self) -> bool:
        """Whether too many threads of this process wait already."""
        return self._room.is_full

    def refuse_if_full(self) -> None:
        """Raises Busy if too many threads of this process wait already."""
        if self.is_full:
            raise Busy(BUSY)

    @contextmanager
    def _place(self, ends_at: float) -> Iterator[None]:
        if not self._places.acquire(timeout=ends_at - time.monotonic()):
            raise Busy(BUSY)
        try:
            file = self._file(ends_at)
            try:
                yield
            finally:
                if file is not None:
                    os.close(file)
        finally:
            self._places.release()

    def _file(self, ends_at: float) -> int | None:
        while True:
            for path in self._paths:
                try:
                    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                except OSError:  # another user's file
                    return None
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return file
                except BlockingIOError:
                    os.close(file)
                except OSError:  # a file system without locks
                    os.close(file)
                    return None
            if time.monotonic() > ends_at:
                raise Busy(BUSY)
            time.sleep(POLL)


searches: Turns = per_app("searches")
exports: Turns = per_app("exports")


class PageRead:
    """A transaction of a page that only reads, from `begin` to `end`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection
        self._reader: socket.socket | None = request.environ.get("gunicorn.socket")
        self._ends_at = None if _unlimited.get() else time.monotonic() + LONGEST
        self._lock = threading.Lock()
        self._has_ended = False
        self.stopped = ""  # why, as a sentence

    def restart(self) -> None:
        if self._ends_at is not None:
            self._ends_at = time.monotonic() + LONGEST

    def look(self) -> None:
        """Stops it if it is over time or its reader has left. Asked again and again, it also stops the next
        statement, where the first time came between two."""
        if self._ends_at is not None and time.monotonic() > self._ends_at:
            self._stop("This took longer than 20 seconds, so it was stopped. Search for something more exact.")
        elif self._reader is not None and _has_left(self._reader):
            self._stop("The reader has left.")

    def _stop(self, words: str) -> None:
        with self._lock:  # so that it does not end, and its connection serves another one, meanwhile
            if self._has_ended:
                return
            self.stopped = words
            with suppress(Exception):  # a connection that is lost has stopped, too
                self._connection.info["stopped"] = True
                if hasattr(self._driver, "interrupt"):
                    self._driver.interrupt()
                else:
                    self._driver.cancel_safe(timeout=2)

    def end(self) -> None:
        _reads.pop(id(self), None)
        with self._lock:
            self._has_ended = True


_reads: dict[int, PageRead] = {}
_watch: threading.Thread | None = None


def begin(connection: Connection) -> PageRead | None:
    """Has a transaction of a request watched; the caller must call its `end`."""
    if not has_request_context():
        return None
    read = PageRead(connection)
    if _watch is None or not _watch.is_alive():  # after a fork, none of the parent's threads is
        _start_watch()
    _reads[id(read)] = read  # last: without a thread its `end` is not called, and later reads would be stopped
    return read


def _restart_watch() -> None:
    """The time that was spent waiting for a turn does not count."""
    if has_request_context() and (read := db.session().info.get("read")):
        read.restart()


def _start_watch() -> None:
    global _watch
    _watch = threading.Thread(target=_look_at_all, name="slow reads", daemon=True)
    _watch.start()


def _look_at_all() -> None:
    while True:
        time.sleep(LOOK)
        for read in list(_reads.values()):
            try:
                read.look()
            except Exception as error:  # the others must still be watched
                log.error("a page's read could not be watched", exc_info=error)


def _has_left(reader: socket.socket) -> bool:
    try:
        return reader.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (BlockingIOError, ValueError):
        return False
    except OSError:
        return True


@contextmanager
def unlimited() -> Iterator[None]:
    """Transactions that begin within the block may read as long as they need."""
    token = _unlimited.set(True)
    try:
        yield
    finally:
        _unlimited.reset(token)


def explain(read: PageRead | None, error: BaseException | None) -> None:
    """Raises Busy for the error of a statement that was stopped."""
    if read and read.stopped and isinstance(error, DBAPIError):
        raise Busy(read.stopped) from None
