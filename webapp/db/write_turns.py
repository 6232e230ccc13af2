"""How writers take turns, and write together: locks that serve their waiters in order, group commit, and requests that
run side by side in one thread.

A plain `threading.Lock` does not serve in order: others wait while a thread that writes in a loop takes it again.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from threading import Lock
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

LOCK, NEXT = 0, 1  # the file's bytes: the lock, and the right to take it next
POLL = 0.0001  # seconds between two tries for a byte that another process holds

MOST = 16  # items in one transaction, so that other writers get their turn
SLOW = 1.0  # seconds after which a write fails because of the database, not of its item
Item = TypeVar("Item")
Result = TypeVar("Result")


class FairLock:
    """A lock for threads: first come, first served, except that waiters with `priority` go before the others.

    One thread may acquire it and another one release it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken = False
        self._priority: deque[Lock] = deque()
        self._others: deque[Lock] = deque()

    def acquire(self, timeout: float, priority: bool = False) -> bool:
        """Waits for the lock, at most `timeout` seconds; returns whether it was acquired."""
        waiters = self._priority if priority else self._others
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            turn = Lock()
            turn.acquire()
            waiters.append(turn)
        if turn.acquire(timeout=timeout):
            return True
        with self._lock:
            if turn not in waiters:
                return True  # it was handed over just after the timeout
            waiters.remove(turn)
        return False

    def release(self) -> None:
        """Hands the lock to the next waiter."""
        with self._lock:
            if waiters := self._priority or self._others:
                waiters.popleft().release()
            else:
                self._taken = False


class ProcessLock:
    """A lock for processes, made of two bytes of a file; the system releases it when its holder dies.

    A process first takes the byte NEXT, then waits for the byte LOCK, which is the lock. So a process that releases it
    and wants it again finds another one before it. Only one thread per process may use it at a time: see FairLock.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file, self._opened_by = -1, 0

    def acquire(self, timeout: float) -> bool:
        """Waits for the lock, at most `timeout` seconds; returns whether it was acquired. Also False where the file
        cannot be used: then SQLite alone decides who writes next."""
        ends_at = time.monotonic() + timeout
        try:
            if self._opened_by != os.getpid():  # a file inherited over a fork would share its parent's locks
                self._open()
            if not self._take(NEXT, ends_at):
                return False
            try:
                return self._take(LOCK, ends_at)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, NEXT)
        except OSError:  # another user's file, or a file system without locks
            return False

    def release(self) -> None:
        """Also after `close`, which has released it."""
        with contextlib.suppress(OSError, ValueError):
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, LOCK)

    def close(self) -> None:
        """Closes the file, if this process opened it. The next `acquire` opens it again."""
        if self._opened_by == os.getpid():
            os.close(self._file)
            self._file, self._opened_by = -1, 0

    def _open(self) -> None:
        """Opens the file; makes it where it is missing, for the user who owns the database's directory."""
        directory = os.stat(os.path.dirname(self._path) or ".")
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(OSError):  # only root can give it to that user
                os.fchown(self._file, directory.st_uid, directory.st_gid)
        self._opened_by = os.getpid()

    def _take(self, byte: int, ends_at: float) -> bool:
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                if time.monotonic() > ends_at:
                    return False
                time.sleep(POLL)
            else:
                return True


class SideBySide:
    """Requests that run side by side in one thread, so that they meet where each would wait alone.

    A request that calls `meet` stands still there. Once all stand still or have ended, those that meet at the same
    place go on: the first one with what all of them brought, to do it at once. See docs/adr/0025.
    """

    def __init__(self) -> None:
        self._waiting: dict[object, list[tuple[_Request, Any]]] = {}

    def run(self, works: Sequence[Callable[[], object]]) -> None:
        """Returns when all are done. None of them may raise."""
        for work in works:
            _Request(self, work).switch()
        while self._waiting:
            place = next(iter(self._waiting))
            [(first, _), *others] = met = self._waiting.pop(place)
            first.switch([item for _, item in met])
            for request, _ in others:
                request.switch([])

    def wait(self, request: "_Request", place: object, item: Any) -> Any:
        self._waiting.setdefault(place, []).append((request, item))
        assert request.parent
        return request.parent.switch()


class _Request(greenlet):
    """The stack of one request; its context variables are its own."""

    def __init__(self, others: SideBySide, work: Callable[[], object]) -> None:
        super().__init__(work)
        self.others = others


