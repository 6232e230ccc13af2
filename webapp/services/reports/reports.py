"""Error reports: the first failure after quiet is told within seconds, later ones at the end of a window.

The window grows while failures go on (REPORT_WINDOW) and closes after one with answers and no new failure. Reports are
written under the lock of the webhook's lane, as results are recorded, so that an entry is neither told twice nor missed
by a window that closes.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from sqlalchemy import ColumnElement, bindparam, exists, func, select, update
from sqlalchemy.exc import DBAPIError

from webapp.clock import now_sql
from webapp.config import current_config
from webapp.db.transactions import end_transaction, read_only, transaction
from webapp.delivery import states
from webapp.extensions import db
from webapp.models import Interface, MailState, Report, ReportEntry, ReportKind, Role, User, Webhook, WebhookState
from webapp.services.mail import mails
from webapp.services.reports import report_texts
from webapp.services.reports.report_samples import Sample, sample

log = structlog.get_logger()

SLICE = 10.0  # seconds a job writes reports; the next sweep rings for what is left
REST = 1.0  # seconds between two reports of a job
NOBODY = 0  # no account and no webhook has this id
_compiling = threading.Lock()
TOLD_BY_ENTRIES = (ReportKind.FAILED, ReportKind.GAVE_UP, ReportKind.PAUSED)


def compile_due(stopping: Callable[[], bool] = lambda: False) -> int:
    """Writes each report whose time has come, with its mail, a transaction for each webhook; returns how many.

    A report takes longer to word than to write, so it is worded before the lane is locked, of what stands there then.
    Where hundreds of receivers fail at once, their reports come one a second: those who wait for the database with a
    lead are more urgent.
    """
    if not _compiling.acquire(blocking=False):  # each job would word what the other one writes
        return 0
    try:
        written = 0
        ends_at = time.monotonic() + SLICE
        for number, webhook_id in enumerate(_due_webhooks()):
            if number:
                time.sleep(REST)
            if stopping() or time.monotonic() > ends_at:
                break
            try:
                written += _compile(webhook_id)
            except Exception as error:  # one webhook's trouble must not silence the others
                log.error("a report could not be written", webhook=webhook_id, exc_info=error)
        return written
    finally:
        _compiling.release()


def _compile(webhook_id: int) -> int:
    drafts = _drafts(webhook_id)
    if drafts is None:  # another process was here
        return 0
    with transaction():
        return _write(webhook_id, drafts)


class _Draft(NamedTuple):
    """A report that is worded: so many entries, all that nobody has told of up to the id `last`."""

    kind: ReportKind
    entries: int
    last: int
    rendered: mails.Rendered
    recipients: Sequence[str]


def _drafts(webhook_id: int) -> list[_Draft] | None:
    """What there is to tell of a webhook; None if its time has not come."""
    with read_only():
        try:
            webhook = _due(webhook_id)
            return _worded(webhook) if webhook else None
        finally:
            end_transaction()


def _worded(webhook: Webhook) -> list[_Draft]:
    found = {row[0]: row for row in _untold_kinds(webhook.id)}
    drafts = []
    for kind, entries, last in [found[kind] for kind in TOLD_BY_ENTRIES if kind in found]:
        if kind == ReportKind.PAUSED:
            context = report_texts.paused(webhook, webhook.state_reason)
        else:
            context = report_texts.failures(webhook, _untold_up_to(webhook.id, kind, last), _window(webhook))
        drafts.append(_Draft(kind, entries, last, _render(kind, context), _recipients(webhook)))
    return drafts


def _due(webhook_id: int) -> Webhook | None:
    due = select(Webhook).where(Webhook.id == webhook_id, Webhook.report_due_at <= now_sql())
    return db.session.scalar(due.execution_options(populate_existing=True))


def _due_webhooks() -> list[int]:
    """One of each account, then the next of each: nobody waits behind somebody else's hundreds."""
    number = func.row_number().over(partition_by=Webhook.account_id, order_by=Webhook.report_due_at)
    with read_only():
        try:
            due = select(Webhook.id).where(Webhook.report_due_at <= now_sql()).order_by(number, Webhook.report_due_at)
            return list(db.session.scalars(due))
        finally:
            end_transaction()


def note_paused(webhook: Webhook, reason: str) -> None:
    """Tells the account owner that a webhook was paused, and why (a sentence), in the transaction at hand."""
    _report(webhook, ReportKind.PAUSED, _render(ReportKind.PAUSED, report_texts.paused(webhook, reason)))


