"""DNS look-ups, each on its own thread, because a look-up lasts longer than a try can wait for it.

It goes on after the try has given up. An answer that comes then is kept for a moment, so that the next try has it.

A name whose name servers do not answer keeps its place until the resolver gives up, up to half a minute later. So
places are shared out by account: hundreds of such names in one account leave places for all other accounts.
"""

import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from threading import Condition, Event, Thread
from time import monotonic
from typing import Any, Protocol, runtime_checkable

Answers = Sequence[tuple[Any, ...]]
Resolver = Callable[..., Answers]
Key = tuple[Resolver, str, int]

MOST = 256  # names that one process looks up at the same time
LATE_SECONDS = 60.0  # how long an answer that came too late is used; a lead's second try comes after 5 s
MOST_LATE = 1024  # such answers in one process
SOON, LOOKS_EVERY = 0.5, 1.0  # seconds: from when and how often a try looks for late answers of other processes


@runtime_checkable
class KeepsLate(Protocol):
    """A resolver that shares late answers with other processes. Addresses are text; they are checked when used."""

    def late(self, host: str) -> Sequence[str]:
        """Those of a late answer; empty if there is none."""

    def keep_late(self, host: str, addresses: Sequence[str]) -> None:
        """Keeps them for LATE_SECONDS."""

    def drop_late(self, host: str) -> None:
        """Forgets them."""


class NoTurn(Exception):
    """A name was not looked up, because too many look-ups of its account hang. This says nothing about its receiver.

    Not an OSError: code that catches OSError would treat this as a failed connection.
    """


class Lookups:
    """Look-ups in progress. Further requests for the same name wait for the look-up that has begun. So a name whose
    look-up hangs takes one place of `limit`, however often it is requested.

    An account may begin a look-up while it has fewer in progress than places are free. So one account can take half of
    the places, a second one half of the rest, and there is a place for each account that comes after them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: dict[Key, Future[Answers]] = {}
        self._of_account: Counter[int] = Counter()
        self._given_up: set[Key] = set()  # look-ups in progress that a try no longer waits for
        self._late: dict[Key, tuple[float, Answers]] = {}  # with the time (monotonic) until which it may be used
        self._shared: set[Key] = set()  # whose last answer came from another process
        self._changed = Condition()

    def ask(self, resolver: Resolver, host: str, port: int, timeout: float, account: int = 0) -> Answers:
        """Returns or raises what the resolver does; TimeoutError after `timeout` seconds.

        NoTurn instead if there was no place at once, and no answer after half of `timeout`: the other half is left for
        the connection, so that a receiver never pays for the wait.
        """
        expires, key = monotonic() + timeout, (resolver, host, port)
        with self._changed:
            if (late := self._late_answer(key)) is not None:
                return late
            had_to_wait = not self._may_begin(key, account)
            if had_to_wait:
                expires -= timeout / 2
                if not self._changed.wait_for(lambda: self._may_begin(key, account), timeout / 2):
                    raise NoTurn
            answer = self._pending.get(key) or self._begin(key, account)
        found = self._wait(key, answer, expires)
        if found is not None:
            return found
        if not self._give_up(key, answer):  # it has ended just now
            return answer.result()
        raise NoTurn if had_to_wait else TimeoutError

    def forget(self, resolver: Resolver, host: str, port: int) -> None:
        """Drops an answer that came late, because it was of no use: the next try looks the name up again."""
        key = resolver, host, port
        with self._changed:
            self._late.pop(key, None)
            is_shared = key in self._shared
            self._shared.discard(key)
        if is_shared and isinstance(resolver, KeepsLate):
            resolver.drop_late(host)

    @property
    def are_over(self) -> bool:
        """Whether no look-up is in progress."""
        return not self._pending

    def _may_begin(self, key: Key, account: int) -> bool:
        free = self._limit - len(self._pending)
        return key in self._pending or self._of_account[account] < free

    def _late_answer(self, key: Key) -> Answers | None:
        until, found = self._late.get(key, (0.0, None))
        if found is not None and until <= monotonic():
            del self._late[key]
            return None
        return found

    def _wait(self, key: Key, answer: "Future[Answers]", expires: float) -> Answers | None:
        """The answer, or one that came late in another process; None if there is none in time.

        Others are asked on a thread, because a database that hangs must not hold up the try.
        """
        if answer in wait([answer], min(SOON, max(expires - monotonic(), 0))).done:
            return answer.result()
        resolver, host, port = key
        if not isinstance(resolver, KeepsLate):
            wait([answer], max(expires - monotonic(), 0))
            return answer.result() if answer.done() else None
        with _late_elsewhere(resolver, host, port) as other:
            wait([answer, other], max(expires - monotonic(), 0), FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if not other.done():
                return None
        with self._changed:
            if len(self._shared) >= MOST_LATE:
                self._shared.clear()
            self._shared.add(key)
        return other.result()

    def _give_up(self, key: Key, answer: "Future[Answers]") -> bool:
        """Notes that the answer will be late for a try; False if the look-up has ended by now."""
        with self._changed:
            goes_on = self._pending.get(key) is answer and not answer.done()
            if goes_on:
                self._given_up.add(key)
        return goes_on

    def _keep(self, key: Key, found: Answers) -> bool:
        """Keeps what came after a try gave up; whether one did. It is not checked here: that is done at each use."""
        with self._changed:
            if key not in self._given_up:
                return False
            self._late.pop(key, None)
            self._late[key] = monotonic() + LATE_SECONDS, found
            if len(self._late) > MOST_LATE:
                del self._late[next(iter(self._late))]
            return True

    def _begin(self, key: Key, account: int) -> "Future[Answers]":
        answer: Future[Answers] = Future()
        Thread(target=self._look_up, args=(key, account, answer), name="lookup", daemon=True).start()
        self._pending[key] = answer
        self._of_account[account] += 1
        return answer

    def _look_up(self, key: Key, account: int, answer: "Future[Answers]") -> None:
        resolver, host, port = key
        try:
            found = resolver(host, port, 0, socket.SOCK_STREAM)
        except BaseException as error:  # noqa: BLE001 - passed on to the waiting threads
            self._end(key, account)
            answer.set_exception(error)
            return
        try:
            if self._keep(key, found):
                answer.set_result(found)  # first: a database that hangs must not hold up those who still wait
                if isinstance(resolver, KeepsLate):
                    resolver.keep_late(host, [info[4][0] for info in found])
        finally:
            self._end(key, account)
            if not answer.done():  # also after an error: a try whose time is over just now waits for it without a limit
                answer.set_result(found)

    def _end(self, key: Key, account: int) -> None:
        with self._changed:
            del self._pending[key]
            self._given_up.discard(key)
            self._of_account[account] -= 1
            if not self._of_account[account]:
                del self._of_account[account]
            self._changed.notify_all()


@contextmanager
def _late_elsewhere(resolver: KeepsLate, host: str, port: int) -> "Iterator[Future[Answers]]":
    """The answer that came late in another process, or comes while this is open."""
    found: Future[Answers] = Future()
    over = Event()

    def look() -> None:
        while not over.is_set():
            if addresses := resolver.late(host):
                numeric, kind = socket.AI_NUMERICHOST, socket.SOCK_STREAM
                each = [socket.getaddrinfo(address, port, 0, kind, 0, numeric) for address in addresses]
                found.set_result([info for infos in each for info in infos])
                return
            over.wait(LOOKS_EVERY)

    Thread(target=look, name="late answers", daemon=True).start()
    try:
        yield found
    finally:
        over.set()


lookups = Lookups(MOST)
