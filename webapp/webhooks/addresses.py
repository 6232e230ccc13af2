"""Where a webhook may be sent: the URL, the name behind it, the addresses behind that.

The address that is dialled is the address that was vetted: one lookup, and one bad answer refuses them all, so neither
an odd spelling (`0x7f000001`, `127.1`) nor a name that changes its mind between two lookups gets past.
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
# SSH, telnet, mail, SMB, databases, caches and cluster APIs: a POST to one of these is never a webhook.
FORBIDDEN_PORTS = frozenset({22, 23, 25, 110, 143, 445, 2375, 2379, 3306, 5432, 6379, 6443, 9200, 11211, 27017})
# What ipaddress calls global (some of it in some versions of Python), or unwraps to something global, and is not: 6to4
# relays, CGNAT, Azure's metadata, IPv4 in IPv6, NAT64, Teredo and the other special ones of 2001::/23, documentation,
# segment routing, the old site-local addresses.
NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),
        *("::/8", "100::/8", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)
UNUSABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ud800-\udfff\\]")
LOOKUPS_AT_ONCE = 256  # names in a process


class UnusableURL(ValueError):
    """A webhook cannot have this URL; the text is a sentence why, and does not quote it."""


class BlockedAddress(Exception):
    """The address is not one a webhook may reach; the text is a sentence that does not tell what the name resolves to.

    Not an OSError: what catches those would take this for a connection that failed and might be tried again.
    """


class Target(NamedTuple):
    """A URL as it is dialled and asked for. `host` is ASCII and without brackets, `path` includes the query."""

    secure: bool
    host: str
    port: int
    path: str
    host_header: str


class Endpoint(NamedTuple):
    """One vetted address, as `socket.connect` takes it."""

    family: socket.AddressFamily
    address: tuple[Any, ...]


def parse_networks(text: str) -> tuple[Network, ...]:
    """Comma-separated CIDRs; ValueError names the first that is none."""
    networks: list[Network] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ip_network(part))
        except ValueError as error:
            raise ValueError(f"{part} is not a network such as 10.0.0.0/8: {error}") from None
    return tuple(networks)


def blocked(address: str, allowed_networks: Sequence[Network] = ()) -> bool:
    """Whether webhooks must not reach this IP address: it is not public, and no allowed network holds it."""
    ip = _ip(address)
    return not _allowed(ip, allowed_networks) and not _public(ip)


def check_url(url: str) -> str | None:
    """A sentence why a webhook cannot have this URL, or None. Looks nothing up."""
    try:
        parse_target(url)
    except UnusableURL as error:
        return str(error)
    return None


def parse_target(url: str) -> Target:
    """The URL in the parts that sending needs; UnusableURL where it has none.

    requests normalises it (percent-encoding, internationalised names), so it means here what it means there.
    """
    if len(url) > MAX_URL_LENGTH:
        raise UnusableURL(f"The URL is longer than {MAX_URL_LENGTH} characters")
    if UNUSABLE.search(url):
        raise UnusableURL("The URL contains a space, a backslash or an invisible character")
    scheme, host, port = _authority(url)
    try:
        prepared = PreparedRequest()
        prepared.prepare_url(url, None)
        path, normal = prepared.path_url, urlsplit(prepared.url or "")
        host = (normal.hostname or "").removesuffix("]")
        host.encode("idna")  # what getaddrinfo would do: refuses empty and overlong labels
    except ValueError:  # requests' InvalidURL and UnicodeError are ValueErrors
        raise UnusableURL("The URL has no valid host name") from None
    if not host:
        raise UnusableURL("The URL has no valid host name")
    name = f"[{host}]" if ":" in host else host
    host_header = name if port == DEFAULT_PORTS[scheme] else f"{name}:{port}"
    return Target(scheme == "https", host, port, path, host_header)


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
    """The vetted addresses of a host, in the resolver's order, by one lookup of at most `timeout` seconds.

    BlockedAddress if any of them is refused, TimeoutError past the deadline, whatever the resolver raises otherwise.
    """
    endpoints = _literal(host, port) or _look_up(host, port, timeout, resolver)
    for endpoint in endpoints:
        ip = _ip(endpoint.address[0])
        if _allowed(ip, allowed_networks):
            continue
        if not _public(ip):
            raise BlockedAddress(f"The address of {host} is not public, and this installation does not allow it")
        if port in FORBIDDEN_PORTS:
            raise BlockedAddress(f"Port {port} of {host} is not a port for webhooks")
    return endpoints


def dial(endpoints: Sequence[Endpoint], timeout: float) -> socket.socket:
    """A connection to the first endpoint that takes one, `timeout` seconds in all; each gets its share of what is left.

    Raises the first endpoint's OSError where none does: the resolver puts the address most likely to work first.
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
    """Names that are being looked up, each on a thread of its own, for getaddrinfo has no time-out.

    One that hangs keeps its thread until it ends; who asks for the same name meanwhile waits for the same answer, so a
    silent name takes one place of `at_once`, however often it is tried.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._pending: dict[tuple[Resolver, str, int], Future[Answers]] = {}
        self._changed = Condition()

    def ask(self, resolver: Resolver, host: str, port: int, timeout: float) -> Answers:
        """What the resolver answers or raises; TimeoutError after `timeout` seconds."""
        expires, key = monotonic() + timeout, (resolver, host, port)
        with self._changed:
            if not self._changed.wait_for(lambda: key in self._pending or len(self._pending) < self._at_once, timeout):
                raise TimeoutError
            answer = self._pending.get(key) or self._begin(key)
        return answer.result(max(expires - monotonic(), 0))

    def _begin(self, key: tuple[Resolver, str, int]) -> "Future[Answers]":
        answer: Future[Answers] = Future()
        Thread(target=self._look_up, args=(key, answer), name="lookup", daemon=True).start()
        self._pending[key] = answer
        return answer

    def _look_up(self, key: tuple[Resolver, str, int], answer: "Future[Answers]") -> None:
        resolver, host, port = key
        try:
            found = resolver(host, port, 0, socket.SOCK_STREAM)
        except BaseException as error:  # noqa: BLE001 - handed to the threads that asked
            self._end(key)
            answer.set_exception(error)
        else:
            self._end(key)
            answer.set_result(found)

    def _end(self, key: tuple[Resolver, str, int]) -> None:
        with self._changed:
            del self._pending[key]
            self._changed.notify_all()


lookups = Lookups(LOOKUPS_AT_ONCE)


def _look_up(host: str, port: int, timeout: float, resolver: Resolver) -> list[Endpoint]:
    found = lookups.ask(resolver, host, port, timeout)
    endpoints = [Endpoint(info[0], info[4]) for info in found if info[0] in (socket.AF_INET, socket.AF_INET6)]
    if not endpoints:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return endpoints


def _ip(address: str) -> IPv4Address | IPv6Address:
    ip = ip_address(address.split("%")[0])
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _allowed(ip: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def _public(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not _allowed(ip, NOT_PUBLIC)
