"""Maintenance windows: leads are held, and released in order when the window ends."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.factories import ADA, point_at, submit
from tests.support.receiver import Receiver
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
