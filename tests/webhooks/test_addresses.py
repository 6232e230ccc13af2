"""A webhook never reaches an address that is not public, in any spelling, unless the operator allowed it."""

import socket
from ipaddress import ip_network
from threading import Event

import pytest

from webapp.webhooks.addresses import (
    FORBIDDEN_PORTS,
    BlockedAddress,
    BlockedName,
    check_url,
    dial,
    is_blocked,
    parse_networks,
    parse_url,
    resolve,
)
from webapp.webhooks.lookups import Lookups, NoTurn

LOOPBACK = (ip_network("127.0.0.0/8"),)

NOT_PUBLIC = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::7f00:1",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "172.32.0.1", "100.128.0.1"]


def resolving_to(*ips: str):
    calls = []

    def resolver(host, port, family=0, kind=0):
        calls.append(host)
        return [
            (socket.AF_INET6, kind, 6, "", (ip, port, 0, 0)) if ":" in ip else (socket.AF_INET, kind, 6, "", (ip, port))
            for ip in ips
        ]

    resolver.calls = calls
    return resolver


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_blocked(address):
    assert is_blocked(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not_blocked(address):
    assert not is_blocked(address)


def test_the_operator_can_allow_a_network_and_only_that():
    allowed = parse_networks("10.0.0.0/8, fd00::/8")
    assert not is_blocked("10.1.2.3", allowed)
    assert not is_blocked("::ffff:10.1.2.3", allowed)
    assert not is_blocked("fd00::5", allowed)
    assert is_blocked("192.168.0.1", allowed)
    assert is_blocked("::1", allowed)


def test_networks_are_read_from_a_list_with_commas():
    assert parse_networks("") == ()
    assert parse_networks(" 127.0.0.0/8,::1/128 ,") == (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize("text", ["10.0.0.0/33", "localhost", "10.0.0.1/8", "10.0.0.0/8;::1/128"])
def test_an_invalid_network_is_named(text):
    with pytest.raises(ValueError, match="is not a network"):
        parse_networks(text)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "0", "localhost", "::7f00:1"])
def test_an_odd_spelling_of_loopback_is_still_blocked(host):
    with pytest.raises(BlockedAddress):
        resolve(host, 80, 5)


def test_of_a_mixed_answer_only_what_is_allowed_is_left():
    endpoints = resolve("crm.example", 443, 5, (), resolving_to("10.0.0.5", "93.184.216.34", "::", "fe80::1"))
    assert [endpoint.address[0] for endpoint in endpoints] == ["93.184.216.34"]


def test_of_a_mixed_answer_another_service_is_reached_only_in_an_allowed_network():
    endpoints = resolve("db.example", 5432, 5, LOOPBACK, resolving_to("93.184.216.34", "127.0.0.1"))
    assert [endpoint.address[0] for endpoint in endpoints] == ["127.0.0.1"]


@pytest.mark.parametrize("bad", [["10.0.0.5"], ["0.0.0.0"], ["::"], ["fe80::1"], ["10.0.0.5", "::1"]])
def test_a_bad_answer_for_a_name_says_that_it_is_the_names(bad):
    with pytest.raises(BlockedName):
        resolve("crm.example", 443, 5, (), resolving_to(*bad))


@pytest.mark.parametrize(
    ("host", "port"),
    [("10.0.0.5", 443), ("::1", 443), ("0x7f000001", 443), ("127.1", 443), ("93.184.216.34", 22), ("crm.example", 22)],
)
def test_a_refused_address_or_port_in_the_url_is_not_the_names(host, port):
    numbers = resolving_to("127.0.0.1" if host != "crm.example" else "93.184.216.34")
    with pytest.raises(BlockedAddress) as refused:
        resolve(host, port, 5, (), numbers)
    assert not isinstance(refused.value, BlockedName)


def test_a_name_is_looked_up_once_and_the_checked_addresses_are_the_ones_connected_to():
    resolver = resolving_to("93.184.216.34", "2606:4700::1111")
    endpoints = resolve("crm.example", 443, 5, (), resolver)
    assert resolver.calls == ["crm.example"]
    assert [endpoint.address[:2] for endpoint in endpoints] == [("93.184.216.34", 443), ("2606:4700::1111", 443)]


def test_the_refusal_does_not_reveal_what_the_name_resolves_to():
    with pytest.raises(BlockedAddress) as refusal:
        resolve("crm.example", 443, 5, (), resolving_to("10.0.0.5"))
    assert "10.0.0.5" not in str(refusal.value)
    assert "crm.example" in str(refusal.value)


@pytest.mark.parametrize("host", ["93.184.216.34", "2606:4700::1111", "127.0.0.1"])
def test_a_literal_address_is_not_looked_up(host):
    resolver = resolving_to("10.0.0.5")
    [endpoint] = resolve(host, 443, 5, LOOPBACK, resolver)
    assert endpoint.address[:2] == (host, 443)
    assert resolver.calls == []


