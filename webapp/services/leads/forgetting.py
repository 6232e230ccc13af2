"""Deletes old leads and anonymises delivered ones, as their interfaces' settings say: a job of the sweep, in batches.
Old counts and links are removed first, and what an earlier version wrote during an upgrade is mended.

A lead that a drain may be sending is left for later, because recording inserts attempts of its delivery. So each batch
locks the lanes first, as every bulk change does, and skips leads that are due or were just tried.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, delete, exists, false, func, not_, or_, select, text, true, update
from sqlalchemy.orm import joinedload, selectinload

from webapp.clock import utcnow
from webapp.db import database_clock
from webapp.db.transactions import end_transaction, read_only, transaction
from webapp.delivery import rings, states, unmarked
from webapp.extensions import db
from webapp.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Interface,
    Lead,
    LeadLogEntry,
    Mail,
    MailState,
    ReportEntry,
    Webhook,
)
from webapp.services import audit
from webapp.services.files import stored
from webapp.services.intake import idempotency
from webapp.services.interfaces import answer_limits, privacy
from webapp.services.interfaces.interface_mails import AUTORESPONSE
from webapp.services.mail import sealed
from webapp.services.webhooks.shapes import shape_of
from webapp.webhooks.outcome import NO_ANSWER
from webapp.webhooks.payload import payload_of

log = structlog.get_logger()

SLICE = 10.0  # seconds that a job takes at most
BATCH = 50  # leads per transaction, with their deliveries, attempts, log and mails
RECENT = timedelta(hours=1)  # a drain that was sending it before that has ended long ago
DELIVERED_FOR = timedelta(minutes=2)  # longer than a lease, so that all its attempts are recorded
FAILED_FOR = timedelta(days=7)  # time to repair the receiver and press Retry Webhook
CUT = "Cut out: the lead was anonymised."

_BUSY = or_(Delivery.state == DeliveryState.PENDING, Delivery.retry_at.is_not(None))


def forget(stopping: Callable[[], bool] = lambda: False) -> None:
    """Deletes and anonymises all leads whose time has come, for SLICE seconds or until `stopping()`; rings if some are
    left."""
    ends_at = time.monotonic() + SLICE

    def time_is_left() -> bool:
        return not stopping() and time.monotonic() < ends_at

    with transaction():
        answer_limits.forget_old(database_clock.now())
        sealed.tidy()
        idempotency.tidy()
        unmarked.mark(db.session.connection())
    done = _anonymise_delivered(time_is_left) and _delete_old(time_is_left) and stored.sweep(time_is_left)
    if not done and not stopping():
        rings.ring_forget()


def _delete_old(time_is_left: Callable[[], bool]) -> bool:
    """Deletes leads that are too old, of deleted interfaces too; returns whether all are deleted."""
    with read_only():
        limited = db.session.execute(
            select(Interface.id, Interface.account_id, Interface.retention_days).where(
                Interface.retention_days.is_not(None)
            )
        ).all()
        end_transaction()
    return all(_delete_of(row.id, row.account_id, row.retention_days or 0, time_is_left) for row in limited)


def _delete_of(interface_id: int, account_id: int, days: int, time_is_left: Callable[[], bool]) -> bool:
    old = *privacy.older_than(interface_id, account_id, days), _is_at_rest()
    deleted = 0
    while time_is_left():
        with transaction():
            ids = _lock(*old)
            delete_leads(ids)
        deleted += len(ids)
        if len(ids) < BATCH:
            break
    else:
        return False
    if deleted:
        log.info("old leads were deleted", interface=interface_id, leads=deleted)
        with transaction():
            interface = db.session.get_one(Interface, interface_id)
            number = "1 lead" if deleted == 1 else f"{deleted:,} leads"
            detail = f"{number} older than {days} {'day' if days == 1 else 'days'}"
            audit.record("lead.expired", account_id, interface.name, target_id=interface.public_id, detail=detail)
    return True


def _is_at_rest() -> ColumnElement[bool]:
    """SQL: no delivery of the lead is due, was tried recently, or had its webhook's state changed recently."""
    recently = database_clock.now() - RECENT
    unsettled = or_(_BUSY, Delivery.last_at > recently, Webhook.state_changed_at > recently)
    delivery = exists().where(Delivery.lead_id == Lead.id, Delivery.webhook_id == Webhook.id, unsettled)
    return ~delivery


def _lock(*wanted: Any) -> list[int]:
    """Locks the lanes of a batch of leads; returns the ids of those that still match after that, oldest first."""
    found = select(Lead.id).where(*wanted).order_by(Lead.id).limit(BATCH)
    ids = list(db.session.scalars(found))
    connection = db.session.connection()
    of_leads = select(Webhook.id).join(Lead, Lead.interface_id == Webhook.interface_id).where(Lead.id.in_(ids))
    for webhook_id in sorted(connection.scalars(of_leads.distinct())):
        states.lock_lane(connection, webhook_id)
    return list(db.session.scalars(found.where(Lead.id.in_(ids))))


