"""Sends a webhook: one request within a deadline, to a checked address, on a kept connection where possible.

requests supplies URL parsing, and tls.py has encrypted connections. requests' Session is not used: a webhook must have
no cookies, redirects, proxies or netrc, the Session's timeouts apply to single reads, it unpacks bombs, and it costs
more processor time than all the rest of a delivery.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv6Network
from time import monotonic

from webapp.webhooks import tls
from webapp.webhooks.addresses import Destination, Endpoint, Network, dial, parse_url, resolve
from webapp.webhooks.connections import HttpConnection, IdleConnections, Key, watch
from webapp.webhooks.failures import explain
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.lookups import NoTurn, Resolver
from webapp.webhooks.names import look_up
from webapp.webhooks.outcome import NO_ANSWER, Outcome, outcome_of
from webapp.webhooks.repeats import REQUEST_TIMEOUT, IdleTimeout, may_repeat, not_repeated, unanswered
from webapp.webhooks.response import HttpResponse, NotHttp

URLS_PREPARED = 1024

# Filters such as n8n's Ignore Bots (isbot) take a name alone for a robot, and one with a URL, too.
USER_AGENT = "Leadhook/1.0 (sends leads)"


@dataclass(frozen=True)
class Limits:
    """Limits of an attempt, in seconds and bytes. `connect_timeout` covers connection and TLS handshake.

    `nat64`: the prefix of this network's NAT64, if it has one of its own. `ca_file`: PEM file of authorities trusted in
    addition to the public ones. `max_idle`: kept connections per process.
    """

    lookup_timeout: float = 5
    connect_timeout: float = 5
    deadline: float = 15
    allowed_networks: tuple[Network, ...] = ()
    nat64: IPv6Network | None = None
    max_body: int = 16384
    ca_file: str | None = None
    max_idle: int = 256
    idle_seconds: float = 5
    age_seconds: float = 60


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
            expires = started + self._limits.deadline
            kept = self._idle.take(key)
            try:
                connection = kept or self._open(key, destination, expires, account)
                response = self._exchange(connection, request, expires)
                if kept and response.code == REQUEST_TIMEOUT and not response.reusable:
                    raise IdleTimeout
                return outcome_of(response, _milliseconds_since(started))
            except (OSError, NotHttp, IdleTimeout) as error:
                if not (kept and may_repeat(kept, error)):
                    raise
                return self._send_again(kept, error, destination, request, started, account)
        except NoTurn:
            raise
        except Exception as error:  # noqa: BLE001 - any error becomes an outcome, so that the lane can continue
            return _no_answer(error, host, port, started)

    def close(self) -> None:
        """Closes idle connections. Those in use are closed after their response."""
        self._idle.close()

    def _request(self, first_lines: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        fields = self._default_headers | {name.lower(): value for name, value in headers.items()}
        fields["content-length"] = str(len(body))
        lines = [first_lines, *[f"{name}: {value}" for name, value in fields.items()], "\r\n"]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
            raise ValueError("A header contains a line break")
        return head.encode("latin-1") + body

    def _send_again(
        self,
        kept: HttpConnection,
        error: Exception,
        destination: Destination,
        request: bytes,
        started: float,
        account: int,
    ) -> Outcome:
        """Sends once more, on a new connection, within the same deadline. If nothing left on that one, one request did:
        then it is one outcome, which says both."""
        if isinstance(error, NotHttp):
            self._idle.distrust(kept.key)
        host, port, expires = destination.host, destination.port, started + self._limits.deadline
        first = unanswered(error, host, port, _milliseconds_since(started)) if kept.has_sent else None
        again, fresh = monotonic() if first else started, None
        try:
            fresh = self._open(kept.key, destination, expires, account)
            outcome = outcome_of(self._exchange(fresh, request, expires), _milliseconds_since(again))
        except Exception as problem:
            if first and not (fresh and fresh.has_sent):
                return not_repeated(error, problem, host, port, _milliseconds_since(started))
            if isinstance(problem, NoTurn):
                raise
            outcome = _no_answer(problem, host, port, again)
        return replace(outcome, first=first)

    def _exchange(self, connection: HttpConnection, request: bytes, expires: float) -> HttpResponse:
        response = None
        watch.begin(connection, expires)
        try:
            response = connection.exchange(request, self._limits.max_body)
        except OSError:
            if connection.expired:
                raise TimeoutError(f"Timed out: no complete response within {self._limits.deadline:g} s") from None
            raise
        finally:
            in_time = watch.end(connection)
            if response and response.reusable and in_time:
                self._idle.give(connection)
            else:
                connection.close()
                if response and response.out_of_step:
                    self._idle.distrust(connection.key)
        return response

    def _open(self, key: Key, destination: Destination, expires: float, account: int) -> HttpConnection:
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


def _prepare(url: str) -> tuple[Destination, str]:
    """The destination, and the first lines of a request to it, without the method."""
    destination = parse_url(url)
    return destination, f" {destination.path} HTTP/1.1\r\nhost: {destination.host_header}"


def _no_answer(error: Exception, host: str, port: int, started: float) -> Outcome:
    kind, sentence = explain(error, host, port)
    return Outcome(NO_ANSWER, sentence.replace("\0", ""), False, (), kind, _milliseconds_since(started), None)


def _milliseconds_since(started: float) -> int:
    return round((monotonic() - started) * 1000)
