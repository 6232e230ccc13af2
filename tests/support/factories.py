"""Rows that many tests need, created by the same services as in the product."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session, selectinload

from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import ApiKey, Authentication, Delivery, Interface, Lead
from webapp.services import api_keys
from webapp.services.intake import capture, published_forms
from webapp.services.intake.capture import Submission, new_lead

ADA = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+15550100", "message": "Hello"}


def point_at(interface: Interface, url: str, **settings: object) -> None:
    """Sets the Lead Webhook URL of an interface, and other columns of its webhook."""
    with transaction():
        webhook = db.session.get_one(Interface, interface.id).webhook
        webhook.url = url
        for name, value in settings.items():
            setattr(webhook, name, value)


def sign(interface: Interface, name: str = "CRM production") -> tuple[ApiKey, str]:
    """Gives an interface a Shared Token. Returns the token and its secret."""
    with transaction():
        token, secret = api_keys.create_shared_token(interface.account_id, None, name)
    point_at(interface, interface.webhook.url or "", authentication=Authentication.SHARED_TOKEN, shared_token=token)
    return token, secret


def submit(interface: Interface, fields: Mapping[str, str] = ADA) -> Lead:
    """Captures a lead as a submitted form does, and commits."""
    with transaction():
        return captured(interface.public_id, fields)


def captured(public_id: str, fields: Mapping[str, str], source: Mapping[str, Any] = MappingProxyType({})) -> Lead:
    """Captures a lead of the interface as a submitted form does, in the current transaction."""
    lead_id = None
    while lead_id is None:  # the form was changed just now
        form = published_forms.get(public_id)
        [lead_id] = capture.capture([Submission(form, new_lead(form.interface, fields, source))])
    return db.session.scalars(select(Lead).where(Lead.public_id == lead_id)).one()


def delivery_of(lead: Lead) -> Delivery:
    """The lead's delivery and attempts as they are in the database now, detached.

    It leaves no transaction open: on SQLite that would lock out the workers that a test waits for.
    """
    [lead_id] = inspect(lead).identity or ()
    db.session.rollback()
    with read_only(), Session(db.engine) as session:
        query = select(Delivery).where(Delivery.lead_id == lead_id).options(selectinload(Delivery.attempts))
        found = session.scalars(query).one()
        session.expunge_all()
    return found