def delete_leads(ids: Sequence[int]) -> None:
    """Deletes leads and all rows that refer to them, in the current transaction. Mails before the log: a mail that is
    being sent writes to it."""
    stored.let_go(ids)
    idempotency.spend(ids)
    deliveries = select(Delivery.id).where(Delivery.lead_id.in_(ids)).scalar_subquery()
    for statement in (
        delete(ReportEntry).where(ReportEntry.delivery_id.in_(deliveries)),
        delete(Attempt).where(Attempt.delivery_id.in_(deliveries)),
        delete(Mail).where(Mail.lead_id.in_(ids)),
        delete(LeadLogEntry).where(LeadLogEntry.lead_id.in_(ids)),
        delete(Delivery).where(Delivery.lead_id.in_(ids)),
        delete(Lead).where(Lead.id.in_(ids)),
    ):
        db.session.execute(statement.execution_options(synchronize_session=False))


def _anonymise_delivered(time_is_left: Callable[[], bool]) -> bool:
    """Anonymises the leads that are kept only until they are delivered; returns whether all are anonymised."""
    while time_is_left():
        with transaction():
            ids = _lock(text("leads.blank_due"), _is_over(), ~_has_mail_to_send())
            _anonymise(ids)
        if len(ids) < BATCH:
            return True
    return False


def _is_over() -> ColumnElement[bool]:
    """SQL: to each of its webhooks, the lead was delivered, failed for good a while ago, or was cancelled because its
    interface was deleted or its webhook removed. A shadow only has to be idle."""
    now, state = database_clock.now(), Delivery.state
    over = or_(
        and_(state == DeliveryState.DELIVERED, Delivery.last_at < now - DELIVERED_FOR),
        and_(state == DeliveryState.FAILED, Delivery.last_at < now - FAILED_FOR),
        and_(state == DeliveryState.CANCELLED, Webhook.state_changed_at < now - RECENT),
    )
    idle = and_(Delivery.shadow, func.coalesce(Delivery.last_at < now - DELIVERED_FOR, true()))
    delivery = Delivery.lead_id == Lead.id, Delivery.webhook_id == Webhook.id
    unfinished = or_(_BUSY, and_(not_(func.coalesce(over, false())), not_(idle)))
    return and_(exists().where(*delivery), ~exists().where(*delivery, unfinished))


def _has_mail_to_send() -> ColumnElement[bool]:
    return exists().where(Mail.lead_id == Lead.id, Mail.state == MailState.DUE)


def _anonymise(ids: Sequence[int]) -> None:
    """Removes the visitors' data. What stays: when a lead came, from which campaign, and the response code."""
    parts = joinedload(Lead.interface, innerjoin=True), selectinload(Lead.deliveries)
    for lead in db.session.scalars(select(Lead).where(Lead.id.in_(ids)).options(*parts)):
        _anonymise_one(lead)
        db.session.add(LeadLogEntry(lead_id=lead.id, action="anonymised"))
    stored.let_go(ids)
    deliveries = select(Delivery.id).where(Delivery.lead_id.in_(ids)).scalar_subquery()
    attempts = update(Attempt).where(Attempt.delivery_id.in_(deliveries), Attempt.code != NO_ANSWER)
    mails = update(Mail).where(Mail.lead_id.in_(ids))
    autoresponded = update(LeadLogEntry).where(LeadLogEntry.lead_id.in_(ids), LeadLogEntry.action == "autoresponded")
    emptied: dict[str, Any] = {"recipients": [], "answers": {}, "last_error": ""}
    for statement in (
        attempts.values(response=CUT, response_headers=[]),
        mails.values(subject="Mail about an anonymised lead", body_text=CUT, body_html=CUT, reply_to=None),
        mails.where(Mail.kind == AUTORESPONSE).values(emptied),
        autoresponded.values(detail=""),
    ):
        db.session.execute(statement.execution_options(synchronize_session=False))


def _anonymise_one(lead: Lead) -> None:
    lead.name, lead.email, lead.visitor = "", "", None
    lead.fields = {key: _empty(value) for key, value in lead.fields.items()}
    lead.typed = lead.marks = lead.undeclared = None
    first = lead.source.get("first_touch")
    campaigns = {"first_touch": {"utm": first.get("utm") or {}}} if first else {}
    lead.source = {"utm": lead.source.get("utm") or {}, **campaigns}
    lead.consents = [{**consent, "page": None} for consent in lead.consents]
    lead.anonymise_after_delivery, lead.anonymised_at = False, utcnow()
    for delivery in lead.deliveries:
        delivery.payload = _payload(lead, delivery)
        if delivery.state == DeliveryState.ON_HOLD:  # of a shadow that is paused
            delivery.state, delivery.state_reason = DeliveryState.CANCELLED, "The lead was anonymised."
        if delivery.last_response and delivery.last_code != NO_ANSWER:
            delivery.last_response = CUT


def _payload(lead: Lead, delivery: Delivery) -> bytes:
    """The payload of an anonymised lead, in the format that its webhook has now; nothing if it cannot be made."""
    body, webhook = payload_of(lead, lead.interface), delivery.webhook
    if not webhook.connection:
        return body
    shaped = shape_of(webhook).of_lead(body, spam=False, always=True) or {}
    payload: bytes = shaped.get("payload", body)
    return payload


def _empty(value: object) -> object:
    """An empty answer of the same type, as the receiver expects it. A ticked box identifies no one, so it stays."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return []
    return "" if isinstance(value, str) else None
