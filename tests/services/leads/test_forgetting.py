"""Old leads are deleted, delivered leads are anonymised, and other leads stay as they are."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from tests.support.factories import ADA, delivery_of, point_at, submit
from tests.support.mailing import notify
from tests.support.receiver import Receiver
from webapp.clock import now_sql, utcnow
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.delivery.rings import MAIL, queues
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import (
    Attempt,
    AuditEntry,
    Base,
    Delivery,
    DeliveryState,
    Interface,
    IpAddresses,
    Lead,
    LeadLogEntry,
    Mail,
    MailState,
    Report,
    ReportEntry,
    User,
    Webhook,
)
from webapp.services.interfaces import interface_mails, interfaces, privacy
from webapp.services.interfaces.interface_mails import Words
from webapp.services.leads import forgetting, leads
from webapp.services.reports import reports
from webapp.services.webhooks import editing
from webapp.services.webhooks.editing import Plan

OF_LEADS = (ReportEntry, Attempt, Mail, LeadLogEntry, Delivery, Lead)


def set_privacy(interface: Interface, days: int | None = None, anonymises: bool = False) -> None:
    with transaction():
        privacy.update(interface, ip_addresses=IpAddresses.WHOLE, retention_days=days, anonymises=anonymises)


def drain(interface: Interface) -> None:
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def aged(days: float = 0, **more: float) -> None:
    """Makes all leads, deliveries and webhooks older by this time."""
    by = timedelta(days=days, **more)
    with transaction():
        for table, name in ((Lead, "received_at"), (Delivery, "last_at"), (Webhook, "state_changed_at")):
            for row in db.session.scalars(select(table)):
                if getattr(row, name):
                    setattr(row, name, getattr(row, name) - by)


def forget() -> None:
    db.session.rollback()
    forgetting.forget()
    db.session.expire_all()


def left(*tables: type[Base]) -> list[int]:
    return [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


# Deleting -------------------------------------------------------------------------------------------------------------


def test_an_old_lead_is_deleted_with_all_rows_that_refer_to_it(interface: Interface, receiver: Receiver) -> None:
    point_at(notify(interface, "sales@example.com"), receiver.url, automatic_retries=False)
    receiver.answer(status=500)
    submit(interface)
    drain(interface)
    with transaction():
        db.session.execute(update(Webhook).values(report_due_at=now_sql()))
    db.session.rollback()
    reports.compile_due()
    assert left(*OF_LEADS, Report) == [1, 1, 2, 2, 1, 1, 1]
    set_privacy(interface, days=30)
    aged(days=29)
    forget()
    assert left(Lead) == [1]
    aged(days=2)
    forget()
    assert left(*OF_LEADS) == [0, 0, 1, 0, 0, 0]  # the report stays: it contains no visitor's data
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "lead.expired")).one()
    assert (entry.actor, entry.target, entry.detail) == ("Leadhook", "Contact sales", "1 lead older than 30 days")


def test_only_leads_of_interfaces_with_the_setting_are_deleted(owner: User, interface: Interface) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Kept")
    submit(other)
    submit(interface)
    aged(days=400)
    submit(interface)
    set_privacy(interface, days=30)
    forget()
    names = select(Interface.name, func.count()).join(Lead, Lead.interface_id == Interface.id).group_by(Interface.name)
    assert sorted(map(tuple, db.session.execute(names))) == [("Contact sales", 1), ("Kept", 1)]


@pytest.mark.parametrize(
    ("state", "deleted"),
    [
        (DeliveryState.DELIVERED, True),
        (DeliveryState.FAILED, True),
        (DeliveryState.ON_HOLD, True),
        (DeliveryState.CANCELLED, True),
        (DeliveryState.PENDING, False),
    ],
)
def test_an_old_lead_is_deleted_in_every_state_unless_it_is_still_to_be_sent(
    interface: Interface, state: DeliveryState, deleted: bool
) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    submit(interface)
    set_privacy(interface, days=1)
    with transaction():
        db.session.execute(update(Delivery).values(state=state))
    aged(days=2)
    forget()
    assert left(Lead) == [0 if deleted else 1]


@pytest.mark.parametrize("what", ["clicked", "just tried", "just paused"])
def test_a_lead_that_a_drain_may_be_sending_is_deleted_later(interface: Interface, what: str) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    submit(interface)
    set_privacy(interface, days=1)
    aged(days=2)
    changes: dict[str, dict[Any, Any]] = {
        "clicked": {Delivery.retry_at: now_sql()},
        "just tried": {Delivery.last_at: utcnow()},
        "just paused": {},
    }
    with transaction():
        db.session.execute(update(Delivery).values({Delivery.state: DeliveryState.FAILED, **changes[what]}))
        if what == "just paused":
            db.session.execute(update(Webhook).values(state_changed_at=utcnow()))
    forget()
    assert left(Lead) == [1]
    with transaction():
        db.session.execute(update(Delivery).values(retry_at=None))
    aged(hours=2)
    forget()
    assert left(Lead) == [0]


def test_leads_of_a_deleted_interface_are_deleted_when_they_are_old_too(interface: Interface) -> None:
    submit(interface)
    set_privacy(interface, days=5)
    with transaction():
        interfaces.archive(interface)
    aged(days=6)
    forget()
    assert left(Lead) == [0]


def test_a_job_deletes_several_batches_and_ends_when_it_is_asked_to(
    interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "BATCH", 2)
    for _ in range(5):
        submit(interface)
    set_privacy(interface, days=1)
    aged(days=2)
    db.session.rollback()
    forgetting.forget(stopping=lambda: True)
    assert left(Lead) == [5]
    monkeypatch.setattr(forgetting, "SLICE", 0.0)
    forget()
    assert left(Lead) == [5]
    assert [job.partition("-")[0] for job in queues.get(MAIL).get_job_ids()] == ["forget"]
    monkeypatch.setattr(forgetting, "SLICE", 10.0)
    forget()
    assert left(Lead) == [0]
    assert db.session.scalars(select(AuditEntry.detail).where(AuditEntry.action == "lead.expired")).all() == [
        "5 leads older than 1 day"
    ]


# Anonymising ----------------------------------------------------------------------------------------------------------


def everything_kept() -> str:
    """All rows about leads, as text."""
    db.session.expire_all()
    rows = [row for table in OF_LEADS for row in db.session.execute(select(*table.__table__.c)).all()]
    return "\n".join(map(str, rows))


def delivered(interface: Interface, receiver: Receiver) -> Lead:
    """A delivered lead of an interface that anonymises; its mails are kept."""
    point_at(notify(interface, "sales@example.com"), receiver.url)
    receiver.answer(status=201, body=b"Thank you, Ada Lovelace")
    with transaction():
        interface_mails.update(interface, Words(autoresponds=True, autoresponse_subject="x", autoresponse_body="y"))
    set_privacy(interface, anonymises=True)
    lead = submit(interface)
    drain(interface)
    return lead


def test_after_delivery_nothing_of_the_visitor_is_left(interface: Interface, receiver: Receiver) -> None:
    lead = delivered(interface, receiver)
    with transaction():
        source = {"ip": "203.0.113.7", "user_agent": "Mosaic", "utm": {"source": "news"}, "page_url": "https://x/?ada"}
        db.session.execute(update(Lead).values(source=source))
    forget()
    assert "Ada Lovelace" in everything_kept()  # just delivered: an attempt may still be recorded
    aged(minutes=3)
    forget()
    kept = everything_kept()
    for known in (*ADA.values(), "203.0.113", "Mosaic", "https://x/", "ada"):
        assert known.lower() not in kept.lower(), known
    lead = leads.get(interface.account_id, lead.public_id)
    assert lead.fields == dict.fromkeys(ADA, "")
    assert lead.source == {"utm": {"source": "news"}}
    assert b'"fields":{"name":"","email":"","phone":"","message":""}' in delivery_of(lead).payload
    assert (lead.label, lead.delivery.status if lead.delivery else "") == (lead.public_id, "Delivered")
    assert lead.log[0].action == "anonymised"
    assert "anonymised" in (leads.retryable(lead) or "")
    with transaction():
        assert leads.retry(lead.account_id, [lead.public_id], interface.account_id) == 0


def test_a_lead_that_failed_for_good_can_be_sent_again_for_a_week(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/", automatic_retries=False)
    set_privacy(interface, anonymises=True)
    lead = submit(interface)
    drain(interface)
    aged(days=6)
    forget()
    assert leads.retryable(lead) is None
    aged(days=2)
    forget()
    assert "anonymised" in (leads.retryable(lead) or "")


@pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.ON_HOLD])
def test_a_lead_that_was_not_sent_yet_is_not_anonymised(interface: Interface, state: DeliveryState) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    set_privacy(interface, anonymises=True)
    submit(interface)
    with transaction():
        db.session.execute(update(Delivery).values(state=state, last_at=utcnow()))
    aged(days=400)
    forget()
    assert "Ada Lovelace" in everything_kept()


@pytest.mark.parametrize(
    ("second", "shadow", "is_over"),
    [
        (DeliveryState.DELIVERED, DeliveryState.DELIVERED, True),
        (DeliveryState.FAILED, DeliveryState.DELIVERED, False),
        (DeliveryState.ON_HOLD, DeliveryState.DELIVERED, False),
        (DeliveryState.PENDING, DeliveryState.DELIVERED, False),
        (DeliveryState.DELIVERED, DeliveryState.FAILED, True),
        (DeliveryState.DELIVERED, DeliveryState.ON_HOLD, True),
        (DeliveryState.DELIVERED, DeliveryState.PENDING, False),
    ],
)
def test_a_lead_is_anonymised_once_all_its_webhooks_are_done_with_it(
    interface: Interface, second: DeliveryState, shadow: DeliveryState, is_over: bool
) -> None:
    """A shadow only has to be idle: one that is paused or fails keeps no visitor's data."""
    point_at(interface, "https://hooks.example.com/first")
    with transaction():
        editing.add(interface, Plan(url="https://hooks.example.com/second"))
        editing.add(interface, Plan(url="https://hooks.example.com/shadow", is_shadow=True))
    set_privacy(interface, anonymises=True)
    lead = submit(interface)
    with transaction():
        states = (DeliveryState.DELIVERED, second, shadow)
        for delivery, state in zip(lead.deliveries, states, strict=True):
            delivery.state, delivery.tries, delivery.last_at = state, 1, utcnow() - timedelta(minutes=5)
    forget()
    assert (lead.anonymised_at is not None) == is_over
    if is_over:
        assert not any(b"ada@example.com" in delivery.payload for delivery in lead.deliveries)
        assert lead.deliveries[2].state != DeliveryState.ON_HOLD  # or it would be sent later, empty


