"""Error reports: the first failure in a series is reported within seconds, later ones at the end of a window.

While failures go on, the windows grow (REPORT_WINDOW). A window in which the receiver accepts leads and none fails
ends the series. Reports are written under the lock of the webhook's lane, under which results are recorded too. So an
entry is never reported twice, and a window that closes does not miss one.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from sqlalchemy import ColumnElement, bindparam, delete, exists, func, select, update
from sqlalchemy.exc import DBAPIError

from webapp.clock import now_sql
from webapp.config import current_config
from webapp.db.transactions import end_transaction, read_only, transaction
from webapp.delivery import events, states
from webapp.extensions import db
from webapp.models import Interface, MailState, Report, ReportEntry, ReportKind, Role, User, Webhook, WebhookState
from webapp.per_app import per_app
from webapp.services.mail import mails
from webapp.services.reports import report_texts
from webapp.services.reports.report_samples import Sample, sample

log = structlog.get_logger()

SLICE = 10.0  # seconds that a job writes reports; the next sweep queues a job for the rest
PAUSE = 1.0  # seconds between two reports of a job
NO_ID = 0  # no account and no webhook has this id
_compiling: threading.Lock = per_app("reports")  # two jobs would render the same reports
KINDS_WITH_ENTRIES = (ReportKind.FAILED, ReportKind.GAVE_UP, ReportKind.PAUSED)


def compile_due(stopping: Callable[[], bool] = lambda: False) -> int:
    """Writes every report that is due, with its mail, in one transaction per webhook. Returns the number of reports.

    To render a report takes longer than to write it, so it is rendered from the entries of that moment before the lane
    is locked. If hundreds of receivers fail at once, their reports are written one per second, because leads that wait
    for the database are more urgent.
    """
    if not _compiling.acquire(blocking=False):
        return 0
    try:
        written = 0
        ends_at = time.monotonic() + SLICE
        for number, webhook_id in enumerate(_due_webhooks()):
            if number:
                time.sleep(PAUSE)
            if stopping() or time.monotonic() > ends_at:
                break
            try:
                written += _compile(webhook_id)
            except Exception as error:  # one webhook's error must not stop the reports of the others
                log.error("a report could not be written", webhook=webhook_id, exc_info=error)
        return written
    finally:
        _compiling.release()


def _compile(webhook_id: int) -> int:
    drafts = _drafts(webhook_id)
    if drafts is None:  # another process wrote the reports
        return 0
    with transaction():
        return _write(webhook_id, drafts)


class _Draft(NamedTuple):
    """A rendered report about `entries` entries: all unreported ones of its kind up to the id `last`."""

    kind: ReportKind
    entries: int
    last: int
    rendered: mails.Rendered
    recipients: Sequence[str]


def _drafts(webhook_id: int) -> list[_Draft] | None:
    """The reports to write for a webhook. None if none is due."""
    with read_only():
        try:
            webhook = _due(webhook_id)
            return _draft_reports(webhook) if webhook else None
        finally:
            end_transaction()


def _draft_reports(webhook: Webhook) -> list[_Draft]:
    found = {} if webhook.is_quiet else {row[0]: row for row in _unreported_kinds(webhook.id)}
    drafts = []
    for kind, entries, last in [found[kind] for kind in KINDS_WITH_ENTRIES if kind in found]:
        if kind == ReportKind.PAUSED:
            context = report_texts.paused(webhook, webhook.state_reason)
        else:
            context = report_texts.failures(webhook, _unreported_up_to(webhook.id, kind, last), _window(webhook))
        drafts.append(_Draft(kind, entries, last, _render(kind, context), _recipients(webhook)))
    return drafts


def _due(webhook_id: int) -> Webhook | None:
    due = select(Webhook).where(Webhook.id == webhook_id, Webhook.report_due_at <= now_sql())
    return db.session.scalar(due.execution_options(populate_existing=True))


def _due_webhooks() -> list[int]:
    """The first webhook of each account, then the second of each, so that no account waits for hundreds of another."""
    number = func.row_number().over(partition_by=Webhook.account_id, order_by=Webhook.report_due_at)
    with read_only():
        try:
            due = select(Webhook.id).where(Webhook.report_due_at <= now_sql()).order_by(number, Webhook.report_due_at)
            return list(db.session.scalars(due))
        finally:
            end_transaction()


def note_paused(webhook: Webhook, reason: str) -> None:
    """Reports to the account owner that a webhook was paused. `reason` is a sentence. Joins the current transaction."""
    if webhook.is_quiet:
        return
    _add_report(webhook, ReportKind.PAUSED, _render(ReportKind.PAUSED, report_texts.paused(webhook, reason)))


def _write(webhook_id: int, drafts: Sequence[_Draft]) -> int:
    states.lock_lane(db.session.connection(), webhook_id)
    webhook = _due(webhook_id)
    if webhook is None:
        return 0
    if webhook.is_quiet:  # it became a shadow after it had failed
        db.session.execute(delete(ReportEntry).where(_unreported(webhook.id)))
        _close(webhook)
        return 0
    now = db.session.execute(select(now_sql())).scalar_one()
    archived = webhook.state == WebhookState.ARCHIVED
    opens = bool(drafts) and not archived
    if opens:
        webhook.report_due_at, webhook.report_window_opened_at = now + _window(webhook), now
        webhook.report_step += 1
    for draft in drafts:
        _write_report(webhook, draft)
    if opens or _has_unreported(webhook):  # new since the drafts: the webhook stays due for the next pass
        return len(drafts)
    if archived or webhook.report_step == 0:
        _close(webhook)
    elif _has_recovered(webhook):
        _report_recovery(webhook)
        _close(webhook)
        return 1
    else:  # no leads came, or deliveries that are already reported fail again
        windows = current_config.report_window
        webhook.report_due_at = now + windows[min(webhook.report_step, len(windows)) - 1]
        webhook.report_window_opened_at = now
    return len(drafts)


def _window(webhook: Webhook) -> float:
    """Seconds between the report that is due now and the next one."""
    windows = current_config.report_window
    return windows[min(webhook.report_step, len(windows) - 1)]


def _close(webhook: Webhook) -> None:
    webhook.report_due_at = webhook.report_window_opened_at = None
    webhook.report_step = 0


def _has_recovered(webhook: Webhook) -> bool:
    """Whether the receiver has accepted leads since the window opened and has not failed after that."""
    lane, opened_at = webhook.lane, webhook.report_window_opened_at
    db.session.refresh(lane)
    return lane.failures == 0 and (lane.succeeded_at or 0.0) > (opened_at or 0.0)


def _unreported(webhook_id: int) -> ColumnElement[bool]:
    return (ReportEntry.webhook_id == webhook_id) & ReportEntry.report_id.is_(None)


def _unreported_up_to(webhook_id: int, kind: ReportKind, last: int) -> ColumnElement[bool]:
    return _unreported(webhook_id) & (ReportEntry.kind == kind) & (ReportEntry.id <= last)


def _unreported_kinds(webhook_id: int) -> Sequence[Any]:
    """For each kind: the number of unreported entries, and the id of the last one."""
    kinds = select(ReportEntry.kind, func.count(), func.max(ReportEntry.id)).group_by(ReportEntry.kind)
    return db.session.execute(kinds.where(_unreported(webhook_id))).all()


def _has_unreported(webhook: Webhook) -> bool:
    return bool(db.session.scalar(select(exists().where(_unreported(webhook.id)))))


# Built once: building it would take time while the lane is locked and others wait for the database.
_MARK_REPORTED = (
    update(ReportEntry)
    .where(ReportEntry.webhook_id == bindparam("webhook"), ReportEntry.report_id.is_(None))
    .where(ReportEntry.kind == bindparam("reported"), ReportEntry.id <= bindparam("last"))
    .values(report_id=bindparam("report"))
)


def _write_report(webhook: Webhook, draft: _Draft) -> None:
    """Writes a draft as the report of its entries. Needs the lane's lock, under which newer entries get greater ids."""
    report = _add_report(webhook, draft.kind, draft.rendered, draft.recipients)
    these = {"webhook": webhook.id, "reported": draft.kind, "last": draft.last, "report": report.id}
    marked = db.session.connection().execute(_MARK_REPORTED, these).rowcount
    if marked != draft.entries:  # leads were deleted meanwhile: the next pass renders the report again
        raise RuntimeError(f"a report of {draft.entries} entries found {marked}")
    mail = report.mail
    if mail and mail.state == MailState.KEPT:
        mails.log_sent(mail.id, mail.kind, None, mail.recipients)