@pytest.mark.parametrize("port", sorted(FORBIDDEN_PORTS))
def test_a_port_of_another_service_is_refused_unless_the_operator_allows_the_network(port):
    with pytest.raises(BlockedAddress, match=f"Port {port} "):
        resolve("93.184.216.34", port, 5)
    assert resolve("127.0.0.1", port, 5, LOOPBACK)


def test_a_hanging_lookup_ends_at_its_deadline():
    never = Event()
    with pytest.raises(TimeoutError):
        resolve("crm.example", 443, 0.05, (), lambda *arguments: never.wait(10) and [])
    never.set()


def test_hanging_lookups_are_limited_and_further_lookups_have_no_turn():
    names, begun, never = Lookups(2), [], Event()

    def hang(host, *arguments):
        begun.append(host)
        never.wait(60)
        return []

    for account, (host, ended) in enumerate(
        [("one.example", TimeoutError), ("two.example", TimeoutError), ("three.example", NoTurn)]
    ):
        with pytest.raises(ended):
            names.ask(hang, host, 443, 0.05, account)
    assert begun == ["one.example", "two.example"]
    never.set()
    assert names.ask(resolving_to("93.184.216.34"), "three.example", 443, 10)  # the ended lookups made room


def test_a_name_that_hangs_takes_one_place_however_often_it_is_looked_up():
    names, begun, never = Lookups(4), [], Event()

    def hang(*arguments):
        begun.append(arguments)
        never.wait(60)
        return resolving_to("93.184.216.34")(*arguments)

    for _ in range(3):
        with pytest.raises(TimeoutError):
            names.ask(hang, "crm.example", 443, 0.05)
    assert names.ask(resolving_to("10.0.0.5"), "other.example", 443, 10)
    never.set()
    assert names.ask(hang, "crm.example", 443, 10)
    assert len(begun) <= 2


def test_a_name_without_an_address_does_not_resolve():
    with pytest.raises(socket.gaierror):
        resolve("crm.example", 443, 5, (), lambda *arguments: [])


def test_the_next_address_is_tried_when_the_first_refuses():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        endpoints = resolve("two.example", port, 5, LOOPBACK, resolving_to("127.0.0.2", "127.0.0.1"))
        with dial(endpoints, 5) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8080/hook?a=b#c",
        "https://93.184.216.34/",
        "https://[2606:4700::1111]:8443/x",
        "https://bücher.example/ü?q=ü",
        "https://example.com./hook",
        "http://127.0.0.1:9000/hook",
        "https://under_score.example/%7Bid%7D",
        "HTTPS://EXAMPLE.COM/Hook",
    ],
)
def test_a_usable_url_is_accepted(url):
    assert check_url(url) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "https"),
        ("example.com/hook", "https"),
        ("ftp://example.com/", "https"),
        ("file:///etc/passwd", "https"),
        ("javascript:alert(1)", "https"),
        ("https://", "host"),
        ("https:///hook", "host"),
        ("https://:443/", "host"),
        ("https://user:pass@example.com/", "user name"),
        ("https://user@example.com/", "user name"),
        ("https://@example.com/", "user name"),
        ("https://example.com:0/", "port"),
        ("https://example.com:65536/", "port"),
        ("https://example.com:http/", "port"),
        ("https://exa mple.com/", "space"),
        ("https://example.com/a b", "space"),
        (" https://example.com/", "space"),
        ("https://example.com/\r\nhost: evil", "invisible"),
        ("https://example.com/\x00", "invisible"),
        ("https://example.com/\u200b", "invisible"),
        ("https://example.com/\ud800", "invisible"),
        ("https://example.com\\@evil.example/", "backslash"),
        ("https://" + "a" * 64 + ".example/", "host"),
        ("https://a..example/", "host"),
        ("https://.example/", "host"),
        ("https://*.example.com/", "host"),
        ("https://xn--a.example\u2488/", "host"),
        ("https://" + "ü" * 64 + ".example/", "host"),
        ("https://[::1/", "host"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://%31%32%37.0.0.1/", "host"),
        ("https://example.com/" + "a" * 2048, "2048"),
    ],
)
def test_an_unusable_url_is_refused_with_the_reason(url, reason):
    sentence = check_url(url)
    assert sentence is not None
    assert reason in sentence
    assert "pass@" not in sentence


def test_a_url_is_split_into_the_parts_that_sending_needs():
    destination = parse_url("https://BÜCHER.example:8443/ü?q=1#fragment")
    assert destination == (True, "xn--bcher-kva.example", 8443, "/%C3%BC?q=1", "xn--bcher-kva.example:8443")
    assert parse_url("http://[2606:4700::1111]") == (False, "2606:4700::1111", 80, "/", "[2606:4700::1111]")
