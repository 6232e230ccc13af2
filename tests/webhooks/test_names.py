"""The resolver, with real name servers that lose packets, stay silent, answer late, wrongly or with errors."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import dns.rcode
import pytest

from tests.support.name_server import Name, NameServer
from webapp.webhooks import names as names_module
from webapp.webhooks import questions
from webapp.webhooks.names import Names

HOST, ADDRESS, OTHER, SIX = "crm.example", "93.184.216.34", "93.184.216.35", "2606:4700::1111"
PAUSE = questions.PAUSE
NXDOMAIN, SERVFAIL, REFUSED = dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.REFUSED
NO_NAME, NO_DATA, AGAIN = socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_AGAIN


class Etc:
    """The files of a machine, and its resolver."""

    def __init__(self, path: Path, port: int, lasts: float = 10) -> None:
        self.path = path
        self.port = port
        self.lasts = lasts
        self.write("resolv.conf", "nameserver 127.0.0.1\n")
        self.write("hosts", "127.0.0.1 localhost\n")
        self.resolver = self.new_resolver()

    def new_resolver(self) -> Names:
        """As after a restart."""
        return Names(self.path, self.port, self.lasts)

    def write(self, name: str, text: str) -> None:
        draft = self.path / f"{name}.new"
        draft.write_text(text)
        draft.replace(self.path / name)

    def resolve(self, host: str = HOST) -> list[str]:
        return [str(info[4][0]) for info in self.resolver(host, 443, 0, socket.SOCK_STREAM)]

    def fault(self, host: str = HOST) -> int:
        """The error number of a look-up that must fail."""
        with pytest.raises(socket.gaierror) as raised:
            self.resolve(host)
        return raised.value.args[0]


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server


@pytest.fixture
def etc(server: NameServer, tmp_path: Path) -> Etc:
    return Etc(tmp_path, server.port)


@pytest.fixture(autouse=True)
def short_and_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter pause after errors. And the order of addresses, which depends on this machine's routes, is that of the
    answers: tests/webhooks/test_names_in_order.py tests it."""
    monkeypatch.setattr(names_module, "by_promise", list)
    monkeypatch.setattr(questions, "PAUSE", 0.2)


