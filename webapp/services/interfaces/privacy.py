"""What an interface keeps of its visitors, and for how long."""

from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from sqlalchemy import ColumnElement, func, select

from webapp.clock import utcnow
from webapp.extensions import db
from webapp.models import Interface, IpAddresses, Lead
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces

MAX_DAYS = 3650


def kept_address(address: str | None, how: IpAddresses) -> str | None:
    """What is kept of a visitor's address: all, its network (/24, of IPv6 /48) or nothing. What is no address goes."""
    if how == IpAddresses.WHOLE or address is None:
        return address
    if how == IpAddresses.NONE:
        return None
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    network = ip_network((found, 24 if found.version == 4 else 48), strict=False)
    return str(network.network_address)


def update(interface: Interface, *, ip_addresses: IpAddresses, retention_days: int | None, anonymises: bool) -> None:
    """What is kept of leads that come from now on, and after how many days (None: never) any lead is deleted."""
    if retention_days is not None and not 1 <= retention_days <= MAX_DAYS:
        raise Refused(f"Write a whole number of days, from 1 to {MAX_DAYS:,}.", "retention_days")
    interface.ip_addresses, interface.retention_days, interface.anonymises = ip_addresses, retention_days, anonymises
    interface.updated_at = utcnow()
    days = "for ever" if retention_days is None else f"{retention_days} days"
    detail = f"Privacy: addresses {ip_addresses.value}, kept {days}, {'' if anonymises else 'not '}anonymised"
    interfaces.record("changed", interface, detail)


def too_old(interface: Interface, days: int, limit: int = 1000) -> int:
    """How many leads are older than that already; more than `limit` are counted as one more."""
    some = select(Lead.id).where(*older_than(interface.id, interface.account_id, days)).limit(limit + 1)
    return db.session.scalar(select(func.count()).select_from(some.subquery())) or 0


def older_than(interface_id: int, account_id: int, days: int) -> tuple[ColumnElement[bool], ...]:
    """The leads of an interface that came so long ago: a range of ids, of which an index knows the end.

    By `received_at` alone all leads of the interface would be walked over, each time.
    """
    since = _days_ago(days)
    recent = select(Lead.id).where(Lead.account_id == account_id, Lead.received_at >= since)
    first: Any = recent.order_by(Lead.received_at, Lead.id).limit(1).scalar_subquery()
    return Lead.interface_id == interface_id, Lead.received_at < since, Lead.id < func.coalesce(first, 2**62)


def _days_ago(days: int) -> datetime:
    return utcnow() - timedelta(days=days)
