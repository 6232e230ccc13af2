"""Leads without a webhook that are not marked so: a web process of an earlier version stored them after `db upgrade`.

Only the newest leads are looked at, so a look takes a few milliseconds in a database of any size. An upgrade during
which more leads than that come in leaves the mark out of the oldest of them; their page is right all the same.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, false, func, literal, select, update

from webapp.models import Delivery, Lead

NEWEST = 10_000


def exist(connection: Connection) -> bool:
    """Whether there is one."""
    return connection.scalar(select(Lead.id).where(*_unmarked(connection)).limit(1)) is not None


def mark(connection: Connection) -> None:
    """Marks them. One that is being changed, perhaps to be sent, is left to the next call."""
    found = select(Lead.id).where(*_unmarked(connection)).with_for_update(skip_locked=True, of=Lead)
    if ids := connection.scalars(found).all():
        # Looked at again, now that they are locked: a delivery may have been added just before.
        connection.execute(update(Lead).where(Lead.id.in_(ids), _has_no_delivery()).values(no_webhook=True))


def _unmarked(connection: Connection) -> tuple[Any, ...]:
    newest = connection.scalar(select(func.max(Lead.id))) or 0
    # As a literal, so that PostgreSQL's generic plan knows how few rows are read.
    recent = Lead.id > literal(newest - NEWEST, literal_execute=True)
    return recent, Lead.spam.is_(None), Lead.no_webhook == false(), _has_no_delivery()


def _has_no_delivery() -> ColumnElement[bool]:
    """As NOT EXISTS, PostgreSQL might read all deliveries first."""
    return select(Delivery.id).where(Delivery.lead_id == Lead.id).limit(1).correlate(Lead).scalar_subquery().is_(None)
