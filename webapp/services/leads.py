"""Leads: captured, sent again, tested. A lead and its delivery are rows of one transaction; the ring comes after it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.orm import joinedload, make_transient_to_detached, selectinload
from werkzeug.exceptions import NotFound

from webapp.clock import now_sql, utcnow
from webapp.delivery import lanes, states
from webapp.delivery.bell import bell
from webapp.extensions import db
from webapp.ids import lead_id, message_id
from webapp.models import (
    Delivery,
    DeliveryState,
    FieldType,
    Interface,
    Lead,
    LeadLogEntry,
    Webhook,
    WebhookState,
)
from webapp.services import audit, consents, field_types, interface_mails, interfaces
from webapp.services.errors import Refused
from webapp.services.submissions import Published
from webapp.transaction import after_commit, looking
from webapp.webhooks.payload import lead_payload


def get(account_id: int, public_id: str) -> Lead:
    """The account's lead; NotFound for any other."""
    lead = db.session.scalar(select(Lead).where(Lead.account_id == account_id, Lead.public_id == public_id))
    if lead is None:
        raise NotFound
    return lead


# The statements of a capture, made once: building and compiling them would cost more than running them.
_LEAD = insert(Lead.__table__)  # type: ignore[arg-type]
_PENDING = insert(Delivery.__table__).values(due_at=now_sql())  # type: ignore[arg-type]
_TEST = insert(Delivery.__table__).values(retry_at=now_sql())  # type: ignore[arg-type]


def capture(
    form: Published,
    fields: Mapping[str, Any],
    source: Mapping[str, Any],
    consents: Sequence[Any] = (),
    nonce: str | None = None,
    spam: str | None = None,
) -> Lead:
    """Keeps a submission, promises its delivery and writes its notification. `fields` holds every declared key.

    IntegrityError where a lead has the `nonce` already. With `spam`, which says why, it is kept and nobody is told.
    """
    lead = _keep(form.interface, form.fields, fields, source, consents, nonce=nonce, spam=spam)
    if spam is None:
        _hand_on(lead, form.interface, form.fields, form.webhook)
    return lead


def _hand_on(lead: Lead, interface: Any, questions: Sequence[Any], webhook: Any) -> None:
    """Promises the delivery of a lead, where there is a webhook, and writes its mails, where any are wanted."""
    if webhook.url:
        _promise(lead, interface, webhook)
    interface_mails.tell(lead, interface, questions)


def _keep(
    interface: Any,
    questions: Sequence[Any],
    fields: Mapping[str, Any],
    source: Mapping[str, Any],
    consents: Sequence[Any] = (),
    test: bool = False,
    nonce: str | None = None,
    spam: str | None = None,
) -> Lead:
    """Inserts a lead; `interface` and `questions` are rows or objects of Interface and Field."""
    email = _first(questions, fields, FieldType.EMAIL)[:320]
    values = {
        "public_id": lead_id(),
        "account_id": interface.account_id,
        "interface_id": interface.id,
        "received_at": utcnow(),
        "test": test,
        "name": _first(questions, fields, FieldType.TEXT)[:500],
        "email": email,
        "visitor": email.lower() or _first(questions, fields, FieldType.PHONE)[:320] or None,
        "fields": dict(fields),
        "source": dict(source),
        "consents": list(consents),
        "nonce": nonce,
        "spam": spam,
    }
    inserted = db.session.connection().execute(_LEAD, values)
    lead = Lead(id=inserted.inserted_primary_key[0], **values)  # type: ignore[index]
    make_transient_to_detached(lead)  # it is in the database: the session need not insert it
    db.session.add(lead)
    return lead


def _first(questions: Sequence[Any], fields: Mapping[str, Any], kind: FieldType) -> str:
    """What was put into the first field of a kind: the name or address that people look the lead up by."""
    return next((fields.get(field.key) or "" for field in questions if field.type == kind), "")


def _promise(lead: Lead, interface: Any, webhook: Any, user_id: int | None = None) -> str:
    """Inserts the delivery of a lead, its payload frozen now, and rings after the commit; its message id.

    `interface` and `webhook` are rows or objects of their models. `user_id`: who asked for it, if not a visitor.
    """
    payload = lead_payload(
        event="lead.test" if lead.test else "lead.created",
        lead_id=lead.public_id,
        received_at=lead.received_at,
        fields=lead.fields,
        interface_id=interface.public_id,
        interface_name=interface.name,
        source=lead.source,
        consents=lead.consents,
    )
    held, message = webhook.state == WebhookState.PAUSED, message_id()
    values = {
        "message_id": message,
        "account_id": lead.account_id,
        "lead_id": lead.id,
        "webhook_id": webhook.id,
        "payload": payload,
        "test": lead.test,
        "state": DeliveryState.HELD if held else DeliveryState.PENDING,
        "state_reason": states.PAUSED_REASON if held else "",
        "retried_by_id": user_id,
    }
    db.session.connection().execute(_TEST if lead.test else _PENDING, values)
    if interface.anonymises and not lead.test:
        lead.blank_due = True  # once this is delivered
    webhook_id = webhook.id
    if not held:
        after_commit(lambda: bell.ring(webhook_id))
    return message


