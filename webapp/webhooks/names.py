"""The resolver: finds the addresses of a host, as socket.getaddrinfo does, but in an order that is safe for leads.

1. An address in any spelling, and what /etc/hosts says (also for `localhost.`), cost no question.
2. Then the name as it is written is asked for, as an absolute name.
3. Search domains of /etc/resolv.conf are added only if there is no such name, and never to a host that once was found
   without them: its name servers may be wrong for a moment, and a search domain may answer for every name.

Other services of /etc/nsswitch.conf, such as mDNS, are asked through the system. Systems other than Linux have more
sources of name servers than a file, so there the system's own resolver does all of it.
"""

import socket
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Protocol

from webapp.webhooks import name_files
from webapp.webhooks.lookups import Answers
from webapp.webhooks.name_files import PLAIN_SERVICES, NameServers, Watched
from webapp.webhooks.verdicts import Found, Verdict

ETC = Path("/etc")
LASTS = 20.0  # seconds a look-up goes on. A try waits less; what comes later is there for the next one
MOST_ADDRESSES = 16  # of one name
REMEMBERED = 4096  # names that were found without a search domain
LOOPBACK = ("127.0.0.1", "::1")
NO_DATA = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)
OWN_SCOPES = tuple(IPv6Network(network) for network in ("fc00::/7", "fe80::/10"))


class Memory(Protocol):
    """Knows the names that were found without a search domain, longer than a process lives."""

    def knows(self, name: str) -> bool:
        """Whether a name was found."""

    def add(self, name: str) -> None:
        """Remembers that a name was found."""


class Names:
    """A resolver with the arguments and the result of socket.getaddrinfo. Its threads share it.

    Raises socket.gaierror: EAI_NONAME if there is no such name, EAI_NODATA if it has no address, EAI_AGAIN if that is
    not known. `port_of_servers` and `etc` are other ones only in tests.
    """

    def __init__(self, etc: Path = ETC, port_of_servers: int = 53, lasts: float = LASTS) -> None:
        self._servers = Watched(etc / "resolv.conf", name_files.name_servers)
        self._hosts = Watched(etc / "hosts", name_files.hosts)
        self._services = Watched(etc / "nsswitch.conf", name_files.services)
        self._port_of_servers = port_of_servers
        self._lasts = lasts
        self._absolute: dict[str, None] = {}  # found by this process
        self._lock = Lock()

    def __call__(self, host: str, port: int, family: int = 0, kind: int = 0, memory: Memory | None = None) -> Answers:
        """The addresses of a host, the most promising first, at most `MOST_ADDRESSES`. Takes up to `LASTS` seconds."""
        name = host.removesuffix(".").lower()
        if not name:
            raise socket.gaierror(socket.EAI_NONAME, "not a name")
        try:
            return _numeric(name, port, kind)
        except (OSError, UnicodeError):
            pass  # not a number in any spelling
        addresses = self._hosts.now().get(name) or _special(name)
        if addresses is None:
            services = self._services.now()
            if _is_only_for_others(name, services):
                return socket.getaddrinfo(host, port, 0, kind)
            try:
                addresses = self._by_dns(host, name, memory)
            except socket.gaierror as error:
                if PLAIN_SERVICES.issuperset(services) or not self._may_be_elsewhere(name, error, memory):
                    raise
                return socket.getaddrinfo(host, port, 0, kind)
        in_order = by_promise(list(dict.fromkeys(addresses)))[:MOST_ADDRESSES]
        return [info for address in in_order for info in _numeric(address, port, kind)]

    def _may_be_elsewhere(self, name: str, error: socket.gaierror, memory: Memory | None) -> bool:
        """Whether the system may be asked for it. It would add search domains, also after an error of a name server."""
        if self._servers.now().search and "." in name and error.errno != socket.EAI_NONAME:
            return False
        return not self._is_known(name, memory)

    def _by_dns(self, host: str, name: str, memory: Memory | None) -> Sequence[str]:
        servers, ends_at = self._servers.now(), monotonic() + self._lasts
        single = "." not in name
        search = () if host.endswith(".") else servers.search
        try:
            # systemd-resolved answers SERVFAIL for every name of one part, so that is no reason to ask again.
            found = self._ask(name, servers, ends_at, 1 if single and search else 2)
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, "not a name") from None
        if found.addresses:
            self._remember(name, memory)
            return found.addresses
        # The names of top-level domains, such as `app`, exist and have no address.
        may_search = found.verdict is Verdict.NO_NAME or (single and found.verdict is not Verdict.SILENCE)
        if search and may_search and not self._is_known(name, memory):
            return self._searched(name, servers, search, ends_at) or _fail(found)
        return _fail(found)

    def _searched(self, name: str, servers: NameServers, search: Sequence[str], ends_at: float) -> Sequence[str]:
        for domain in search:
            try:
                found = self._ask(f"{name}.{domain}", servers, ends_at)
            except ValueError:
                continue
            if found.addresses:
                return found.addresses
            if found.verdict in (Verdict.ERROR, Verdict.SILENCE):
                _fail(found)  # the next domain's host of this name may be another one
        return ()

    def _ask(self, name: str, servers: NameServers, ends_at: float, rounds: int = 2) -> Found:
        from webapp.webhooks.questions import ask  # not in processes that look no name up: dnspython is large

        return ask(name, servers, ends_at, rounds, self._port_of_servers)

    def _remember(self, name: str, memory: Memory | None) -> None:
        with self._lock:
            if name in self._absolute:
                return
            self._absolute[name] = None
            if len(self._absolute) > REMEMBERED:
                del self._absolute[next(iter(self._absolute))]
        if memory and self._servers.now().search:
            memory.add(name)

    def _is_known(self, name: str, memory: Memory | None) -> bool:
        return name in self._absolute or (memory is not None and memory.knows(name))


