"""TLS to receivers: which authorities are trusted, and for which name a certificate is good. Runs for https only.

Trusted are requests' authorities, the system's, and the operator's own in WEBHOOK_CA_FILE. That file is read again when
it changes. A certificate there is trusted as it is, also one that another authority has issued.
"""

import logging
import os
import socket
import ssl
from collections import OrderedDict
from functools import lru_cache
from threading import Lock
from time import monotonic
from typing import Protocol, cast

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPSConnection
from urllib3.util.ssl_match_hostname import CertificateError, match_hostname

log = logging.getLogger(__name__)

LOOKED_AT_AFTER = 3.0  # seconds until a new connection looks at WEBHOOK_CA_FILE again
MOST_IDENTITIES = 32  # contexts with a client certificate: each takes 54 ms to make, and 333 KB

Seen = tuple[int, int, int] | None


class OtherName(ssl.SSLError):
    """The certificate is good for other names only."""


class Identity(Protocol):
    """A client certificate (identities.py): two are equal if their bytes are."""

    def load_into(self, context: ssl.SSLContext) -> None:
        """ssl.SSLError if OpenSSL refuses it."""


class EndedEarly(ssl.SSLError):
    """The receiver closed the connection before encryption was set up."""


def start(
    sock: socket.socket,
    host: str,
    port: int,
    timeout: float,
    ca_file: str | None,
    identity: Identity | None = None,
) -> socket.socket:
    """Encrypts a connected socket within `timeout` seconds. OSError if it fails: then the socket is closed.

    `identity`: shown to a server that asks for a client certificate.
    """
    sock.settimeout(timeout)
    name = host.rstrip(".")
    # OpenSSL refuses a wildcard for a name with an underscore, which is no host name. Browsers and curl take it.
    by_ourselves = "_" in name
    try:
        context = trust_of(ca_file).context(by_ourselves, identity)
    except OSError:
        sock.close()
        raise
    connection = _Connection(host, port, ssl_context=context)
    connection.connected_socket = sock
    if by_ourselves:
        connection.assert_hostname = False
    try:
        connection.connect()
        if by_ourselves:
            _check_name(cast(ssl.SSLSocket, connection.sock), name)
    except BaseException as error:
        sock.close()
        if connection.sock:
            connection.sock.close()
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
            raise EndedEarly(*error.args) from None
        raise
    return connection.sock


class _Connection(HTTPSConnection):
    """urllib3's TLS handshake and certificate check, on a socket that is already connected."""

    connected_socket: socket.socket

    def _new_conn(self) -> socket.socket:
        return self.connected_socket


def _check_name(sock: ssl.SSLSocket, name: str) -> None:
    """OtherName unless the certificate names this host, as OpenSSL would see it if an underscore were a letter.

    urllib3 compares the names. It also knows wildcards that OpenSSL refuses (`w*.example.com`, `*.com`): not here.
    """
    given = cast(tuple[tuple[str, str], ...], (sock.getpeercert() or {}).get("subjectAltName", ()))
    names = tuple(pair for pair in given if pair[0] == "DNS" and ("*" not in pair[1] or _is_usual(pair[1])))
    try:
        match_hostname({"subjectAltName": names}, name)
    except CertificateError:
        raise OtherName(1, "[SSL: CERTIFICATE_VERIFY_FAILED] Hostname mismatch") from None


def _is_usual(wildcard: str) -> bool:
    return wildcard.startswith("*.") and wildcard.count("*") == 1 and wildcard.count(".") >= 2


class Trust:
    """The TLS contexts of a process. Thread-safe."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        self._lock = Lock()
        self._looked_at = monotonic()
        self._seen = self._look()
        self._unchecking: ssl.SSLContext | None = None
        self._with_identity: OrderedDict[tuple[Identity, bool], ssl.SSLContext] = OrderedDict()
        try:
            self._checking = _context(ca_file)
        except OSError as error:  # the start checked it, so it has changed since
            log.error("WEBHOOK_CA_FILE cannot be read: only public authorities are trusted: %s", _reason(error))
            self._checking = _context(None)

    def context(self, by_ourselves: bool = False, identity: Identity | None = None) -> ssl.SSLContext:
        """`by_ourselves`: whether the caller compares the host's name with the certificate.

        `identity`: the client certificate to show; OSError if it cannot be loaded.
        """
        if self._ca_file and monotonic() - self._looked_at >= LOOKED_AT_AFTER and self._lock.acquire(blocking=False):
            try:  # other threads take the old authorities meanwhile
                self._look_again()
            finally:
                self._lock.release()
        if identity:
            with self._lock:
                return self._showing(identity, by_ourselves)
        if not by_ourselves:
            return self._checking
        with self._lock:
            if self._unchecking is None:
                self._unchecking = self._made()
                self._unchecking.check_hostname = False
            return self._unchecking

    def _showing(self, identity: Identity, by_ourselves: bool) -> ssl.SSLContext:
        """The context of a client certificate. Servers that ask only for some paths do so after the handshake."""
        kept, key = self._with_identity, (identity, by_ourselves)
        if key not in kept:
            context = self._made()
            context.check_hostname = not by_ourselves
            context.post_handshake_auth = True
            identity.load_into(context)
            kept[key] = context
            if len(kept) > MOST_IDENTITIES:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]

    def _made(self) -> ssl.SSLContext:
        try:
            context = _context(self._ca_file)
        except OSError:  # it broke just now; then with the authorities that were read, but no single certificates
            context = _context(None)
            context.load_verify_locations(cadata=b"".join(self._checking.get_ca_certs(binary_form=True)))
        return context

    def _look_again(self) -> None:
        self._looked_at = monotonic()
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._checking, self._unchecking = _context(self._ca_file), None
            self._with_identity.clear()
        except OSError as error:
            log.error("WEBHOOK_CA_FILE cannot be read: what it held before stays trusted: %s", _reason(error))
        else:
            log.info("WEBHOOK_CA_FILE has changed and was read again")

    def _look(self) -> Seen:
        try:
            found = os.stat(self._ca_file or "")
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


trust_of = lru_cache(Trust)  # one for the process: reading the authorities takes a tenth of a second


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "it holds no certificates in PEM, or a broken one"
    return error.strerror or str(error)


def _context(ca_file: str | None) -> ssl.SSLContext:
    """OSError (ssl.SSLError included) if the file has no authorities."""
    context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    context.load_default_certs()
    if ca_file:
        context.load_verify_locations(ca_file)
    # The same on every Python: 3.13 turned both on. Without the first, an intermediate authority in WEBHOOK_CA_FILE is
    # not trusted. The second refuses authorities that lack a key usage, as `openssl req -x509` makes them.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
