"""Sends a webhook: one POST within a deadline, to a checked address, on a kept connection where possible.

requests supplies URL parsing and the trusted certificates; urllib3's HTTPSConnection supplies TLS and the check of
host names. requests' Session is not used: a webhook must have no cookies, redirects, proxies, netrc or decompression,
the Session's timeouts apply to single reads, and it costs more processor time than all the rest of a delivery.
"""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from time import monotonic

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPSConnection

from webapp.webhooks.addresses import Destination, Network, dial, parse_url, resolve
from webapp.webhooks.connections import HttpConnection, IdleConnections, Key, watch
from webapp.webhooks.failures import explain
from webapp.webhooks.lookups import NoTurn, Resolver
from webapp.webhooks.outcome import NO_ANSWER, HttpResponse, NotHttp, Outcome, outcome_of
from webapp.webhooks.repeats import REQUEST_TIMEOUT, IdleTimeout, may_repeat, not_repeated, unanswered

URLS_PREPARED = 1024

USER_AGENT = "Leadhook/1.0"


@dataclass(frozen=True)
class Limits:
    """Limits of an attempt, in seconds and bytes. `connect_timeout` covers DNS lookup, connection and TLS handshake.

    `ca_file`: PEM file of authorities trusted in addition to the public ones. `max_idle`: kept connections per process.
    """

    connect_timeout: float = 5
    deadline: float = 15
    allowed_networks: tuple[Network, ...] = ()
    max_body: int = 16384
    ca_file: str | None = None
    max_idle: int = 256
    idle_seconds: float = 5
    age_seconds: float = 60


class Sender:
    """Sends webhooks. Create one per process, after forking; its threads share it."""

    def __init__(self, limits: Limits, user_agent: str = USER_AGENT, resolver: Resolver = socket.getaddrinfo) -> None:
        """Loads the trusted authorities, once per process; OSError (ssl.SSLError included) if `ca_file` has none."""
        self._limits = limits
        self._resolver = resolver
        self._tls = _tls_context(limits.ca_file)
        self._idle = IdleConnections(limits.max_idle, limits.idle_seconds, limits.age_seconds)
        self._prepare = lru_cache(URLS_PREPARED)(_prepare)
        self._default_headers = {
            "user-agent": user_agent,
            "accept": "*/*",
            "accept-encoding": "identity",
            "content-type": "application/json",
        }

    def send(self, pool_key: int, url: str, body: bytes, headers: Mapping[str, str], account: int = 0) -> Outcome:
        """POSTs `body` unchanged and returns the outcome after at most `deadline` seconds.

        Raises only NoTurn: the host could not be looked up, because too many look-ups of this `account` hang. Then
        nothing was sent, and the receiver is not to blame.

        A kept connection that ends without an answer costs no try: the request is sent once more, on a new connection.
        If the first one may have left, `Outcome.first` is its outcome.

        `pool_key` is the webhook's id: kept connections are only used for that webhook. `headers` are added to the
        sender's own (host, user-agent, accept, accept-encoding, content-type, content-length) and replace them, except
        the first and the last.
        """
        started = monotonic()
        host, port = "the receiver", 0
        try:
            destination, first_lines = self._prepare(url)
            host, port = destination.host, destination.port
            request = self._request(first_lines, body, headers)
            key = (pool_key, destination.secure, host, port)
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
        limits, now = self._limits, monotonic()
        until = min(now + limits.connect_timeout, expires)
        missing = "no address was found for"
        try:
            host, port = destination.host, destination.port
            endpoints = resolve(host, port, until - now, limits.allowed_networks, self._resolver, account)
            missing = "no connection to"
            sock = dial(endpoints, until - monotonic())
            if destination.secure:
                missing = "no encrypted connection to"
                sock = self._start_tls(sock, destination, until)
        except TimeoutError:
            allowed = limits.connect_timeout if until < expires else limits.deadline
            sentence = f"Timed out: {missing} {destination.host} port {destination.port} within {allowed:g} s"
            raise TimeoutError(sentence) from None
        return HttpConnection(sock, key)

    def _start_tls(self, sock: socket.socket, destination: Destination, until: float) -> socket.socket:
        sock.settimeout(max(until - monotonic(), 0.001))
        connection = _TlsConnection(destination.host, destination.port, ssl_context=self._tls)
        connection.connected_socket = sock
        try:
            connection.connect()
        except BaseException:
            sock.close()
            raise
        return connection.sock


class _TlsConnection(HTTPSConnection):
    """urllib3's TLS handshake and certificate check, on a socket that is already connected."""

    connected_socket: socket.socket

    def _new_conn(self) -> socket.socket:
        return self.connected_socket


def _prepare(url: str) -> tuple[Destination, str]:
    """The destination, and the first lines of a request to it."""
    destination = parse_url(url)
    return destination, f"POST {destination.path} HTTP/1.1\r\nhost: {destination.host_header}"


def _no_answer(error: Exception, host: str, port: int, started: float) -> Outcome:
    kind, sentence = explain(error, host, port)
    return Outcome(NO_ANSWER, sentence.replace("\0", ""), False, (), kind, _milliseconds_since(started), None)


def _milliseconds_since(started: float) -> int:
    return round((monotonic() - started) * 1000)


@lru_cache
def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """The TLS context of the process. Trusts requests' authorities, the system's, and the operator's own."""
    context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    context.load_default_certs()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
