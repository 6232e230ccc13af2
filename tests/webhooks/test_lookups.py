"""Names whose name servers do not answer: their look-ups are shared out by account, and nobody else pays for them."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from ipaddress import ip_network
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest

from tests.support.receiver import Receiver
from tests.support.waiting import wait_until
from webapp.webhooks import addresses
from webapp.webhooks import lookups as lookups_module
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


# Answers that come late ----------------------------------------------------------------------------------------------


class Slow:
    """A resolver that answers when `answers` is set; each answer is another address."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = Event()
        self.fault: OSError | None = None

    def __call__(self, host: str, port: int, family: int = 0, kind: int = 0) -> list[tuple[object, ...]]:
        self.asked += 1
        number = self.asked
        self.answers.wait(60)
        if self.fault:
            raise self.fault
        return [(socket.AF_INET, kind, 6, "", (f"93.184.216.{number}", port))]


def too_late(lookups: Lookups, slow: Slow, host: str = "crm.example") -> None:
    """A try that gives up before the answer comes."""
    slow.answers.clear()
    with pytest.raises(TimeoutError):
        lookups.ask(slow, host, 443, SHORT, GREEDY)
    slow.answers.set()
    wait_until(lambda: lookups.are_over, "the answer")


def address(found: Any) -> str:
    return str(found[0][4][0])


def test_the_next_try_finds_the_answer_that_came_too_late_for_the_last_one() -> None:
    lookups, slow = Lookups(MOST), Slow()
    too_late(lookups, slow)
    slow.answers.clear()  # a new look-up would hang
    for _ in range(3):
        assert address(lookups.ask(slow, "crm.example", 443, SHORT, GREEDY)) == "93.184.216.1"
    assert slow.asked == 1


def test_an_answer_that_came_in_time_is_not_kept() -> None:
    lookups, slow = Lookups(MOST), Slow()
    slow.answers.set()
    for number in (1, 2):
        assert address(lookups.ask(slow, "crm.example", 443, PATIENT, GREEDY)) == f"93.184.216.{number}"


def test_a_try_whose_time_is_over_is_not_kept_by_a_look_up_that_fails_just_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lookups, slow, found, gives_up = Lookups(1), Slow(), list[Any](), Lookups._give_up

    def failing(*_: object) -> bool:
        raise MemoryError

    def ended_just_now(*given: Any) -> bool:
        slow.answers.set()
        wait_until(lambda: lookups.are_over, "the look-up to end")
        return gives_up(*given)

    monkeypatch.setattr("threading.excepthook", lambda _: None)
    monkeypatch.setattr(Lookups, "_keep", failing)
    monkeypatch.setattr(Lookups, "_give_up", ended_just_now)
    asking = Thread(target=lambda: found.append(lookups.ask(slow, "crm.example", 443, SHORT, GREEDY)), daemon=True)
    asking.start()
    asking.join(PATIENT)
    assert [address(one) for one in found] == ["93.184.216.1"]


def test_a_late_answer_is_used_for_a_minute_only(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups, slow = Lookups(MOST), Slow()
    monkeypatch.setattr(lookups_module, "LATE_SECONDS", 0.0)
    too_late(lookups, slow)
    assert address(lookups.ask(slow, "crm.example", 443, PATIENT, GREEDY)) == "93.184.216.2"


@pytest.mark.parametrize("number", [socket.EAI_AGAIN, socket.EAI_NONAME])
def test_a_failure_that_comes_late_is_not_kept(number: int) -> None:
    lookups, slow = Lookups(MOST), Slow()
    slow.fault = socket.gaierror(number, "failed")
    too_late(lookups, slow)
    slow.fault = None
    assert address(lookups.ask(slow, "crm.example", 443, PATIENT, GREEDY)) == "93.184.216.2"


def test_a_late_answer_is_for_its_own_name_and_resolver_only() -> None:
    lookups, slow, other = Lookups(MOST), Slow(), Slow()
    too_late(lookups, slow)
    other.answers.set()
    assert address(lookups.ask(slow, "other.example", 443, PATIENT, GREEDY)) == "93.184.216.2"
    assert address(lookups.ask(other, "crm.example", 443, PATIENT, GREEDY)) == "93.184.216.1"


def test_late_answers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups, slow = Lookups(MOST), Slow()
    monkeypatch.setattr(lookups_module, "MOST_LATE", 2)
    for number in range(4):
        too_late(lookups, slow, f"crm-{number}.example")
    assert [host for _, host, _ in lookups._late] == ["crm-2.example", "crm-3.example"]


class Shared(Slow):
    """With late answers of other processes."""

    def __init__(self) -> None:
        super().__init__()
        self.of_others: list[str] = []
        self.database_answers = Event()
        self.database_answers.set()
        self.looked = Event()

    def late(self, host: str) -> list[str]:
        self.database_answers.wait(60)
        found = list(self.of_others)
        self.looked.set()
        return found

    def keep_late(self, host: str, addresses: list[str]) -> None:
        self.of_others = addresses

    def drop_late(self, host: str) -> None:
        self.of_others = []


def test_an_answer_that_comes_late_in_another_process_while_a_try_waits_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookups_module, "SOON", SHORT)
    monkeypatch.setattr(lookups_module, "LOOKS_EVERY", SHORT)
    lookups, shared, found = Lookups(MOST), Shared(), []
    waiting = Thread(target=lambda: found.append(lookups.ask(shared, "crm.example", 443, PATIENT, GREEDY)))
    waiting.start()
    shared.looked.wait(PATIENT)
    shared.of_others = ["93.184.216.99", "2606:4700::1111"]
    waiting.join(PATIENT)
    shared.answers.set()
    assert [info[4][:2] for info in found[0]] == [("93.184.216.99", 443), ("2606:4700::1111", 443)]