def by_promise(addresses: Sequence[str]) -> list[str]:
    """The addresses, those first that this machine can most likely reach: the rules of RFC 6724 that matter here.

    Addresses without a route are last. IPv6 is before IPv4, except where this machine has only a local IPv6 address.
    Connecting a UDP socket sends nothing; it asks the system for the route and the source address.
    """
    return sorted(addresses, key=_promise) if len(addresses) > 1 else list(addresses)


def _promise(address: str) -> int:
    """0 is the best."""
    version = ip_address(address.partition("%")[0]).version
    with socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(_numeric(address, 9, socket.SOCK_DGRAM)[0][4])
            source = ip_address(str(sock.getsockname()[0]).partition("%")[0])
        except OSError:
            return 3
    if version == 4:
        return 1
    return 0 if _is_own(source) == _is_own(ip_address(address.partition("%")[0])) else 2


def _is_own(ip: IPv4Address | IPv6Address) -> bool:
    return any(ip in network for network in OWN_SCOPES)


def _numeric(address: str, port: int, kind: int) -> Answers:
    return socket.getaddrinfo(address, port, 0, kind, 0, socket.AI_NUMERICHOST)


def _special(name: str) -> Sequence[str] | None:
    """Names that no server is asked for (RFC 6761, sections 6.3 and 6.4)."""
    if name == "localhost" or name.endswith(".localhost"):
        return LOOPBACK
    if name == "invalid" or name.endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "there is never such a name")
    return None


def _is_only_for_others(name: str, services: Sequence[str]) -> bool:
    """Whether name servers are not to be asked: .local belongs to mDNS (RFC 6762), where that is set up."""
    if not {"dns", "resolve"}.intersection(services):
        return True
    return name.endswith(".local") and any(service.startswith("mdns") for service in services)


def _fail(found: Found) -> Sequence[str]:
    errors = {Verdict.NO_NAME: socket.EAI_NONAME, Verdict.NO_ADDRESS: NO_DATA}
    raise socket.gaierror(errors.get(found.verdict, socket.EAI_AGAIN), found.verdict.value)


_names = Names()


def look_up(host: str, port: int, family: int = 0, kind: int = 0, memory: Memory | None = None) -> Answers:
    """The resolver for this kind of system. `memory` is used only on machines with search domains."""
    if sys.platform.startswith("linux"):
        return _names(host, port, family, kind, memory)
    return socket.getaddrinfo(host, port, family, kind)
