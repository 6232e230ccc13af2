"""Maintenance windows: leads are held, and released in order when the window ends."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.factories import ADA, point_at, submit
from tests.support.receiver import Receiver
from tests.support.under_way import UnderWay
from webapp import jobs
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Interface, Webhook, WebhookState
from webapp.services.errors import Refused
from webapp.services.webhooks import maintenance_windows, webhooks


def webhook_of(interface: Interface) -> Webhook:
    return db.session.get_one(Webhook, interface.webhook.id, populate_existing=True)


def planned(interface: Interface, begins: int, ends: int) -> None:
    """Minutes from now."""
    now = datetime.now(UTC)
    with transaction():
        live = webhook_of(interface)
        maintenance_windows.plan(live, now + timedelta(minutes=begins), now + timedelta(minutes=ends))


def moved(interface: Interface, **columns: object) -> None:
    with transaction():
        live = webhook_of(interface)
        for name, value in columns.items():
            setattr(live, name, value)


def swept() -> None:
    db.session.rollback()
    sweeper = Sweep()
    sweeper.once()
    sweeper.resign()


def test_leads_are_held_while_it_lasts_and_sent_in_order_after_it(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url, automatic_parallel=False)
    planned(interface, -1, 30)
    swept()
    live = webhook_of(interface)
    assert (live.state, live.state_reason[:18]) == (WebhookState.PAUSED, "Maintenance until ")
    names = [f"Visitor {number}" for number in range(12)]
    for name in names:
        submit(interface, {**ADA, "name": name})
    webhook_id = interface.webhook.id
    db.session.rollback()
    jobs.drain(webhook_id)
    assert receiver.requests == []
    moved(interface, maintenance_until=now_sql() - 1)
    swept()
    assert webhook_of(interface).state == WebhookState.ACTIVE
    db.session.rollback()
    jobs.drain(webhook_id)
    assert [json.loads(request.body)["data"]["lead"]["fields"]["name"] for request in receiver.requests] == names


def test_a_window_in_the_future_changes_nothing_yet(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    planned(interface, 10, 30)
    swept()
    assert webhook_of(interface).state == WebhookState.ACTIVE


def test_a_person_who_resumes_ends_it(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    planned(interface, -1, 30)
    swept()
    with transaction():
        webhooks.resume(webhook_of(interface))
    swept()
    live = webhook_of(interface)
    assert (live.state, live.maintenance_until) == (WebhookState.ACTIVE, None)


def test_a_webhook_that_a_person_paused_before_stays_paused_after_it(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    with transaction():
        webhooks.pause(webhook_of(interface), "Paused by Alice.")
    planned(interface, -1, 30)
    swept()
    moved(interface, maintenance_until=now_sql() - 1)
    swept()
    live = webhook_of(interface)
    assert (live.state, live.state_reason) == (WebhookState.PAUSED, "Paused by Alice.")


def test_while_a_window_lasts_no_other_is_planned(interface: Interface, receiver: Receiver) -> None:
    """At its begin, the webhook would be paused already: it would stay so."""
    point_at(interface, receiver.url)
    planned(interface, -1, 30)
    swept()
    with pytest.raises(Refused, match="A window lasts right now"):
        planned(interface, 60, 90)


def test_a_planned_window_survives_that_a_person_resumes_before_it(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    with transaction():
        webhooks.pause(webhook_of(interface), "Paused by Alice.")
    planned(interface, 60, 90)
    with transaction():
        webhooks.resume(webhook_of(interface))
    live = webhook_of(interface)
    assert live.maintenance_from is not None
    assert live.maintenance_until == live.maintenance_from + 30 * 60


def test_a_person_who_pauses_during_it_keeps_the_webhook_paused_after_it(
    interface: Interface, receiver: Receiver
) -> None:
    point_at(interface, receiver.url)
    planned(interface, -1, 30)
    swept()
    with transaction():  # the page was loaded before the window began
        webhooks.pause(webhook_of(interface), "Paused by Alice.")
    live = webhook_of(interface)
    assert (live.state_reason, live.maintenance_until) == ("Paused by Alice.", None)
    submit(interface)
    swept()
    assert webhook_of(interface).state == WebhookState.PAUSED
    with transaction():
        webhooks.resume(webhook_of(interface))
    webhook_id = interface.webhook.id
    db.session.rollback()
    jobs.drain(webhook_id)
    assert len(receiver.requests) == 1


def test_an_answer_that_pauses_keeps_the_webhook_paused_after_it(interface: Interface, receiver: Receiver) -> None:
    """A batch was under way when the window began, and 410 Gone is its answer."""
    point_at(interface, receiver.url)
    receiver.answer(status=410)
    submit(interface)
    under_way = UnderWay(interface.webhook.id)
    planned(interface, -1, 30)
    swept()
    under_way.record()
    assert webhook_of(interface).maintenance_until is None
    swept()
    live = webhook_of(interface)
    assert (live.state, live.state_reason[:38]) == (WebhookState.PAUSED, "The receiver answered 410 Gone: it wan")


def test_a_window_that_is_cancelled_is_over_at_the_next_sweep(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    planned(interface, -1, 30)
    swept()
    with transaction():
        maintenance_windows.cancel(webhook_of(interface))
    swept()
    assert webhook_of(interface).state == WebhookState.ACTIVE


def test_a_window_that_is_over_before_any_sweep_saw_it_holds_nothing(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    moved(interface, maintenance_from=now_sql() - 120, maintenance_until=now_sql() - 60)
    swept()
    live = webhook_of(interface)
    assert (live.state, live.maintenance_from, live.maintenance_until) == (WebhookState.ACTIVE, None, None)


@pytest.mark.parametrize(("begins", "ends"), [(10, 10), (10, 5), (-30, -10), (0, 8 * 24 * 60)])
def test_a_window_that_cannot_be_is_refused(interface: Interface, begins: int, ends: int) -> None:
    with pytest.raises(Refused):
        planned(interface, begins, ends)


def test_a_person_who_pauses_it_meanwhile_ends_the_window_and_it_stays_paused(
    interface: Interface, receiver: Receiver
) -> None:
    point_at(interface, receiver.url)
    planned(interface, -1, 30)
    swept()
    with transaction():
        webhooks.pause(webhook_of(interface), "Paused by Alice.")
    live = webhook_of(interface)
    assert (live.state, live.state_reason, live.maintenance_until) == (WebhookState.PAUSED, "Paused by Alice.", None)
    swept()
    assert webhook_of(interface).state == WebhookState.PAUSED
