"""Interfaces: create, change, delete. An interface is created with its webhook and lane, and keeps them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import func, select
from werkzeug.exceptions import NotFound

from webapp import colours, text
from webapp.clock import utcnow
from webapp.config import current_config
from webapp.countries import COUNTRIES
from webapp.db.pages import Page, read_page
from webapp.delivery import ledger, states
from webapp.extensions import db
from webapp.models import (
    Authentication,
    Corners,
    Delivery,
    Interface,
    Lane,
    Lead,
    Scheme,
    Webhook,
    WebhookState,
)
from webapp.services import audit
from webapp.services.errors import Refused, refusing
from webapp.services.interfaces import after_submit, form_texts, interface_templates
from webapp.services.interfaces.interface_templates import Template
from webapp.services.webhooks import editing

MAX_NAME = 200

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


def get(account_id: int, public_id: str, lock: bool = False) -> Interface:
    """The account's interface; NotFound for a deleted one and for any other. `lock`: until the transaction ends."""
    live = select(Interface).where(Interface.public_id == public_id, Interface.archived_at.is_(None))
    live = live.where(Interface.account_id == account_id)
    found = db.session.scalar(live.with_for_update() if lock else live)
    if found is None:
        raise NotFound
    return found


def all_of(account_id: int, most: int = 500) -> Sequence[Interface]:
    """The account's interfaces by name, to choose from."""
    live = select(Interface).where(Interface.account_id == account_id, Interface.archived_at.is_(None))
    return db.session.scalars(live.order_by(Interface.name, Interface.id).limit(most)).all()


def page(account_id: int, after: int | None, size: int, only: Sequence[str] | None = None) -> Page[Interface, int]:
    """The account's interfaces after the one with the id `after`, newest first; `only` those with these public ids."""
    live = select(Interface).where(Interface.account_id == account_id, Interface.archived_at.is_(None))
    if only is not None:
        live = live.where(Interface.public_id.in_(only))
    return read_page(live, Interface.id, lambda found: int(found.id), before=None, after=after, size=size)


def create(account_id: int, name: str, template: Template = interface_templates.CONTACT) -> Interface:
    """A new interface with the template's content and a webhook without a URL; Refused for a name that cannot be
    saved."""
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
    """Saves what visitors read, and where they go after sending. An empty thank-you message becomes the default one.

    `language` is a tag such as pt-BR, `country` an ISO code, `redirect_url` an https address. Refused otherwise.
    """
    with refusing("name"):
        interface.name = text.line(name, "The name", MAX_NAME)
    with refusing("introduction"):
        interface.introduction = text.lines(introduction, "The introduction", 1000)
    with refusing("thank_you"):
        default = Interface.__table__.c.thank_you.default.arg
        interface.thank_you = text.lines(thank_you, "The thank-you message", 1000) or default
    if redirect_url and (fault := after_submit.fault(redirect_url)):
        raise Refused(fault, "redirect_url")
    if not _LANGUAGE.fullmatch(language):
        raise Refused("Write the language as its short code: en, de or pt-BR.", "language")
    if country and country not in COUNTRIES:
        raise Refused("Choose a country from the list.", "country")
    interface.redirect_url, interface.language, interface.country = redirect_url or None, language, country or None
    interface.updated_at = utcnow()
    record("changed", interface, "General")


def update_look(interface: Interface, *, accent: str, scheme: Scheme, corners: Corners) -> None:
    """Saves the look. `accent` is any #rrggbb, because the form adjusts the colour until it can be read."""
    if not colours.is_colour(accent.lower()):
        raise Refused("Write the colour as # and six digits: #2f54d0.", "accent")
    before = interface.accent, interface.scheme, interface.corners
    interface.accent, interface.scheme, interface.corners = accent.lower(), scheme, corners
    interface.updated_at = utcnow()
    if before != (accent.lower(), scheme, corners):  # every save of the General tab comes here
        record("changed", interface, "Look")


