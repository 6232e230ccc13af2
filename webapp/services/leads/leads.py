"""Stored leads: sends them again, takes them out of Spam; sends test leads. capture.py stores leads."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import defer, joinedload, selectinload
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
from webapp.services.intake.capture import NewLead
from webapp.services.interfaces import field_types, interface_mails, interfaces
from webapp.services.webhooks.shapes import shapes_of


def get(account_id: int, public_id: str) -> Lead:
    """The account's lead; NotFound for any other."""
    asked = select(Lead).where(Lead.account_id == account_id, Lead.public_id == public_id)
    lead = db.session.scalar(asked.options(joinedload(Lead.interface, innerjoin=True)))
    if lead is None:
        raise NotFound
    return lead


def send_test(interface: Interface, user_id: int | None, webhook: Webhook | None = None) -> Delivery:
    """Sends a lead marked as a test to one webhook, the first unless another is given, through the worker like any
    other, with every field of the form. Sends no mail. `user_id`: None for an API Key.

    Poll the delivery by its message_id: its status is Queued until its only attempt is over.
    """
    webhook = webhook or interface.webhook
    if not webhook.url:
        raise Refused("Save a Lead Webhook URL first: there is nowhere to send a test to.", "webhook_url")
    if webhook.state == WebhookState.PAUSED:
        raise Refused("This webhook is paused. Resume it, then send a test lead.")
    db.session.flush()  # the interface may be new in this transaction
    lead = Lead(interface=interface, **made_up(interface).columns)
    db.session.add(lead)
    interfaces.record("tested", interface)
    return _add_deliveries(lead, webhook, retry_at=now_sql(), retried_by_id=user_id)[0]


def made_up(interface: Interface) -> NewLead:
    """A test lead, with an answer to every field of the form. It is stored nowhere."""
    asked = [field for field in interface.fields if field.type in field_types.SENT]
    fields = {field.key: field_types.sample(field) for field in asked}
    source = {"page_url": interfaces.form_url(interface)}
    given = consents.given(asked, fields, source["page_url"])
    return capture.new_lead(interface, fields, source, consents=given, test=True)


def _add_deliveries(lead: Lead, only: Webhook | None = None, **more: Any) -> list[Delivery]:
    """Adds a lead's deliveries to the webhooks that take it and have none of it yet, and rings after the commit."""
    interface, there = lead.interface, {delivery.webhook_id for delivery in lead.deliveries}
    columns = capture.deliveries(lead, interface, shapes_of(interface), only)
    made = [Delivery(lead=lead, **each, **more) for each in columns if each["webhook_id"] not in there]
    db.session.add_all(made)
    lead.no_webhook = not lead.counted
    flag_modified(lead, "no_webhook")  # written even so: delivery/unmarked.py may be marking it just now
    if interface.anonymises and not lead.test and made and lead.counted:
        lead.anonymise_after_delivery = True
    capture.ring([delivery.webhook_id for delivery in made if delivery.state == DeliveryState.PENDING])
    return made


def not_spam(account_id: int, public_id: str, user_id: int | None) -> Lead:
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
    _add_deliveries(lead, due_at=now_sql())
    # Its network is not counted: a person of the account has just decided that it is a real lead.
    interface_mails.write_mails([interface_mails.Mailed(lead, interface, None)])
    db.session.add(LeadLogEntry(lead_id=lead.id, action="notspam", user_id=user_id))
    audit.record("lead.not_spam", account_id, lead.public_id)
    return lead


def retryable(lead: Lead, only: Collection[str] = ()) -> str | None:
    """Why Retry Webhook cannot be pressed, as a sentence; None if it can, for one of its webhooks at least: of those
    with the public ids `only`, if there are any."""
    if lead.spam is not None and not lead.deliveries:  # a condition that names spam may have let it through
        return "It was taken for spam, so it was not sent."
    if lead.interface.archived_at:
        return "Its interface was deleted."
    if lead.anonymised_at:
        return "It was anonymised, as its interface’s settings say. There is nothing left to send."
    if not (lead.counted or only):
        refusals = [_refusal(webhook) for webhook in lead.interface.webhooks if not webhook.is_shadow]
    else:
        refusals = [refusal(delivery) for delivery in to_retry(lead, only)]
    return None if None in refusals else next(iter(refusals), "It was not sent to this webhook.")


def to_retry(lead: Lead, only: Collection[str] = ()) -> list[Delivery]:
    """The deliveries that Retry Webhook means: those to the webhooks with these public ids; without any, those that
    were not delivered, or else all. Then not to shadows and removed webhooks, unless there is nothing else."""
    if only:
        return [delivery for delivery in lead.deliveries if delivery.webhook.public_id in only]
    there = [each for each in lead.counted if not each.webhook.removed_at] or lead.counted
    return [each for each in there if each.status != Status.DELIVERED] or there


