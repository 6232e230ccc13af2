"""The webhook of an account's events: one URL for what happens to its other webhooks and leads.

The events are written by delivery/events.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from webapp.clock import now_sql
from webapp.db.transactions import after_commit
from webapp.delivery import events, rings, states
from webapp.extensions import db
from webapp.models import Account, Authentication, Delivery, Lane, Webhook, WebhookState
from webapp.services import audit
from webapp.services.errors import Refused
from webapp.services.webhooks import editing, webhooks
from webapp.webhooks.payload import event_payload

TEST = "event.test"
WORDS = {
    events.FAILED: "A lead was not delivered, and is not tried again",
    events.PAUSED: "A webhook was paused",
    events.RECOVERED: "A receiver takes leads again",
    events.SPAM: "A lead was taken for spam",
}
SHOWN = 25


@dataclass(frozen=True)
class EventPlan:
    """Where the events go. `shared_token`: the public id of a live token, None: they are not signed."""

    url: str
    shared_token: str | None
    events: Sequence[str] = events.ALL


def get(account_id: int) -> Webhook | None:
    """The account's webhook of events; None if it has none."""
    asked = select(Webhook).where(Webhook.account_id == account_id, ~Webhook.is_first)
    found = asked.where(Webhook.interface_id.is_(None), Webhook.removed_at.is_(None)).order_by(Webhook.id).limit(1)
    return db.session.scalar(found.options(joinedload(Webhook.lane)))


def save(account_id: int, plan: EventPlan) -> Webhook:
    """Saves where the events go; Refused for an unusable URL or token, and without any event."""
    if fault := webhooks.fault(plan.url):
        raise Refused(fault, "webhook_url")
    wanted = [event for event in events.ALL if event in plan.events]
    if not wanted:
        raise Refused("Choose one event at least, or remove the URL.", "events")
    # One account, one webhook: two pages that save at the same time wait for each other here.
    db.session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
    webhook = get(account_id)
    if webhook is None:
        webhook = Webhook(account_id=account_id, is_first=False, name="Events", lane=Lane())
        db.session.add(webhook)
        db.session.flush()
    connection = db.session.connection()
    states.lock_lane(connection, webhook.id)
    before = webhook.url, webhook.authentication, webhook.shared_token_id
    token = editing.live_token(account_id, plan.shared_token) if plan.shared_token else None
    webhook.url, webhook.shared_token = webhooks.as_sent(plan.url), token
    webhook.authentication = Authentication.SHARED_TOKEN if token else Authentication.NONE
    webhook.connection = {"events": wanted} if len(wanted) < len(events.ALL) else None
    db.session.flush()
    webhooks.changed(webhook, *before)
    webhooks.release_held(webhook)
    audit.record("webhook.events", account_id, "Events", target_id=webhook.public_id)
    return webhook


def send_test(webhook: Webhook, user_id: int) -> Delivery:
    """Sends an event that is marked as a test; one attempt, as with a test lead."""
    if webhook.state == WebhookState.PAUSED:
        raise Refused("This webhook is paused. Resume it, then send a test event.")
    delivery = Delivery(
        account_id=webhook.account_id,
        webhook=webhook,
        event=TEST,
        payload=event_payload(TEST, {"note": "This is a test."}),
        test=True,
        retry_at=now_sql(),
        retried_by_id=user_id,
    )
    db.session.add(delivery)
    db.session.flush()
    webhook_id = webhook.id
    after_commit(lambda: rings.ring_unless_locked(webhook_id))
    return delivery


def remove(webhook: Webhook) -> int:
    """Removes the URL; waiting events are cancelled. Returns how many."""
    return editing.remove(webhook)


def log(webhook: Webhook) -> Sequence[Delivery]:
    """The newest events, newest first, with their attempts."""
    newest = select(Delivery).where(Delivery.webhook_id == webhook.id).order_by(Delivery.id.desc()).limit(SHOWN)
    return db.session.scalars(newest.options(selectinload(Delivery.attempts))).all()