def test_a_lead_of_several_webhooks_is_deleted_with_all_its_deliveries(interface: Interface) -> None:
    """Also with those to a webhook that was removed, and not while one of them is due."""
    point_at(interface, "https://hooks.example.com/first")
    with transaction():
        editing.add(interface, Plan(url="https://hooks.example.com/second"))
        removed = editing.add(interface, Plan(url="https://hooks.example.com/removed"))
    lead = submit(interface)
    with transaction():
        editing.remove(removed)
        lead.deliveries[0].state = DeliveryState.DELIVERED
    set_privacy(interface, days=30)
    aged(days=31)
    forget()
    assert left(Delivery, Lead) == [3, 1]
    with transaction():
        lead.deliveries[1].state = DeliveryState.FAILED
    forget()
    assert left(*OF_LEADS) == [0] * len(OF_LEADS)


def test_a_lead_with_a_mail_to_send_is_not_anonymised_yet(interface: Interface, receiver: Receiver) -> None:
    delivered(interface, receiver)
    with transaction():
        db.session.execute(update(Mail).values(state=MailState.DUE))
    aged(days=1)
    forget()
    assert "Ada Lovelace" in everything_kept()


def test_leads_without_a_webhook_and_those_from_before_the_setting_stay(
    interface: Interface, receiver: Receiver
) -> None:
    set_privacy(interface, anonymises=True)
    submit(interface)
    set_privacy(interface)
    point_at(interface, receiver.url)
    submit(interface)
    set_privacy(interface, anonymises=True)
    drain(interface)
    aged(days=30)
    forget()
    assert left(Lead) == [2]
    assert db.session.scalars(select(Lead.name)).all() == ["Ada Lovelace"] * 2


