"""Checks where a webhook may be sent: the URL, its host name, and the addresses behind the name.

A host name is looked up once per connection, and the connection uses the addresses that were checked. If one of the
addresses is not allowed, all are refused. So an odd spelling (`0x7f000001`, `127.1`) cannot get past the check, and a
name that changes its address between two lookups cannot either.
"""

import re
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Condition, Thread
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from requests import PreparedRequest

Network = IPv4Network | IPv6Network
Answers = Sequence[tuple[Any, ...]]
Resolver = Callable[..., Answers]

MAX_URL_LENGTH = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}
# SSH, telnet, mail, SMB, databases, caches and cluster APIs. A POST to one of these is never a webhook.
FORBIDDEN_PORTS = frozenset({22, 23, 25, 110, 143, 445, 2375, 2379, 3306, 5432, 6379, 6443, 9200, 11211, 27017})
# Networks that are not public, although `ipaddress` calls them global (some only in some Python versions) or unwraps
# them to a global address: 6to4 relays, CGNAT, Azure's metadata, IPv4 in IPv6, NAT64, Teredo and the other special
# networks of 2001::/23, documentation, segment routing, the old site-local addresses.
NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),
        *("::/8", "100::/8", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)
FORBIDDEN_CHARACTERS = re.compile(
    r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ud800-\udfff\\]"
)
MAX_LOOKUPS = 256  # names that one process looks up at the same time


class UnusableURL(ValueError):
    """A webhook cannot have this URL. The text is a sentence with the reason; it does not quote the URL."""


class BlockedAddress(Exception):
    """A webhook may not reach this address. The text is a sentence that does not reveal what the name resolves to.

    Not an OSError: code that catches OSError would treat this as a failed connection and might retry.
    """


class Destination(NamedTuple):
    """The parts of a URL that sending needs. `host` is ASCII without brackets; `path` includes the query."""

    secure: bool
    host: str
    port: int
    path: str
    host_header: str