def meet(place: object, item: Item) -> list[Item] | None:
    """Waits for the requests beside this one that come to the same place. The first one gets the items of all, its own
    among them, and does what is to be done for them; the others get an empty list after that. None where no request
    runs beside this one."""
    request = getcurrent()
    return request.others.wait(request, place, item) if isinstance(request, _Request) else None


class _Task(Enum):
    """What a thread does once it is woken."""

    RETURN = auto()  # its result or its error is there
    BE_LEADER = auto()
    WRITE_ALONE = auto()  # the group's transaction failed, perhaps because of another thread's item


class _Member(Generic[Item, Result]):
    """A waiting thread and the result of its item."""

    result: Result

    def __init__(self, item: Item) -> None:
        self.item = item
        self.error: BaseException | None = None
        self.task = _Task.RETURN
        self._woken = Lock()
        self._woken.acquire()

    def wait(self) -> None:
        self._woken.acquire()

    def wake(self) -> None:
        self._woken.release()


class GroupCommit(Generic[Item, Result]):
    """Group commit: what the requests of one process want to write at the same time goes into one transaction.

    A commit costs a disk flush, and SQLite its one writer, however little it writes. So while one transaction of the
    group is open, further threads wait together. One of them, the leader, then writes for all of them and commits once.
    No thread goes on before its own item is committed. Requests that run side by side in a thread are a group, too.

    `write` gets one or more items and runs in a transaction that `transaction()` opens and `begin()` starts. It returns
    one result per item, in the same order. Results must be plain values: they are made in the session of the leader.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Result]],
        transaction: Callable[[], AbstractContextManager[None]],
        begin: Callable[[], object],
    ) -> None:
        self._write, self._transaction, self._begin = write, transaction, begin
        self._lock = Lock()
        self._waiting: deque[_Member[Item, Result]] = deque()
        self._has_leader = False
        self.last_error: type[BaseException] | None = None  # of the last transaction, None where it was committed

    def run(self, item: Item) -> Result:
        """The result of the item, once its transaction is committed; raises what `write` raises for it alone."""
        mine: _Member[Item, Result] = _Member(item)
        beside = meet(self, mine)
        if beside is None:
            self._wait_for_turn(mine)
        elif beside:
            self._write_for_all(beside)
        if mine.task is _Task.WRITE_ALONE:
            begun_at = time.monotonic()
            try:
                with self._transaction():
                    result = self._write([item])[0]
            except Exception:
                if time.monotonic() - begun_at >= SLOW:  # those beside it would wait as long, one after the other
                    for member in beside or ():
                        member.task = _Task.RETURN
                raise
            self.last_error = None
            return result
        if mine.error is not None:
            raise mine.error
        return mine.result

    def _wait_for_turn(self, mine: _Member[Item, Result]) -> None:
        with self._lock:
            waits, self._has_leader = self._has_leader, True
            if waits:
                self._waiting.append(mine)
        if waits:  # also if it was made the leader just now: then it was woken, and must take that
            mine.wait()
        if not waits or mine.task is _Task.BE_LEADER:
            members = [mine]
            try:
                self._write_for_all(members, lambda: self._take(MOST - 1))
            finally:
                self._hand_over(members)

    def _write_for_all(
        self, members: list[_Member[Item, Result]], join: Callable[[], list[_Member[Item, Result]]] = list
    ) -> None:
        """Writes the items of the members, and of those that `join` returns once the transaction has begun."""
        task = _Task.RETURN
        try:
            with self._transaction():
                try:
                    self._begin()  # this may wait: threads that come until then join this one
                finally:  # where it cannot begin, it fails for all at once instead of for one after the other
                    members += join()
                task = _Task.WRITE_ALONE if len(members) > 1 else _Task.RETURN
                for member, result in zip(members, self._write([member.item for member in members]), strict=True):
                    member.result = result
                task = _Task.RETURN  # a commit that fails, fails for all
            self.last_error = None
        except Exception as error:  # noqa: BLE001 - each waiting thread raises it
            self.last_error = type(error)
            for member in members:
                member.error = error
        finally:
            for member in members:
                member.task = task

    def _hand_over(self, members: Sequence[_Member[Item, Result]]) -> None:
        """Wakes the members, and makes the first thread that came meanwhile the leader."""
        with self._lock:
            leader = self._waiting.popleft() if self._waiting else None
            self._has_leader = leader is not None
        for member in members:
            member.wake()
        if leader:
            leader.task = _Task.BE_LEADER
            leader.wake()

    def _take(self, most: int) -> list[_Member[Item, Result]]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
