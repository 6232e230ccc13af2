"""Tells an account's owner, once, by mail that the client certificate of a webhook ends within 30 days."""

from datetime import datetime

from sqlalchemy import select, update

from webapp.db import database_clock
from webapp.delivery import certificates
from webapp.extensions import db
from webapp.models import Role, User, Webhook
from webapp.services.mail import mails
from webapp.services.reports import report_texts
from webapp.webhooks import client_certificates

BATCH = 50  # mails at once; the next check writes the others


def write_due() -> int:
    """Writes the mails that are due; returns how many. A new certificate is a new warning."""
    now, written = database_clock.now(), 0
    due = select(Webhook).where(certificates.to_tell(now)).order_by(Webhook.id).limit(BATCH)
    for webhook in db.session.scalars(due).all():
        ours = update(Webhook).where(Webhook.id == webhook.id, certificates.to_tell(now))
        claimed = db.session.execute(ours.values(certificate_warned_at=now), execution_options=_UNSYNCHRONIZED)
        if claimed.rowcount:  # type: ignore[attr-defined]  # of an UPDATE
            _write(webhook, now)
            written += 1
    return written


_UNSYNCHRONIZED = {"synchronize_session": False}


def _write(webhook: Webhook, now: datetime) -> None:
    until = webhook.certificate_until or now
    owner = select(User.email).where(User.account_id == webhook.account_id, User.role == Role.OWNER)
    mails.write(
        "certificate_ends",
        recipients=db.session.scalars(owner).all(),
        account_id=webhook.account_id,
        **{**report_texts.of_webhook(webhook), "webhook_id": webhook.public_id},
        words=client_certificates.warning(until, now) or "",
        has_ended=until <= now,
    )
