"""The installation as a whole: its operator, and what commands and the first run create in one step."""

from dataclasses import replace

from sqlalchemy import select
from werkzeug.exceptions import NotFound

from webapp.extensions import db
from webapp.models import Authentication, Interface, User, Webhook
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.services.webhooks import connections, editing, from_shell, presets, shown
from webapp.services.webhooks.from_shell import STANDARD, Options


def operator() -> User | None:
    """The first owner. None if there is no owner yet."""
    return db.session.scalar(select(User).where(User.is_operator))


def create_interface(
    account_id: int, name: str, *, url: str | None, token_name: str | None, automatic_retries: bool = True
) -> tuple[Interface, str | None]:
    """Creates an interface with its webhook, signed with the Shared Token of this name if one is given.

    A token that does not exist is created, and its secret is returned this once; otherwise the second value is None.
    Raises Refused for the same reasons as the services it calls.
    """
    interface = interfaces.create(account_id, name)
    token = secret = None
    if token_name is not None:
        token, secret = _token(account_id, token_name)
    interfaces.update_lead_generation(
        interface,
        url=url,
        authentication=Authentication.SHARED_TOKEN if token else Authentication.NONE,
        shared_token=token,
        automatic_retries=automatic_retries,
    )
    return interface, secret


def create_webhook(account_id: int, interface_id: str, options: Options) -> tuple[Webhook, str]:
    """Adds a webhook to the interface with this public id. Returns it, and the secret that was made for it, or "".

    Refused for the same reasons as the services it calls, and for an unknown interface.
    """
    try:
        interface = interfaces.get(account_id, interface_id)
    except NotFound:
        raise Refused(f"There is no interface {interface_id[:40]}.") from None
    plan, secret = from_shell.plan(options), ""
    if options.auth == STANDARD:
        name = options.name or f"{interface.name[:80]}: webhook {len(interface.webhooks) + 1}"
        token, secret = api_keys.create_shared_token(account_id, None, name, options.secret.strip())
        plan = replace(plan, shared_token=token.public_id)
    presets.check(options.preset, plan)
    if not secret:
        wanted, secret = connections.with_new_secret(plan.wanted, None)
        plan = replace(plan, wanted=wanted)
    webhook = editing.add(interface, plan)
    editing.record("added", webhook)
    shows = secret and not (options.secret or shown.facts(webhook).public_keys)
    return webhook, secret if shows else ""


def _token(account_id: int, name: str) -> tuple[str, str | None]:
    """The public id of the token with this name. Also its secret, if the token was created just now."""
    for token in api_keys.shared_tokens(account_id):
        if token.name == name.strip():
            return token.public_id, None
    created, secret = api_keys.create_shared_token(account_id, None, name)
    return created.public_id, secret
