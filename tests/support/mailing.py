"""Mails for tests, and the time until a mail is sent again."""

from typing import Any

from sqlalchemy import select, update

from tests.support.factories import ADA
from webapp.clock import now_sql, utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Mail


def notify(interface: Interface, *addresses: str) -> Interface:
    with transaction():
        interface.notification_emails = list(addresses)
        interface.updated_at = utcnow()  # as the service does, so that cached forms are loaded again
    return interface


def the_mail() -> Mail:
    db.session.rollback()
    return db.session.scalars(select(Mail).execution_options(populate_existing=True)).one()


def wait_of(mail: Mail) -> float:
    """Seconds until a mail is due, by the database's clock."""
    return mail.due_at - db.session.execute(select(now_sql())).scalar_one()


def make_due(**values: Any) -> None:
    with transaction():
        db.session.execute(update(Mail).values(due_at=0.0, **values))


def fields(**changed: str) -> dict[str, str]:
    """What Ada submits, with some fields changed."""
    return ADA | changed
