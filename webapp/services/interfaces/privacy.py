"""Which personal data an interface stores, and for how long."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select

from webapp.clock import utcnow
from webapp.db import database_clock
from webapp.extensions import db
from webapp.models import Interface, IpAddresses, Lead
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces

MAX_DAYS = 3650


def update(interface: Interface, *, ip_addresses: IpAddresses, retention_days: int | None, anonymises: bool) -> None:
    """Saves which data of new leads is stored, and after how many days all leads are deleted (None: never)."""
    if retention_days is not None and not 1 <= retention_days <= MAX_DAYS:
        raise Refused(f"Write a whole number of days, from 1 to {MAX_DAYS:,}.", "retention_days")
    interface.ip_addresses, interface.retention_days, interface.anonymises = ip_addresses, retention_days, anonymises
    interface.updated_at = utcnow()
    days = "for ever" if retention_days is None else f"{retention_days} days"
    detail = f"Privacy: addresses {ip_addresses.value}, kept {days}, {'' if anonymises else 'not '}anonymised"
    interfaces.record("changed", interface, detail)


def too_old(interface: Interface, days: int, limit: int = 1000) -> int:
    """How many leads are older than that already; counting stops at `limit` + 1."""
    some = select(Lead.id).where(*older_than(interface.id, interface.account_id, days)).limit(limit + 1)
    return db.session.scalar(select(func.count()).select_from(some.subquery())) or 0


def older_than(interface_id: int, account_id: int, days: int) -> tuple[ColumnElement[bool], ...]:
    """Conditions for the interface's leads that are older than `days`: a range of ids, which an index finds.

    With a condition on `received_at` only, every query would read all leads of the interface.
    """
    since = _days_ago(days)
    recent = select(Lead.id).where(Lead.account_id == account_id, Lead.received_at >= since)
    first: Any = recent.order_by(Lead.received_at, Lead.id).limit(1).scalar_subquery()
    return Lead.interface_id == interface_id, Lead.received_at < since, Lead.id < func.coalesce(first, 2**62)


def _days_ago(days: int) -> datetime:
    return database_clock.now() - timedelta(days=days)
