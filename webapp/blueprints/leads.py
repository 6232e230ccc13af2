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
def retry(public_id: str) -> BaseResponse:
    """Retry Webhook: for htmx answers the row (or the page) as Queued; otherwise redirects to where it was clicked."""
    lead = leads.get(account_id(), clean(public_id))
    refusal = leads.retryable(lead)
    with transaction():
        queued = leads.retry(lead.account_id, [lead.public_id], signed_in().id)
    words = None if queued else refusal or "It is being sent right now."
    if not htmx.asked():
        flash(words or f"Queued: the webhook of {_label(public_id)} is being sent again.", "info" if words else "ok")
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
    with transaction():
        queued = leads.retry(account_id(), [lead.public_id for lead in found], signed_in().id)
    flash(f"Queued: {_webhooks(queued)} being sent again." if queued else "None of them could be sent now.", "ok")
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


def _webhooks(number: int) -> str:
    return "1 webhook is" if number == 1 else f"{number:,} webhooks are"


def _confirm(found: Sequence[Lead]) -> BaseResponse | str:
    """The content of a dialog, which htmx opens; otherwise a page with the same text."""
    sendable = [lead for lead in found if leads.retryable(lead) is None]
    reasons = sorted({reason for lead in found if (reason := leads.retryable(lead))})
    names = sorted({lead.interface.name for lead in sendable})
    context = {"found": found, "sendable": sendable, "reasons": reasons, "names": names, "back": _back()}
    if not htmx.asked():
        return render_template("leads/retry.html", **context)
    response = make_response(render_template("leads/_confirm.html", dialog=True, **context))
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
    # Cut, because it is sent in a header, and some proxies accept only 4 KB of headers.
    return htmx.toast(response, f"{lead.label[:80]}: {delivery.status}{code}")


def _pace(lead: Lead) -> str | None:
    """How often the page polls for the lead's outcome, 1s or 5s; None if no outcome is expected."""
    delivery = lead.delivery
    if delivery is None or delivery.status != Status.QUEUED or delivery.rests_until:
        return None
    since = moment(delivery.retry_at) if delivery.retry_at is not None else lead.received_at
    return "1s" if utcnow() - since < PATIENCE else "5s"


def _row_context(shown: Sequence[Lead]) -> dict[str, Any]:
    retries = len(current_config.retry_schedule)
    earlier = lead_list.earlier(shown)
    sent_to = sent_addresses.of_leads([] if addresses().whole else [lead.id for lead in shown])
    shared = {"retryable": leads.retryable, "pace": _pace, "most_tries": retries + 1}
    return {**shared, "earlier": earlier, "sent_to": sent_to}


def _lead_context(lead: Lead) -> dict[str, Any]:
    attempts, total = lead_detail.attempts(lead.delivery)
    return {
        "lead": lead,
        "attempts": attempts,
        "attempts_total": total,
        "detail": lead_detail,
        "spam_reasons": visitor.SPAM_REASONS,
        "signed": bool(attempts and attempts[0].signed_with_id),
        **_row_context([lead]),
    }
