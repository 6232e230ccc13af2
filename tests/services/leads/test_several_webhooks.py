"""Leads with several webhooks: in every list, count and export a lead is there once, under its worst status."""

import csv
import io
import itertools
import random
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import event, select, update

from tests.support.factories import captured, point_at
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import rings
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lead, Status, User, Webhook
from webapp.models.status import WORST_FIRST
from webapp.services.interfaces import interfaces
from webapp.services.leads import lead_counts, lead_export, lead_list, leads, worst
from webapp.services.leads.lead_counts import Number
from webapp.services.leads.lead_list import Filter
from webapp.services.webhooks import editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan

URL = "https://hooks.example.com/"
# Columns of a delivery, by its status.
COLUMNS: dict[Status, dict[str, Any]] = {
    Status.DELIVERED: {"state": DeliveryState.DELIVERED, "tries": 1, "last_code": 200},
    Status.QUEUED: {"state": DeliveryState.PENDING, "tries": 0},
    Status.RETRYING: {"state": DeliveryState.PENDING, "tries": 2, "last_code": 503},
    Status.FAILED: {"state": DeliveryState.FAILED, "tries": 8, "last_code": 500},
    Status.HELD: {"state": DeliveryState.ON_HOLD, "tries": 0},
    Status.CANCELLED: {"state": DeliveryState.CANCELLED, "tries": 0},
}
CLICKED: dict[str, Any] = {"state": DeliveryState.FAILED, "tries": 8, "retry_at": 1.0}
SPAM_TOO = {"condition": {"match": "any", "rules": [{"field": "spam", "is": "is", "value": "yes"}]}}


def add(interface: Interface, name: str, **more: Any) -> Webhook:
    with transaction():
        return editing.add(interface, Plan(url=URL + name, name=name, **more))


@pytest.fixture
def three(interface: Interface) -> Interface:
    """An interface with three webhooks and a shadow."""
    point_at(interface, URL + "first")
    for name in ("CRM", "Slack"):
        add(interface, name)
    add(interface, "Shadow", is_shadow=True)
    return interface


def capture(interface: Interface, *statuses: Status | dict[str, Any], shadow: Status | None = None) -> Lead:
    """A lead whose deliveries have these statuses, in the order of its webhooks."""
    with transaction():
        lead = captured(interface.public_id, {"name": "Ada", "email": "ada@example.com", "phone": "", "message": ""})
        deliveries = db.session.scalars(select(Delivery).where(Delivery.lead_id == lead.id).order_by(Delivery.id)).all()
        given = iter(statuses)
        for delivery in deliveries:
            status = (shadow or Status.FAILED) if delivery.shadow else next(given)
            columns = status if isinstance(status, dict) else COLUMNS[status]
            where = update(Delivery).where(Delivery.id == delivery.id)
            db.session.execute(where.values({"due_at": now_sql(), **columns}))
    db.session.expire_all()
    return lead


def found(wanted: Filter) -> list[int]:
    """The leads of all pages, five on each, forwards; and backwards they are the same."""
    page = lead_list.page(wanted, size=5)
    ids = [lead.id for lead in page.rows]
    while page.next:
        page = lead_list.page(wanted, after=page.next, size=5)
        ids += [lead.id for lead in page.rows]
    back = [lead.id for lead in page.rows]
    while page.prev:
        page = lead_list.page(wanted, before=page.prev, size=5)
        back = [lead.id for lead in page.rows if lead.id not in back] + back
    assert back == ids
    return ids


def exported(wanted: Filter) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(lead_export.lines(wanted))[1:])))


def test_a_lead_has_the_worst_status_of_its_webhooks(three: Interface) -> None:
    """For every pair of statuses, in both orders."""
    for one, other in itertools.product(WORST_FIRST, repeat=2):
        lead = capture(three, Status.DELIVERED, one, other)
        assert lead.status == min(one, other, key=WORST_FIRST.index)
        assert lead.delivery is not None
        assert lead.delivery.status == lead.status
        delivered = 1 + [one, other].count(Status.DELIVERED)
        assert lead.progress == f"{delivered} of 3 delivered"


