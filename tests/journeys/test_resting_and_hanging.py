"""worker.py beside receivers that ask for a rest, or hang on some leads: from the leads to what is on record."""

import time

import pytest
from sqlalchemy import func, select

from tests.journeys.conftest import Workers
from tests.journeys.test_worker import capture, states, wait_for_workers
from tests.support.factories import point_at, submit
from tests.support.receiver import Receiver, answering, hanging
from tests.support.waiting import wait_until
from webapp.db.transactions import read_autocommit
from webapp.models import Attempt, DeliveryState, Interface


def codes() -> dict[int, int]:
    with read_autocommit() as connection:
        counted = select(Attempt.code, func.count()).group_by(Attempt.code)
        return dict(row for row in connection.execute(counted))


def test_a_rest_is_kept_by_workers_over_a_restart_and_ends_by_itself(
    interface: Interface, receiver: Receiver, workers: Workers
) -> None:
    point_at(interface, receiver.url)
    receiver.queue(answering(429, headers=[("Retry-After", "6")]))
    first = workers.start()
    wait_for_workers()
    asked = submit(interface)
    [request] = receiver.wait_for(1)
    wait_until(lambda: codes() == {429: 1}, "the record")
    leads = capture(interface, 30)
    first.terminate()
    assert first.wait(timeout=60) == 0
    workers.start()
    wait_for_workers()
    receiver.wait_for(31, timeout=30)
    others = receiver.requests[1:]
    assert min(one.at for one in others) - request.at > 5.9
    wait_until(lambda: states([asked, *leads]) == {DeliveryState.DELIVERED}, "all leads to be delivered")
    assert codes() == {200: 31, 429: 1}
    assert len(receiver.requests) == 32


@pytest.mark.long
def test_leads_overtake_one_that_hangs_and_sigterm_leaves_nothing_unrecorded(
    interface: Interface, receiver: Receiver, workers: Workers
) -> None:
    point_at(interface, receiver.url)
    workers.environ |= {"WEBHOOK_DEADLINE": "5"}
    supervisor = workers.start()
    wait_for_workers()
    receiver.queue(hanging())
    began = time.monotonic()
    submit(interface)
    receiver.wait_for(1)
    leads = capture(interface, 60)
    wait_until(lambda: states(leads) == {DeliveryState.DELIVERED}, "the others to be delivered", timeout=4)
    assert time.monotonic() - began < 5
    supervisor.terminate()
    assert supervisor.wait(timeout=15) == 0
    found = codes()
    assert (found[200], found[999]) == (60, 1)
    assert len(receiver.requests) == 61
