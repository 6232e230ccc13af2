"""Old leads deleted, delivered ones anonymised, as their interfaces ask: by a job of the sweep, a few at a time.

What may be in a drain's hands stays for another time: recording inserts attempts of deliveries it was given. So each
batch locks the lanes first, as every bulk change does, and leaves alone what waits to be sent or was just tried.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, text, update
from sqlalchemy.orm import joinedload, selectinload

from webapp.clock import utcnow
from webapp.db.transactions import end_transaction, read_only, transaction
from webapp.delivery import lanes, states
from webapp.extensions import db
from webapp.models import (
    Attempt,
    AutoresponseCount,
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
from webapp.services.interfaces import privacy
from webapp.services.interfaces.interface_mails import AUTORESPONSE, today
from webapp.webhooks.outcome import NO_ANSWER
from webapp.webhooks.payload import lead_payload

log = structlog.get_logger()

SLICE = 10.0  # seconds of a job
BATCH = 50  # leads of a transaction, with their deliveries, tries, log and mails
JUST = timedelta(hours=1)  # whoever had it in hand then is long done
DELIVERED_FOR = timedelta(minutes=2)  # longer than a lease, so that no try of it is still to be recorded
FAILED_FOR = timedelta(days=7)  # for somebody to mend the receiver and press Retry Webhook
CUT = "Cut out: the lead was anonymised."

_BUSY = or_(Delivery.state == DeliveryState.PENDING, Delivery.retry_at.is_not(None))


def forget(stopping: Callable[[], bool] = lambda: False) -> None:
    """One turn: everything that is to be forgotten, for ten seconds or until `stopping()`; rings if more is left."""
    ends_at = time.monotonic() + SLICE

    def time_is_left() -> bool:
        return not stopping() and time.monotonic() < ends_at

    with transaction():
        db.session.execute(delete(AutoresponseCount).where(AutoresponseCount.day < today()))
    done = _anonymise_delivered(time_is_left) and _delete_old(time_is_left)
    if not done and not stopping():
        lanes.ring_forget()


def _delete_old(time_is_left: Callable[[], bool]) -> bool:
    """Deletes what is too old, interface after interface, deleted ones too; whether all of it is done."""
    with read_only():
        asking = db.session.execute(
            select(Interface.id, Interface.account_id, Interface.retention_days).where(
                Interface.retention_days.is_not(None)
            )
        ).all()
        end_transaction()
    return all(_delete_of(row.id, row.account_id, row.retention_days or 0, time_is_left) for row in asking)


def _delete_of(interface_id: int, account_id: int, days: int, time_is_left: Callable[[], bool]) -> bool:
    old = *privacy.older_than(interface_id, account_id, days), _is_at_rest()
    deleted = 0
    while time_is_left():
        with transaction():
            ids = _locked(*old)
            _delete(ids)
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
    """Nothing of the lead is on its way, or was until just now."""
    just = utcnow() - JUST
    unsettled = or_(_BUSY, Delivery.last_at > just, Webhook.state_changed_at > just)
    delivery = exists().where(Delivery.lead_id == Lead.id, Delivery.webhook_id == Webhook.id, unsettled)
    return ~delivery


def _locked(*wanted: Any) -> list[int]:
    """The ids of some leads, oldest first, their lanes locked; looked at again once they are."""
    found = select(Lead.id).where(*wanted).order_by(Lead.id).limit(BATCH)
    ids = list(db.session.scalars(found))
    connection = db.session.connection()
    of_leads = select(Webhook.id).join(Lead, Lead.interface_id == Webhook.interface_id).where(Lead.id.in_(ids))
    for webhook_id in sorted(connection.scalars(of_leads.distinct())):
        states.lock_lane(connection, webhook_id)
    return list(db.session.scalars(found.where(Lead.id.in_(ids))))


def _delete(ids: Sequence[int]) -> None:
    """Deletes leads and all that hangs on them. Mails before the log: one being sent right now writes into it."""
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
    """Blanks the leads that were to be known only until they are delivered; whether all of it is done."""
    while time_is_left():
        with transaction():
            ids = _locked(text("leads.blank_due"), _is_over(), ~_has_mail_to_send())
            _anonymise(ids)
        if len(ids) < BATCH:
            return True
    return False


def _is_over() -> ColumnElement[bool]:
    """Delivered, or failed for good and a while ago, or cancelled: its interface was deleted."""
    now, state = utcnow(), Delivery.state
    over = or_(
        and_(state == DeliveryState.DELIVERED, Delivery.last_at < now - DELIVERED_FOR),
        and_(state == DeliveryState.FAILED, Delivery.last_at < now - FAILED_FOR),
        and_(state == DeliveryState.CANCELLED, Webhook.state_changed_at < now - JUST),
    )
    return exists().where(Delivery.lead_id == Lead.id, Delivery.webhook_id == Webhook.id, ~_BUSY, over)


def _has_mail_to_send() -> ColumnElement[bool]:
    return exists().where(Mail.lead_id == Lead.id, Mail.state == MailState.DUE)


def _anonymise(ids: Sequence[int]) -> None:
    """Leaves of leads that there were some: when, from which campaign, with which answer."""
    parts = joinedload(Lead.interface, innerjoin=True), selectinload(Lead.deliveries)
    for lead in db.session.scalars(select(Lead).where(Lead.id.in_(ids)).options(*parts)):
        _blank(lead)
        db.session.add(LeadLogEntry(lead_id=lead.id, action="anonymised"))
    deliveries = select(Delivery.id).where(Delivery.lead_id.in_(ids)).scalar_subquery()
    tries = update(Attempt).where(Attempt.delivery_id.in_(deliveries), Attempt.code != NO_ANSWER)
    mails = update(Mail).where(Mail.lead_id.in_(ids))
    told = update(LeadLogEntry).where(LeadLogEntry.lead_id.in_(ids), LeadLogEntry.action == "autoresponded")
    nobody: dict[str, Any] = {"recipients": [], "answers": {}, "last_error": ""}
    for statement in (
        tries.values(response=CUT, response_headers=[]),
        mails.values(subject="Mail about an anonymised lead", body_text=CUT, body_html=CUT, reply_to=None),
        mails.where(Mail.kind == AUTORESPONSE).values(nobody),
        told.values(detail=""),
    ):
        db.session.execute(statement.execution_options(synchronize_session=False))


def _blank(lead: Lead) -> None:
    lead.name, lead.email, lead.visitor = "", "", None
    lead.fields = {key: _empty(value) for key, value in lead.fields.items()}
    lead.source = {"utm": lead.source.get("utm") or {}}
    lead.consents = [{**consent, "page": None} for consent in lead.consents]
    lead.blank_due, lead.anonymised_at = False, utcnow()
    for delivery in lead.deliveries:
        delivery.payload = _payload(lead)
        if delivery.last_response and delivery.last_code != NO_ANSWER:
            delivery.last_response = CUT


def _empty(value: object) -> object:
    """Nothing, in the type the receiver knows the answer by; whether a box was ticked tells of nobody."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return []
    return "" if isinstance(value, str) else None


def _payload(lead: Lead) -> bytes:
    return lead_payload(
        event="lead.created",
        lead_id=lead.public_id,
        received_at=lead.received_at,
        fields=lead.fields,
        interface_id=lead.interface.public_id,
        interface_name=lead.interface.name,
        source=lead.source,
        consents=lead.consents,
    )