@pytest.fixture
def repeats_late(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, questions are repeated after five seconds: what comes sooner was asked at once."""

    def call() -> None:
        monkeypatch.setattr(questions, "GAPS", ())
        monkeypatch.setattr(questions, "GAP", 5.0)
        monkeypatch.setattr(questions, "PAUSE", 5.0)

    return call


class Timed:
    """Seconds that something took."""

    def __enter__(self) -> "Timed":
        self._began = monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = monotonic() - self._began


# Lost packets and silence ---------------------------------------------------------------------------------------------


def test_one_lost_packet_is_asked_for_again_within_a_second(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name(a=[ADDRESS])
    server.loses = lambda number: number == 1
    with Timed() as took:
        assert etc.resolve() == [ADDRESS]
    assert took.seconds < 1, "the C library needs five"


@pytest.mark.parametrize("first", [1, 3])
def test_50_names_whose_server_loses_every_fifth_packet_are_all_found_in_time(
    etc: Etc, server: NameServer, first: int
) -> None:
    hosts = [f"crm-{number}.example" for number in range(50)]
    server.names = {host: Name(a=[ADDRESS], aaaa=[SIX] * (number % 2)) for number, host in enumerate(hosts)}
    server.loses = lambda number: number % 5 == first % 5

    def seconds(host: str) -> float:
        with Timed() as took:
            assert etc.resolve(host)
        return took.seconds

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(seconds, hosts)) < 4, "a try waits 5 s"


def test_several_packets_in_a_row_may_be_lost(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name(a=[ADDRESS])
    server.loses = lambda number: number <= 6
    with Timed() as took:
        assert etc.resolve() == [ADDRESS]
    assert took.seconds < 4


def test_a_name_server_that_is_silent_on_aaaa_does_not_hold_back_the_ipv4_addresses(
    etc: Etc, server: NameServer
) -> None:
    server.names[HOST] = Name(a=[ADDRESS], silent=("AAAA",))
    with Timed() as took:
        assert etc.resolve() == [ADDRESS]
    assert 0.04 < took.seconds < 2, "RFC 8305: 50 ms"


def test_an_aaaa_answer_within_the_delay_is_used(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name(a=[ADDRESS], aaaa=[SIX], delays={"AAAA": 0.02})
    assert etc.resolve() == [SIX, ADDRESS]


def test_a_name_server_that_is_silent_on_a_still_gives_the_ipv6_addresses(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name(aaaa=[SIX], silent=("A",))
    with Timed() as took:
        assert etc.resolve() == [SIX]
    assert took.seconds < 1.5


def test_an_a_answer_that_is_a_little_later_than_aaaa_is_waited_for(etc: Etc, server: NameServer) -> None:
    """Without it, a receiver whose IPv6 does not work would not be reached."""
    server.names[HOST] = Name(a=[ADDRESS], aaaa=[SIX], delays={"A": 0.2})
    assert etc.resolve() == [SIX, ADDRESS]


def test_a_receiver_that_has_only_ipv6_is_found_although_that_answer_is_slow(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name(aaaa=[SIX], delays={"AAAA": 0.7})
    assert etc.resolve() == [SIX]


@pytest.mark.parametrize("code", [SERVFAIL, REFUSED, NXDOMAIN, dns.rcode.NOTIMP, dns.rcode.FORMERR])
def test_an_error_for_aaaa_does_not_hide_the_ipv4_addresses(etc: Etc, server: NameServer, code: int) -> None:
    """Some load balancers answer so for a type that they do not know (RFC 4074)."""
    server.names[HOST] = Name(a=[ADDRESS], codes={"AAAA": code}, delays={"A": 0.1})
    assert etc.resolve() == [ADDRESS]


def test_a_server_that_never_answers_ends_when_the_look_up_ends(server: NameServer, tmp_path: Path) -> None:
    server.loses = lambda number: True
    etc = Etc(tmp_path, server.port, lasts=0.8)
    with Timed() as took:
        assert etc.fault() == AGAIN
    assert 0.7 < took.seconds < 1.5
    assert 3 <= server.count(HOST) <= 5


# Several name servers -------------------------------------------------------------------------------------------------


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Etc, NameServer, NameServer]]:
    """Two, with addresses of their own."""
    with ExitStack() as stack:
        first = stack.enter_context(NameServer("127.0.0.1"))
        second = stack.enter_context(NameServer("127.0.0.2", first.port))
        etc = Etc(tmp_path, first.port)
        etc.write("resolv.conf", "nameserver 127.0.0.1\nnameserver 127.0.0.2\n")
        yield etc, first, second


def test_the_second_name_server_is_asked_when_the_first_is_silent(servers: tuple[Etc, NameServer, NameServer]) -> None:
    etc, first, second = servers
    first.loses = lambda number: True
    second.names[HOST] = Name(a=[ADDRESS])
    with Timed() as took:
        assert etc.resolve() == [ADDRESS]
    assert took.seconds < 1


@pytest.mark.parametrize("fault", [Name(code=SERVFAIL), Name(code=REFUSED), Name(lame=True)])
def test_the_second_name_server_is_asked_at_once_when_the_first_answers_with_an_error(
    servers: tuple[Etc, NameServer, NameServer], fault: Name, repeats_late: Callable[[], None]
) -> None:
    etc, first, second = servers
    first.names[HOST], second.names[HOST] = fault, Name(a=[ADDRESS])
    repeats_late()
    with Timed() as took:
        assert etc.resolve() == [ADDRESS]
    assert took.seconds < 3


def test_a_name_server_that_does_not_run_costs_nothing(
    etc: Etc, server: NameServer, repeats_late: Callable[[], None]
) -> None:
    server.names[HOST] = Name(a=[ADDRESS])
    etc.write("resolv.conf", "nameserver 127.0.0.9\nnameserver 127.0.0.1\n")
    repeats_late()
    with Timed() as took:
        assert etc.resolve() == [ADDRESS]
    assert took.seconds < 3


def test_errors_of_all_name_servers_are_asked_once_more_after_a_second(
    etc: Etc, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "PAUSE", PAUSE)
    server.names[HOST] = Name(code=SERVFAIL)
    with Timed() as took:
        assert etc.fault() == AGAIN
    assert (server.count(HOST), 0.9 < took.seconds < 2) == (2, True)


def test_an_error_that_passes_within_a_second_is_no_failure(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name(code=SERVFAIL)

    def mend(number: int) -> bool:
        if number == 3:
            server.names[HOST] = Name(a=[ADDRESS])
        return False

    server.loses = mend
    assert etc.resolve() == [ADDRESS]


def test_rotate_asks_all_name_servers(servers: tuple[Etc, NameServer, NameServer]) -> None:
    etc, first, second = servers
    first.names[HOST] = second.names[HOST] = Name(a=[ADDRESS])
    etc.write("resolv.conf", "nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions rotate\n")
    for _ in range(60):
        etc.resolve()
        if first.asked and second.asked:
            break
    assert first.asked
    assert second.asked


# /etc/hosts, special names, numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST", "LocalHost."])
def test_localhost_is_this_machine_with_a_final_dot_too(etc: Etc, server: NameServer, host: str) -> None:
    assert etc.resolve(host) == ["127.0.0.1"]
    assert server.asked == []


@pytest.mark.parametrize("host", ["localhost", "localhost.", "app.localhost"])
def test_localhost_needs_no_file(etc: Etc, server: NameServer, host: str) -> None:
    (etc.path / "hosts").unlink()
    assert etc.resolve(host) == ["127.0.0.1", "::1"]
    assert server.asked == []


@pytest.mark.parametrize("host", ["crm.example", "crm.example.", "CRM.Example", "crm", "crm."])
def test_the_hosts_file_is_before_name_servers(etc: Etc, server: NameServer, host: str) -> None:
    server.names[HOST] = Name(a=[OTHER])
    etc.write("hosts", f"# ours\n{ADDRESS}\tCRM.example crm # sales\n{SIX} crm.example. crm\nnot-an-address crm\n\n")
    assert etc.resolve(host) == [ADDRESS, SIX]
    assert server.asked == []


def test_a_changed_hosts_file_is_read_again(etc: Etc) -> None:
    for address in (ADDRESS, OTHER):
        etc.write("hosts", f"{address} {HOST}\n")
        assert etc.resolve() == [address]


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "127.0.0.1.", "0177.0.0.1"])
def test_a_number_is_never_asked_for(etc: Etc, server: NameServer, host: str) -> None:
    assert etc.resolve(host) == ["127.0.0.1"]
    assert server.asked == []


def test_a_name_below_invalid_is_never_asked_for(etc: Etc, server: NameServer) -> None:
    assert etc.fault("crm.invalid") == NO_NAME
    assert server.asked == []


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", ".".join(["a" * 60] * 5), "."])
def test_what_cannot_be_a_name_does_not_resolve(etc: Etc, server: NameServer, host: str) -> None:
    assert etc.fault(host) in (NO_NAME, AGAIN)
    assert server.asked == []


def test_an_international_name_is_asked_for_in_ascii(etc: Etc, server: NameServer) -> None:
    server.names["xn--bcher-kva.example"] = Name(a=[ADDRESS])
    assert etc.resolve("xn--bcher-kva.example") == [ADDRESS]
    assert etc.resolve("bücher.example") == [ADDRESS]


# Search domains -------------------------------------------------------------------------------------------------------


def in_corporation(etc: Etc, options: str = "ndots:5", search: str = "corp.example") -> None:
    etc.write("resolv.conf", f"nameserver 127.0.0.1\nsearch {search}\noptions {options}\n")


@pytest.mark.parametrize("options", ["ndots:5", "ndots:1", "ndots:0", "ndots:15"])
def test_a_wildcard_search_domain_does_not_get_the_leads_of_a_host_that_exists(
    etc: Etc, server: NameServer, options: str
) -> None:
    server.names |= {"*.corp.example": Name(a=[OTHER]), "hooks.crm.test": Name(a=[ADDRESS])}
    in_corporation(etc, options)
    assert etc.resolve("hooks.crm.test") == [ADDRESS]


@pytest.mark.parametrize("host", ["crm.sales", "crm", "a.b.c.d.e"])
def test_search_domains_are_used_for_names_that_do_not_exist(etc: Etc, server: NameServer, host: str) -> None:
    server.names[f"{host}.corp.example"] = Name(a=[ADDRESS])
    in_corporation(etc, search="other.example corp.example")
    assert etc.resolve(host) == [ADDRESS]
    names = list(dict.fromkeys(name for name, _ in server.asked))
    assert names == [host, f"{host}.other.example", f"{host}.corp.example"], "the absolute name is first"


def test_a_host_that_was_once_found_never_gets_a_search_domain(etc: Etc, server: NameServer) -> None:
    server.names |= {"*.corp.example": Name(a=[OTHER]), "hooks.crm.test": Name(a=[ADDRESS])}
    in_corporation(etc)
    assert etc.resolve("hooks.crm.test") == [ADDRESS]
    del server.names["hooks.crm.test"]
    assert etc.fault("hooks.crm.test") == NO_NAME
    assert etc.fault("HOOKS.crm.test") == NO_NAME


@pytest.mark.parametrize(
    "answer",
    [Name(code=SERVFAIL), Name(code=REFUSED), Name(), Name(silent=("A", "AAAA")), Name(alias="gone.example")],
    ids=["error", "refusal", "no address", "silence", "alias of nothing"],
)
def test_search_domains_are_not_used_while_it_is_not_sure_that_the_name_does_not_exist(
    server: NameServer, tmp_path: Path, answer: Name
) -> None:
    etc = Etc(tmp_path, server.port, lasts=1.5)
    server.names |= {"*.corp.example": Name(a=[OTHER]), "hooks.crm.test": answer}
    in_corporation(etc)
    assert etc.fault("hooks.crm.test") in (AGAIN, NO_DATA)


def test_a_name_that_ends_with_a_dot_has_no_search_domain(etc: Etc, server: NameServer) -> None:
    server.names["*.corp.example"] = Name(a=[OTHER])
    in_corporation(etc)
    assert etc.fault("hooks.crm.test.") == NO_NAME


@pytest.mark.parametrize(
    "absolute", [Name(), Name(code=SERVFAIL), Name(code=REFUSED)], ids=["empty", "error", "refused"]
)
def test_a_short_name_is_searched_for_although_a_top_level_domain_or_systemd_answers(
    etc: Etc, server: NameServer, absolute: Name, repeats_late: Callable[[], None]
) -> None:
    """`app` is a top-level domain without an address; systemd-resolved answers SERVFAIL for every name of one part."""
    server.names |= {"app": absolute, "app.corp.example": Name(a=[ADDRESS])}
    in_corporation(etc)
    repeats_late()
    with Timed() as took:
        assert etc.resolve("app") == [ADDRESS]
    assert took.seconds < 3


def test_an_error_of_the_first_search_domain_does_not_lead_to_the_next_ones_host(etc: Etc, server: NameServer) -> None:
    server.names |= {"crm.one.example": Name(code=SERVFAIL), "crm.two.example": Name(a=[OTHER])}
    in_corporation(etc, search="one.example two.example")
    assert etc.fault("crm") == AGAIN


# What answers contain -------------------------------------------------------------------------------------------------


def test_aliases_are_followed_within_the_answer(etc: Etc, server: NameServer) -> None:
    server.names |= {HOST: Name(alias="cdn.example"), "cdn.example": Name(alias="edge.example")}
    server.names["edge.example"] = Name(a=[ADDRESS], aaaa=[SIX])
    assert etc.resolve() == [SIX, ADDRESS]


def test_an_alias_of_nothing_has_no_address(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name(alias="gone.example")
    assert etc.fault() == NO_DATA


def test_a_name_without_addresses_is_told_from_one_that_does_not_exist(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name()
    assert (etc.fault(), etc.fault("none.example")) == (NO_DATA, NO_NAME)


def test_a_truncated_answer_is_fetched_by_tcp(etc: Etc, server: NameServer) -> None:
    many = [f"93.184.216.{number}" for number in range(1, 60)]
    server.names[HOST] = Name(a=many, cut=True)
    found = etc.resolve()
    assert (len(found), set(found) <= set(many)) == (16, True), "not more than a try can dial"
    assert (HOST, "A") in server.by_tcp


def test_where_tcp_does_not_get_through_the_part_that_came_is_used(tmp_path: Path) -> None:
    with NameServer(tcp=False) as server:
        server.names[HOST] = Name(a=[ADDRESS, OTHER], cut=True, cut_to=1)
        assert Etc(tmp_path, server.port).resolve() == [ADDRESS]


def test_a_truncated_answer_without_a_record_and_without_tcp_is_a_passing_fault(tmp_path: Path) -> None:
    with NameServer(tcp=False) as server:
        server.names[HOST] = Name(a=[ADDRESS], cut=True)
        assert Etc(tmp_path, server.port).fault() == AGAIN


def test_the_option_use_vc_asks_by_tcp_only(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name(a=[ADDRESS])
    etc.write("resolv.conf", "nameserver 127.0.0.1\noptions use-vc\n")
    assert etc.resolve() == [ADDRESS]
    assert server.asked == []


def test_a_server_that_does_not_know_edns_is_asked_without_it(
    etc: Etc, server: NameServer, repeats_late: Callable[[], None]
) -> None:
    server.names[HOST] = Name(a=[ADDRESS])
    server.knows_edns = False
    etc.write("resolv.conf", "nameserver 127.0.0.1\noptions edns0 trust-ad\n")
    repeats_late()
    with Timed() as took:
        assert etc.resolve() == [ADDRESS]
    assert took.seconds < 3


@pytest.mark.parametrize(
    "garbage",
    [
        lambda wire: [b""],
        lambda wire: [b"\x00"],
        lambda wire: [bytes(range(256))],
        lambda wire: [wire],  # the question itself
        lambda wire: [bytes([wire[0] ^ 1]) + wire[1:2] + b"\x81\x80" + wire[4:]],  # another id
        lambda wire: [wire[:2] + b"\x81\x80" + wire[4:12] + b"\x04evil\x07example\x00" + wire[-4:]],  # another question
        lambda wire: [wire[:2] + b"\x81\x80\x00\x01\xff\xff\x00\x00\x00\x00" + wire[12:]],  # records that are missing
        lambda wire: [wire[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + wire[12:] + b"\xc0\xff" * 8],  # loops
    ],
)
def test_what_is_no_answer_to_the_question_is_ignored(
    etc: Etc, server: NameServer, garbage: Callable[[bytes], list[bytes]]
) -> None:
    server.names[HOST] = Name(a=[ADDRESS])
    server.garbles = garbage
    assert etc.resolve() == [ADDRESS]


# The files ------------------------------------------------------------------------------------------------------------


def test_a_changed_resolv_conf_is_read_again(servers: tuple[Etc, NameServer, NameServer]) -> None:
    """A container or a laptop gets another name server while it runs."""
    etc, first, second = servers
    first.names[HOST], second.names[HOST] = Name(a=[ADDRESS]), Name(a=[OTHER])
    for server, address in (("127.0.0.1", ADDRESS), ("127.0.0.2", OTHER), ("127.0.0.1", ADDRESS)):
        etc.write("resolv.conf", f"nameserver {server}\n")
        assert etc.resolve() == [address]


@pytest.mark.parametrize(
    "text",
    ["", "nameserver\n", "nameserver not-an-address\n", "; nothing\nsearch\noptions\n\x00\xff", "domain .\nfoo bar\n"],
)
def test_a_file_without_a_usable_line_means_this_machines_name_server(etc: Etc, server: NameServer, text: str) -> None:
    server.names[HOST] = Name(a=[ADDRESS])
    etc.write("resolv.conf", text)
    assert etc.resolve() == [ADDRESS]


def test_a_missing_resolv_conf_means_this_machines_name_server(etc: Etc, server: NameServer) -> None:
    server.names[HOST] = Name(a=[ADDRESS])
    (etc.path / "resolv.conf").unlink()
    assert etc.resolve() == [ADDRESS]


def test_a_name_server_may_have_an_ipv6_address(tmp_path: Path) -> None:
    with NameServer("::1") as server:
        server.names[HOST] = Name(a=[ADDRESS])
        etc = Etc(tmp_path, server.port)
        etc.write("resolv.conf", "nameserver ::1\n")
        assert etc.resolve() == [ADDRESS]


def test_the_last_search_or_domain_line_counts(etc: Etc, server: NameServer) -> None:
    server.names |= {"crm.old.example": Name(a=[OTHER]), "crm.new.example": Name(a=[ADDRESS])}
    etc.write("resolv.conf", "nameserver 127.0.0.1\nsearch old.example\ndomain new.example.\n")
    assert etc.resolve("crm") == [ADDRESS]


# Other services -------------------------------------------------------------------------------------------------------


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that the system's own resolver was asked for; it finds them all."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, family: int = 0, kind: int = 0, proto: int = 0, flags: int = 0) -> object:
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, family, kind, proto, flags)
        asked.append(host)
        return real(OTHER, port, family, kind, proto, socket.AI_NUMERICHOST)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    ("hosts", "host", "asks_dns"),
    [
        ("files mdns4_minimal [NOTFOUND=return] dns", "printer.local", False),
        ("files mdns [!UNAVAIL=return] dns", "printer.local", False),
        ("files mdns4_minimal [NOTFOUND=return] dns", "none.example", True),
        ("files myhostname resolve [!UNAVAIL=return] dns", "none.example", True),
        ("files ldap dns", "crm.sales", True),
        ("files", "crm.example", False),
        ("files wins", "crm", False),
    ],
)
def test_other_services_are_asked_through_the_system(
    etc: Etc, server: NameServer, system: list[str], hosts: str, host: str, asks_dns: bool
) -> None:
    etc.write("nsswitch.conf", f"passwd: files\nhosts: {hosts} # as installed\n")
    assert etc.resolve(host) == [OTHER]
    assert (system, bool(server.asked)) == ([host], asks_dns)


@pytest.mark.parametrize("hosts", ["files dns", "dns files", "dns [!UNAVAIL=return] files"])
def test_files_and_dns_need_no_other_service(etc: Etc, server: NameServer, system: list[str], hosts: str) -> None:
    etc.write("nsswitch.conf", f"hosts: {hosts}\n")
    assert etc.fault("none.example") == NO_NAME
    assert system == []


@pytest.mark.parametrize("answer", [Name(), Name(code=SERVFAIL)], ids=["no address", "error"])
def test_the_system_does_not_add_a_search_domain_after_an_error(
    etc: Etc, server: NameServer, system: list[str], answer: Name
) -> None:
    etc.write("nsswitch.conf", "hosts: files dns myhostname\n")
    in_corporation(etc)
    server.names["hooks.crm.test"] = answer
    assert etc.fault("hooks.crm.test") in (AGAIN, NO_DATA)
    assert system == []


def test_the_system_is_not_asked_for_a_host_that_was_once_found(
    etc: Etc, server: NameServer, system: list[str]
) -> None:
    """It would add search domains."""
    etc.write("nsswitch.conf", "hosts: files dns myhostname\n")
    server.names[HOST] = Name(a=[ADDRESS])
    assert etc.resolve() == [ADDRESS]
    del server.names[HOST]
    assert etc.fault() == NO_NAME
    assert system == []
