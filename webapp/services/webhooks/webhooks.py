"""Webhooks: check the URL, pause, resume, end a rest, and release held deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import current_app
from sqlalchemy import Connection, select, update

from webapp.clock import moment
from webapp.config import current_config
from webapp.db.transactions import after_commit, end_transaction
from webapp.delivery import ledger, maintenance, rests, rings, states
from webapp.delivery.shared_names import SharedNames
from webapp.extensions import db
from webapp.models import Authentication, Lane, Webhook, WebhookState
from webapp.services import audit
from webapp.services.errors import Refused
from webapp.services.reports import reports
from webapp.services.webhooks import rendering
from webapp.webhooks import addresses
from webapp.webhooks.addresses import BlockedAddress, Network, check_url, is_form_of, parse_url, sent_url
from webapp.webhooks.failures import explain
from webapp.webhooks.lookups import NoTurn

LOOKUP_SECONDS = 2.0  # a person waits for the page, and a slow lookup must not block a web thread


def fault(url: str) -> str | None:
    """Why a webhook of ours cannot have this URL, as a sentence; None if it can. Makes no DNS lookup."""
    wrong = check_url(url)
    if wrong:
        return f"{wrong.rstrip('.')}."
    if is_form_of(current_config.public_url, url):
        return "This is the address of a form of this Leadhook: each lead would make another one, without an end."
    return None


def as_sent(url: str | None) -> str | None:
    """The URL as it is sent, which is how it is stored. One from before that cannot be used any more stays as it is."""
    return url if not url or check_url(url) else sent_url(url)


def check_reachable(url: str | None, account_id: int = 0) -> str:
    """A warning for the person of this account who saves this URL; empty if there is none.

    Refused for an unusable URL, or if its name leads to an address that webhooks may not reach. Ends the current
    transaction first, because the lookup can take 2 s. This check only helps the person: the check that protects is
    made at every connection.
    """
    end_transaction()
    if not url:
        return ""
    if wrong := fault(url):
        raise Refused(wrong, "webhook_url")
    destination = parse_url(url)
    host, port, networks = destination.host, destination.port, current_config.allowed_networks
    try:
        resolve(host, port, LOOKUP_SECONDS, networks, account=account_id, nat64=current_config.nat64_prefix)
    except BlockedAddress as blocked:
        raise Refused(explain(blocked, host, port)[1], "webhook_url") from None
    except NoTurn:
        return f"The name {host} was not looked up, because the name servers of other webhooks do not answer."
    except TimeoutError:
        return f"The name {host} could not be looked up within {LOOKUP_SECONDS:g} s. Check the spelling."
    except OSError:
        return f"The name {host} does not resolve at the moment. Check the spelling."
    return ""


def resolve(host: str, port: int, timeout: float, networks: Sequence[Network], **more: Any) -> object:
    """Looks a host up, and lets workers know what was found: no search domain may get the leads of this host later."""
    names = SharedNames(current_app._get_current_object())  # type: ignore[attr-defined]
    return addresses.resolve(host, port, timeout, networks, names, **more)


def pause(webhook: Webhook, reason: str) -> None:
    """Stops sending: waiting and new deliveries are held until `resume`. Mails the reason to the account owner."""
    connection = _locked(webhook)
    if not states.pause(connection, webhook.id, reason):
        maintenance.end_with_pause(connection, webhook.id, reason)
        return
    db.session.refresh(webhook)
    if webhook.interface_id and not webhook.is_shadow:
        reports.note_paused(webhook, reason)
    _record("interface.paused", webhook)


def resume(webhook: Webhook) -> int:
    """Starts sending again, held leads in the order they arrived; returns how many were held.

    The count of failures restarts at zero. If the receiver has asked for a rest, that ends: one lead tries first.
    """
    connection = _locked(webhook)
    rests.end(connection, webhook.id)
    released = states.resume(connection, webhook.id)
    db.session.refresh(webhook)
    _record("interface.resumed", webhook)
    webhook_id = webhook.id
    after_commit(lambda: rings.ring_unless_locked(webhook_id))
    return released


def try_now(webhook: Webhook) -> bool:
    """Ends a rest that the receiver asked for: one lead tries at once, and the others follow if the receiver takes it.

    Returns whether the webhook rested.
    """
    rested = rests.end(_locked(webhook), webhook.id)
    if rested:
        _record("interface.tried_now", webhook)
    webhook_id = webhook.id
    after_commit(lambda: rings.ring_unless_locked(webhook_id))
    return rested


def resting_until(webhook: Webhook) -> datetime | None:
    """When the rest ends that the receiver asked for; None if the webhook does not rest."""
    until = db.session.scalar(select(Lane.rests_until).where(Lane.webhook_id == webhook.id, ledger.RESTING))
    return None if until is None or webhook.state != WebhookState.ACTIVE else moment(until)


def changed(webhook: Webhook, url: str | None, authentication: Authentication, token_id: int | None) -> None:
    """Tells the lane of new settings; the arguments are those before. What the old receiver did counts no more."""
    if (webhook.url, webhook.authentication, webhook.shared_token_id) != (url, authentication, token_id):
        begin_anew(webhook.id)
    if webhook.url != url:
        rests.forget(db.session.connection(), webhook.id)


def begin_anew(*webhook_ids: int) -> None:
    """Restarts the count of failures that may pause a webhook. Their lanes must be locked."""
    lanes = update(Lane).where(Lane.webhook_id.in_(webhook_ids))
    db.session.execute(lanes.values(failures=0, failing_since=None))


def release_held(webhook: Webhook) -> int:
    """Makes held leads due again after their cause (no URL, a revoked token) is fixed; returns how many."""
    connection = _locked(webhook)
    if webhook.interface_id:  # also where the template is gone by now
        rendering.render_again(webhook)
    if webhook.state != WebhookState.ACTIVE or not webhook.url:
        return 0
    return _release(connection, webhook)


def _release(connection: Connection, webhook: Webhook) -> int:
    released = states.release(connection, webhook.id)
    webhook_id = webhook.id
    after_commit(lambda: rings.ring_unless_locked(webhook_id))
    return released


def _record(action: str, webhook: Webhook) -> None:
    about = webhook.interface or webhook
    more = "" if webhook.is_first or not webhook.interface_id else f": {webhook.label}"
    audit.record(action, webhook.account_id, f"{about.name}{more}", target_id=about.public_id)


def _locked(webhook: Webhook) -> Connection:
    """The session's connection, with the webhook's lane locked: no worker can record results at the same time."""
    db.session.flush()
    connection = db.session.connection()
    states.lock_lane(connection, webhook.id)
    return connection
