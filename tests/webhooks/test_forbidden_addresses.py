"""No webhook reaches an address that is not public: every class of address, in every spelling.

The tests use real sockets and their own resolver. Every connection that the address check allows is redirected to one
listener. So a gap in the check shows up as a connection.
"""

import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from tests.support.receiver import Receiver, answering
from webapp.webhooks import sender as sender_module
from webapp.webhooks.addresses import Endpoint, dial
from webapp.webhooks.advice import with_step
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender

V4 = {
    "loopback": ["127.0.0.1", "127.255.255.254"],
    "RFC 1918": ["10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.0.1"],
    "link-local": ["169.254.0.1"],
    "metadata": ["169.254.169.254", "168.63.129.16"],
    "CGNAT": ["100.64.0.1", "100.127.255.254", "100.100.100.200"],
    "multicast": ["224.0.0.1", "239.255.255.250"],
    "reserved": ["240.0.0.1", "255.255.255.255"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1"],
    "benchmarking": ["198.18.0.1", "198.19.255.254"],
    "unspecified": ["0.0.0.0", "0.255.255.255"],
    "protocols": ["192.0.0.1", "192.0.0.170", "192.88.99.1"],
}
V6 = {
    "loopback": ["::1"],
    "unspecified": ["::"],
    "link-local": ["fe80::1", "febf::1"],
    "unique-local": ["fc00::1", "fd00:ec2::254"],
    "site-local": ["fec0::1", "feff::1"],
    "multicast": ["ff02::1", "ff0e::1"],
    "documentation": ["2001:db8::1", "3fff::1"],
    "benchmarking": ["2001:2::1"],
    "protocols": ["2001:1::1", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:30::1"],
    "discard": ["100::1"],
    "segment routing": ["5f00::1"],
    "reserved": ["4000::1", "e000::1"],
}
WRAPPED = ["::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::1", "2001:0:4136:e378::"]
PUBLIC = ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::1"]

FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")
CIRCLED = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")


def spellings(address: str) -> Iterator[str]:
    """An IPv4 address as a URL's host, in every spelling that some part of some system accepts."""
    ip = IPv4Address(address)
    number, (a, b, c, d) = int(ip), ip.packed
    yield from (address, f"{address}.", f"{number}", f"{number:#x}", f"0{number:o}", f"{number:#x}.")
    yield from (f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:#x}.{b}.0{c:o}.{d}")
    yield from (f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{number & 0xFFFF}")
    yield from (address.translate(FULL_WIDTH), address.translate(CIRCLED), address.replace(".", "。"))
    yield from (f"[::ffff:{address}]", f"[::FFFF:{number >> 16:X}:{number & 0xFFFF:X}]", f"[0:0:0:0:0:ffff:{address}]")
    yield from (f"[::{address}]", f"[::ffff:0:{address}]", f"[64:ff9b::{address}]", f"[64:ff9b:1::{address}]")
    yield from (f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]", f"[{teredo(ip)}]", f"[::ffff:{address}%25eth0]")


def teredo(ip: IPv4Address) -> IPv6Address:
    """A Teredo address whose client is `ip`."""
    return IPv6Address((0x20010000 << 96) | (int(IPv4Address("65.54.227.120")) << 64) | (int(ip) ^ 0xFFFFFFFF))


def spellings_of_6(address: str) -> Iterator[str]:
    ip = IPv6Address(address)
    yield from (f"[{ip.compressed}]", f"[{ip.exploded}]", f"[{ip.exploded.upper()}]", f"[{address}].")
    yield from (f"[{address}%eth0]", f"[{address}%25eth0]", address.translate(FULL_WIDTH))


class Names:
    """A resolver. It reads numbers as the C library does, also with a trailing dot. Names have the given answers."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, family: int = 0, kind: int = 0) -> list[tuple[object, ...]]:
        self.asked.append(host)
        name = host.removesuffix(".example")
        if name in self.answers:
            return [self._info(address, port) for address in self.answers[name]]
        return socket.getaddrinfo(host.rstrip("."), port, 0, kind, 0, socket.AI_NUMERICHOST)

    @staticmethod
    def _info(address: str, port: int) -> tuple[object, ...]:
        if ip_address(address).version == 4:
            return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))


class Net:
    """A sender whose connections all end at `listener`. `dialled` has the addresses they were meant for."""

    def __init__(self, listener: Receiver) -> None:
        self.listener = listener
        self.names = Names()
        self.dialled: list[str] = []
        self.sender = Sender(Limits(idle_seconds=0), resolver=lambda *asked: self.names(*asked))

    def dial(self, endpoints: list[Endpoint], timeout: float) -> socket.socket:
        self.dialled += [str(endpoint.address[0]) for endpoint in endpoints]
        return dial([Endpoint(socket.AF_INET, ("127.0.0.1", self.listener.port))], timeout)

    def post(self, host: str, port: int = 80) -> Outcome:
        return self.sender.send(1, f"http://{host}:{port}/hook", b'{"name":"Ada"}', {})


@pytest.fixture
def net(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    net = Net(receiver)
    monkeypatch.setattr(sender_module, "dial", net.dial)
    yield net
    net.sender.close()


def assert_refused(net: Net, hosts: Iterator[str]) -> None:
    for host in hosts:
        outcome = net.post(host)
        assert (net.dialled, net.listener.connections) == ([], 0), host
        # A spelling that is not a host name is refused for that reason, before any lookup.
        assert outcome.error in (ErrorKind.BLOCKED_ADDRESS, ErrorKind.UNREACHABLE, ErrorKind.DNS), host
        assert (outcome.code, outcome.headers, outcome.truncated) == (999, (), False), host
        assert "Ada" not in outcome.body, host


@pytest.mark.parametrize("kind", V4)
def test_no_ipv4_address_that_is_not_public_is_reached_in_any_spelling(net: Net, kind: str) -> None:
    for address in V4[kind]:
        assert net.post(address).error is ErrorKind.BLOCKED_ADDRESS
        assert_refused(net, spellings(address))


@pytest.mark.parametrize("kind", V6)
def test_no_ipv6_address_that_is_not_public_is_reached_in_any_spelling(net: Net, kind: str) -> None:
    for address in V6[kind]:
        assert net.post(f"[{address}]").error is ErrorKind.BLOCKED_ADDRESS
        assert_refused(net, spellings_of_6(address))


@pytest.mark.parametrize(
    "address", [*WRAPPED, *(address for kinds in (V4, V6) for kind in kinds.values() for address in kind)]
)
def test_a_name_with_such_an_address_is_not_sent_there_even_among_public_addresses(net: Net, address: str) -> None:
    net.names = Names(bad=[address], last=[*PUBLIC, address], first=[address, *PUBLIC], twice=[address, address])
    for name in ("bad", "twice"):
        outcome = net.post(f"{name}.example")
        assert outcome.error is ErrorKind.BLOCKED_NAME
        assert address not in outcome.body
    assert (net.dialled, net.listener.connections) == ([], 0)
    for name in ("last", "first"):
        net.dialled.clear()
        assert net.post(f"{name}.example", 8080).delivered
        assert net.dialled == PUBLIC, "the public ones, and no other"


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached_by_address_and_by_name(net: Net, address: str) -> None:
    net.names = Names(crm=[address])
    literal = f"[{address}]" if ":" in address else address
    hosts = [literal, "crm.example"] + ([] if ":" in address else [str(int(IPv4Address(address)))])
    for host in hosts:
        assert net.post(host, 8080).delivered, host
    assert net.dialled == [address] * len(hosts)
    assert net.listener.connections == len(hosts)


def test_all_public_addresses_of_a_name_are_tried_in_order(net: Net) -> None:
    net.names = Names(crm=PUBLIC)
    assert net.post("crm.example").delivered
    assert net.dialled == PUBLIC
    assert net.names.asked == ["crm.example"]


def test_a_name_that_changes_its_address_is_looked_up_once_per_connection(net: Net) -> None:
    """DNS rebinding: the first lookup returns a public address, every later one returns loopback."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]])
    net.names = Names(crm=[])
    resolver, net.names = net.names, lambda *asked: resolver.answers.update(crm=next(answers)) or resolver(*asked)
    net.listener.behave(answering(headers=[("connection", "close")]))
    assert net.post("crm.example").delivered
    assert (net.dialled, resolver.asked) == (["93.184.216.34"], ["crm.example"])
    assert net.post("crm.example").error is ErrorKind.BLOCKED_NAME  # every new connection is checked
    assert net.dialled == ["93.184.216.34"]


def test_a_name_that_mixes_its_answers_does_not_get_a_lead_to_a_refused_address(net: Net) -> None:
    """Rebinding with two addresses: the public one refuses connections, so that the sender might try the other one."""
    net.names = Names(crm=["93.184.216.34", "127.0.0.1"])
    net.listener.close()
    assert net.post("crm.example").error is ErrorKind.REFUSED
    assert net.dialled == ["93.184.216.34"]


PORTS = [22, 23, 25, 110, 143, 445, 2375, 2379, 3306, 5432, 6379, 6443, 9200, 11211, 27017]


@pytest.mark.parametrize("port", PORTS)
def test_a_port_of_another_service_is_not_reached_at_a_public_address(net: Net, port: int) -> None:
    outcome = net.post("93.184.216.34", port)
    assert (outcome.error, net.dialled) == (ErrorKind.BLOCKED_ADDRESS, [])
    assert outcome.body == with_step(f"Port {port} of 93.184.216.34 is not a port for webhooks")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_loopback_is_not_followed(net: Net, code: int) -> None:
    with Receiver() as inside:
        net.listener.answer(code, headers=[("location", inside.url), ("refresh", f"0; url={inside.url}")])
        outcome = net.post("93.184.216.34")
        assert (outcome.code, outcome.error) == (code, ErrorKind.REDIRECT)
        assert (inside.connections, len(net.dialled)) == (0, 1)


def listening_on(host: str) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, 0), family=family)
    except OSError:  # a machine without IPv6
        return None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_real_listener_on_loopback_gets_no_connection(host: str) -> None:
    server = listening_on(host)
    if server is None:
        pytest.skip("this machine has no such address")
    with server:
        port = server.getsockname()[1]
        sender = Sender(Limits())
        others = ["localhost", "LOCALHOST.", "0", "[::]", "127.1", "[::ffff:127.0.0.1]"]
        named = [*spellings("127.0.0.1"), *spellings("0.0.0.0"), *spellings_of_6("::1"), *others]
        for name in named:
            assert sender.send(1, f"http://{name}:{port}/", b"{}", {}).code == 999
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
        allowed = Sender(Limits(allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), deadline=0.3))
        literal = f"[{host}]" if ":" in host else host
        assert allowed.send(1, f"http://{literal}:{port}/", b"{}", {}).error is ErrorKind.TIMEOUT
        server.accept()[0].close()  # the listener works, so it was the address check that refused above


def test_an_allowed_network_allows_only_its_own_addresses_but_any_port(receiver: Receiver) -> None:
    sender = Sender(Limits(allowed_networks=(ip_network("127.0.0.1/32"),)))
    reached: Callable[[str], Outcome] = lambda host: sender.send(1, f"http://{host}:{receiver.port}/", b"{}", {})  # noqa: E731
    assert reached("127.0.0.1").delivered
    assert reached("2130706433").delivered
    assert reached("[::ffff:127.0.0.1]").code != 999
    for host in ("127.0.0.2", "[::1]", "0", "10.0.0.1"):
        assert reached(host).error is ErrorKind.BLOCKED_ADDRESS
    sender.close()
