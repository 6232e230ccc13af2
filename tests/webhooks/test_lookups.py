"""Names whose name servers do not answer: their look-ups are shared out by account, and nobody else pays for them."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from ipaddress import ip_network
from threading import Event, Thread

import pytest

from tests.support.receiver import Receiver
from tests.support.waiting import wait_until
from webapp.webhooks import addresses
from webapp.webhooks.lookups import MOST, Lookups, NoTurn
from webapp.webhooks.outcome import ErrorKind
from webapp.webhooks.sender import Limits, Sender

GREEDY, OTHER, THIRD = 1, 2, 3
SHORT, PATIENT = 0.05, 20.0


class Names:
    """A resolver: names that end in .silent hang until `over`; all others are this machine."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.over = Event()

    def __call__(self, host: str, port: int, family: int = 0, kind: int = 0) -> list[tuple[object, ...]]:
        self.begun.append(host)
        if host.endswith(".silent"):
            self.over.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, kind, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def silent() -> Iterator[Names]:
    resolver = Names()
    yield resolver
    resolver.over.set()


def hang(lookups: Lookups, silent: Names, account: int, count: int, first: int = 0) -> list[type[Exception]]:
    """Asks for names that hang; how each of these look-ups ended."""

    def ask(number: int) -> type[Exception]:
        with pytest.raises((TimeoutError, NoTurn)) as ended:
            lookups.ask(silent, f"name-{account}-{number}.silent", 443, SHORT, account)
        return ended.type

    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(ask, range(first, first + count)))


def test_256_names_that_hang_leave_room_for_another_account(silent: Names) -> None:
    lookups = Lookups(MOST)
    ended = hang(lookups, silent, GREEDY, 256)
    assert len(silent.begun) == MOST // 2
    assert ended.count(NoTurn) == MOST // 2
    assert lookups.ask(silent, "crm.example", 443, PATIENT, OTHER)


def test_each_further_account_still_has_a_place(silent: Names) -> None:
    lookups = Lookups(MOST)
    for account in range(1, 8):
        hang(lookups, silent, account, MOST)
        assert lookups.ask(silent, f"crm-{account}.example", 443, PATIENT, account + 100)


def test_a_lookup_without_a_turn_is_no_timeout(silent: Names) -> None:
    lookups = Lookups(2)
    assert hang(lookups, silent, GREEDY, 1) == [TimeoutError], "this one had its turn"
    assert hang(lookups, silent, GREEDY, 1, first=1) == [NoTurn]
    with pytest.raises(NoTurn):
        lookups.ask(silent, "crm.example", 443, SHORT, GREEDY)
    assert "crm.example" not in silent.begun


def test_a_place_that_becomes_free_goes_to_a_lookup_that_waits(silent: Names) -> None:
    lookups, found = Lookups(2), []
    hang(lookups, silent, GREEDY, 1)
    waiting = Thread(target=lambda: found.append(lookups.ask(silent, "crm.example", 443, PATIENT, GREEDY)))
    waiting.start()
    silent.over.set()
    waiting.join(PATIENT)
    assert found


def test_a_lookup_that_got_its_turn_late_is_no_timeout_either(silent: Names) -> None:
    """It had less than the time that a look-up has. When it is asked for again, it is."""
    lookups, first = Lookups(2), Event()

    def hang_until(host: str, *_: object) -> list[tuple[object, ...]]:
        (first if host == "first" else silent.over).wait(60)
        return []

    ended: list[type[Exception]] = []

    def ask(timeout: float) -> None:
        with pytest.raises((TimeoutError, NoTurn)) as raised:
            lookups.ask(hang_until, "late", 443, timeout, GREEDY)
        ended.append(raised.type)

    with pytest.raises(TimeoutError):
        lookups.ask(hang_until, "first", 443, SHORT, GREEDY)
    late = Thread(target=ask, args=(1.0,))
    late.start()
    first.set()
    late.join(PATIENT)
    ask(SHORT)
    assert ended == [NoTurn, TimeoutError]


def test_a_hanging_name_that_is_known_costs_no_second_place(silent: Names) -> None:
    lookups = Lookups(4)
    for _ in range(3):
        assert hang(lookups, silent, GREEDY, 1) == [TimeoutError]
    assert silent.begun == ["name-1-0.silent"]
    assert lookups.ask(silent, "crm.example", 443, PATIENT, GREEDY)


def test_another_account_may_join_a_lookup_although_its_own_places_are_taken(silent: Names) -> None:
    lookups = Lookups(2)
    hang(lookups, silent, GREEDY, 1)
    with pytest.raises(TimeoutError):
        lookups.ask(silent, "name-1-0.silent", 443, SHORT, OTHER)


def test_places_come_back_after_errors_too(silent: Names) -> None:
    lookups = Lookups(2)
    hang(lookups, silent, GREEDY, 1)
    hang(lookups, silent, OTHER, 1)
    silent.over.set()
    wait_until(lambda: not lookups._pending, "the look-ups to end")
    assert not lookups._of_account
    assert lookups.ask(silent, "crm.example", 443, PATIENT, GREEDY)


def test_a_timeout_that_the_resolver_raises_is_passed_on(silent: Names) -> None:
    def times_out(*_: object) -> list[tuple[object, ...]]:
        raise TimeoutError("of the resolver")

    with pytest.raises(TimeoutError, match="of the resolver"):
        Lookups(2).ask(times_out, "crm.example", 443, PATIENT, GREEDY)


def test_the_sender_says_that_it_had_no_turn_and_sends_to_literal_addresses_meanwhile(
    silent: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "lookups", lookups := Lookups(2))
    hang(lookups, silent, GREEDY, 1)
    limits = Limits(lookup_timeout=1, deadline=10, allowed_networks=(ip_network("127.0.0.0/8"),))
    with closing(Sender(limits, resolver=silent)) as sender, Receiver() as receiver:
        with pytest.raises(NoTurn):
            sender.send(1, f"http://crm.example:{receiver.port}/", b"{}", {}, GREEDY)
        assert receiver.requests == []
        assert sender.send(1, receiver.url, b"{}", {}, GREEDY).code == 200
        assert sender.send(2, f"http://crm.example:{receiver.port}/", b"{}", {}, OTHER).code == 200
        known = sender.send(3, "http://name-1-0.silent/", b"{}", {}, OTHER)
        assert known.error == ErrorKind.TIMEOUT, "its name servers had all the time"
