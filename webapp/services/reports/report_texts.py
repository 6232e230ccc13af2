"""The variables for the templates of error reports, read from the rows that a report is about."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select

from webapp.clock import moment, utcnow
from webapp.config import current_config
from webapp.extensions import db
from webapp.models import Attempt, Delivery, DeliveryState, Lead, ReportEntry, ReportKind, Webhook
from webapp.services.reports.report_words import (
    Failures,
    ReportedLead,
    clock,
    day,
    duration,
    excerpt,
    leads,
    period,
    preview,
    webhook_name,
    what_next,
)

TEMPLATES = {
    ReportKind.FAILED: "webhook_failed",
    ReportKind.GAVE_UP: "webhook_gave_up",
    ReportKind.RECOVERED: "webhook_recovered",
    ReportKind.PAUSED: "webhook_paused",
}
LISTED = 50  # leads at most, the newest
READ = 2000  # characters of an answer that are read for its excerpt
SINCE = {DeliveryState.DELIVERED: "Delivered since", DeliveryState.CANCELLED: "Cancelled since"}


def failures(webhook: Webhook, entries: ColumnElement[bool], window: float) -> dict[str, Any]:
    """For `webhook_failed` and `webhook_gave_up`. `entries` selects at least one entry.

    `window`: seconds until the next report may be sent.
    """
    schedule = current_config.retry_schedule if webhook.automatic_retries else ()
    return of_failures(read(entries), of_webhook(webhook), schedule, window)


def of_failures(found: Failures, about: dict[str, Any], schedule: Sequence[float], window: float) -> dict[str, Any]:
    """The same from values. `about` is what `of_webhook` returns; `schedule` is empty if retries are off."""
    return {
        **about,
        "leads": leads(found.count),
        "period": period(found.first_at, found.last_at),
        "preview": preview(found, about["url"]),
        "lines": [_line(lead, found) for lead in found.newest],
        "more": found.count - len(found.newest),
        "next": what_next(found, schedule),
        "list_status": _list_status(found, bool(about["webhook"])),
        "window": duration(window),
    }


def _line(lead: ReportedLead, found: Failures) -> dict[str, Any]:
    one_day = found.first_at.date() == found.last_at.date()
    return {
        "id": lead.public_id,
        "at": clock(lead.at) if one_day else f"{lead.at.day} {lead.at:%b}, {clock(lead.at)}",
        "code": lead.code,
        "response": lead.response or "(no body)",
        "note": SINCE.get(lead.state, ""),
    }


def _list_status(found: Failures, several: bool) -> str | None:
    """The status that the linked list of leads shows: failed leads if there are any, else those that are retried.

    Of several webhooks another one may have failed: then a lead that is retried is among the failed ones.
    """
    if found.number(DeliveryState.FAILED):
        return "failed"
    return "retrying" if found.number(DeliveryState.PENDING) and not several else None


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
    """For the beginning and end of every report. `webhook` is its name where its interface has several, else empty;
    `webhook_id` is empty for the first one, whose settings are on the Lead Generation tab."""
    interface = webhook.interface
    several = not webhook.is_first or sum(not each.is_shadow for each in interface.webhooks) > 1
    return {
        "interface_name": interface.name,
        "webhook": webhook.label if several else "",
        "webhook_id": "" if webhook.is_first else webhook.public_id,
        "interface_id": interface.public_id,
        "account_name": interface.account.name,
        "url": webhook_name(webhook.url),
        "others": bool(interface.report_emails),
    }


def read(entries: ColumnElement[bool]) -> Failures:
    """The failures of these entries."""
    reported = select().select_from(ReportEntry).where(entries).join(ReportEntry.delivery)
    tried = reported.join(ReportEntry.attempt)
    span = func.count(), func.min(Attempt.started_at), func.max(Attempt.started_at)
    count, first_at, last_at = db.session.execute(tried.add_columns(*span)).one()
    states = reported.add_columns(Delivery.state, func.count()).group_by(Delivery.state)
    next_at = db.session.scalar(
        reported.add_columns(func.min(Delivery.due_at)).where(Delivery.state == DeliveryState.PENDING)
    )
    return Failures(
        count=count,
        first_at=first_at,
        last_at=last_at,
        newest=_newest(tried.join(Delivery.lead)),
        states={row[0]: row[1] for row in db.session.execute(states)},
        next_at=moment(next_at) if next_at else None,
        written_at=utcnow(),
    )


def _newest(tried: Any) -> list[ReportedLead]:
    answer = func.substr(Attempt.response, 1, READ)
    attempt = Attempt.started_at, Attempt.code, Attempt.url, answer
    columns = Lead.public_id, Lead.fields, Lead.source, *attempt, Delivery.state
    query = tried.add_columns(*columns).order_by(Attempt.started_at.desc(), ReportEntry.id.desc()).limit(LISTED)
    found = []
    for public_id, fields, source, at, code, url, response, state in db.session.execute(query):
        visitor = [*fields.values(), source.get("ip"), source.get("user_agent")]
        found.append(ReportedLead(public_id, at, code, excerpt(response, visitor, [url]), state))
    return found