def test_lists_counts_and_exports_agree_with_each_lead(three: Interface, owner: User) -> None:
    """Leads with all mixtures of statuses, clicks, shadows, spam, and other interfaces between them."""
    luck = random.Random(19)
    with transaction():
        other, nowhere = (interfaces.create(owner.account_id, name) for name in ("Other", "Nowhere"))
    point_at(other, URL + "other")
    add(other, "Spam-too", wanted=Wanted(stored=SPAM_TOO))
    kinds: list[Any] = [*WORST_FIRST, CLICKED]
    for _ in range(10):
        capture(three, *luck.choices(kinds, k=3), shadow=luck.choice(WORST_FIRST))
        capture(other, luck.choice(kinds))
    capture(nowhere)
    with transaction():
        db.session.scalars(select(Lead).order_by(Lead.id).limit(1)).one().spam = "honeypot"
    every = db.session.scalars(select(Lead).order_by(Lead.id.desc())).all()
    account = owner.account_id
    for interface, status in itertools.product((None, three, other), Status):
        public_id = interface.public_id if interface else ""
        mine = [lead for lead in every if interface is None or lead.interface_id == interface.id]
        expected = [lead.id for lead in mine if lead.status == status]
        wanted = Filter.of(account, status.slug, interface=public_id, received="" if interface is three else "24h")
        assert found(wanted) == expected, wanted
        assert lead_counts.counts(wanted)[status] == Number(len(expected)), wanted
        rows = exported(wanted)
        assert [row["Lead"] for row in rows] == [lead.public_id for lead in mine if lead.status == status]
        assert {row["Webhook Status"] for row in rows} <= {status.value}
        assert lead_counts.counts(wanted)[None] == Number(sum(lead.spam is None for lead in mine))
    everywhere = lead_counts.counts(Filter(account))
    for status in Status:
        assert everywhere[status] == Number(sum(lead.status == status for lead in every))
    searched = lead_counts.counts(Filter.of(account, q="ada"))
    for status, number in Counter(lead.status for lead in every).items():
        assert searched[status] == Number(number)


def test_the_csv_has_a_lead_once_and_each_of_its_webhooks(three: Interface) -> None:
    capture(three, Status.DELIVERED, Status.FAILED, Status.RETRYING)
    [row] = exported(Filter(three.account_id))
    assert (row["Webhook Status"], row["Response code"]) == ("Failed", "500")
    assert row["Webhooks"] == "Lead Webhook: Delivered 200; CRM: Failed 500; Slack: Retrying 503"
    assert "hooks.example.com" not in "".join(row.values())


def test_an_account_with_first_webhooks_only_has_the_columns_and_statements_of_before(
    interface: Interface, owner: User
) -> None:
    point_at(interface, URL)
    capture(interface, Status.FAILED)
    assert "Webhooks" not in exported(Filter(interface.account_id))[0]
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        wanted = Filter.of(owner.account_id, "failed")
        lead_list.page(wanted)
        lead_counts.counts(wanted)
        assert sum("NOT webhooks.is_first" in statement for statement in statements) == 1
        assert not any("shadow" in statement.partition("WHERE")[2] for statement in statements)
        assert not worst.may_be_one_of_several(owner.account_id)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def test_counts_judge_the_newest_leads_of_each_state_and_say_so(
    three: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lead_counts, "MOST_NARROW", 3)
    for _ in range(2):
        capture(three, Status.DELIVERED, Status.DELIVERED, Status.DELIVERED)
    for _ in range(4):
        capture(three, Status.DELIVERED, Status.DELIVERED, Status.FAILED)
    counts = lead_counts.counts(Filter(three.account_id))
    assert counts[Status.FAILED] == Number(3, exact=False)
    assert counts[Status.DELIVERED] == Number(0, exact=False)  # the newest ones failed elsewhere: it is not sure
    assert counts[None] == Number(6)


def test_a_lead_that_only_a_shadow_got_has_no_webhook(interface: Interface, owner: User) -> None:
    add(interface, "Shadow", is_shadow=True)
    lead = capture(interface, shadow=Status.FAILED)
    assert (lead.status, lead.progress) == (Status.NO_WEBHOOK, None)
    assert found(Filter(owner.account_id, Status.NO_WEBHOOK)) == [lead.id]
    assert lead_counts.counts(Filter(owner.account_id))[Status.NO_WEBHOOK] == Number(1)
    assert exported(Filter(owner.account_id))[0]["Webhook Status"] == "No webhook"
    point_at(interface, URL)
    with transaction():
        assert leads.retry(owner.account_id, [lead.public_id], owner.id) == 1
    assert [each.shadow for each in lead.deliveries] == [True, False]
    assert (lead.status, lead.no_webhook) == (Status.QUEUED, False)


