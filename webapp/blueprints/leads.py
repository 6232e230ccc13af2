"""Leads: the list, one lead, the CSV, and Retry Webhook for a row, a lead's page or the ticked rows."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from flask import (
    Blueprint,
    Response,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    stream_with_context,
    url_for,
)
from markupsafe import Markup, escape
from werkzeug.wrappers import Response as BaseResponse

from webapp.clock import moment, utcnow
from webapp.config import current_config
from webapp.db import slow_reads
from webapp.db.transactions import transaction
from webapp.models import Lead, Status
from webapp.services.errors import Refused
from webapp.services.intake import visitor
from webapp.services.intake.answers import clean
from webapp.services.leads import lead_counts, lead_detail, lead_export, lead_list, leads, sent_addresses
from webapp.services.leads.lead_list import Filter
from webapp.services.webhooks import shown_requests
from webapp.web import htmx
from webapp.web.busy import takes_turns
from webapp.web.security import account_id, addresses, local_path, signed_in

blueprint = Blueprint("leads", __name__)

MOST_TICKED = 500
_STRING = r'"(?:[^"\\]|\\.)*"'
_JSON_PARTS = re.compile(
    rf"(?P<k>{_STRING}(?=:))|(?P<s>{_STRING})|(?P<n>-?[0-9][0-9.eE+-]*|true|false|null)|(?P<rest>.)", re.S
)
PATIENCE = timedelta(minutes=1)  # until then a page polls for an outcome every second, later every five seconds


@blueprint.get("/leads")
@takes_turns
def index() -> str:
    """One page of the leads that match the URL's query."""
    wanted = _filter()
    page = lead_list.page(wanted, request.args.get("before", ""), request.args.get("after", ""))
    counts = lead_counts.counts(wanted)
    everything = counts if page.rows or not wanted.narrow else lead_counts.totals(wanted.account_id)
    return render_template(
        "leads/index.html",
        wanted=wanted,
        page=page,
        counts=counts,
        everything=everything[None],
        any_yet=everything[None].least or everything[Status.SPAM].least,
        statuses=[status for status in Status if status in lead_list.ALWAYS_OFFERED or counts[status].least],
        interfaces=lead_list.interfaces(wanted.account_id),
        here_url=request.full_path.rstrip("?"),
        **_row_context(page.rows),
    )


@blueprint.get("/leads.csv")
def csv() -> Response:
    """All leads that match the URL's query."""
    wanted, name = _filter(), f"leads-{utcnow():%Y-%m-%d}.csv"
    with ExitStack() as turn:
        turn.enter_context(slow_reads.exports.turn())
        with transaction():
            lead_export.record(wanted)
        lines = stream_with_context(lead_export.lines(wanted, addresses()))
        response = Response(lines, content_type="text/csv; charset=utf-8")
        response.call_on_close(turn.pop_all().close)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@blueprint.get("/leads/<public_id>")
def show(public_id: str) -> BaseResponse | str:
    """One lead. While an attempt is running, its page polls, and gets 204 until there is an outcome."""
    lead = leads.get(account_id(), clean(public_id))
    if htmx.asked():
        return _outcome(lead, "leads/_lead.html", _lead_context(lead))
    return render_template("leads/show.html", **_lead_context(lead))


@blueprint.get("/leads/<public_id>/row")
def row(public_id: str) -> BaseResponse:
    """One row of the list, polled like the page of a lead."""
    if not htmx.asked():
        return redirect(url_for(".show", public_id=public_id), 303)
    lead = lead_list.rows(account_id(), [public_id])[0]
    return _outcome(lead, "leads/_one_row.html", {"lead": lead, **_row_context([lead])})


