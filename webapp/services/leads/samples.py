"""Samples of what a webhook gets: a program that is about to make a hook learns from them which values will come."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import selectinload
from werkzeug.exceptions import NotFound

from webapp.extensions import db
from webapp.models import Interface, Lead
from webapp.services.intake.answers import clean
from webapp.services.intake.capture import NewLead
from webapp.services.leads import leads
from webapp.webhooks.payload import payload_of

NEWEST = 3


def bodies(account_id: int, public_id: str = "", only: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """What a webhook got for the newest leads of an interface, newest first; for a made-up lead if there is none.

    `public_id`: of the interface, NotFound if there is none; without it the newest one is taken, of those with the
    public ids `only`. Nothing if the account has none. Spam and anonymised leads are left out.
    """
    live = select(Interface).where(Interface.account_id == account_id, Interface.archived_at.is_(None))
    if public_id:
        live = live.where(Interface.public_id == clean(public_id))
    if only is not None:
        live = live.where(Interface.public_id.in_(only))
    interface = db.session.scalar(live.order_by(Interface.id.desc()).limit(1).options(selectinload(Interface.fields)))
    if interface is None:
        if public_id:
            raise NotFound
        return []
    real = Lead.interface_id == interface.id, Lead.spam.is_(None), Lead.anonymised_at.is_(None)
    newest = db.session.scalars(select(Lead).where(*real).order_by(Lead.id.desc()).limit(NEWEST)).all()
    shown: Sequence[Lead | NewLead] = newest or [leads.made_up(interface)]
    return [json.loads(payload_of(lead, interface)) for lead in shown]
