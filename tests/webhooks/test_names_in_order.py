"""The order of a name's addresses, on networks of the test's own: what can be reached is first (RFC 6724)."""

import socket
from pathlib import Path

from tests.support.name_server import Name, NameServer
from tests.support.own_network import needs_root, own_network
from webapp.webhooks.names import Names, by_promise

FOUR, SIX, LOCAL = "93.184.216.34", "2606:4700::1111", "fd00::5"

pytestmark = needs_root


def test_on_a_network_with_ipv4_only_ipv6_is_last() -> None:
    with own_network(FOUR):
        assert by_promise([SIX, FOUR]) == [FOUR, SIX]


def test_on_a_network_with_ipv6_only_ipv4_is_last() -> None:
    with own_network(SIX):
        assert by_promise([FOUR, SIX]) == [SIX, FOUR]


def test_with_both_ipv6_is_first_and_the_servers_order_stays() -> None:
    with own_network(FOUR, SIX):
        assert by_promise([FOUR, "127.0.0.1", SIX, "::1"]) == [SIX, "::1", FOUR, "127.0.0.1"]


def test_an_address_of_the_local_network_is_reached_from_its_own() -> None:
    with own_network(FOUR, LOCAL):
        assert by_promise([FOUR, LOCAL]) == [LOCAL, FOUR]


def test_without_any_network_nothing_is_left_out() -> None:
    with own_network():
        assert by_promise([SIX, FOUR]) == [SIX, FOUR]


def test_the_files_of_a_machine_and_its_name_server_on_port_53_are_used(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text(f"nameserver {FOUR}\n")
    with own_network(FOUR, SIX), NameServer(FOUR, 53) as server:
        server.names["crm.example"] = Name(a=[FOUR], aaaa=[SIX])
        assert [info[4][0] for info in Names(tmp_path)("crm.example", 443, 0, socket.SOCK_STREAM)] == [SIX, FOUR]