@blueprint.post("/leads/<public_id>/retry")
def retry(public_id: str) -> BaseResponse | str:
    """Retry Webhook: for htmx answers the row (or the page) as Queued; otherwise redirects to where it was clicked.

    Of a lead with several webhooks it first asks which.
    """
    lead, only = leads.get(account_id(), clean(public_id)), _chosen()
    if len(lead.deliveries) > 1 and "chosen" not in request.form:
        return _choose(lead)
    if "chosen" in request.form and not only:
        flash("Select the webhooks to which you want to send the lead again.", "info")
        return redirect(_back(), 303)
    refusal, number = leads.retryable(lead, only), leads.sendable(lead, only)
    with transaction():
        queued = leads.retry(lead.account_id, [lead.public_id], signed_in().id, only)
    words = None if queued else refusal or "It is being sent right now."
    if not htmx.asked():
        sent = "the webhook" if len(lead.deliveries) < 2 else _plural(number)
        being = f"Queued: {sent} of {_label(public_id)} {'is' if number < 2 else 'are'} being sent again."
        flash(words or being, "info" if words else "ok")
        return redirect(_back(), 303)
    return _queued(public_id, words)


@blueprint.post("/leads/<public_id>/not-spam")
def not_spam(public_id: str) -> BaseResponse:
    """Takes a lead out of Spam; it is then delivered and mailed like a new lead."""
    try:
        with transaction():
            label = leads.not_spam(account_id(), clean(public_id), signed_in().id).label
    except Refused as refusal:
        flash(str(refusal), "info")
    else:
        flash(f"{label} is a lead now, and is sent on like any other.", "ok")
    return redirect(url_for(".show", public_id=public_id), 303)


@blueprint.post("/leads/retry")
def retry_ticked() -> BaseResponse | str:
    """Retry Webhook for the ticked rows: first shows how many it will send, then, once confirmed, queues them."""
    ticked = list(dict.fromkeys(request.form.getlist("lead")))[:MOST_TICKED]
    if not ticked:
        flash("Select the leads whose webhooks you want to send again.", "info")
        return redirect(_back(), 303)
    found = lead_list.rows(account_id(), ticked)
    if "confirmed" not in request.form:
        return _confirm(found)
    number = sum(map(leads.sendable, found))
    with transaction():
        queued = leads.retry(account_id(), [lead.public_id for lead in found], signed_in().id)
    words = f"Queued: {_of_leads(number, queued)} {'is' if number == 1 else 'are'} being sent again."
    flash(words if queued else "None of them could be sent now.", "ok")
    return redirect(_back(), 303)


@blueprint.app_template_filter("json_colours")
def json_colours(text: str) -> Markup:
    """JSON with names, strings and numbers in spans that app.css colours; everything is escaped."""

    def marked(found: re.Match[str]) -> str:
        kind = found.lastgroup or ""
        return (
            f'<span class="{kind}">{escape(found[kind])}</span>' if kind in {"k", "s", "n"} else str(escape(found[0]))
        )

    return Markup(_JSON_PARTS.sub(marked, text))  # noqa: S704 - every part was escaped


def _filter() -> Filter:
    asked = {name: request.args.get(name, "") for name in ("status", "q", "interface", "received")}
    return Filter.of(account_id(), **asked)


def _back() -> str:
    return local_path(request.form.get("next")) or url_for(".index")


def _label(public_id: str) -> str:
    return leads.get(account_id(), public_id).label


def _plural(webhooks: int) -> str:
    return "1 webhook" if webhooks == 1 else f"{webhooks:,} webhooks"


def _of_leads(webhooks: int, number: int) -> str:
    """As in "5 webhooks of 2 leads"; "2 webhooks" where each lead has one."""
    of_leads = f" of {number:,} {'lead' if number == 1 else 'leads'}" if webhooks != number else ""
    return f"{_plural(webhooks)}{of_leads}"


def _chosen() -> list[str]:
    """The public ids of the webhooks that were ticked."""
    return [clean(public_id) for public_id in request.form.getlist("webhook")[:MOST_TICKED]]


def _choose(lead: Lead) -> BaseResponse | str:
    """Which webhooks of a lead to send again: in a dialog, which htmx opens, or on a page."""
    context = {"lead": lead, "refusal": leads.refusal, "preferred": leads.to_retry(lead), "back": _back()}
    return _asked("leads/_choose.html", context)


