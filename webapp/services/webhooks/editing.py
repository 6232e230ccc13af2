"""Adds, changes and removes the webhooks of an interface. The first one is made with its interface and stays."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.orm import joinedload
from werkzeug.exceptions import NotFound

from webapp import text
from webapp.clock import utcnow
from webapp.db.pages import Page, read_page
from webapp.delivery import ledger, states
from webapp.extensions import db
from webapp.models import ApiKey, Authentication, Delivery, Interface, KeyType, Lane, Webhook, WebhookState
from webapp.services import audit
from webapp.services.errors import Refused, refusing
from webapp.services.webhooks import connections, webhooks
from webapp.services.webhooks.connections import Wanted
from webapp.webhooks.presets import catalogue

MOST = 20  # webhooks of an interface
MAX_PARALLEL_REQUESTS = 16
WRONG_NUMBER = f"Choose Automatic, or a whole number from 1 to {MAX_PARALLEL_REQUESTS}."
FASTEST = 100  # requests a second


@dataclass(frozen=True)
class Plan:
    """A webhook's settings as a person wants them. `shared_token`: the public id of a live token of the account.

    `parallel_requests` None is *Automatic*; `rate` in requests a second, None without a limit.
    """

    url: str | None
    name: str = ""
    shared_token: str | None = None
    automatic_retries: bool = True
    parallel_requests: int | None = None
    rate: int | None = None
    is_shadow: bool = False
    wanted: Wanted = field(default_factory=Wanted)


def get(account_id: int, public_id: str) -> Webhook:
    """The account's webhook of a live interface; NotFound for one that was removed, and for any other."""
    found = db.session.scalar(_live(account_id).where(Webhook.public_id == public_id))
    if found is None:
        raise NotFound
    return found


def page(account_id: int, after: int | None, size: int, only: Sequence[str] | None = None) -> Page[Webhook, int]:
    """The account's webhooks of live interfaces after the one with the id `after`, newest first; `only` those of
    interfaces with these public ids. One statement."""
    live = _live(account_id)
    if only is not None:
        live = live.where(Webhook.interface_id.in_(select(Interface.id).where(Interface.public_id.in_(only))))
    return read_page(live, Webhook.id, lambda found: int(found.id), before=None, after=after, size=size)


def _live(account_id: int) -> Select[Webhook]:
    live = select(Webhook).where(Webhook.account_id == account_id, Webhook.state != WebhookState.ARCHIVED)
    live = live.where(Webhook.interface_id.is_not(None), Webhook.removed_at.is_(None))
    return live.options(joinedload(Webhook.interface), joinedload(Webhook.shared_token))


def as_it_is(webhook: Webhook) -> Plan:
    """The plan that changes nothing."""
    return Plan(
        webhook.url,
        webhook.name or "",
        webhook.shared_token.public_id if webhook.shared_token else None,
        webhook.automatic_retries,
        None if webhook.is_automatic else webhook.parallel_requests,
        webhook.rate,
        webhook.is_shadow,
        connections.as_it_is(webhook),
    )


def add(interface: Interface, plan: Plan) -> Webhook:
    """Adds a webhook; Refused for settings that cannot be used, and for one too many."""
    db.session.execute(select(Interface.id).where(Interface.id == interface.id).with_for_update())
    db.session.refresh(interface, ["webhooks"])
    if len(interface.webhooks) >= MOST:
        raise Refused(f"An interface has {MOST} webhooks at most.")
    webhook = Webhook(account_id=interface.account_id, interface=interface, is_first=False, lane=Lane())
    db.session.add(webhook)
    db.session.flush()
    save(webhook, plan)
    return webhook


def with_new_secret(webhook: Webhook | None, plan: Plan) -> tuple[Plan, str]:
    """The plan with a new secret, and this secret, if its authentication needs one that Leadhook can make. Without a
    webhook: for a new one."""
    wanted, secret = connections.with_new_secret(plan.wanted, webhook)
    return replace(plan, wanted=wanted), secret


def save(webhook: Webhook, plan: Plan) -> int:
    """Saves a webhook's settings; returns how many held deliveries became due. Refused, with nothing changed, for
    settings that cannot be used. NotFound for a webhook that was removed meanwhile."""
    connection = lock(webhook)
    _check(webhook, plan)
    url = webhooks.as_sent(catalogue.completed(plan.url, plan.wanted.stored.get("preset")))
    before = webhooks.as_sent(webhook.url), webhook.authentication, webhook.shared_token_id
    signs = plan.wanted.authentication == Authentication.SHARED_TOKEN
    token = live_token(webhook.account_id, plan.shared_token) if signs else None
    settled = connections.settle(webhook.interface, plan.wanted, webhook)
    with refusing("name"):
        webhook.name = text.line(plan.name, "The name", 100, required=False) or None
    if (url or None) != before[0]:
        webhook.lane.unended_since = None  # another receiver may end its answers
    webhook.url, webhook.shared_token = url or None, token
    webhook.automatic_retries, webhook.rate = plan.automatic_retries, plan.rate
    webhook.parallel_requests, webhook.automatic_parallel = plan.parallel_requests or 1, plan.parallel_requests is None
    webhook.is_shadow = plan.is_shadow
    secrets = connections.readable(webhook)
    connections.apply(webhook, settled)
    changed = (webhook.url, webhook.authentication, webhook.shared_token and webhook.shared_token.id) != before
    if changed or settled.secrets != secrets:
        webhook.examination = None  # what was seen is not about this receiver, or not about this secret
    db.session.flush()
    states.forms_changed(connection, webhook.id)
    webhooks.changed(webhook, *before)
    return webhooks.release_held(webhook)


