"""What the templates of error reports are given, read from the rows a report tells of."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.extensions import db
from webapp.models import Attempt, Delivery, DeliveryState, Lead, ReportEntry, ReportKind, Webhook
from webapp.services.reports.report_words import (
    Failures,
    Line,
    bare_url,
    clock,
    day,
    duration,
    excerpt,
    leads,
    period,
    preview,
    what_next,
)
from webapp.web.filters import moment

TEMPLATES = {
    ReportKind.FAILED: "webhook_failed",
    ReportKind.GAVE_UP: "webhook_gave_up",
    ReportKind.RECOVERED: "webhook_recovered",
    ReportKind.PAUSED: "webhook_paused",
}
LISTED = 50  # leads at most, the newest
READ = 2000  # characters of an answer that its excerpt is taken from
SINCE = {DeliveryState.DELIVERED: "Delivered since", DeliveryState.CANCELLED: "Cancelled since"}


def failures(webhook: Webhook, entries: ColumnElement[bool], window: float) -> dict[str, Any]:
    """For `webhook_failed` and `webhook_gave_up`: of these entries, at least one.

    `window`: seconds until the next report may come.
    """
    schedule = current_config.retry_schedule if webhook.automatic_retries else ()
    return of_failures(read(entries), of_webhook(webhook), schedule, window)


def of_failures(told: Failures, about: dict[str, Any], schedule: Sequence[float], window: float) -> dict[str, Any]:
    """The same from values: `about` is what `of_webhook` returns, `schedule` empty where retries are off."""
    return {
        **about,
        "leads": leads(told.count),
        "period": period(told.first_at, told.last_at),
        "preview": preview(told, about["url"]),
        "lines": [_line(line, told) for line in told.lines],
        "more": told.count - len(told.lines),
        "next": what_next(told, schedule),
        "list_status": _list_status(told),
        "window": duration(window),
    }


def _line(line: Line, told: Failures) -> dict[str, Any]:
    one_day = told.first_at.date() == told.last_at.date()
    return {
        "id": line.public_id,
        "at": clock(line.at) if one_day else f"{line.at.day} {line.at:%b}, {clock(line.at)}",
        "code": line.code,
        "response": line.response or "(no body)",
        "note": SINCE.get(line.state, ""),
    }


def _list_status(told: Failures) -> str | None:
    """Which of the interface's leads the list shows: those that wait for a person, else those that wait for a try."""
    if told.number(DeliveryState.FAILED):
        return "failed"
    return "retrying" if told.number(DeliveryState.PENDING) else None


def recovered(webhook: Webhook) -> dict[str, Any]:
    """For `webhook_recovered`."""
    left = select(func.count()).where(
        Delivery.account_id == webhook.account_id,
        Delivery.state == DeliveryState.FAILED,
        Delivery.webhook_id == webhook.id,
        Delivery.test.is_(False),
    )
    since = moment(webhook.report_window_opened_at or 0.0)
    return {**of_webhook(webhook), "since": f"{clock(since)} on {day(since)}", "left": db.session.scalar(left) or 0}


def paused(webhook: Webhook, reason: str) -> dict[str, Any]:
    """For `webhook_paused`; `reason` is a sentence."""
    return {**of_webhook(webhook), "reason": reason}


def of_webhook(webhook: Webhook) -> dict[str, Any]:
    """What every report begins and ends with."""
    interface = webhook.interface
    return {
        "interface_name": interface.name,
        "interface_id": interface.public_id,
        "account_name": interface.account.name,
        "url": bare_url(webhook.url),
        "others": bool(interface.report_emails),
    }


def read(entries: ColumnElement[bool]) -> Failures:
    """What these entries tell of."""
    told = select().select_from(ReportEntry).where(entries).join(ReportEntry.delivery)
    tried = told.join(ReportEntry.attempt)
    span = func.count(), func.min(Attempt.started_at), func.max(Attempt.started_at)
    count, first_at, last_at = db.session.execute(tried.add_columns(*span)).one()
    states = told.add_columns(Delivery.state, func.count()).group_by(Delivery.state)
    next_at = db.session.scalar(
        told.add_columns(func.min(Delivery.due_at)).where(Delivery.state == DeliveryState.PENDING)
    )
    return Failures(
        count=count,
        first_at=first_at,
        last_at=last_at,
        lines=_lines(tried.join(Delivery.lead)),
        states={row[0]: row[1] for row in db.session.execute(states)},
        next_at=moment(next_at) if next_at else None,
        written_at=utcnow(),
    )


def _lines(tried: Any) -> list[Line]:
    answer = func.substr(Attempt.response, 1, READ)
    columns = Lead.public_id, Lead.fields, Lead.source, Attempt.started_at, Attempt.code, answer, Delivery.state
    newest = tried.add_columns(*columns).order_by(Attempt.started_at.desc(), ReportEntry.id.desc()).limit(LISTED)
    lines = []
    for public_id, fields, source, at, code, response, state in db.session.execute(newest):
        visitor = [*fields.values(), source.get("ip"), source.get("user_agent")]
        lines.append(Line(public_id, at, code, excerpt(response, visitor), state))
    return lines
