"""Rows that many tests need, made by the services that make them in the product."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session, selectinload

from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import ApiKey, Authentication, Delivery, Interface, Lead
from webapp.services import api_keys
from webapp.services.intake import capture, submissions
from webapp.services.intake.capture import Submission

ADA = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+15550100", "message": "Hello"}


def point_at(interface: Interface, url: str, **settings: object) -> None:
    """Gives an interface its Lead Webhook URL, and further columns of its webhook."""
    with transaction():
        webhook = db.session.get_one(Interface, interface.id).webhook
        webhook.url = url
        for name, value in settings.items():
            setattr(webhook, name, value)


def sign(interface: Interface) -> tuple[ApiKey, str]:
    """Gives an interface a Shared Token; returns it and its secret."""
    with transaction():
        token, secret = api_keys.create_shared_token(interface.account_id, None, "CRM production")
    point_at(interface, interface.webhook.url or "", authentication=Authentication.SHARED_TOKEN, shared_token=token)
    return token, secret


def submit(interface: Interface, fields: Mapping[str, str] = ADA) -> Lead:
    """Captures a lead as a submitted form would, and ends the transaction."""
    with transaction():
        return captured(interface.public_id, fields)


def captured(public_id: str, fields: Mapping[str, str], source: Mapping[str, Any] = MappingProxyType({})) -> Lead:
    """A lead of that interface, captured as a submitted form is, in the transaction at hand."""
    lead_id = None
    while lead_id is None:  # the form was changed just now
        [lead_id] = capture.capture([Submission(submissions.published(public_id), fields, source)])
    return db.session.scalars(select(Lead).where(Lead.public_id == lead_id)).one()


def delivery_of(lead: Lead) -> Delivery:
    """The lead's delivery and attempts as they stand in the database now, detached: no transaction is left open, which
    on SQLite would lock out the workers a test waits for."""
    [lead_id] = inspect(lead).identity or ()
    db.session.rollback()
    with read_only(), Session(db.engine) as session:
        query = select(Delivery).where(Delivery.lead_id == lead_id).options(selectinload(Delivery.attempts))
        found = session.scalars(query).one()
        session.expunge_all()
    return found
