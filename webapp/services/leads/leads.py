"""Stored leads: sends them again, takes them out of Spam; sends test leads. capture.py stores leads."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import joinedload, selectinload
from sqlalchemy.orm.attributes import flag_modified
from werkzeug.exceptions import NotFound

from webapp.clock import now_sql
from webapp.db.transactions import after_commit
from webapp.delivery import rings, states
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lead, LeadLogEntry, Status, Webhook, WebhookState
from webapp.services import audit
from webapp.services.errors import Refused
from webapp.services.intake import capture, consents
from webapp.services.interfaces import field_types, interface_mails, interfaces


def get(account_id: int, public_id: str) -> Lead:
    """The account's lead; NotFound for any other."""
    asked = select(Lead).where(Lead.account_id == account_id, Lead.public_id == public_id)
    lead = db.session.scalar(asked.options(joinedload(Lead.interface, innerjoin=True)))
    if lead is None:
        raise NotFound
    return lead


def send_test(interface: Interface, user_id: int) -> Delivery:
    """Sends a lead marked as a test, with every field of the form, through the worker like any other. Sends no mail.

    Poll the delivery by its message_id: its status is Queued until its only attempt is over.
    """
    webhook = interface.webhook
    if not webhook.url:
        raise Refused("Save a Lead Webhook URL first: there is nowhere to send a test to.", "webhook_url")
    if webhook.state == WebhookState.PAUSED:
        raise Refused("This webhook is paused. Resume it, then send a test lead.")
    asked = [field for field in interface.fields if field.type in field_types.SENT]
    fields = {field.key: field_types.sample(field) for field in asked}
    source = {"page_url": interfaces.form_url(interface)}
    db.session.flush()  # the interface may be new in this transaction
    given = consents.given(asked, fields, source["page_url"])
    lead = Lead(interface=interface, **capture.new_lead(interface, fields, source, consents=given, test=True).columns)
    db.session.add(lead)
    interfaces.record("tested", interface)
    return _add_delivery(lead, retry_at=now_sql(), retried_by_id=user_id)


def _add_delivery(lead: Lead, **more: Any) -> Delivery:
    """Adds a lead's delivery, and rings after the commit."""
    interface, webhook = lead.interface, lead.interface.webhook
    delivery = Delivery(lead=lead, **capture.delivery_columns(lead, interface, webhook), **more)
    db.session.add(delivery)
    lead.no_webhook = False
    flag_modified(lead, "no_webhook")  # written even so: delivery/unmarked.py may be marking it just now
    if interface.anonymises and not lead.test:
        lead.anonymise_after_delivery = True
    if delivery.state == DeliveryState.PENDING:
        capture.ring(webhook.id)
    return delivery


def not_spam(account_id: int, public_id: str, user_id: int) -> Lead:
    """Takes a lead out of Spam, and adds its delivery and its notification, once; NotFound as in `get`.

    Refused if its interface was deleted: there is no one left to send it to.
    """
    lead = get(account_id, public_id)
    interface = lead.interface
    if interface.archived_at:
        raise Refused("Its interface was deleted, so it stays in Spam.")
    free = update(Lead).where(Lead.id == lead.id, Lead.spam.is_not(None)).values(spam=None)
    if db.session.scalar(free.returning(Lead.id)) is None:
        return lead
    db.session.refresh(lead)
    lead.no_webhook = not interface.webhook.url
    if interface.webhook.url:
        _add_delivery(lead, due_at=now_sql())
    # Its network is not counted: a person of the account has just decided that it is a real lead.
    interface_mails.write_mails([interface_mails.Mailed(lead, interface, None)])
    db.session.add(LeadLogEntry(lead_id=lead.id, action="notspam", user_id=user_id))
    audit.record("lead.not_spam", account_id, lead.public_id)
    return lead


def retryable(lead: Lead) -> str | None:
    """Why Retry Webhook cannot be pressed, as a sentence; None if it can."""
    if lead.spam is not None:
        return "It was taken for spam, so it was not sent."
    webhook = lead.interface.webhook
    delivery = lead.delivery
    if lead.interface.archived_at:
        return "Its interface was deleted."
    if lead.anonymised_at:
        return "It was anonymised, as its interface’s settings say. There is nothing left to send."
    if not webhook.url:
        return "Its interface has no Lead Webhook URL."
    if webhook.state == WebhookState.PAUSED:
        return "The webhook is paused. The lead is sent when the webhook is resumed."
    if delivery and delivery.status == Status.QUEUED and not delivery.rests_until:
        return "It is being sent right now."
    return None


def retry(account_id: int, public_ids: Sequence[str], user_id: int) -> int:
    """Sends leads again: the same bytes and webhook-id, a new timestamp and signature, the current URL and token.

    Returns how many were queued: not those that are being sent already or cannot be sent. NotFound if any is not the
    account's. A lead that had no webhook gets its delivery now.
    """
    wanted = set(public_ids)
    scope = Lead.account_id == account_id, Lead.public_id.in_(wanted)
    _lock_lanes(*scope)
    rows = select(Lead).where(*scope).order_by(Lead.id).options(*_with_webhook())
    found = db.session.scalars(rows.execution_options(populate_existing=True)).all()
    if len(found) != len(wanted):
        raise NotFound
    queued = [lead for lead in found if retryable(lead) is None and _click(lead, user_id)]
    db.session.add_all(LeadLogEntry(lead_id=lead.id, action="resentwebhook", user_id=user_id) for lead in queued)
    if queued:
        ids = ", ".join(lead.public_id for lead in queued)
        number = "1 lead" if len(queued) == 1 else f"{len(queued):,} leads"
        audit.record("lead.retried", account_id, number, detail=ids if len(ids) <= 500 else f"{ids[:496]} …")
    for webhook_id in {lead.interface.webhook.id for lead in queued}:
        after_commit(lambda webhook_id=webhook_id: rings.ring_unless_locked(webhook_id))  # type: ignore[misc]
    return len(queued)


def _lock_lanes(*scope: ColumnElement[bool]) -> None:
    """Locks the lanes of these leads, as every bulk change does, so that what is read after that cannot change.

    Without it a batch that is being recorded could wait for us and we for it, and two clicks could both find a lead
    without a delivery.
    """
    of_leads = select(Webhook.id).join(Lead, Lead.interface_id == Webhook.interface_id).where(*scope).distinct()
    connection = db.session.connection()
    for webhook_id in sorted(connection.scalars(of_leads)):
        states.lock_lane(connection, webhook_id)


def _with_webhook() -> tuple[Any, ...]:
    webhook = joinedload(Lead.interface, innerjoin=True).selectinload(Interface.webhooks)
    return webhook, selectinload(Lead.deliveries).defer(Delivery.payload)


def _click(lead: Lead, user_id: int) -> bool:
    """Sets the click if there is none, in one UPDATE, so that only one of two clicks sends; returns whether it did."""
    delivery = lead.delivery
    if delivery is None:
        _add_delivery(lead, due_at=now_sql(), retried_by_id=user_id)
        return True
    free = (Delivery.id == delivery.id, Delivery.retry_at.is_(None), Delivery.state != DeliveryState.CANCELLED)
    click = update(Delivery).where(*free).values(retry_at=now_sql(), retried_by_id=user_id)
    clicked = click.returning(Delivery.id).execution_options(synchronize_session="fetch")
    return db.session.scalar(clicked) is not None
