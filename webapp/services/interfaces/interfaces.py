"""Interfaces: make, change, delete. A webhook and its lane are made with an interface and stay with it."""

import re
from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from werkzeug.exceptions import NotFound

from webapp import colours, text
from webapp.clock import utcnow
from webapp.config import current_config
from webapp.countries import COUNTRIES
from webapp.delivery import ledger, states
from webapp.extensions import db
from webapp.models import (
    ApiKey,
    Authentication,
    Corners,
    Delivery,
    Interface,
    KeyType,
    Lane,
    Lead,
    Scheme,
    Webhook,
    WebhookState,
)
from webapp.services import audit
from webapp.services.errors import Refused, refusing
from webapp.services.interfaces import form_texts, interface_templates, webhooks
from webapp.services.interfaces.interface_templates import Template
from webapp.webhooks.addresses import check_url

MAX_NAME = 200
MAX_PARALLEL_REQUESTS = 16

_PAGE = re.compile(r"https://[A-Za-z0-9.-]+(:\d{1,5})?([/?#][!-~]{0,2000})?")  # its host goes into a policy: no ; there
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


def get(account_id: int, public_id: str) -> Interface:
    """The account's interface; NotFound for a deleted one and for any other."""
    live = select(Interface).where(Interface.public_id == public_id, Interface.archived_at.is_(None))
    found = db.session.scalar(live.where(Interface.account_id == account_id))
    if found is None:
        raise NotFound
    return found


def create(account_id: int, name: str, template: Template = interface_templates.CONTACT) -> Interface:
    """A new interface that begins as the template says, its webhook without a URL; Refused for a name that cannot be
    kept."""
    with refusing("name"):
        name = text.line(name, "The name", MAX_NAME)
    interface = Interface(account_id=account_id, name=name, fields=template.fields(), **template.settings)
    interface.webhooks.append(Webhook(account_id=account_id, lane=Lane()))
    db.session.add(interface)
    db.session.flush()
    record("created", interface)
    return interface


def update_general(
    interface: Interface,
    *,
    name: str,
    introduction: str,
    thank_you: str,
    redirect_url: str | None = None,
    language: str = "en",
    country: str | None = None,
) -> None:
    """What visitors read, and where they go. An empty thank-you message becomes the one every interface begins with.

    `language` is a tag such as pt-BR, `country` an ISO code; `redirect_url` begins with https. Refused otherwise.
    """
    with refusing("name"):
        interface.name = text.line(name, "The name", MAX_NAME)
    with refusing("introduction"):
        interface.introduction = text.lines(introduction, "The introduction", 1000)
    with refusing("thank_you"):
        default = Interface.__table__.c.thank_you.default.arg
        interface.thank_you = text.lines(thank_you, "The thank-you message", 1000) or default
    if redirect_url and not _PAGE.fullmatch(redirect_url):
        raise Refused("This is not the address of a page. It begins with https:// and has no spaces.", "redirect_url")
    if not _LANGUAGE.fullmatch(language):
        raise Refused("Write the language as its short code: en, de or pt-BR.", "language")
    if country and country not in COUNTRIES:
        raise Refused("Choose a country from the list.", "country")
    interface.redirect_url, interface.language, interface.country = redirect_url or None, language, country or None
    interface.updated_at = utcnow()
    record("changed", interface, "General")


def update_look(interface: Interface, *, accent: str, scheme: Scheme, corners: Corners) -> None:
    """`accent` is #rrggbb; any will do, for the form takes care that it can be read."""
    if not colours.is_colour(accent.lower()):
        raise Refused("Write the colour as # and six digits: #2f54d0.", "accent")
    before = interface.accent, interface.scheme, interface.corners
    interface.accent, interface.scheme, interface.corners = accent.lower(), scheme, corners
    interface.updated_at = utcnow()
    if before != (accent.lower(), scheme, corners):  # it is saved with what stands on the General tab
        record("changed", interface, "Look")


def update_texts(interface: Interface, given: Mapping[str, str]) -> None:
    """The form's other words, by the names of services/interfaces/form_texts.py."""
    interface.texts = form_texts.checked(given)
    interface.updated_at = utcnow()
    record("changed", interface, "Texts")


def close(interface: Interface) -> None:
    """Its form takes no answers until it is opened again, and says so."""
    interface.closed_at = interface.closed_at or utcnow()
    interface.updated_at = utcnow()
    record("closed", interface)


def reopen(interface: Interface) -> None:
    interface.closed_at = None
    interface.updated_at = utcnow()
    record("reopened", interface)


