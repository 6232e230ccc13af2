"""Sends a webhook: one request within a deadline, to a checked address, on a kept connection where possible.

requests supplies URL parsing, and tls.py has encrypted connections. requests' Session is not used: a webhook must have
no cookies, redirects, proxies or netrc, the Session's timeouts apply to single reads, it unpacks bombs, and it costs
more processor time than all the rest of a delivery.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import lru_cache
from time import monotonic
from typing import cast

from webapp.webhooks import tls
from webapp.webhooks.addresses import Destination, Endpoint, dial, parse_url, resolve
from webapp.webhooks.connections import RECEIVE_BYTES, HttpConnection, IdleConnections, Key, watch
from webapp.webhooks.exchanges import Exchange
from webapp.webhooks.failures import no_answer
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.limits import Limits as Limits
from webapp.webhooks.lookups import NoTurn, Resolver
from webapp.webhooks.names import look_up
from webapp.webhooks.outcome import Outcome, outcome_of
from webapp.webhooks.repeats import REQUEST_TIMEOUT, IdleTimeout, may_repeat, not_repeated, unanswered
from webapp.webhooks.response import HttpResponse, NotHttp

URLS_PREPARED = 1024

# Filters such as n8n's Ignore Bots (isbot) take a name alone for a robot, and one with a URL, too.
USER_AGENT = "Leadhook/1.0 (sends leads)"


class Sender:
    """Sends webhooks. Create one per process, after forking; its threads share it."""

    def __init__(self, limits: Limits, user_agent: str = USER_AGENT, resolver: Resolver = look_up) -> None:
        self._limits = limits
        self._resolver = resolver
        self._idle = IdleConnections(limits.max_idle, limits.idle_seconds, limits.age_seconds)
        self._prepare = lru_cache(URLS_PREPARED)(_prepare)
        self._default_headers = {
            "user-agent": user_agent,
            "accept": "*/*",
            "accept-encoding": "identity",
            "content-type": "application/json",
        }

    @property
    def deadline(self) -> float:
        """The seconds that a request may take."""
        return self._limits.deadline

    def within(self, seconds: float) -> "Sender":
        """This sender, its connections included, for requests that may take this long, and no longer than before."""
        other = copy(self)
        other._limits = replace(self._limits, deadline=round(min(seconds, self._limits.deadline), 2))
        return other

    def send(
        self,
        pool_key: int,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        account: int = 0,
        method: str = "POST",
        identity: ClientCertificate | None = None,
    ) -> Outcome:
        """Sends `body` unchanged and returns the outcome after at most `deadline` seconds.

        Raises only NoTurn: the host could not be looked up, because too many look-ups of this `account` hang. Then
        nothing was sent, and the receiver is not to blame.

        A kept connection that ends without an answer costs no try: the request is sent once more, on a new connection.
        If the first one may have left, `Outcome.first` is its outcome.

        `pool_key` is the webhook's id: kept connections are only used for that webhook. `headers` are added to the
        sender's own (host, user-agent, accept, accept-encoding, content-type, content-length) and replace them, except
        the first and the last. `method`: POST, PUT or PATCH. `identity`: for a receiver that asks for a client
        certificate.
        """
        started = monotonic()
        host, port = "the receiver", 0
        try:
            destination, first_lines = self._prepare(url)
            host, port = destination.host, destination.port
            request = self._request(method + first_lines, body, headers)
            key = (pool_key, destination.secure, host, port, identity)
            if kept := self._idle.take(key):
                return _OnKept(self, kept, destination, request, started, account).finish()
            expires = started + self._limits.deadline
            response = self.exchange(self.open(key, destination, expires, account), request, expires)
            return outcome_of(response, _milliseconds_since(started))
        except NoTurn:
            raise
        except Exception as error:  # noqa: BLE001 - any error becomes an outcome, so that the lane can continue
            return no_answer(error, host, port, _milliseconds_since(started))

    def begin(
        self, pool_key: int, url: str, body: bytes, headers: Mapping[str, str], account: int = 0
    ) -> Exchange | None:
        """Writes the request of `send`, a POST without a client certificate, on a kept connection, and does not wait.

        None if there is no such connection, or `send` has to say what is wrong: then nothing was sent.
        """
        started = monotonic()
        try:
            destination, first_lines = self._prepare(url)
            request = self._request("POST" + first_lines, body, headers)
        except Exception:  # noqa: BLE001 - a URL or a header that cannot be sent
            return None
        if destination.secure and len(request) > RECEIVE_BYTES:  # several TLS records cannot be written in part
            return None
        kept = self._idle.take((pool_key, destination.secure, destination.host, destination.port, None))
        return Exchange(_OnKept(self, kept, destination, request, started, account)) if kept else None

    def close(self) -> None:
        """Closes idle connections. Those in use are closed after their response."""
        self._idle.close()

    def _request(self, first_lines: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        fields = self._default_headers.copy()
        for name, value in headers.items():
            fields[name.lower()] = value
        fields["content-length"] = str(len(body))
        lines = [first_lines, *[f"{name}: {value}" for name, value in fields.items()], "\r\n"]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
            raise ValueError("A header contains a line break")
        return head.encode("latin-1") + body

    def exchange(self, connection: HttpConnection, request: bytes, expires: float) -> HttpResponse:
        """Sends a request on a new connection, and waits for the response."""
        connection.begin(request)
        watch.begin(connection, expires)
        return cast(HttpResponse, self.read(connection, connection.answer))

    def read(self, connection: HttpConnection, read: Callable[[int], HttpResponse | None]) -> HttpResponse | None:
        """What `read` returns; None if the response is not whole. Else the connection is kept or closed."""
        response, is_over = None, True
        try:
            response = read(self._limits.max_body)
            is_over = response is not None
            return response
        except OSError:
            if connection.expired:
                raise TimeoutError(f"Timed out: no complete response within {self._limits.deadline:g} s") from None
            raise
        finally:
            if is_over:
                self.release(connection, response)

    def release(self, connection: HttpConnection, response: HttpResponse | None) -> None:
        """Keeps a connection after a response that allows it; else closes it."""
        in_time = watch.end(connection)
        if response and response.reusable and in_time:
            self._idle.give(connection)
        else:
            connection.close()
            if response and response.out_of_step:
                self._idle.distrust(connection.key)

    def distrust(self, key: Key) -> None:
        """Keeps no connections of this webhook for some minutes."""
        self._idle.distrust(key)

    def open(self, key: Key, destination: Destination, expires: float, account: int) -> HttpConnection:
        """A new connection, also encrypted; OSError, or NoTurn, if there is none."""
        limits = self._limits
        endpoints = self._look_up(destination, expires, account)
        until = min(monotonic() + limits.connect_timeout, expires)
        missing = "no connection to"
        try:
            sock = dial(endpoints, until - monotonic())
            if destination.secure:
                missing = "no encrypted connection to"
                left = max(until - monotonic(), 0.001)
                sock = tls.start(sock, destination.host, destination.port, left, limits.ca_file, key[4])
        except TimeoutError:
            allowed = limits.connect_timeout if until < expires else limits.deadline
            sentence = f"Timed out: {missing} {destination.host} port {destination.port} within {allowed:g} s"
            raise TimeoutError(sentence) from None
        return HttpConnection(sock, key)

    def _look_up(self, destination: Destination, expires: float, account: int) -> list[Endpoint]:
        """The look-up goes on when its time is over, and the next try finds its answer."""
        limits, left = self._limits, expires - monotonic()
        host, port, seconds = destination.host, destination.port, min(limits.lookup_timeout, left)
        try:
            return resolve(host, port, seconds, limits.allowed_networks, self._resolver, account, limits.nat64)
        except TimeoutError:
            allowed = limits.lookup_timeout if seconds < left else limits.deadline
            sentence = f"Timed out: no address was found for {host} port {port} within {allowed:g} s"
            raise TimeoutError(sentence) from None


class _OnKept:
    """A try whose request is on a kept connection."""

    __slots__ = ("_account", "_destination", "_request", "_sender", "_started", "connection")

    def __init__(
        self,
        sender: Sender,
        kept: HttpConnection,
        destination: Destination,
        request: bytes,
        started: float,
        account: int,
    ) -> None:
        self._sender = sender
        self.connection = kept
        self._destination = destination
        self._request = request
        self._started = started
        self._account = account
        kept.begin(request)
        watch.begin(kept, started + sender.deadline)

    def outcome(self, read: Callable[[int], HttpResponse | None]) -> Outcome | None:
        """The outcome of what `read` returns or raises, None if it returns none. Raises what may be repeated."""
        try:
            response = self._sender.read(self.connection, read)
            if response is None:
                return None
            if response.code == REQUEST_TIMEOUT and not response.reusable:
                raise IdleTimeout
            return outcome_of(response, _milliseconds_since(self._started))
        except Exception as error:
            if may_repeat(self.connection, error):
                raise
            return self._no_answer(error, self._started)

    def finish(self, problem: Exception | None = None) -> Outcome:
        """Waits for the outcome; after a `problem`, of the same request on a new connection. Raises only NoTurn."""
        try:
            outcome = None if problem else self.outcome(self.connection.answer)
        except Exception as error:  # noqa: BLE001 - it may be repeated
            outcome, problem = None, error
        return outcome or self._sent_again(cast(Exception, problem))

    def _sent_again(self, problem: Exception) -> Outcome:
        """Sends once more, on a new connection, within the same deadline. If nothing left on the kept one, one request
        did: then it is one outcome, which says both."""
        sender, kept, started = self._sender, self.connection, self._started
        if isinstance(problem, NotHttp):
            sender.distrust(kept.key)
        host, port, expires = self._destination.host, self._destination.port, started + sender.deadline
        first = unanswered(problem, host, port, _milliseconds_since(started)) if kept.has_sent else None
        again, fresh = monotonic() if first else started, None
        try:
            fresh = sender.open(kept.key, self._destination, expires, self._account)
            outcome = outcome_of(sender.exchange(fresh, self._request, expires), _milliseconds_since(again))
        except Exception as error:
            if first and not (fresh and fresh.has_sent):
                return not_repeated(problem, error, host, port, _milliseconds_since(started))
            if isinstance(error, NoTurn):
                raise
            outcome = self._no_answer(error, again)
        return replace(outcome, first=first)

    def _no_answer(self, error: Exception, since: float) -> Outcome:
        return no_answer(error, self._destination.host, self._destination.port, _milliseconds_since(since))


def _prepare(url: str) -> tuple[Destination, str]:
    """The destination, and the first lines of a request to it, without the method."""
    destination = parse_url(url)
    return destination, f" {destination.path} HTTP/1.1\r\nhost: {destination.host_header}"


def _milliseconds_since(started: float) -> int:
    return round((monotonic() - started) * 1000)
