"""Networks that translate IPv6 to IPv4: the IPv4 address inside decides, for refusing and for allowing."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest

from webapp.webhooks.addresses import is_blocked, parse_networks
from webapp.webhooks.nat64 import LENGTHS, embedded, parse_prefix

PUBLIC = ["8.8.8.8", "93.184.216.34", "172.32.0.1"]
PRIVATE = ["10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "192.0.2.1"]
# RFC 6052, section 2.4: 192.0.2.33 with prefixes of each length.
OF_THE_RFC = {
    "2001:db8::/32": "2001:db8:c000:221::",
    "2001:db8:100::/40": "2001:db8:1c0:2:21::",
    "2001:db8:122::/48": "2001:db8:122:c000:2:2100::",
    "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
    "2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::",
    "2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
}


def inside(prefix: str, address: str) -> str:
    """The IPv6 address that a NAT64 with this prefix translates to an IPv4 address: RFC 6052, section 2.3."""
    network, octets = IPv6Network(prefix), list(IPv4Address(address).packed)
    packed = list(network.network_address.packed)
    place = network.prefixlen // 8
    while octets:
        if place != 8:
            packed[place] = octets.pop(0)
        place += 1
    return str(IPv6Address(bytes(packed)))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_behind_the_well_known_prefix_is_reached(address: str) -> None:
    assert not is_blocked(inside("64:ff9b::/96", address))


@pytest.mark.parametrize("address", PRIVATE)
def test_no_other_address_behind_the_well_known_prefix_is_reached(address: str) -> None:
    assert is_blocked(inside("64:ff9b::/96", address))


def test_allowing_a_network_allows_it_behind_the_prefix_and_only_that() -> None:
    allowed = parse_networks("10.0.0.0/8")
    assert not is_blocked("64:ff9b::10.1.2.3", allowed)
    assert is_blocked("64:ff9b::127.0.0.1", allowed)
    assert is_blocked("64:ff9b::192.168.0.1", allowed)


@pytest.mark.parametrize("allowed", ["64:ff9b::/96", "64:ff9b::/64", "::/0", "64:ff9b::a01:203/128"])
def test_allowing_the_prefix_itself_opens_no_private_address_inside(allowed: str) -> None:
    networks = parse_networks(allowed)
    assert is_blocked("64:ff9b::10.1.2.3", networks)
    assert is_blocked("64:ff9b::127.0.0.1", networks)
    assert not is_blocked("64:ff9b::8.8.8.8", networks)


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b:1::8.8.8.8",  # RFC 8215, without the operator's word
        "64:ff9b:0:1::8.8.8.8",
        "64:ff9b::1:0:808:808",
        "2002:808:808::1",  # 6to4
        "2001:0:4136:e378:8000:63bf:f7f7:f7f7",  # Teredo
        "::8.8.8.8",  # IPv4-compatible
        "::ffff:0:8.8.8.8",  # IPv4-translated
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
    ],
)
def test_other_addresses_that_contain_one_stay_refused(address: str) -> None:
    assert is_blocked(address)


@pytest.mark.parametrize(("prefix", "address"), OF_THE_RFC.items())
def test_the_address_is_found_for_every_length_of_the_rfc(prefix: str, address: str) -> None:
    assert embedded(IPv6Address(address), IPv6Network(prefix)) == IPv4Address("192.0.2.33")
    assert IPv6Address(inside(prefix, "192.0.2.33")) == IPv6Address(address)


@pytest.mark.parametrize("length", LENGTHS)
def test_an_operators_prefix_is_judged_by_what_is_inside(length: int) -> None:
    prefix = parse_prefix(f"2001:db8::/{length}")
    for address in PUBLIC:
        assert not is_blocked(inside(str(prefix), address), (), prefix)
        assert is_blocked(inside(str(prefix), address)), "documentation, without the setting"
    for address in PRIVATE:
        assert is_blocked(inside(str(prefix), address), (), prefix)
        assert is_blocked(inside(str(prefix), address), parse_networks("2001:db8::/32"), prefix)
    allowed = parse_networks("10.0.0.0/8")
    assert not is_blocked(inside(str(prefix), "10.1.2.3"), allowed, prefix)
    assert is_blocked(inside(str(prefix), "192.168.0.1"), allowed, prefix)


@pytest.mark.parametrize("prefix", ["fd00:64::/96", "64:ff9b:1::/96", "64:ff9b:1:fffe::/96", "2a00:1450:64::/64"])
def test_an_operators_prefix_may_be_a_local_one(prefix: str) -> None:
    named = parse_prefix(prefix)
    assert not is_blocked(inside(prefix, "8.8.8.8"), (), named)
    assert is_blocked(inside(prefix, "10.1.2.3"), (), named)
    assert is_blocked("fd00:65::1", (), named)
    assert not is_blocked("64:ff9b::8.8.8.8", (), named), "the well-known prefix counts as well"
    assert is_blocked("64:ff9b::10.1.2.3", (), named)


def test_an_address_that_is_not_formed_as_the_rfc_says_is_refused() -> None:
    prefix = parse_prefix("2a00:1450:64::/64")
    assert is_blocked("2a00:1450:64::ff08:808:800:0", (), prefix)
    assert is_blocked("2a00:1450:64::ff08:808:800:0", parse_networks("2a00:1450::/32"), prefix)


def test_no_prefix_is_the_default() -> None:
    assert parse_prefix("") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("64:ff9b::", "lengths"),
        ("64:ff9b::/95", "lengths"),
        ("2001:db8::/33", "lengths"),
        ("::/0", "lengths"),
        ("64:ff9b::1/96", "host bits"),
        ("10.0.0.0/8", "not an IPv6 prefix"),
        ("nat64", "not an IPv6 prefix"),
        ("64:ff9b::/96,fd00::/96", "not an IPv6 prefix"),
        ("2001:db8:1:2:100::/96", "must be zero"),
        ("::/96", "another meaning"),
        ("::ffff:0:0/96", "another meaning"),
        ("2001::/32", "another meaning"),
        ("2002::/32", "another meaning"),
        ("2002:c000:200::/96", "another meaning"),
        ("fe80::/64", "another meaning"),
        ("ff0e::/96", "another meaning"),
    ],
)
def test_a_prefix_that_cannot_be_one_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_prefix(text)
