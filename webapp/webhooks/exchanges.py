"""Requests on kept connections that one thread has under way at the same time: written at once, read as answers come.

What is there of an answer is read from its beginning by the same parser as in `Sender.send`, each time that more came.
Most answers come in one piece. One in many pieces is left to `finish`, so that it costs no more than it should.
"""

import select
import socket
import ssl
from collections.abc import Callable, Sequence
from math import ceil
from time import monotonic
from typing import Protocol

from webapp.webhooks import connections
from webapp.webhooks.connections import CLOSED_EARLY, RECEIVE_BYTES, HttpConnection, after, watch
from webapp.webhooks.outcome import Outcome, read_response
from webapp.webhooks.response import HttpResponse

MOST_PIECES = 16  # of an answer that `poll` reads
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class OnKept(Protocol):
    """A request on a kept connection, as the sender sees it."""

    @property
    def connection(self) -> HttpConnection:
        """It belongs to this request until there is an outcome, or an error was raised."""

    def outcome(self, read: Callable[[int], HttpResponse | None]) -> Outcome | None:
        """The outcome of what `read` returns or raises. Raises what may be repeated."""

    def finish(self, problem: Exception | None = None) -> Outcome:
        """Waits for the outcome; after a `problem`, of the same request on a new connection."""


class Exchange:
    """A request that is written on a kept connection, and its answer. One thread at a time uses it, any one.

    Call `poll` until there is an outcome, or `finish` once. Within the deadline of the sender, which began
    with the request, one of them has to be called.

    `outcome`: what came of it, None before. `ended`: `poll` finds no more, and only `finish` goes on: the connection
    ended without an answer, the request does not fit into its buffer, or the answer comes in too many pieces.
    """

    __slots__ = ("_on_kept", "_problem", "ended", "outcome")

    def __init__(self, on_kept: OnKept) -> None:
        self._on_kept = on_kept
        self._problem: Exception | None = None
        self.outcome: Outcome | None = None
        self.ended = False
        self._look(self._write)
        self.ended = self.ended or bool(on_kept.connection.unsent)

    def fileno(self) -> int:
        """For a selector: readable when `poll` has something to read. Only while there is no outcome."""
        return self._on_kept.connection.sock.fileno()

    def poll(self) -> Outcome | None:
        """Reads what is there without waiting. The outcome; None while the answer is not whole."""
        if self.outcome is None and not self.ended:
            self._look(self._read)
            self.ended = self.ended or len(self._on_kept.connection.pieces) >= MOST_PIECES
        return self.outcome

    def finish(self) -> Outcome:
        """Waits for the outcome, which is the one of `Sender.send`. Raises NoTurn as that does."""
        if self.outcome is None:
            connection = self._on_kept.connection
            if self._problem is None and connection.key[1]:
                connection.sock.settimeout(None)
            self.outcome = self._on_kept.finish(self._problem)
        return self.outcome

    def _look(self, read: Callable[[int], HttpResponse | None]) -> None:
        try:
            self.outcome = self._on_kept.outcome(read)
        except Exception as problem:  # noqa: BLE001 - `finish` repeats the request
            self._problem, self.ended = problem, True

    def _write(self, _: int) -> None:
        connection = self._on_kept.connection
        secure, request = connection.key[1], connection.unsent
        if secure:
            connection.sock.settimeout(0)
        with CLOSED_EARLY:
            connection.unsent = b""
            try:
                sent = connection.sock.send(request, 0 if secure else socket.MSG_DONTWAIT)
                connection.has_sent = True
                connection.unsent = request[sent:]
            except _LATER:  # a part of a TLS record may have left, and then all of it has to be given to `send` again
                connection.has_sent = secure
                connection.unsent = request

    def _read(self, max_body: int) -> HttpResponse | None:
        connection = self._on_kept.connection
        receive, receive_body = self._receive, self._receive_body
        if connection.pieces:
            if connection.is_quiet():
                return None
            ahead = iter(connection.pieces)
            receive, receive_body = after(ahead, receive), after(ahead, receive_body)
        try:
            response = read_response(receive, max_body, receive_body)
        except _NotYet:
            return None
        connection.pieces = []
        if connection.key[1]:
            connection.sock.settimeout(None)
        return response

    def _receive(self) -> bytes:
        """The bytes that are there, b"" at the end of the connection."""
        connection = self._on_kept.connection
        try:
            received = connection.sock.recv(RECEIVE_BYTES, 0 if connection.key[1] else socket.MSG_DONTWAIT)
        except _LATER:
            raise _NotYet from None
        connection.pieces.append(connection.received(received))
        return received

    def _receive_body(self) -> bytes:
        try:
            return self._receive()
        except _NotYet:
            watch.hasten(self._on_kept.connection, monotonic() + connections.SILENCE)
            raise


class _NotYet(Exception):
    """The answer is not whole, and nothing more of it is there."""


def wait(exchanges: Sequence[Exchange], seconds: float) -> list[Exchange]:
    """Those that `poll` may bring further, or that have `ended` or an outcome; none after `seconds`."""
    if over := [one for one in exchanges if one.ended or one.outcome]:
        return over
    selector, by_number = select.poll(), {one.fileno(): one for one in exchanges}
    for number in by_number:
        selector.register(number, select.POLLIN)
    return [by_number[number] for number, _ in selector.poll(ceil(max(seconds, 0) * 1000))]
