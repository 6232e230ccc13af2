"""Failing webhooks and their reports, for tests that cause and count them."""

from sqlalchemy import func, select, update

from tests.support.factories import ADA, submit
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Delivery, Interface, Report, ReportEntry, Webhook
from webapp.services.mail import mails
from webapp.services.reports import reports


def drain(interface: Interface) -> None:
    db.session.rollback()
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def fail(interface: Interface, leads: int = 1) -> list[str]:
    """This many new leads fail their first attempt. Returns their ids."""
    public_ids = [submit(interface, ADA).public_id for _ in range(leads)]
    drain(interface)
    return public_ids


def send_mail() -> None:
    """Does what the mail job does."""
    db.session.rollback()
    reports.compile_due()
    mails.deliver_due()


def end_window(interface: Interface) -> None:
    with transaction():
        webhook = update(Webhook).where(Webhook.interface_id == interface.id)
        db.session.execute(
            webhook.where(Webhook.report_due_at.is_not(None)).values(
                report_due_at=now_sql() - 1, report_window_opened_at=Webhook.report_window_opened_at - 1e6
            )
        )


def window_of(interface: Interface) -> float | None:
    """Seconds until the next report, rounded to minutes. None if no window is open."""
    db.session.rollback()
    due_at = db.session.scalar(select(Webhook.report_due_at).where(Webhook.interface_id == interface.id))
    now = db.session.execute(select(now_sql())).scalar_one()
    return None if due_at is None else round((due_at - now) / 60) * 60.0


def kinds() -> list[str]:
    db.session.rollback()
    return [report.kind.value for report in db.session.scalars(select(Report).order_by(Report.id))]


def reported() -> list[tuple[str, int]]:
    """The kind of each report and its number of deliveries."""
    db.session.rollback()
    rows = select(Report.kind, func.count(ReportEntry.id)).outerjoin(Report.entries).group_by(Report.id)
    return [(kind.value, number) for kind, number in db.session.execute(rows.order_by(Report.id))]


def make_retries_due() -> None:
    with transaction():
        db.session.execute(update(Delivery).where(Delivery.due_at.is_not(None)).values(due_at=0.0))