def _confirm(found: Sequence[Lead]) -> BaseResponse | str:
    """How many webhooks of the ticked leads would be sent."""
    sendable = [lead for lead in found if leads.retryable(lead) is None]
    reasons = sorted({reason for lead in found if (reason := leads.retryable(lead))})
    names = sorted({lead.interface.name for lead in sendable})
    what = _of_leads(sum(map(leads.sendable, sendable)), len(sendable))
    context = {"found": found, "sendable": sendable, "what": what, "reasons": reasons, "names": names, "back": _back()}
    return _asked("leads/_confirm.html", context)


def _asked(partial: str, context: dict[str, Any]) -> BaseResponse | str:
    """A question: for htmx the content of the dialog, which it opens; otherwise a page with the same words."""
    if not htmx.asked():
        return render_template("leads/retry.html", partial=partial, **context)
    response = make_response(render_template(partial, dialog=True, **context))
    response.headers["HX-Trigger"] = '{"showdialog": "confirm"}'
    return response


def _queued(public_id: str, words: str | None) -> BaseResponse:
    """The clicked row or page in its current state. It then polls for the outcome and announces it.

    If the outcome is known already, it is announced now. If `words` is given, it says why there will be none.
    """
    if htmx.target_tag() == "tr":
        lead = lead_list.rows(account_id(), [public_id])[0]
        page = render_template("leads/_one_row.html", lead=lead, announce=not words, **_row_context([lead]))
    else:
        lead = leads.get(account_id(), public_id)
        page = render_template("leads/_lead.html", announce=not words, **_lead_context(lead))
    response = make_response(page)
    if words:
        return htmx.toast(response, words)
    return response if _pace(lead) else _announced(response, lead)


def _outcome(lead: Lead, partial: str, context: dict[str, Any]) -> BaseResponse:
    """204 while there is no outcome; then the partial, which stops polling, with a toast for the person who clicked."""
    pace, announce = _pace(lead), "announce" in request.args
    if pace and pace == request.args.get("pace"):
        return Response(status=204)
    response = make_response(render_template(partial, announce=announce, **context))
    return _announced(response, lead) if announce and not pace else response


def _announced(response: Response, lead: Lead) -> Response:
    """The response with a toast that says the outcome."""
    delivery = lead.delivery
    if delivery is None:
        return response
    code = f", {delivery.last_code}" if delivery.last_code and delivery.status != Status.HELD else ""
    progress = f", {lead.progress}" if lead.progress else ""
    # Cut, because it is sent in a header, and some proxies accept only 4 KB of headers.
    return htmx.toast(response, f"{lead.label[:80]}: {delivery.status}{code}{progress}")


def _pace(lead: Lead) -> str | None:
    """How often the page polls for the lead's outcome: 1s or 5s, with the number of webhooks if it waits for several,
    so that each outcome is shown as it comes. None if no outcome is expected."""
    awaited = [each for each in lead.counted if each.status == Status.QUEUED and not each.rests_until]
    if not awaited:
        return None
    since = max(moment(each.retry_at) if each.retry_at is not None else lead.received_at for each in awaited)
    pace = "1s" if utcnow() - since < PATIENCE else "5s"
    return pace if len(awaited) == 1 else f"{pace} {len(awaited)}"


def _row_context(shown: Sequence[Lead]) -> dict[str, Any]:
    retries = len(current_config.retry_schedule)
    earlier = lead_list.earlier(shown)
    sent_to = sent_addresses.of_leads([] if addresses().whole else [lead.id for lead in shown])
    shared = {"retryable": leads.retryable, "pace": _pace, "most_tries": retries + 1}
    return {**shared, "earlier": earlier, "sent_to": sent_to}


def _lead_context(lead: Lead) -> dict[str, Any]:
    return {
        "lead": lead,
        "timelines": lead_detail.timelines(lead),
        "detail": lead_detail,
        "requests": shown_requests,
        "spam_reasons": visitor.SPAM_REASONS,
        **_row_context([lead]),
    }