def test_a_late_answer_is_shared_and_dropped_if_the_one_who_used_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups_module, "SOON", SHORT / 2)
    one, other, shared = Lookups(MOST), Lookups(MOST), Shared()
    too_late(one, shared)
    shared.answers.clear()
    other.forget(shared, "crm.example", 443)
    assert shared.of_others == ["93.184.216.1"], "it was not the other's"
    assert address(other.ask(shared, "crm.example", 443, PATIENT, GREEDY)) == "93.184.216.1"
    other.forget(shared, "crm.example", 443)
    assert shared.of_others == []
    shared.answers.set()


def test_a_database_that_hangs_does_not_hold_up_a_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups_module, "SOON", SHORT)
    lookups, shared = Lookups(MOST), Shared()
    shared.database_answers.clear()
    began = monotonic()
    with pytest.raises(TimeoutError):
        lookups.ask(shared, "crm.example", 443, 0.2, GREEDY)
    assert monotonic() - began < 2
    shared.database_answers.set()
    shared.answers.set()


class Failing(Shared):
    """Its database hangs, and then fails, when a late answer is kept."""

    def keep_late(self, host: str, addresses: list[str]) -> None:
        self.database_answers.wait(60)
        raise OSError("the disk is full")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_database_that_hangs_holds_up_no_try_that_still_waits_for_the_answer() -> None:
    lookups, failing, found = Lookups(MOST), Failing(), []
    with pytest.raises(TimeoutError):
        lookups.ask(failing, "crm.example", 443, SHORT, GREEDY)
    waiting = Thread(target=lambda: found.append(lookups.ask(failing, "crm.example", 443, PATIENT, GREEDY)))
    waiting.start()
    failing.database_answers.clear()
    failing.answers.set()
    waiting.join(PATIENT / 2)
    assert address(found[0]) == "93.184.216.1"
    assert not lookups.are_over
    failing.database_answers.set()
    wait_until(lambda: lookups.are_over, "the place of the look-up to be free again")
    assert not lookups._of_account


def test_the_next_try_of_the_sender_gets_there_although_the_answer_was_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "lookups", lookups := Lookups(MOST))
    slow, limits = Slow(), Limits(lookup_timeout=SHORT, deadline=10, allowed_networks=(ip_network("127.0.0.0/8"),))

    def to_loopback(*asked: Any) -> list[tuple[object, ...]]:
        return [(*info[:4], ("127.0.0.1", asked[1])) for info in slow(*asked)]

    with closing(Sender(limits, resolver=to_loopback)) as sender, Receiver() as receiver:
        url = f"http://crm.example:{receiver.port}/"
        assert sender.send(1, url, b"{}", {}).error is ErrorKind.TIMEOUT
        slow.answers.set()
        wait_until(lambda: lookups.are_over, "the answer")
        slow.answers.clear()
        assert sender.send(1, url, b"{}", {}).delivered


def test_a_late_answer_is_vetted_when_it_is_used_and_a_refused_one_is_asked_for_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "lookups", lookups := Lookups(MOST))
    slow, limits = Slow(), Limits(lookup_timeout=SHORT, deadline=10)

    def first_to_loopback(*asked: Any) -> list[tuple[object, ...]]:
        found = slow(*asked)
        return [(*found[0][:4], ("127.0.0.1", asked[1]))] if slow.asked == 1 else found

    with closing(Sender(limits, resolver=first_to_loopback)) as sender, Receiver() as receiver:
        url = f"http://crm.example:{receiver.port}/"
        assert sender.send(1, url, b"{}", {}).error is ErrorKind.TIMEOUT
        slow.answers.set()
        wait_until(lambda: lookups.are_over, "the answer")
        assert sender.send(1, url, b"{}", {}).error is ErrorKind.BLOCKED_NAME
        assert receiver.connections == 0
        assert address(lookups.ask(first_to_loopback, "crm.example", receiver.port, PATIENT)) == "93.184.216.2"


# --------------------------------------------------------------------------------------------------------------------


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
