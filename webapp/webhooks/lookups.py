"""DNS look-ups, each on its own thread, because getaddrinfo has no timeout.

A name whose name servers do not answer keeps its place until the resolver gives up, often half a minute later. So
places are shared out by account: hundreds of such names in one account leave places for all other accounts.
"""

import socket
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from time import monotonic
from typing import Any

Answers = Sequence[tuple[Any, ...]]
Resolver = Callable[..., Answers]
Key = tuple[Resolver, str, int]

MOST = 256  # names that one process looks up at the same time


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
        self._changed = Condition()

    def ask(self, resolver: Resolver, host: str, port: int, timeout: float, account: int = 0) -> Answers:
        """Returns or raises what the resolver does; TimeoutError after `timeout` seconds.

        NoTurn instead if there was no place at once, and no answer after half of `timeout`: the other half is left for
        the connection, so that a receiver never pays for the wait.
        """
        expires, key = monotonic() + timeout, (resolver, host, port)
        with self._changed:
            had_to_wait = not self._may_begin(key, account)
            if had_to_wait:
                expires -= timeout / 2
                if not self._changed.wait_for(lambda: self._may_begin(key, account), timeout / 2):
                    raise NoTurn
            answer = self._pending.get(key) or self._begin(key, account)
        try:
            return answer.result(max(expires - monotonic(), 0))
        except TimeoutError:
            if had_to_wait and not answer.done():
                raise NoTurn from None
            raise

    @property
    def are_over(self) -> bool:
        """Whether no look-up is in progress."""
        return not self._pending

    def _may_begin(self, key: Key, account: int) -> bool:
        free = self._limit - len(self._pending)
        return key in self._pending or self._of_account[account] < free

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
        else:
            self._end(key, account)
            answer.set_result(found)

    def _end(self, key: Key, account: int) -> None:
        with self._changed:
            del self._pending[key]
            self._of_account[account] -= 1
            if not self._of_account[account]:
                del self._of_account[account]
            self._changed.notify_all()


lookups = Lookups(MOST)
