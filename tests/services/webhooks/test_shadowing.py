"""A shadow webhook beside the first one: how their answers compare, and what Switch over changes."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from tests.support.factories import ADA, point_at, submit
from tests.support.receiver import Receiver
from webapp import jobs
from webapp.db.transactions import transaction
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import AuditEntry, Delivery, DeliveryState, Interface, Lane, Lead, Mail, ReportEntry, Webhook
from webapp.services.errors import Refused
from webapp.services.interfaces import interface_list
from webapp.services.webhooks import editing, shadowing, webhooks
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan

FLAT = Wanted(stored={"format": "flat"})


@pytest.fixture
def other() -> Iterator[Receiver]:
    with Receiver() as other:
        yield other


@pytest.fixture
def shadow(interface: Interface, receiver: Receiver, other: Receiver) -> Webhook:
    """Its payload has another format than the first webhook's."""
    point_at(interface, receiver.url)
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        return editing.add(live, Plan(other.url, "New CRM", is_shadow=True, wanted=FLAT))


def ids(interface: Interface) -> list[int]:
    """Of its webhooks as they are now, the first one first."""
    db.session.rollback()
    found = [each.id for each in db.session.get_one(Interface, interface.id, populate_existing=True).webhooks]
    db.session.rollback()
    return found


def drain(*webhook_ids: int) -> None:
    db.session.rollback()
    for webhook_id in webhook_ids:
        jobs.drain(webhook_id)
    db.session.rollback()


def switch_over(webhook_id: int) -> None:
    with transaction():
        shadowing.switch_over(db.session.get_one(Webhook, webhook_id))


def names(receiver: Receiver) -> list[str]:
    """Who came there, as each format says it."""
    bodies = [json.loads(request.body) for request in receiver.requests]
    return [body["data"]["lead"]["fields"]["name"] if "data" in body else body["name"] for body in bodies]


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ((200, "delivered"), (200, "delivered"), "Same"),
        ((200, "delivered"), (204, "delivered"), "Same"),
        ((500, "failed"), (500, "failed"), "Same"),
        ((200, "delivered"), (500, "failed"), "Different"),
        ((500, "failed"), (404, "failed"), "Different"),
        ((200, "delivered"), (200, "failed"), "Same"),  # refused by a Success rule: the codes stand beside each other
        ((None, "pending"), (200, "delivered"), ""),
        ((200, "delivered"), (None, "held"), ""),
    ],
)
def test_two_answers_are_the_same_or_not(
    first: tuple[int | None, str], second: tuple[int | None, str], result: str
) -> None:
    own, its = (Delivery(last_code=code, state=DeliveryState(state)) for code, state in (first, second))
    assert shadowing.Pair(Lead(), own, its).result == result


def test_the_newest_25_are_compared_and_no_test_is(interface: Interface, shadow: Webhook) -> None:
    with transaction():
        db.session.get_one(Webhook, interface.webhook.id).url = None  # these go to the shadow only
    submit(interface, {**ADA, "name": "Alone"})
    point_at(interface, "http://127.0.0.1:9/")
    leads = [submit(interface, {**ADA, "name": f"Number {number}"}) for number in range(26)]
    with transaction():
        db.session.get_one(Lead, leads[25].id).test = True
    found = shadowing.compare(db.session.get_one(Webhook, shadow.id))
    assert [pair.lead.name for pair in found.pairs] == [f"Number {number}" for number in range(24, -1, -1)]
    with transaction():
        db.session.get_one(Lead, leads[0].id).test = True
    found = shadowing.compare(db.session.get_one(Webhook, shadow.id))
    assert (found.pairs[-1].lead.name, found.pairs[-1].first) == ("Alone", None)


def test_after_the_switch_new_leads_count_at_the_new_receiver(
    interface: Interface, shadow: Webhook, receiver: Receiver, other: Receiver
) -> None:
    old, new = ids(interface)
    switch_over(new)
    assert ids(interface) == [new, old]
    submit(interface)
    drain(old, new)
    assert (names(receiver), names(other)) == (["Ada Lovelace"], ["Ada Lovelace"])
    deliveries = {each.webhook_id: each.shadow for each in db.session.scalars(select(Delivery))}
    assert deliveries == {old: True, new: False}
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "webhook.switched_over"))
    assert entry.detail == "The first webhook before: Lead Webhook"