def send_test(interface: Interface, user_id: int) -> Delivery:
    """Sends a lead marked as a test, with every field of the form, through the worker like any other; no mail goes out.

    Poll the delivery by its message_id: its status is Queued until the one try is over.
    """
    webhook = interface.webhook
    if not webhook.url:
        raise Refused("Save a Lead Webhook URL first: there is nowhere to send a test to.", "webhook_url")
    if webhook.state == WebhookState.PAUSED:
        raise Refused("This webhook is paused. Resume it, then send a test lead.")
    asked = [field for field in interface.fields if field.type in field_types.SENT]
    fields = {field.key: field_types.sample(field) for field in asked}
    source = {"page_url": interfaces.form_url(interface)}
    db.session.flush()  # the interface may be of this transaction
    given = consents.given(asked, fields, source["page_url"])
    lead = _keep(interface, asked, fields, source, given, test=True)
    message = _promise(lead, interface, webhook, user_id)
    interfaces.record("tested", interface)
    return db.session.scalars(select(Delivery).where(Delivery.message_id == message)).one()


def of_nonce(nonce: str) -> str | None:
    """The public id of the lead that has this nonce; None where there is none. Reads what is committed."""
    with looking() as connection:
        return connection.scalar(select(Lead.public_id).where(Lead.nonce == nonce))


def not_spam(account_id: int, public_id: str, user_id: int) -> Lead:
    """Takes a lead out of Spam, promises its delivery and writes its notification, once; NotFound as in `get`.

    Refused where its interface was deleted: there is nobody left to hand it on to.
    """
    lead = get(account_id, public_id)
    interface = lead.interface
    if interface.archived_at:
        raise Refused("Its interface was deleted, so it stays in Spam.")
    free = update(Lead).where(Lead.id == lead.id, Lead.spam.is_not(None)).values(spam=None)
    if db.session.scalar(free.returning(Lead.id)) is None:
        return lead
    db.session.refresh(lead)
    _hand_on(lead, interface, interface.fields, interface.webhook)
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
        return "It was anonymised, as its interface asks: there is nothing left to send."
    if not webhook.url:
        return "Its interface has no Lead Webhook URL."
    if webhook.state == WebhookState.PAUSED:
        return "The webhook is paused. It goes out when the webhook is resumed."
    if delivery and delivery.status == "Queued":
        return "It is being sent right now."
    return None


def retry(account_id: int, public_ids: Sequence[str], user_id: int) -> int:
    """Sends leads once more: the same bytes and webhook-id, a fresh timestamp and signature, the current URL and token.

    Returns how many were queued; one that is under way already, or cannot be sent, counts 0. NotFound if any is not
    the account's. A lead that had no webhook gets its delivery now.
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
        after_commit(lambda webhook_id=webhook_id: lanes.ring_unless_held(webhook_id))  # type: ignore[misc]
    return len(queued)


def _lock_lanes(*scope: ColumnElement[bool]) -> None:
    """Locks the lanes of these leads, as every change of many deliveries does: what is read after that is what is.

    Else a batch recorded meanwhile could wait for us and we for it, and two clicks both find a lead without a delivery.
    """
    of_leads = select(Webhook.id).join(Lead, Lead.interface_id == Webhook.interface_id).where(*scope).distinct()
    connection = db.session.connection()
    for webhook_id in sorted(connection.scalars(of_leads)):
        states.lock_lane(connection, webhook_id)


def _with_webhook() -> tuple[Any, ...]:
    webhook = joinedload(Lead.interface, innerjoin=True).selectinload(Interface.webhooks)
    return webhook, selectinload(Lead.deliveries).defer(Delivery.payload)


def _click(lead: Lead, user_id: int) -> bool:
    """Sets the click where there is none, in one UPDATE, so that of two clicks one sends; whether this one did."""
    delivery = lead.delivery
    if delivery is None:
        _promise(lead, lead.interface, lead.interface.webhook, user_id)
        return True
    free = (Delivery.id == delivery.id, Delivery.retry_at.is_(None), Delivery.state != DeliveryState.CANCELLED)
    click = update(Delivery).where(*free).values(retry_at=now_sql(), retried_by_id=user_id)
    clicked = click.returning(Delivery.id).execution_options(synchronize_session="fetch")
    return db.session.scalar(clicked) is not None