def lock(webhook: Webhook) -> Connection:
    """Locks the webhook's lane, first in the engine's order of locks, and reads it again; the session's connection.
    NotFound for one that was removed meanwhile."""
    connection = db.session.connection()
    states.lock_lane(connection, webhook.id)
    db.session.refresh(webhook)
    if webhook.removed_at:
        raise NotFound
    return connection


def first_plan(webhook: Webhook, url: str | None, authentication: Authentication, shared_token: str | None) -> Plan:
    """The plan of the Lead Generation tab: its settings, and the rest of the webhook's as it is."""
    wanted = connections.as_it_is(webhook)
    if authentication != webhook.authentication:
        wanted = replace(wanted, authentication=authentication, options={})
    return Plan(url, webhook.name or "", shared_token, rate=webhook.rate, wanted=wanted)


def remove(webhook: Webhook) -> int:
    """Removes a webhook for ever; its waiting deliveries are cancelled, its log stays. Returns how many were cancelled.

    Refused for an interface's first one.
    """
    connection = db.session.connection()
    states.lock_lane(connection, webhook.id)
    db.session.refresh(webhook)  # it may have become the first one just now
    if webhook.is_first:
        raise Refused("The first webhook of an interface stays. Empty its URL to send no leads there.")
    if webhook.removed_at:
        return 0
    webhook.removed_at = webhook.state_changed_at = utcnow()
    webhook.state, webhook.state_reason, webhook.secrets_encrypted = WebhookState.ARCHIVED, "", None
    db.session.flush()
    states.forms_changed(connection, webhook.id)
    return states.cancel(connection, webhook.id, "The webhook was removed.")


def waiting(webhook: Webhook) -> int:
    """How many leads wait to be sent by it or are on hold: its removal cancels these."""
    own = select(func.count()).where(Delivery.webhook_id == webhook.id, ~Delivery.test)
    parts = [own.where(part).scalar_subquery() for part in (ledger.FRESH, ledger.AGAIN, states.ON_HOLD)]
    return db.session.scalar(select(sum(parts[1:], parts[0]))) or 0


def record(action: str, webhook: Webhook, detail: str = "") -> None:
    """Writes an action on a webhook into the audit log: added, changed, removed. Never write the values of settings."""
    named = f"{webhook.interface.name}: {webhook.label}" if webhook.interface_id else webhook.label
    audit.record(f"webhook.{action}", webhook.account_id, named, target_id=webhook.public_id, detail=detail)


def live_token(account_id: int, public_id: str | None) -> ApiKey:
    """The account's Shared Token; Refused for one that does not exist any more, and for none."""
    if not public_id:
        raise Refused("A signature needs a Shared Token: choose one, or make one with New.", "shared_token")
    query = select(ApiKey).where(
        ApiKey.account_id == account_id,
        ApiKey.public_id == public_id,
        ApiKey.type == KeyType.SHARED_TOKEN,
        ApiKey.revoked_at.is_(None),
    )
    # No one can revoke it before this is saved. PostgreSQL refuses to look for a NUL.
    token = db.session.scalar(query.with_for_update()) if public_id.isprintable() else None
    if token is None:
        raise Refused("This Shared Token does not exist any more. Choose another.", "shared_token")
    return token


def _check(webhook: Webhook, plan: Plan) -> None:
    if plan.url and (fault := webhooks.fault(plan.url)):
        raise Refused(fault, "webhook_url")
    if not plan.url and not webhook.is_first:
        raise Refused("Enter the Lead Webhook URL.", "webhook_url")
    if plan.parallel_requests is not None and not 1 <= plan.parallel_requests <= MAX_PARALLEL_REQUESTS:
        raise Refused(WRONG_NUMBER, "parallel_requests")
    if plan.rate is not None and not 1 <= plan.rate <= FASTEST:
        raise Refused(f"Enter a whole number from 1 to {FASTEST}, or leave it empty.", "rate")
    if plan.is_shadow and webhook.is_first:
        raise Refused("The first webhook of an interface cannot be a shadow.", "is_shadow")