def update_texts(interface: Interface, given: Mapping[str, str]) -> None:
    """Saves the form's other texts, by the names in services/interfaces/form_texts.py."""
    interface.texts = form_texts.checked(given)
    interface.updated_at = utcnow()
    record("changed", interface, "Texts")


def close(interface: Interface) -> None:
    """Closes the form: it takes no answers, and says so, until it is reopened."""
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
    parallel_requests: int | None = None,
    sends_undeclared: bool = False,
) -> int:
    """Saves where leads are sent, and who is notified. `shared_token` is the public id of a live token of the account;
    `parallel_requests` None is *Automatic*.

    Returns how many held deliveries (without a URL or a token until now) became due. Refused, with nothing changed,
    for an unusable URL, a signature without a token, or a wrong number of parallel requests.
    """
    plan = editing.first_plan(interface.webhook, url, authentication, shared_token)
    plan = replace(plan, automatic_retries=automatic_retries, parallel_requests=parallel_requests)
    released = editing.save(interface.webhook, plan)
    interface.notification_emails, interface.report_emails = list(notification_emails), list(report_emails)
    interface.sends_undeclared, interface.updated_at = sends_undeclared, utcnow()
    record("changed", interface, "Lead Generation")
    return released


def archive(interface: Interface) -> int:
    """Deletes an interface for ever: its form answers 404, its waiting deliveries are cancelled, its leads stay.

    Returns how many deliveries were cancelled. Does nothing for a deleted interface.
    """
    connection = db.session.connection()
    of_interface = select(Webhook.id).where(Webhook.interface_id == interface.id, Webhook.removed_at.is_(None))
    ids = sorted(connection.scalars(of_interface))
    for webhook_id in ids:
        states.lock_lane(connection, webhook_id)
    db.session.refresh(interface)
    if interface.archived_at:
        return 0
    for webhook in interface.webhooks:
        webhook.state, webhook.state_reason, webhook.state_changed_at = WebhookState.ARCHIVED, "", utcnow()
    interface.archived_at = utcnow()
    record("deleted", interface)
    db.session.flush()
    return sum(states.cancel(connection, webhook_id) for webhook_id in ids)


def record(action: str, interface: Interface, detail: str = "") -> None:
    """Writes an action on an interface into the audit log.

    `action` is created, changed (`detail` says what), closed, reopened, tested or deleted. Never write the values of
    settings: a URL may hold a secret.
    """
    audit.record(
        f"interface.{action}", interface.account_id, interface.name, target_id=interface.public_id, detail=detail
    )


def waiting(interface: Interface) -> int:
    """How many leads wait to be sent or are on hold: deleting the interface cancels these."""
    ids = [webhook.id for webhook in interface.webhooks]
    of_webhook = select(func.count()).where(Delivery.webhook_id.in_(ids), ~Delivery.test, ~Delivery.shadow)
    parts = [of_webhook.where(part).scalar_subquery() for part in (ledger.FRESH, ledger.AGAIN, states.ON_HOLD)]
    return db.session.scalar(select(sum(parts[1:], parts[0]))) or 0


def lead_count(interface: Interface, limit: int = 1000) -> int:
    """The number of leads, without tests and spam; counting stops at `limit` + 1."""
    counted = (Lead.interface_id == interface.id, ~Lead.test, Lead.spam.is_(None))
    some = select(Lead.id).where(*counted).limit(limit + 1)
    return db.session.scalar(select(func.count()).select_from(some.subquery())) or 0


def test_delivery(interface: Interface, message_id: str) -> Delivery:
    """The test delivery of this interface with that message id; NotFound if there is none."""
    of_interface = select(Delivery).join(Lead).where(Lead.interface_id == interface.id, Delivery.test)
    found = db.session.scalar(of_interface.where(Delivery.message_id == message_id))
    if found is None:
        raise NotFound
    return found


def form_url(interface: Interface) -> str:
    """The public address of the interface's form."""
    return f"{current_config.public_url}/f/{interface.public_id}"