def update_lead_generation(
    interface: Interface,
    *,
    url: str | None,
    authentication: Authentication,
    shared_token: str | None,
    notification_emails: Sequence[str] = (),
    report_emails: Sequence[str] = (),
    automatic_retries: bool = True,
    parallel_requests: int = 1,
) -> int:
    """Where leads go, and who is told. `shared_token` is the public id of a live token of the account.

    Deliveries that were held for want of a URL or a token are due again; returns how many. Refused, with nothing
    changed, for a URL that cannot be one, a signature without a token, too many parallel requests.
    """
    webhook = interface.webhook
    states.lock_lane(db.session.connection(), webhook.id)  # before its other rows, as the engine does
    db.session.refresh(webhook)
    fault = check_url(url) if url else None
    if fault:
        raise Refused(f"{fault.rstrip('.')}.", "webhook_url")
    if not 1 <= parallel_requests <= MAX_PARALLEL_REQUESTS:
        raise Refused(f"Parallel requests is a whole number from 1 to {MAX_PARALLEL_REQUESTS}.", "parallel_requests")
    signs = authentication == Authentication.SHARED_TOKEN
    webhook.shared_token = _live_token(interface.account_id, shared_token) if signs else None
    webhook.url, webhook.authentication = url or None, authentication
    webhook.automatic_retries, webhook.parallel_requests = automatic_retries, parallel_requests
    interface.notification_emails, interface.report_emails = list(notification_emails), list(report_emails)
    interface.updated_at = utcnow()
    record("changed", interface, "Lead Generation")
    db.session.flush()
    return webhooks.release_held(webhook)


def archive(interface: Interface) -> int:
    """Deletes an interface for good: its form answers 404, what waits to be sent is cancelled, its leads stay.

    Returns how many deliveries were cancelled; a second time does nothing.
    """
    webhook = interface.webhook
    connection = db.session.connection()
    states.lock_lane(connection, webhook.id)
    db.session.refresh(interface)
    if interface.archived_at:
        return 0
    webhook.state, webhook.state_reason, webhook.state_changed_at = WebhookState.ARCHIVED, "", utcnow()
    interface.archived_at = utcnow()
    record("deleted", interface)
    db.session.flush()
    return states.cancel(connection, webhook.id)


def record(deed: str, interface: Interface, detail: str = "") -> None:
    """Writes into the audit log what was done to an interface: created, changed (`detail`: what of it), closed,
    reopened, tested, deleted.

    No settings' values: a URL may hold a secret.
    """
    audit.record(
        f"interface.{deed}", interface.account_id, interface.name, target_id=interface.public_id, detail=detail
    )


def waiting(interface: Interface) -> int:
    """How many leads wait to be sent, held ones too: those that deleting the interface cancels."""
    of_webhook = select(func.count()).where(Delivery.webhook_id == interface.webhook.id, ~Delivery.test)
    parts = [of_webhook.where(part).scalar_subquery() for part in (ledger.FRESH, ledger.AGAIN, states.HELD)]
    return db.session.scalar(select(sum(parts[1:], parts[0]))) or 0


def lead_count(interface: Interface, limit: int = 1000) -> int:
    """How many leads it has brought, tests and spam aside; more than `limit` are counted as one more."""
    counted = (Lead.interface_id == interface.id, ~Lead.test, Lead.spam.is_(None))
    some = select(Lead.id).where(*counted).limit(limit + 1)
    return db.session.scalar(select(func.count()).select_from(some.subquery())) or 0


def test_delivery(interface: Interface, message_id: str) -> Delivery:
    """The test of this interface with that message id; NotFound for what is no test of it."""
    of_interface = select(Delivery).join(Lead).where(Lead.interface_id == interface.id, Delivery.test)
    found = db.session.scalar(of_interface.where(Delivery.message_id == message_id))
    if found is None:
        raise NotFound
    return found


def form_url(interface: Interface) -> str:
    """The address of its form, as visitors reach it."""
    return f"{current_config.public_url}/f/{interface.public_id}"


def _live_token(account_id: int, public_id: str | None) -> ApiKey:
    if not public_id:
        raise Refused("A signature needs a Shared Token: choose one, or make one with New.", "shared_token")
    query = select(ApiKey).where(
        ApiKey.account_id == account_id,
        ApiKey.public_id == public_id,
        ApiKey.type == KeyType.SHARED_TOKEN,
        ApiKey.revoked_at.is_(None),
    )
    token = db.session.scalar(query.with_for_update())  # nobody may revoke it before this is saved
    if token is None:
        raise Refused("This Shared Token does not exist any more. Choose another.", "shared_token")
    return token
