"""Error reports: the first failure after quiet is told within seconds, later ones at the end of a window.

The window grows while failures go on (REPORT_WINDOW) and closes after one with answers and no new failure. Everything
here happens under the lock of the webhook's lane, as recording does, so that an entry is neither told twice nor missed
by a window that closes.
"""

from typing import Any

import structlog
from flask import current_app
from sqlalchemy import exists, select, update

from webapp.clock import now_sql
from webapp.config import Config
from webapp.delivery import states
from webapp.extensions import db
from webapp.models import MailState, Report, ReportEntry, ReportKind, Role, User, Webhook, WebhookState
from webapp.services import mails, report_texts
from webapp.services.report_samples import Sample, sample
from webapp.transaction import reading, release, transaction

log = structlog.get_logger()

TOLD_BY_ENTRIES = (ReportKind.FAILED, ReportKind.GAVE_UP, ReportKind.PAUSED)


def compile_due() -> int:
    """Writes each report whose time has come, with its mail, a transaction for each webhook; returns how many."""
    written = 0
    for webhook_id in _due_webhooks():
        try:
            with transaction():
                written += _compile(webhook_id)
        except Exception as error:  # one webhook's trouble must not silence the others
            log.error("a report could not be written", webhook=webhook_id, exc_info=error)
    return written


def _due_webhooks() -> list[int]:
    with reading():
        due = select(Webhook.id).where(Webhook.report_due_at <= now_sql()).order_by(Webhook.report_due_at)
        webhook_ids = list(db.session.scalars(due))
        release()
    return webhook_ids


def note_paused(webhook: Webhook, reason: str) -> None:
    """Tells the account owner that a webhook was paused, and why (a sentence), in the transaction at hand."""
    report = _new_report(webhook, ReportKind.PAUSED)
    _mail(webhook, report, report_texts.paused(webhook, reason))


def _compile(webhook_id: int) -> int:
    states.lock_lane(db.session.connection(), webhook_id)
    due = select(Webhook).where(Webhook.id == webhook_id, Webhook.report_due_at <= now_sql())
    webhook = db.session.scalar(due.execution_options(populate_existing=True))
    if webhook is None:  # another job was here
        return 0
    now = db.session.execute(select(now_sql())).scalar_one()
    windows = _config().report_window
    told = [kind for kind in TOLD_BY_ENTRIES if _is_untold(webhook, kind)]
    window = windows[min(webhook.report_step, len(windows) - 1)]
    for kind in told:
        _tell(webhook, kind, window)
    if webhook.state == WebhookState.ARCHIVED or (not told and webhook.report_step == 0):
        _close(webhook)
    elif told:
        webhook.report_due_at, webhook.report_window_opened_at = now + window, now
        webhook.report_step += 1
    elif _answers(webhook):
        _tell_recovered(webhook)
        _close(webhook)
        return 1
    else:  # nothing came, or what was told of already goes on failing
        webhook.report_due_at = now + windows[min(webhook.report_step, len(windows)) - 1]
        webhook.report_window_opened_at = now
    return len(told)


def _close(webhook: Webhook) -> None:
    webhook.report_due_at = webhook.report_window_opened_at = None
    webhook.report_step = 0


def _answers(webhook: Webhook) -> bool:
    """Whether the receiver took leads since the window opened, and has not failed since."""
    lane, opened_at = webhook.lane, webhook.report_window_opened_at
    db.session.refresh(lane)
    return lane.failures == 0 and (lane.succeeded_at or 0.0) > (opened_at or 0.0)


def _untold(webhook: Webhook, kind: ReportKind) -> Any:
    return (ReportEntry.webhook_id == webhook.id) & ReportEntry.report_id.is_(None) & (ReportEntry.kind == kind)


def _is_untold(webhook: Webhook, kind: ReportKind) -> bool:
    return bool(db.session.scalar(select(exists().where(_untold(webhook, kind)))))


def _tell(webhook: Webhook, kind: ReportKind, window: float) -> None:
    """One report of everything of this kind that no report has told of yet."""
    report = _new_report(webhook, kind)
    entries = update(ReportEntry).where(_untold(webhook, kind)).values(report_id=report.id)
    db.session.execute(entries.execution_options(synchronize_session=False))
    if kind == ReportKind.PAUSED:
        context = report_texts.paused(webhook, webhook.state_reason)
    else:
        context = report_texts.failures(webhook, report, window)
    _mail(webhook, report, context)


def _tell_recovered(webhook: Webhook) -> None:
    _mail(webhook, _new_report(webhook, ReportKind.RECOVERED), report_texts.recovered(webhook))


def _new_report(webhook: Webhook, kind: ReportKind) -> Report:
    report = Report(account_id=webhook.account_id, webhook_id=webhook.id, kind=kind)
    db.session.add(report)
    db.session.flush()
    return report


def _mail(webhook: Webhook, report: Report, context: dict[str, Any]) -> None:
    owner = select(User.email).where(User.account_id == webhook.account_id, User.role == Role.OWNER)
    mail = mails.write(
        report_texts.TEMPLATES[report.kind],
        recipients=[*db.session.scalars(owner), *webhook.interface.report_emails],
        account_id=webhook.account_id,
        **context,
    )
    report.mail = mail
    db.session.flush()
    if mail.state == MailState.KEPT:
        mails.log_told(mail.id, mail.kind, None, mail.recipients)


def _config() -> Config:
    config: Config = current_app.extensions["leadhook"]
    return config


def sample_reports() -> list[Sample]:
    """One of each kind with made-up content, rendered from the templates of the real ones, for /docs/error-reports."""
    return [sample(kind) for kind in ReportKind]