class Endpoint(NamedTuple):
    """One checked address, in the form `socket.connect` takes."""

    family: socket.AddressFamily
    address: tuple[Any, ...]


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parses comma-separated CIDRs; ValueError names the first part that is not a network."""
    networks: list[Network] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ip_network(part))
        except ValueError as error:
            raise ValueError(f"{part} is not a network such as 10.0.0.0/8: {error}") from None
    return tuple(networks)


def is_blocked(address: str, allowed_networks: Sequence[Network] = ()) -> bool:
    """Whether webhooks must not reach this IP address: it is not public, and no allowed network contains it."""
    ip = _ip(address)
    return not _is_allowed(ip, allowed_networks) and not _is_public(ip)


def check_url(url: str) -> str | None:
    """Returns a sentence saying why a webhook cannot have this URL, or None. Makes no DNS lookup."""
    try:
        parse_url(url)
    except UnusableURL as error:
        return str(error)
    return None


def parse_url(url: str) -> Destination:
    """Splits the URL into the parts that sending needs; UnusableURL if a webhook cannot have it.

    requests normalises the URL (percent-encoding, internationalised names), so it means here what it means to requests.
    """
    if len(url) > MAX_URL_LENGTH:
        raise UnusableURL(f"The URL is longer than {MAX_URL_LENGTH} characters")
    if FORBIDDEN_CHARACTERS.search(url):
        raise UnusableURL("The URL contains a space, a backslash or an invisible character")
    scheme, host, port = _authority(url)
    try:
        prepared = PreparedRequest()
        prepared.prepare_url(url, None)
        path, normal = prepared.path_url, urlsplit(prepared.url or "")
        host = (normal.hostname or "").removesuffix("]")
        host.encode("idna")  # as getaddrinfo does: refuses empty and overlong labels
    except ValueError:  # requests' InvalidURL and UnicodeError are ValueErrors
        raise UnusableURL("The URL has no valid host name") from None
    if not host:
        raise UnusableURL("The URL has no valid host name")
    name = f"[{host}]" if ":" in host else host
    host_header = name if port == DEFAULT_PORTS[scheme] else f"{name}:{port}"
    return Destination(scheme == "https", host, port, path, host_header)


def _authority(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UnusableURL("The URL has no valid host name or port") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise UnusableURL("The URL must begin with https:// or http://")
    if "@" in parts.netloc:
        raise UnusableURL("The URL must not contain a user name or password")
    if not parts.hostname:
        raise UnusableURL("The URL has no host name")
    if port == 0 or "%" in parts.netloc:
        raise UnusableURL("The URL has no valid host name or port")
    return parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme]


def resolve(
    host: str,
    port: int,
    timeout: float,
    allowed_networks: Sequence[Network] = (),
    resolver: Resolver = socket.getaddrinfo,
) -> list[Endpoint]:
    """Looks a host up once, for at most `timeout` seconds; returns its checked addresses in the resolver's order.

    BlockedAddress if any address is not allowed, TimeoutError after `timeout`; other errors are the resolver's own.
    """
    endpoints = _literal(host, port) or _look_up(host, port, timeout, resolver)
    for endpoint in endpoints:
        ip = _ip(endpoint.address[0])
        if _is_allowed(ip, allowed_networks):
            continue
        if not _is_public(ip):
            raise BlockedAddress(f"The address of {host} is not public, and this installation does not allow it")
        if port in FORBIDDEN_PORTS:
            raise BlockedAddress(f"Port {port} of {host} is not a port for webhooks")
    return endpoints


def dial(endpoints: Sequence[Endpoint], timeout: float) -> socket.socket:
    """Connects to the first endpoint that accepts, within `timeout` seconds in all.

    Each attempt gets an equal share of the remaining time. If all fail, raises the first endpoint's OSError: the
    resolver lists the address most likely to work first.
    """
    expires, first = monotonic() + timeout, None
    for left, endpoint in zip(range(len(endpoints), 0, -1), endpoints, strict=True):
        sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(expires - monotonic(), 0.001) / left)
            sock.connect(endpoint.address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            first = first or error
    raise first or TimeoutError


def _literal(host: str, port: int) -> list[Endpoint]:
    try:
        version = ip_address(host).version
    except ValueError:
        return []
    if version == 4:
        return [Endpoint(socket.AF_INET, (host, port))]
    return [Endpoint(socket.AF_INET6, (host, port, 0, 0))]


class Lookups:
    """DNS lookups in progress, each on its own thread, because getaddrinfo has no timeout.

    A lookup that hangs keeps its thread until it ends. Further requests for the same name wait for that lookup. So a
    name whose lookup hangs takes one place of `limit`, however often it is requested.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: dict[tuple[Resolver, str, int], Future[Answers]] = {}
        self._changed = Condition()

    def ask(self, resolver: Resolver, host: str, port: int, timeout: float) -> Answers:
        """Returns or raises what the resolver does; TimeoutError after `timeout` seconds."""
        expires, key = monotonic() + timeout, (resolver, host, port)
        with self._changed:
            if not self._changed.wait_for(lambda: key in self._pending or len(self._pending) < self._limit, timeout):
                raise TimeoutError
            answer = self._pending.get(key) or self._start(key)
        return answer.result(max(expires - monotonic(), 0))

    def _start(self, key: tuple[Resolver, str, int]) -> "Future[Answers]":
        answer: Future[Answers] = Future()
        Thread(target=self._look_up, args=(key, answer), name="lookup", daemon=True).start()
        self._pending[key] = answer
        return answer

    def _look_up(self, key: tuple[Resolver, str, int], answer: "Future[Answers]") -> None:
        resolver, host, port = key
        try:
            found = resolver(host, port, 0, socket.SOCK_STREAM)
        except BaseException as error:  # noqa: BLE001 - passed on to the waiting threads
            self._end(key)
            answer.set_exception(error)
        else:
            self._end(key)
            answer.set_result(found)

    def _end(self, key: tuple[Resolver, str, int]) -> None:
        with self._changed:
            del self._pending[key]
            self._changed.notify_all()


lookups = Lookups(MAX_LOOKUPS)


def _look_up(host: str, port: int, timeout: float, resolver: Resolver) -> list[Endpoint]:
    found = lookups.ask(resolver, host, port, timeout)
    endpoints = [Endpoint(info[0], info[4]) for info in found if info[0] in (socket.AF_INET, socket.AF_INET6)]
    if not endpoints:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return endpoints


def _ip(address: str) -> IPv4Address | IPv6Address:
    ip = ip_address(address.split("%")[0])
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _is_allowed(ip: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not _is_allowed(ip, NOT_PUBLIC)