def test_spam_that_the_first_webhook_took_is_counted_as_spam_only(interface: Interface, owner: User) -> None:
    with transaction():
        interface.webhook.url, interface.webhook.connection = URL, SPAM_TOO
    with transaction():
        lead = captured(interface.public_id, {"name": "robot"})
        lead.spam = "honeypot"
        leads._add_deliveries(lead)
    assert len(lead.deliveries) == 1
    counts = lead_counts.counts(Filter(owner.account_id))
    assert {status: number.least for status, number in counts.items() if number.least} == {Status.SPAM: 1}
    assert found(Filter(owner.account_id)) == []
    assert found(Filter(owner.account_id, Status.SPAM)) == [lead.id]


# Retry --------------------------------------------------------------------------------------------------------------


def clicked(lead: Lead) -> list[str]:
    db.session.expire_all()
    return [each.webhook.label for each in lead.deliveries if each.retry_at is not None]


def test_a_retry_means_the_webhooks_that_did_not_get_the_lead(three: Interface, owner: User) -> None:
    lead = capture(three, Status.DELIVERED, Status.FAILED, Status.RETRYING)
    assert leads.sendable(lead) == 2
    with transaction():
        assert leads.retry(owner.account_id, [lead.public_id], owner.id) == 1
    assert clicked(lead) == ["CRM", "Slack"]
    [entry] = lead.log
    assert (entry.action, entry.detail) == ("resentwebhook", "CRM, Slack")


def test_a_retry_of_a_lead_that_all_got_sends_to_all_but_the_shadow(three: Interface, owner: User) -> None:
    lead = capture(three, *[Status.DELIVERED] * 3)
    with transaction():
        leads.retry(owner.account_id, [lead.public_id], owner.id)
    assert clicked(lead) == ["Lead Webhook", "CRM", "Slack"]


def test_a_retry_of_chosen_webhooks_sends_to_these_only(three: Interface, owner: User) -> None:
    """Also to one that has the lead, while another one is paused; and to a shadow."""
    lead = capture(three, Status.DELIVERED, Status.HELD, Status.FAILED)
    first, crm, _, shadow = (each.public_id for each in three.webhooks)
    with transaction():
        three.webhooks[1].state = "paused"
        assert leads.retry(owner.account_id, [lead.public_id], owner.id, [first, crm]) == 1
        assert leads.retry(owner.account_id, [lead.public_id], owner.id, [shadow]) == 1
        assert leads.retry(owner.account_id, [lead.public_id], owner.id, [crm]) == 0
        assert leads.retry(owner.account_id, [lead.public_id], owner.id, ["wh_unknown"]) == 0
    assert clicked(lead) == ["Lead Webhook", "Shadow"]


def test_a_retry_leaves_out_a_webhook_that_was_removed(three: Interface, owner: User) -> None:
    lead = capture(three, Status.DELIVERED, Status.QUEUED, Status.DELIVERED)
    with transaction():
        assert editing.remove(three.webhooks[1]) == 1
    db.session.expire_all()
    assert (lead.status, lead.progress) == (Status.CANCELLED, "2 of 3 delivered")
    assert leads.retryable(lead) is None
    removed = lead.deliveries[1].webhook.public_id
    assert leads.retryable(lead, [removed]) == "Its webhook was removed."
    with transaction():
        leads.retry(owner.account_id, [lead.public_id], owner.id)
    assert clicked(lead) == ["Lead Webhook", "Slack"]


def test_all_webhooks_of_a_lead_are_rung_in_one_conversation_with_redis(
    three: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    talks: list[list[int]] = []
    monkeypatch.setattr(rings, "ring_lanes", lambda webhook_ids: talks.append(sorted(webhook_ids)))
    with transaction():
        captured(three.public_id, {"name": "Ada", "email": "ada@example.com", "phone": "", "message": ""})
    assert talks == [sorted(webhook.id for webhook in three.webhooks)]


def test_a_lead_that_no_webhook_takes_rings_none(interface: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    talks: list[object] = []
    monkeypatch.setattr(rings, "ring_lanes", talks.append)
    with transaction():
        captured(interface.public_id, {"name": "Ada", "email": "ada@example.com", "phone": "", "message": ""})
    assert talks == []