def test_a_lead_that_got_its_webhook_later_is_anonymised_too(interface: Interface, receiver: Receiver) -> None:
    set_privacy(interface, anonymises=True)
    lead = submit(interface)
    point_at(interface, receiver.url)
    user_id = db.session.scalars(select(User.id)).one()
    with transaction():
        assert leads.retry(lead.account_id, [lead.public_id], user_id) == 1
    drain(interface)
    aged(hours=1)
    forget()
    assert "Ada Lovelace" not in everything_kept()


# The sweep ------------------------------------------------------------------------------------------------------------


def waiting() -> list[str]:
    return [job.partition("-")[0] for job in queues.get(MAIL).get_job_ids()]


def test_the_sweep_rings_the_job_once_a_minute_and_only_with_the_setting(
    interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(interface)
    db.session.rollback()
    sweeper = Sweep()
    sweeper.once()
    assert waiting() == []
    set_privacy(interface, days=3)
    sweeper.once()
    assert waiting() == []
    sweeper.forgets_at = 0.0
    sweeper.once()
    sweeper.forgets_at = 0.0
    sweeper.once()
    assert waiting() == ["forget"]


def test_the_sweep_rings_for_a_lead_to_anonymise_even_if_the_setting_is_off_again(interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    set_privacy(interface, anonymises=True)
    submit(interface)
    set_privacy(interface)
    Sweep().once()
    assert waiting() == ["forget"]
