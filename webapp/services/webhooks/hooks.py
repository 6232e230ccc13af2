"""REST hooks: webhooks that a program makes for itself, each with a Shared Token of its own.

A hook is recognised by its token, whose name is made of the webhook's id. A person may change a hook like any other
webhook; one that signs with another token is a hook no more. Its token ends with it, by any way of removing it.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import contains_eager
from werkzeug.exceptions import NotFound

from webapp.db.pages import Page, read_page
from webapp.extensions import db
from webapp.models import ApiKey, Authentication, Interface, Webhook, WebhookState
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.webhooks import editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan
from webapp.webhooks.addresses import parse_url

TOKEN = "Hook "  # the name of a hook's token begins so, and ends with the webhook's id


def create(interface: Interface, target: str) -> tuple[Webhook, str]:
    """Adds a webhook that sends the interface's leads to `target`, named by its host. Returns it and the secret of its
    token, this once. Check the target before with `webhooks.check_reachable`. Refused as by `editing.add`."""
    webhook = editing.add(interface, Plan(target))
    name = parse_url(target).host[:100]
    token, secret = api_keys.create_shared_token(interface.account_id, None, f"{TOKEN}{webhook.public_id}")
    editing.save(webhook, Plan(target, name, token.public_id, wanted=Wanted(Authentication.SHARED_TOKEN)))
    editing.record("added", webhook)
    return webhook, secret


def page(account_id: int, after: int | None, size: int, only: Sequence[str] | None = None) -> Page[Webhook, int]:
    """The account's hooks after the one with the id `after`, newest first; `only` those of interfaces with these public
    ids. One statement."""
    found = _live(account_id)
    if only is not None:
        found = found.where(Interface.public_id.in_(only))
    return read_page(found, Webhook.id, lambda hook: int(hook.id), before=None, after=after, size=size)


def get(account_id: int, public_id: str) -> Webhook:
    """The account's hook with its interface; NotFound for one that has ended, and for any other webhook."""
    found: Webhook | None = db.session.scalar(_live(account_id).where(Webhook.public_id == public_id))
    if found is None:
        raise NotFound
    return found


def remove(webhook: Webhook) -> int:
    """Removes a webhook as `editing.remove` does, a hook or not, and says so in the audit log; the token of a hook is
    revoked. Returns how many deliveries were cancelled."""
    token = webhook.shared_token
    cancelled = editing.remove(webhook)
    editing.record("removed", webhook, f"{cancelled:,} deliveries cancelled" if cancelled else "")
    if token and token.name == f"{TOKEN}{webhook.public_id}":
        with suppress(Refused):  # a person chose it for another webhook, too
            api_keys.revoke(token)
    return cancelled


def _live(account_id: int) -> Select[Any]:
    of_account = Webhook.account_id == account_id, ~Webhook.is_first, Webhook.removed_at.is_(None)
    found = select(Webhook).join(Webhook.interface).join(Webhook.shared_token)
    found = found.where(*of_account, Webhook.state != WebhookState.ARCHIVED, ApiKey.name == TOKEN + Webhook.public_id)
    return found.options(contains_eager(Webhook.interface), contains_eager(Webhook.shared_token))
