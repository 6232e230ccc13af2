"""worker.py beside receivers that ask for a rest, or hang on some leads: from the leads to what is on record."""

import time

import pytest
from sqlalchemy import func, select

from tests.journeys.conftest import Workers
from tests.journeys.test_worker import capture, states, wait_for_workers
from tests.support.factories import point_at, submit
from tests.support.receiver import Receiver, answering, hanging
from tests.support.waiting import wait_until
from webapp.db.transactions import read_autocommit, transaction
from webapp.models import Attempt, DeliveryState, Interface, User
from webapp.services.interfaces import interfaces


def codes() -> dict[int, int]:
    with read_autocommit() as connection:
        counted = select(Attempt.code, func.count()).group_by(Attempt.code)
        return dict(row for row in connection.execute(counted))


@pytest.mark.long
def test_a_lead_that_hangs_is_overtaken_and_a_rest_outlives_the_worker(
    owner: User, interface: Interface, receiver: Receiver, workers: Workers
) -> None:
    with transaction():
        resting = interfaces.create(owner.account_id, "Newsletter")
    workers.environ |= {"WEBHOOK_DEADLINE": "5"}
    with Receiver() as asking:
        point_at(interface, receiver.url)
        point_at(resting, asking.url)
        supervisor = workers.start()
        wait_for_workers()
        receiver.queue(hanging())
        asking.queue(answering(429, headers=[("Retry-After", "8")]))
        began = time.monotonic()
        submit(interface)
        receiver.wait_for(1)
        others = capture(interface, 60)
        asked = submit(resting)
        [request] = asking.wait_for(1)
        wait_until(lambda: states(others) == {DeliveryState.DELIVERED}, "the others to be delivered", timeout=4)
        assert time.monotonic() - began < 5
        waiting = capture(resting, 30)
        supervisor.terminate()
        assert supervisor.wait(timeout=15) == 0
        assert codes() == {200: 60, 429: 1, 999: 1}, "SIGTERM leaves nothing unrecorded"
        assert (len(receiver.requests), len(asking.requests)) == (61, 1)
        workers.start()
        asking.wait_for(31, timeout=40)
        assert min(one.at for one in asking.requests[1:]) - request.at > 7.9
        wait_until(lambda: states([asked, *waiting]) == {DeliveryState.DELIVERED}, "all leads to be delivered")
        assert len(asking.requests) == 32