def _write(webhook_id: int, drafts: Sequence[_Draft]) -> int:
    states.lock_lane(db.session.connection(), webhook_id)
    webhook = _due(webhook_id)
    if webhook is None:
        return 0
    now = db.session.execute(select(now_sql())).scalar_one()
    archived = webhook.state == WebhookState.ARCHIVED
    opens = bool(drafts) and not archived
    if opens:
        webhook.report_due_at, webhook.report_window_opened_at = now + _window(webhook), now
        webhook.report_step += 1
    for draft in drafts:
        _tell(webhook, draft)
    if opens or _has_untold(webhook):  # since the drafts: it stays due, and is worded at the next pass
        return len(drafts)
    if archived or webhook.report_step == 0:
        _close(webhook)
    elif _answers(webhook):
        _tell_recovered(webhook)
        _close(webhook)
        return 1
    else:  # nothing came, or what was told of already goes on failing
        windows = current_config.report_window
        webhook.report_due_at = now + windows[min(webhook.report_step, len(windows)) - 1]
        webhook.report_window_opened_at = now
    return len(drafts)


def _window(webhook: Webhook) -> float:
    """Seconds between the report that is due now and the next."""
    windows = current_config.report_window
    return windows[min(webhook.report_step, len(windows) - 1)]


def _close(webhook: Webhook) -> None:
    webhook.report_due_at = webhook.report_window_opened_at = None
    webhook.report_step = 0


def _answers(webhook: Webhook) -> bool:
    """Whether the receiver took leads since the window opened, and has not failed since."""
    lane, opened_at = webhook.lane, webhook.report_window_opened_at
    db.session.refresh(lane)
    return lane.failures == 0 and (lane.succeeded_at or 0.0) > (opened_at or 0.0)


def _untold(webhook_id: int) -> ColumnElement[bool]:
    return (ReportEntry.webhook_id == webhook_id) & ReportEntry.report_id.is_(None)


def _untold_up_to(webhook_id: int, kind: ReportKind, last: int) -> ColumnElement[bool]:
    return _untold(webhook_id) & (ReportEntry.kind == kind) & (ReportEntry.id <= last)


def _untold_kinds(webhook_id: int) -> Sequence[Any]:
    """Of each kind: how many entries nobody has told of, and the last one's id."""
    kinds = select(ReportEntry.kind, func.count(), func.max(ReportEntry.id)).group_by(ReportEntry.kind)
    return db.session.execute(kinds.where(_untold(webhook_id))).all()


def _has_untold(webhook: Webhook) -> bool:
    return bool(db.session.scalar(select(exists().where(_untold(webhook.id)))))


# Made once, as others wait for the database while it is made.
_TELL = (
    update(ReportEntry)
    .where(ReportEntry.webhook_id == bindparam("webhook"), ReportEntry.report_id.is_(None))
    .where(ReportEntry.kind == bindparam("told"), ReportEntry.id <= bindparam("last"))
    .values(report_id=bindparam("report"))
)


def _tell(webhook: Webhook, draft: _Draft) -> None:
    """Makes a draft the report of its entries: under the lane's lock, where newer ones have greater ids."""
    report = _report(webhook, draft.kind, draft.rendered, draft.recipients)
    these = {"webhook": webhook.id, "told": draft.kind, "last": draft.last, "report": report.id}
    told = db.session.connection().execute(_TELL, these).rowcount
    if told != draft.entries:  # leads were deleted meanwhile: it is worded anew
        raise RuntimeError(f"a report of {draft.entries} entries found {told}")
    mail = report.mail
    if mail and mail.state == MailState.KEPT:
        mails.log_told(mail.id, mail.kind, None, mail.recipients)


def _tell_recovered(webhook: Webhook) -> None:
    _report(webhook, ReportKind.RECOVERED, _render(ReportKind.RECOVERED, report_texts.recovered(webhook)))


def _report(
    webhook: Webhook, kind: ReportKind, rendered: mails.Rendered, recipients: Sequence[str] | None = None
) -> Report:
    """Adds a report and its mail; whatever else the session has changed goes to the database with them, at once."""
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
    """Words each kind of report, and reads and writes one of nobody, for the process that will write them: the first
    report would take four times as long as the next, just when many webhooks begin to fail, and while others wait for
    the database. Nothing changes: a report without an account is refused, and all before it with it.

    Without a database there is only the wording.
    """
    sample_reports()
    with contextlib.suppress(DBAPIError):
        _due_webhooks()
        _drafts(NOBODY)
        with read_only():
            try:
                _untold_kinds(NOBODY)
                report_texts.read(_untold_up_to(NOBODY, ReportKind.FAILED, 0))
                recipients = _recipients(Webhook(account_id=NOBODY, interface=Interface(report_emails=[])))
            finally:
                end_transaction()
        with transaction():
            _write(NOBODY, [])
            nobodys = {"webhook": NOBODY, "told": ReportKind.FAILED, "last": 0, "report": NOBODY}
            db.session.connection().execute(_TELL, nobodys)
            mails.log_told(NOBODY, "", None, [])
            _report(Webhook(id=NOBODY), ReportKind.FAILED, mails.Rendered("", "", ""), recipients)


def sample_reports() -> list[Sample]:
    """One of each kind with made-up content, rendered from the templates of the real ones, for /docs/error-reports."""
    return [sample(kind) for kind in ReportKind]
