"""Sends a webhook: one POST, within its deadline, to a vetted address, over a connection that is kept where it may be.

requests gives URLs their meaning, the certificates, and (urllib3's HTTPSConnection) TLS with its check of names. Its
Session is left out: cookies, redirects, proxies, netrc and decompression are what a webhook must not have, time-outs
there are per read, and the way through it costs more processor time than everything else in a delivery.
"""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPSConnection

from webapp.webhooks.addresses import Network, Resolver, Target, dial, parse_target, resolve
from webapp.webhooks.connections import Connection, IdleConnections, Key, watch
from webapp.webhooks.failures import explain
from webapp.webhooks.outcome import NO_ANSWER, Outcome, Reply, answered

URLS_PREPARED = 1024


@dataclass(frozen=True)
class Limits:
    """What an attempt may take. Seconds and bytes; `connect_timeout` covers lookup, connection and TLS handshake.

    `ca_file`: PEM of authorities trusted besides the public ones. `max_idle`: connections kept per process.
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
    """Sends webhooks; one per process, made after forking, shared by its threads."""

    def __init__(
        self, limits: Limits, user_agent: str = "Leadhook/1.0", resolver: Resolver = socket.getaddrinfo
    ) -> None:
        """Reads the trusted authorities, once a process; OSError (ssl.SSLError too) where `ca_file` holds none."""
        self._limits = limits
        self._resolver = resolver
        self._tls = _tls_context(limits.ca_file)
        self._idle = IdleConnections(limits.max_idle, limits.idle_seconds, limits.age_seconds)
        self._prepared = lru_cache(URLS_PREPARED)(_prepare)
        self._standing = {
            "user-agent": user_agent,
            "accept": "*/*",
            "accept-encoding": "identity",
            "content-type": "application/json",
        }

    def send(self, pool_key: int, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """POSTs `body` as it is and waits for the outcome, at most `deadline` seconds; raises nothing.

        `pool_key` is the webhook's id: connections are kept for it alone. `headers` are added to the sender's own
        (host, user-agent, accept, accept-encoding, content-type, content-length) and replace all but the outer two.
        """
        started = monotonic()
        host, port = "the receiver", 0
        try:
            target, opening = self._prepared(url)
            host, port = target.host, target.port
            request = self._request(opening, body, headers)
            reply = self._exchange(pool_key, target, request, started + self._limits.deadline)
            return answered(reply, _milliseconds_since(started))
        except Exception as error:  # noqa: BLE001 - whatever happens here is an outcome, and the lane goes on
            kind, sentence = explain(error, host, port)
            return Outcome(NO_ANSWER, sentence.replace("\0", ""), False, (), kind, _milliseconds_since(started), None)

    def close(self) -> None:
        """Closes what is idle; what is in use closes when its answer has come."""
        self._idle.close()

    def _request(self, opening: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        fields = self._standing | {name.lower(): value for name, value in headers.items()}
        fields["content-length"] = str(len(body))
        lines = [opening, *[f"{name}: {value}" for name, value in fields.items()], "\r\n"]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
            raise ValueError("A header contains a line break")
        return head.encode("latin-1") + body

    def _exchange(self, pool_key: int, target: Target, request: bytes, expires: float) -> Reply:
        """One answer. A kept connection may have been closed under us: then once more, on a fresh one."""
        key = (pool_key, target.secure, target.host, target.port)
        connection = self._idle.take(key)
        if connection:
            try:
                return self._ask(connection, request, expires)
            except TimeoutError:
                raise
            except OSError:
                if connection.heard:
                    raise
        return self._ask(self._open(key, target, expires), request, expires)

    def _ask(self, connection: Connection, request: bytes, expires: float) -> Reply:
        reply = None
        watch.begin(connection, expires)
        try:
            reply = connection.ask(request, self._limits.max_body)
        except OSError:
            if connection.expired:
                raise TimeoutError(f"Timed out: no complete answer within {self._limits.deadline:g} s") from None
            raise
        finally:
            in_time = watch.end(connection)
            if reply and reply.reusable and in_time:
                self._idle.give(connection)
            else:
                connection.close()
        return reply

    def _open(self, key: Key, target: Target, expires: float) -> Connection:
        limits, now = self._limits, monotonic()
        until = min(now + limits.connect_timeout, expires)
        reached = "no address was found for"
        try:
            endpoints = resolve(target.host, target.port, until - now, limits.allowed_networks, self._resolver)
            reached = "no connection to"
            sock = dial(endpoints, until - monotonic())
            if target.secure:
                reached = "no encrypted connection to"
                sock = self._encrypt(sock, target, until)
        except TimeoutError:
            allowed = limits.connect_timeout if until < expires else limits.deadline
            sentence = f"Timed out: {reached} {target.host} port {target.port} within {allowed:g} s"
            raise TimeoutError(sentence) from None
        return Connection(sock, key)

    def _encrypt(self, sock: socket.socket, target: Target, until: float) -> socket.socket:
        sock.settimeout(max(until - monotonic(), 0.001))
        connection = _Encrypted(target.host, target.port, ssl_context=self._tls)
        connection.dialled = sock
        try:
            connection.connect()
        except BaseException:
            sock.close()
            raise
        return connection.sock


class _Encrypted(HTTPSConnection):
    """urllib3's handshake and certificate check, over a connection that is there already."""

    dialled: socket.socket

    def _new_conn(self) -> socket.socket:
        return self.dialled


def _prepare(url: str) -> tuple[Target, str]:
    """What a request to this URL begins with."""
    target = parse_target(url)
    return target, f"POST {target.path} HTTP/1.1\r\nhost: {target.host_header}"


def _milliseconds_since(started: float) -> int:
    return round((monotonic() - started) * 1000)


@lru_cache
def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """The process's one TLS context: requests' authorities, the system's, and the operator's own."""
    context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    context.load_default_certs()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
