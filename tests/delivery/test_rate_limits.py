"""A receiver says that nothing remains of its rate limit: the webhook rests until more is taken."""

import pytest
from sqlalchemy import select

from tests.delivery.test_rests import drain, due_after, first_batch, pass_by, rest, states
from tests.support.factories import point_at, submit
from tests.support.receiver import Receiver, answering
from webapp.db.transactions import read_autocommit
from webapp.models import Interface, Lane, ReportEntry

LAST = answering(200, headers=[("RateLimit", '"default";r=0;t=30')])
LAST_OF_DISCORD = answering(204, headers=[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset-After", "20.5")])
HOUR = 3600.0


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    point_at(interface, receiver.url)
    return interface


def test_the_lead_is_delivered_and_the_others_wait_until_more_is_taken(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(answering(200), LAST)
    for _ in range(5):
        submit(pointed)
    drain(pointed)
    assert states() == ["delivered", "delivered", "pending", "pending", "pending"]
    assert rest() == pytest.approx(30, abs=5)
    drain(pointed)
    assert len(receiver.requests) == 2
    pass_by(31)
    assert first_batch(pointed) == 1
    drain(pointed)
    assert states() == ["delivered"] * 5
    assert rest() is None


def test_nothing_is_reported_and_nothing_counts_as_a_failure(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(LAST_OF_DISCORD)
    submit(pointed)
    drain(pointed)
    assert rest() == pytest.approx(20.5, abs=5)
    with read_autocommit() as connection:
        assert connection.execute(select(ReportEntry.id)).all() == []
        lane = connection.execute(select(Lane.failures, Lane.failing_since, Lane.succeeded_at)).one()
    assert (lane.failures, lane.failing_since) == (0, None)
    assert lane.succeeded_at is not None


def test_each_last_lead_of_a_window_begins_a_new_rest(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(LAST, answering(200), LAST)
    for _ in range(4):
        submit(pointed)
    drain(pointed)
    pass_by(31)
    drain(pointed)
    assert states() == ["delivered"] * 3 + ["pending"]
    assert rest() == pytest.approx(30, abs=5)


def test_a_429_with_such_headers_rests_the_webhook_without_retry_after(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(answering(429, headers=[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "300")]))
    lead, _ = submit(pointed), submit(pointed)
    drain(pointed)
    assert len(receiver.requests) == 1
    assert rest() == pytest.approx(300, abs=5)
    assert due_after(lead) >= 295


def test_the_webhook_rests_an_hour_at_most(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(answering(200, headers=[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "50000")]))
    submit(pointed)
    drain(pointed)
    assert rest() == pytest.approx(HOUR, abs=5)


@pytest.mark.parametrize(
    "headers",
    [
        [("RateLimit", '"default";r=1;t=30')],
        [("X-RateLimit-Remaining", "0")],
        [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "tomorrow")],
        [("RateLimit-Remaining", "0"), ("RateLimit-Reset", "0")],
    ],
)
def test_headers_that_say_nothing_clear_rest_nothing(
    pointed: Interface, receiver: Receiver, headers: list[tuple[str, str]]
) -> None:
    receiver.answer(200, headers=headers)
    submit(pointed), submit(pointed)
    drain(pointed)
    assert states() == ["delivered"] * 2
    assert rest() is None


def test_a_lead_that_the_success_rule_refuses_still_counts_as_a_failure(pointed: Interface, receiver: Receiver) -> None:
    point_at(pointed, receiver.url, connection={"success": {"body": {"is": "contains", "text": "ok"}}})
    receiver.queue(LAST)
    submit(pointed)
    drain(pointed)
    with read_autocommit() as connection:
        assert connection.scalar(select(Lane.failures)) == 1
    assert rest() == pytest.approx(30, abs=5)
