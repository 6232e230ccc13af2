"""How many leads wait, and when none will: from what was sent and what came in of late."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.support.factories import ADA, captured, point_at
from webapp.clock import now_sql, utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lane, Lead, Webhook, WebhookState
from webapp.services.interfaces import interface_list
from webapp.services.webhooks import backlog, editing
from webapp.services.webhooks.backlog import Backlog
from webapp.services.webhooks.editing import Plan

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def pointed(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")


def have(interface: Interface, sent: int, waiting: int, every: float = 0.0, came: timedelta = HOUR) -> None:
    """Leads that were sent, one `every` so many seconds until now, and after them leads that wait. All came in then."""
    now = utcnow()
    with transaction():
        for _ in range(sent + waiting):
            captured(interface.public_id, ADA)
        for lead in db.session.scalars(select(Lead)):
            lead.received_at = now - came
        deliveries = db.session.scalars(select(Delivery).order_by(Delivery.id).limit(sent)).all()
        for number, delivery in enumerate(deliveries):
            delivery.state, delivery.tries, delivery.last_code = DeliveryState.DELIVERED, 1, 200
            delivery.last_at = now - timedelta(seconds=every * (sent - number))


def found(interface: Interface) -> Backlog | None:
    db.session.rollback()
    return backlog.of(db.session.get_one(Webhook, interface.webhook.id))


def test_a_queue_that_shrinks_says_when_it_will_be_empty(interface: Interface) -> None:
    have(interface, sent=20, waiting=60, every=0.5)
    shown = found(interface)
    assert shown is not None
    assert (shown.waiting, shown.grows) == (60, False)
    assert shown.seconds == pytest.approx(30, abs=6)  # two a second


def test_a_queue_into_which_more_come_than_go_out_grows(interface: Interface) -> None:
    have(interface, sent=20, waiting=60, every=2.0, came=timedelta(seconds=5))
    assert found(interface) == Backlog(60, None, grows=True)


def test_a_rate_is_the_pace_until_one_is_measured_and_its_limit_after_that(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/", rate=5)
    have(interface, sent=2, waiting=50)
    shown = found(interface)
    assert shown is not None
    assert shown.seconds == pytest.approx(10)
    with transaction():
        for number, delivery in enumerate(db.session.scalars(select(Delivery).order_by(Delivery.id).limit(20))):
            delivery.state, delivery.tries = DeliveryState.DELIVERED, 1
            delivery.last_at = utcnow() - timedelta(seconds=20 - number)
    shown = found(interface)
    assert shown is not None
    assert shown.seconds == pytest.approx(32, abs=6)  # one a second: the receiver is slower than its rate


def test_without_a_pace_only_the_number_is_known(interface: Interface) -> None:
    have(interface, sent=0, waiting=12)
    assert found(interface) == Backlog(12, None, grows=False)
    with transaction():
        for delivery in db.session.scalars(select(Delivery)):  # also if what was sent was sent long ago
            delivery.last_at = utcnow() - HOUR
    assert found(interface) == Backlog(12, None, grows=False)


def test_retries_that_are_due_wait_and_later_ones_do_not(interface: Interface) -> None:
    have(interface, sent=0, waiting=30)
    with transaction():
        for number, delivery in enumerate(db.session.scalars(select(Delivery).order_by(Delivery.id))):
            delivery.tries = 1
            delivery.due_at = db.session.scalar(select(now_sql())) or 0.0
            delivery.due_at += -5 if number < 20 else 3600
    assert found(interface) == Backlog(20, None, grows=False)


def test_a_rest_comes_before_the_rest_of_the_queue(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/", rate=10)
    have(interface, sent=0, waiting=20)
    with transaction():
        lane = db.session.get_one(Lane, interface.webhook.id)
        lane.tries_first, lane.rests_until = True, (db.session.scalar(select(now_sql())) or 0.0) + 600
    shown = found(interface)
    assert shown is not None
    assert shown.seconds == pytest.approx(602, abs=5)


@pytest.mark.parametrize("case", ["few", "paused", "no URL"])
def test_nothing_is_said_where_there_is_nothing_to_say(interface: Interface, case: str) -> None:
    have(interface, sent=0, waiting=9 if case == "few" else 12)
    with transaction():
        webhook = db.session.get_one(Webhook, interface.webhook.id)
        webhook.state = WebhookState.PAUSED if case == "paused" else webhook.state
        webhook.url = None if case == "no URL" else webhook.url
    assert found(interface) is None


def test_one_webhooks_queue_is_not_the_others(interface: Interface) -> None:
    with transaction():
        second = editing.add(db.session.get_one(Interface, interface.id), Plan("http://127.0.0.1:9/b", "CRM")).id
    have(interface, sent=0, waiting=12)
    with transaction():
        for delivery in db.session.scalars(select(Delivery).where(Delivery.webhook_id == second)):
            delivery.state = DeliveryState.DELIVERED
    db.session.rollback()
    assert backlog.of(db.session.get_one(Webhook, second)) is None
    assert found(interface) == Backlog(12, None, grows=False)


@pytest.mark.parametrize(("waiting", "is_behind"), [(99, False), (100, True)])
def test_the_list_of_interfaces_knows_which_are_far_behind(interface: Interface, waiting: int, is_behind: bool) -> None:
    have(interface, sent=0, waiting=waiting)
    db.session.rollback()
    [row] = interface_list.page(interface.account_id).rows
    assert row.behind == is_behind


def test_estimates_say_no_number_that_they_do_not_know() -> None:
    assert backlog.estimate(100, None, came=5.0) == Backlog(100, None, grows=False)
    assert backlog.estimate(100, 5.0, came=5.0) == Backlog(100, None, grows=True)
    assert backlog.estimate(100, 5.0, came=0.0) == Backlog(100, 20.0, grows=False)
    assert backlog.estimate(100, 5.0, came=2.5, rest=60) == Backlog(100, 100.0, grows=False)