def test_what_waits_goes_where_it_was_promised_in_the_bytes_that_were_promised(
    interface: Interface, shadow: Webhook, receiver: Receiver, other: Receiver
) -> None:
    receiver.answer(status=503)
    submit(interface, {**ADA, "name": "Waits"})
    drain(interface.webhook.id)
    receiver.answer(status=200)
    receiver.clear()
    old, new = ids(interface)
    frozen = [bytes(payload) for payload in db.session.scalars(select(Delivery.payload).order_by(Delivery.id))]
    switch_over(new)
    with transaction():
        for delivery in db.session.scalars(select(Delivery).where(Delivery.webhook_id == old)):
            delivery.due_at = 0.0
    drain(old, new)
    assert [request.body for request in receiver.requests] == [frozen[0]]
    assert [request.body for request in other.requests] == [frozen[1]]
    lead = db.session.scalars(select(Lead)).one()
    assert (lead.status, len(lead.counted)) == ("Delivered", 1)


def test_held_leads_stay_held_where_they_are(interface: Interface, shadow: Webhook, other: Receiver) -> None:
    old, new = ids(interface)
    with transaction():
        webhooks.pause(db.session.get_one(Webhook, old), "Paused by Alice.")
    submit(interface)
    switch_over(new)
    drain(old, new)
    states = {each.webhook_id: each.state for each in db.session.scalars(select(Delivery))}
    assert states == {old: DeliveryState.ON_HOLD, new: DeliveryState.DELIVERED}


def test_it_can_be_switched_back(interface: Interface, shadow: Webhook) -> None:
    old, new = ids(interface)
    switch_over(new)
    switch_over(old)
    assert ids(interface) == [old, new]
    assert db.session.get_one(Webhook, new).is_shadow


def test_what_the_shadow_failed_before_counts_no_more(interface: Interface, shadow: Webhook) -> None:
    with transaction():
        db.session.get_one(Lane, shadow.id).failures = 7
    switch_over(shadow.id)
    assert db.session.get_one(Lane, shadow.id, populate_existing=True).failures == 0


@pytest.mark.parametrize("case", ["first", "ordinary", "paused", "removed"])
def test_only_a_shadow_that_sends_can_take_the_first_place(interface: Interface, shadow: Webhook, case: str) -> None:
    webhook_id = interface.webhook.id if case == "first" else shadow.id
    with transaction():
        webhook = db.session.get_one(Webhook, webhook_id)
        if case == "ordinary":
            webhook.is_shadow = False
        elif case == "paused":
            webhooks.pause(webhook, "Paused by Alice.")
        elif case == "removed":
            editing.remove(webhook)
    with pytest.raises(Refused):
        switch_over(webhook_id)


def test_the_former_first_webhook_can_be_removed_and_the_new_one_stays(interface: Interface, shadow: Webhook) -> None:
    old, new = ids(interface)
    switch_over(new)
    with transaction():
        editing.remove(db.session.get_one(Webhook, old))
    assert ids(interface) == [new]
    with pytest.raises(Refused), transaction():
        editing.remove(db.session.get_one(Webhook, new))


def test_a_shadow_that_fails_changes_no_health_no_list_and_writes_no_mail(
    interface: Interface, shadow: Webhook, other: Receiver
) -> None:
    other.answer(status=500)
    submit(interface)
    drain(*ids(interface))
    sweeper = Sweep()
    sweeper.once()
    sweeper.resign()
    jobs.send_mail()
    live = db.session.get_one(Interface, interface.id)
    assert interface_list.health(live) == interface_list.Health.HEALTHY
    [row] = interface_list.page(live.account_id).rows
    assert (row.health, row.more, row.held) == (interface_list.Health.HEALTHY, 0, 0)
    assert db.session.scalars(select(ReportEntry)).all() == []
    assert "webhook_failed" not in db.session.scalars(select(Mail.kind)).all()
