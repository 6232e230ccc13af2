"""New connections go to the web process with the fewest: real sockets against gunicorn with two processes."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.servers.test_kept_connections import asked, body_of, connected, get, server
from tests.support.waiting import wait_until
from webapp.servers import even_share
from webapp.servers.even_share import MOST_STEPS, EvenShare

pytestmark = pytest.mark.once

PROCESSES = 2
UNHURRIED = ("-k", "tests.support.unhurried_worker.UnhurriedWorker")
AT_WORK = 4  # connections of the test before that a process may not have closed yet


@contextmanager
def two_processes(log: Path, *options: str) -> Iterator[int]:
    """The port, once both answer."""
    with server(log, "--workers", str(PROCESSES), *options) as port:
        wait_until(lambda: len(answering(port)) == PROCESSES, "both processes to answer", timeout=60)
        yield port


def answering(port: int) -> set[int]:
    """The processes that have a share of some connections."""
    with ExitStack() as stack:
        return {pid_of(stack.enter_context(connected(port))) for _ in range(8)}


def pid_of(client: socket.socket) -> int:
    """The process that has this connection."""
    return int(body_of(asked(client, get("/pid"))))


def share_difference(clients: list[socket.socket]) -> int:
    """How many more connections one process has than the other."""
    found = Counter(map(pid_of, clients))
    assert len(found) == PROCESSES, found
    return max(found.values()) - min(found.values())


def test_connections_that_come_together_are_shared_evenly(tmp_path: Path) -> None:
    with two_processes(tmp_path / "log", *UNHURRIED) as port, ExitStack() as stack:
        clients = [stack.enter_context(connected(port)) for _ in range(40)]
        assert share_difference(clients) <= AT_WORK


def test_who_lost_its_clients_gets_the_next_ones(tmp_path: Path) -> None:
    with two_processes(tmp_path / "log", *UNHURRIED) as port, ExitStack() as stack:
        clients = [stack.enter_context(connected(port)) for _ in range(40)]
        loses = pid_of(clients[0])
        kept = [client for client in clients if pid_of(client) != loses]
        for client in set(clients) - set(kept):
            client.close()
        assert loses not in map(pid_of, kept)
        kept += [stack.enter_context(connected(port)) for _ in range(40 - len(kept))]
        assert share_difference(kept) <= AT_WORK


def test_the_process_that_replaces_a_killed_one_gets_its_share(tmp_path: Path) -> None:
    with two_processes(tmp_path / "log", *UNHURRIED) as port, ExitStack() as stack:
        before = answering(port)
        killed = pid_of(stack.enter_context(connected(port)))
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(answering(port) - before) == 1, "another process", timeout=60)
        clients = [stack.enter_context(connected(port)) for _ in range(40)]
        assert share_difference(clients) <= AT_WORK


def test_a_process_that_stands_still_keeps_no_client_waiting(tmp_path: Path) -> None:
    with two_processes(tmp_path / "log") as port, ExitStack() as stack:
        stopped = pid_of(stack.enter_context(connected(port)))
        os.kill(stopped, signal.SIGSTOP)
        try:
            clients = [stack.enter_context(connected(port)) for _ in range(40)]
            assert stopped not in map(pid_of, clients)
        finally:
            os.kill(stopped, signal.SIGCONT)


@pytest.fixture
def others() -> Iterator[EvenShare]:
    """Another process, which says what the test wants."""
    other = EvenShare(1)
    yield other
    other.end()


def test_one_with_more_steps_back_for_a_moment_and_then_takes_it(others: EvenShare) -> None:
    ours = EvenShare(2)
    others.say(3)
    assert [ours.steps_back(4) for _ in range(MOST_STEPS + 1)] == [True] * MOST_STEPS + [False]
    assert ours.steps_back(4), "the next client"


@pytest.mark.parametrize("connections", [0, 2, 3])
def test_one_with_as_many_or_fewer_takes_it_at_once(others: EvenShare, connections: int) -> None:
    others.say(3)
    assert not EvenShare(2).steps_back(connections)


def test_who_stopped_or_says_nothing_any_more_is_not_waited_for(
    others: EvenShare, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = EvenShare(2)
    others.say(0)
    assert ours.steps_back(1)
    monkeypatch.setattr(even_share, "STALE", 0)
    assert not ours.steps_back(1)
    monkeypatch.undo()
    assert ours.steps_back(1)
    others.end()
    assert not ours.steps_back(1)


def test_ages_beyond_the_slots_use_those_of_processes_that_ended(others: EvenShare) -> None:
    others.say(0)
    assert EvenShare(2 + even_share.SLOTS).steps_back(1)
    assert not EvenShare(1 + even_share.SLOTS).steps_back(1), "its own slot"
