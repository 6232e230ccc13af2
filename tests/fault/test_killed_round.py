"""A worker process is killed in the middle of rounds that hold ten lanes: what that costs, and whom."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.conftest import ON_POSTGRESQL
from tests.fault.ledger import Books
from tests.fault.visitors import Visitors
from tests.fault.world import START, World, kill, running_world
from tests.support.waiting import wait_until

HELD = [f"held-{number}" for number in range(10)]
OTHERS = ["other-1", "other-2"]
ENDS_LEASES = "UPDATE lanes SET lease_until = 1 WHERE lease_until > 0"  # as if their time had passed


def _delivered(world: World) -> int:
    return sum(promise.state == "delivered" for promise in Books.read(world.engine()).promises)


def _held(world: World) -> int:
    return len(Books.read(world.engine()).held)


def _fast_process(world: World) -> int:
    return next(pid for pid, queue in world.serving().items() if queue == "fast")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_lanes_of_a_killed_process_wait_for_their_lease_and_no_others_do(tmp_path: Path) -> None:
    database = "postgresql" if ON_POSTGRESQL else "sqlite"
    wanted = dict.fromkeys((*HELD, *OTHERS), (1, False))
    with running_world(database, "a round", tmp_path / "log", wanted, "--processes", "1") as world:
        visitors = Visitors(world.processes.url, world.forms, "a round", 0)
        receivers = {receiver.name: receiver for receiver in world.receivers}
        for receiver in world.receivers:
            receiver.healthy = True
        for name in wanted:  # so that there is a kept connection to each
            assert visitors.post(name).accepted
        wait_until(lambda: _delivered(world) == 12 and not _held(world), "the first leads to be delivered", START)

        for name in HELD:
            receivers[name].hangs = True
        server = _fast_process(world)
        os.kill(server, signal.SIGSTOP)  # so that all ten are rung when it looks
        assert all(visitors.post(name).accepted for name in HELD)
        os.kill(server, signal.SIGCONT)
        wait_until(lambda: world.in_flight() == 10, "ten lanes to be under way", START, every=0.001)
        kill(server)

        for name in OTHERS:
            assert visitors.post(name).accepted
        wait_until(lambda: _delivered(world) == 14, "other lanes to be served meanwhile", START, every=0.05)
        assert _held(world) == 10

        for name in HELD:
            receivers[name].hangs = False
        with world.engine().begin() as connection:
            connection.execute(text(ENDS_LEASES))
        wait_until(
            lambda: _delivered(world) == 24 and not _held(world), "the lanes of the killed process to go on", START
        )

        sends = Counter(send.lead for receiver in world.receivers for send in receiver.sends)
        tries = Counter(one.message_id for one in Books.read(world.engine()).tries)
        assert sorted(sends.values()) == [1] * 14 + [2] * 10  # only what was under way was sent again
        assert set(tries.values()) == {1}