def sendable(lead: Lead, only: Collection[str] = ()) -> int:
    """To how many webhooks Retry Webhook would send the lead now; `only` as in `retryable`."""
    if retryable(lead, only) is not None:
        return 0
    if not (lead.counted or only):
        return sum(_refusal(webhook) is None and not webhook.is_shadow for webhook in lead.interface.webhooks)
    return sum(refusal(delivery) is None for delivery in to_retry(lead, only))


def refusal(delivery: Delivery) -> str | None:
    """Why this delivery cannot be sent again now, as a sentence; None if it can."""
    if delivery.status == Status.QUEUED and not delivery.rests_until:
        return _refusal(delivery.webhook) or "It is being sent right now."
    return _refusal(delivery.webhook)


def _refusal(webhook: Webhook) -> str | None:
    if webhook.removed_at:
        return "Its webhook was removed."
    if not webhook.url:
        return "Its interface has no Lead Webhook URL."
    if webhook.state == WebhookState.PAUSED:
        return "The webhook is paused. The lead is sent when the webhook is resumed."
    return None


def retry(account_id: int, public_ids: Sequence[str], user_id: int | None, only: Collection[str] = ()) -> int:
    """Sends leads again: the same bytes and webhook-id, a new timestamp and signature, the current URL and token.

    `user_id`: None for an API Key. `only`: to the webhooks with these public ids; see `to_retry` for what none of them
    means. Returns how many leads were queued: not those that are being sent already or cannot be sent. NotFound if any
    is not the account's. A lead that had no webhook gets its deliveries now.
    """
    wanted = set(public_ids)
    scope = Lead.account_id == account_id, Lead.public_id.in_(wanted)
    _lock_lanes(*scope)
    rows = select(Lead).where(*scope).order_by(Lead.id).options(*_with_webhooks())
    found = db.session.scalars(rows.execution_options(populate_existing=True)).all()
    if len(found) != len(wanted):
        raise NotFound
    clicked = {lead: _click(lead, user_id, only) for lead in found if retryable(lead, only) is None}
    queued = [lead for lead, webhooks in clicked.items() if webhooks]
    db.session.add_all(_entry(lead, clicked[lead], user_id) for lead in queued)
    if queued:
        ids = ", ".join(lead.public_id for lead in queued)
        number = "1 lead" if len(queued) == 1 else f"{len(queued):,} leads"
        audit.record("lead.retried", account_id, number, detail=ids if len(ids) <= 500 else f"{ids[:496]} …")
    for webhook_id in set().union(*clicked.values()):
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


def _with_webhooks() -> tuple[Any, ...]:
    webhooks = joinedload(Lead.interface, innerjoin=True).selectinload(Interface.webhooks)
    delivery = selectinload(Lead.deliveries).options(
        defer(Delivery.payload), joinedload(Delivery.webhook).joinedload(Webhook.lane)
    )
    return webhooks, delivery


def _click(lead: Lead, user_id: int | None, only: Collection[str]) -> set[int]:
    """Sets the clicks, each in one UPDATE, so that only one of two clicks sends; returns the ids of their webhooks."""
    if not (lead.counted or only):
        return {made.webhook_id for made in _add_deliveries(lead, due_at=now_sql(), retried_by_id=user_id)}
    return {each.webhook_id for each in to_retry(lead, only) if refusal(each) is None and _click_one(each, user_id)}


def _entry(lead: Lead, webhook_ids: Collection[int], user_id: int | None) -> LeadLogEntry:
    """It names the webhooks, where the lead has several."""
    entry = LeadLogEntry(lead_id=lead.id, action="resentwebhook", user_id=user_id)
    if len(lead.deliveries) > 1:
        db.session.flush()  # new deliveries find their webhooks after that
        sent = (each.webhook.label for each in lead.deliveries if each.webhook_id in webhook_ids)
        entry.detail = ", ".join(sent)[:500]
    return entry


def _click_one(delivery: Delivery, user_id: int | None) -> bool:
    free = (Delivery.id == delivery.id, Delivery.retry_at.is_(None), Delivery.state != DeliveryState.CANCELLED)
    click = update(Delivery).where(*free).values(retry_at=now_sql(), retried_by_id=user_id)
    clicked = click.returning(Delivery.id).execution_options(synchronize_session="fetch")
    return db.session.scalar(clicked) is not None
