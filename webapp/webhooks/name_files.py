"""What this machine's files say about names: name servers, /etc/hosts, and which services look names up.

Each file is read again when it has changed, because a container or a laptop gets other name servers while it runs.
Lines that mean nothing here are left out: one bad line must not stop all deliveries.
"""

import os
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

MOST_SERVERS = 3  # as in the C library
PLAIN_SERVICES = frozenset({"files", "dns"})


class NameServers(NamedTuple):
    """/etc/resolv.conf. `search`: domains without dots at their ends. Its `ndots`, `timeout` and `attempts` are not
    used: see docs/adr/0017-our-own-dns-questions.md."""

    servers: tuple[str, ...] = ("127.0.0.1",)
    search: tuple[str, ...] = ()
    rotate: bool = False
    edns: bool = False
    tcp: bool = False


class Watched(Generic[T]):
    """What a file says, parsed again whenever it has changed. A file that cannot be read counts as empty."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._known: tuple[tuple[int, ...], T] | None = None

    def now(self) -> T:
        """Costs one call of stat while the file stays as it is."""
        try:
            found = os.stat(self._path)
            mark: tuple[int, ...] = (found.st_mtime_ns, found.st_ino, found.st_size)
        except OSError:
            mark = ()
        known = self._known
        if known is None or known[0] != mark:
            # The mark is older than the text, so a change in between is seen the next time.
            known = self._known = mark, self._parse(_text(self._path))
        return known[1]


def name_servers(text: str) -> NameServers:
    """Parses /etc/resolv.conf (resolv.conf(5)). Without a name server it is the one of this machine."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: set[str] = set()
    for line in text.splitlines():
        word, *values = line.split() or [""]
        if word == "nameserver" and values and is_address(values[0]):
            servers.append(values[0])
        elif word in ("search", "domain") and values:
            search = tuple(domain.strip(".").lower() for domain in values if domain.strip("."))
        elif word == "options":
            options.update(values)
    return NameServers(
        servers=tuple(servers[:MOST_SERVERS]) or NameServers().servers,
        search=search,
        rotate="rotate" in options,
        edns="edns0" in options,
        tcp="use-vc" in options,
    )


def hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Parses /etc/hosts: the addresses of each name, in lower case and without a dot at its end."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if is_address(address):
            for name in names:
                key = name.lower().removesuffix(".")
                found[key] = (*found.get(key, ()), address)
    return found


def services(text: str) -> tuple[str, ...]:
    """The services of /etc/nsswitch.conf that look hosts up, such as files, mdns4_minimal, dns."""
    for line in text.splitlines():
        database, colon, words = line.partition("#")[0].partition(":")
        if colon and database.strip() == "hosts":
            return tuple(word for word in words.split() if word[0] != "[" and word[-1] != "]")
    return ("files", "dns")


def is_address(text: str) -> bool:
    """Whether this is an IP address; IPv6 may have a scope, as in fe80::1%eth0."""
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
