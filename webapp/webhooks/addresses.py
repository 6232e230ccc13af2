"""Checks where a webhook may be sent: the URL, its host name, and the addresses behind the name.

A host name is looked up once per connection, each of its addresses is checked, and the connection uses only those that
are allowed. So an odd spelling (`0x7f000001`, `127.1`) cannot get past the check, and a name that changes its address
between two lookups, or mixes good and bad ones, cannot either.
"""

import re
import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest

from webapp.webhooks.lookups import Resolver, lookups
from webapp.webhooks.names import look_up
from webapp.webhooks.nat64 import embedded

Network = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253
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
FORM = re.compile(r"/+f/+[^/?#]")  # the path of a form


class UnusableURL(ValueError):
    """A webhook cannot have this URL. The text is a sentence with the reason; it does not quote the URL."""


class BlockedAddress(Exception):
    """A webhook may not reach this address. The text is a sentence that does not reveal what the name resolves to.

    Not an OSError: code that catches OSError would treat this as a failed connection and might retry.
    """


class BlockedName(BlockedAddress):
    """The name leads to no address that a webhook may reach. Its next answer may be another one."""


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


def is_blocked(address: str, allowed_networks: Sequence[Network] = (), nat64: IPv6Network | None = None) -> bool:
    """Whether webhooks must not reach this IP address: it is not public, and no allowed network contains it.

    `nat64`: a prefix of the network that Leadhook is in, see webhooks/nat64.py.
    """
    ip = _ip(address, nat64)
    return not _is_allowed(ip, allowed_networks) and not _is_public(ip)


def check_url(url: str) -> str | None:
    """Returns a sentence saying why a webhook cannot have this URL, or None. Makes no DNS lookup."""
    try:
        is_too_long = len(sent_url(url)) > MAX_URL_LENGTH
    except UnusableURL as error:
        return str(error)
    return f"The URL is longer than {MAX_URL_LENGTH} characters as it is sent" if is_too_long else None


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
    if not host or len(host.removesuffix(".")) > MAX_HOST_LENGTH:
        raise UnusableURL("The URL has no valid host name")
    name = f"[{host}]" if ":" in host else host
    host_header = name if port == DEFAULT_PORTS[scheme] else f"{name}:{port}"
    return Destination(scheme == "https", host, port, path, host_header)


@lru_cache(1024)
def sent_url(url: str) -> str:
    """The URL as it is sent: its host as in the header Host, its path and query as in the request line.

    What is stored, shown and signed is this one: `:443`, an empty `?` and the fragment are not sent, `/%7E` is sent as
    `/~`, and a name that is not ASCII in its ASCII form. Given its own result, it returns the same. UnusableURL as
    parse_url.
    """
    destination = parse_url(url)
    return f"{'https' if destination.secure else 'http'}://{destination.host_header}{destination.path}"


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


@lru_cache(1024)
def is_form_of(public_url: str, url: str) -> bool:
    """Whether the URL leads to a form of the Leadhook at `public_url`, however it is spelled: a lead that is sent there
    comes back as another lead.

    Other addresses may lead there too, such as a second name of the host; posts that come that way have our own
    webhook-id (services/intake/hops.py).
    """
    try:
        ours, theirs = parse_url(public_url), parse_url(url)
    except UnusableURL:
        return False
    defaults = DEFAULT_PORTS.values()  # a proxy serves both, or leads from one to the other
    same_port = theirs.port == ours.port or (ours.port in defaults and theirs.port in defaults)
    return same_port and _bare(theirs.host) == _bare(ours.host) and bool(FORM.match(unquote(theirs.path)))


def _bare(host: str) -> str:
    """The host in one spelling: `0x7f.1` is 127.0.0.1, and `example.com.` is example.com."""
    name = host.rstrip(".").lower()
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        pass
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def resolve(
    host: str,
    port: int,
    timeout: float,
    allowed_networks: Sequence[Network] = (),
    resolver: Resolver = look_up,
    account: int = 0,
    nat64: IPv6Network | None = None,
) -> list[Endpoint]:
    """Looks a host up once, for at most `timeout` seconds; returns its allowed addresses in the resolver's order.

    BlockedName if none is allowed, BlockedAddress if another answer would not help: the host is an address, or the port
    is refused. TimeoutError after `timeout`, NoTurn if too many look-ups of this account hang; other errors are the
    resolver's own.
    """
    literal = _literal(host, port)
    endpoints = literal or _look_up(host, port, timeout, resolver, account)
    allowed, not_public = [], False
    for endpoint in endpoints:
        ip = _ip(endpoint.address[0], nat64)
        if _is_allowed(ip, allowed_networks) or (_is_public(ip) and port not in FORBIDDEN_PORTS):
            allowed.append(endpoint)
        else:
            not_public = not_public or not _is_public(ip)
    if allowed:
        return allowed
    if not literal:
        lookups.forget(resolver, host, port)
    raise _refusal(host, port, not_public)


def _refusal(host: str, port: int, not_public: bool) -> BlockedAddress:
    """Says why, but never what the name resolves to. What to do is in advice.py."""
    if not not_public:
        return BlockedAddress(f"Port {port} of {host} is not a port for webhooks")
    fault = f"The address of {host} is not public, and this installation does not allow it"
    return BlockedAddress(fault) if _is_number(host) else BlockedName(fault)


def _is_number(host: str) -> bool:
    try:
        return bool(ip_address(_bare(host)))
    except ValueError:
        return False


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


def _look_up(host: str, port: int, timeout: float, resolver: Resolver, account: int) -> list[Endpoint]:
    found = lookups.ask(resolver, host, port, timeout, account)
    endpoints = [Endpoint(info[0], info[4]) for info in found if info[0] in (socket.AF_INET, socket.AF_INET6)]
    if not endpoints:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return endpoints


def _ip(address: str, nat64: IPv6Network | None) -> IPv4Address | IPv6Address:
    """The address that decides: an IPv4 one inside an IPv6 one that leads to it."""
    ip = ip_address(address.split("%")[0])
    return ip.ipv4_mapped or embedded(ip, nat64) or ip if isinstance(ip, IPv6Address) else ip


def _is_allowed(ip: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not _is_allowed(ip, NOT_PUBLIC)


def no_lookup_hangs() -> bool:
    """Whether no look-up of a name is in progress in this process."""
    return lookups.are_over