def _report_recovery(webhook: Webhook) -> None:
    words = "The receiver takes leads again."
    events.note_of_webhook(db.session.connection(), webhook.id, events.RECOVERED, words)
    _add_report(webhook, ReportKind.RECOVERED, _render(ReportKind.RECOVERED, report_texts.recovered(webhook)))


def _add_report(
    webhook: Webhook, kind: ReportKind, rendered: mails.Rendered, recipients: Sequence[str] | None = None
) -> Report:
    """Adds a report and its mail, and flushes them with all other changes of the session."""
    mail = mails.write(
        report_texts.TEMPLATES[kind],
        recipients=_recipients(webhook) if recipients is None else recipients,
        account_id=webhook.account_id,
        rendered=rendered,
    )
    report = Report(account_id=webhook.account_id, webhook_id=webhook.id, kind=kind, mail=mail)
    db.session.add(report)
    db.session.flush()
    return report


def _render(kind: ReportKind, context: dict[str, Any]) -> mails.Rendered:
    return mails.render(report_texts.TEMPLATES[kind], **context)


def _recipients(webhook: Webhook) -> list[str]:
    owner = select(User.email).where(User.account_id == webhook.account_id, User.role == Role.OWNER)
    return [*db.session.scalars(owner), *webhook.interface.report_emails]


def rehearse() -> None:
    """Renders a sample of each kind of report, and reads the entries of a webhook that does not exist. Changes nothing.

    The process that writes reports calls it at its start. Otherwise its first report would take four times as long as
    the next, just when many webhooks begin to fail. Without a database it only renders.
    """
    sample_reports()
    with contextlib.suppress(DBAPIError):
        _due_webhooks()
        _drafts(NO_ID)
        with read_only():
            try:
                _unreported_kinds(NO_ID)
                report_texts.read(_unreported_up_to(NO_ID, ReportKind.FAILED, 0))
                _recipients(Webhook(account_id=NO_ID, interface=Interface(report_emails=[])))
            finally:
                end_transaction()


def sample_reports() -> list[Sample]:
    """A made-up report of each kind, rendered from the same templates as real reports, for /docs/error-reports."""
    return [sample(kind) for kind in ReportKind]
