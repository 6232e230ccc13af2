"""Leads: the list, one lead, the CSV, Retry Webhook on a row, on the lead's page and for ticked rows."""

import re
from collections.abc import Sequence
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

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db.transactions import allow_write, read_only, transaction
from webapp.models import Lead
from webapp.services.errors import Refused
from webapp.services.intake import spam
from webapp.services.intake.submissions import clean
from webapp.services.leads import lead_detail, lead_export, lead_list, leads
from webapp.services.leads.lead_list import Filter
from webapp.web import htmx
from webapp.web.filters import moment
from webapp.web.security import account_id, local_path, signed_in

blueprint = Blueprint("leads", __name__)

MOST_TICKED = 500
_STRING = r'"(?:[^"\\]|\\.)*"'
_JSON_PARTS = re.compile(
    rf"(?P<k>{_STRING}(?=:))|(?P<s>{_STRING})|(?P<n>-?\d[\d.eE+-]*|true|false|null)|(?P<rest>.)", re.S
)
PATIENCE = timedelta(minutes=1)  # an outcome is asked for every second; after that, every five


@blueprint.get("/leads")
def index() -> str:
    """A page of the leads that the URL asks for."""
    wanted = _filter()
    page = lead_list.page(wanted, request.args.get("before", ""), request.args.get("after", ""))
    counts = lead_list.counts(wanted)
    everything = counts if page.leads else lead_list.counts(Filter(wanted.account_id))
    return render_template(
        "leads/index.html",
        wanted=wanted,
        page=page,
        counts=counts,
        everything=everything[None],
        any_yet=everything[None].least or everything[lead_list.Status.SPAM].least,
        statuses=[status for status in lead_list.Status if status.permanent or counts[status].least],
        interfaces=lead_list.interfaces(wanted.account_id),
        here_url=request.full_path.rstrip("?"),
        **_row_context(page.leads),
    )


@blueprint.get("/leads.csv")
def csv() -> Response:
    """The leads that the URL asks for, all pages of them."""
    name = f"leads-{utcnow():%Y-%m-%d}.csv"
    with allow_write():
        lead_export.record(_filter())
    lines = stream_with_context(lead_export.lines(_filter()))
    response = Response(lines, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@blueprint.get("/leads/<public_id>")
def show(public_id: str) -> BaseResponse | str:
    """One lead. While a try is under way its page asks again, and is answered 204 until there is an outcome."""
    lead = leads.get(account_id(), clean(public_id))
    if htmx.asked():
        return _outcome(lead, "leads/_lead.html", _lead_context(lead))
    return render_template("leads/show.html", **_lead_context(lead))


@blueprint.get("/leads/<public_id>/row")
def row(public_id: str) -> BaseResponse:
    """One row of the list, asked for like the page of a lead."""
    if not htmx.asked():
        return redirect(url_for(".show", public_id=public_id), 303)
    lead = lead_list.rows(account_id(), [public_id])[0]
    return _outcome(lead, "leads/_row.html", {"lead": lead, **_row_context([lead])})


@blueprint.post("/leads/<public_id>/retry")
def retry(public_id: str) -> BaseResponse:
    """Retry Webhook: for htmx the row (or the page) again, Queued; else back to where it was pressed."""
    lead = leads.get(account_id(), clean(public_id))
    refusal = leads.retryable(lead)
    with transaction():
        queued = leads.retry(lead.account_id, [lead.public_id], signed_in().id)
    words = None if queued else refusal or "It is being sent right now."
    if not htmx.asked():
        flash(words or f"Queued: the webhook of {_label(public_id)} is being sent again.", "info" if words else "ok")
        return redirect(_back(), 303)
    with read_only():
        return _queued(public_id, words)


@blueprint.post("/leads/<public_id>/not-spam")
def not_spam(public_id: str) -> BaseResponse:
    """Takes a lead out of Spam; it is delivered and told of as if it had just come."""
    try:
        with transaction():
            label = leads.not_spam(account_id(), clean(public_id), signed_in().id).label
    except Refused as refusal:
        flash(str(refusal), "info")
    else:
        flash(f"{label} is a lead now, and is handed on like any other.", "ok")
    return redirect(url_for(".show", public_id=public_id), 303)


@blueprint.post("/leads/retry")
def retry_ticked() -> BaseResponse | str:
    """Retry Webhook for the ticked rows: first says how many it will reach, then, confirmed, sends them."""
    ticked = list(dict.fromkeys(request.form.getlist("lead")))[:MOST_TICKED]
    if not ticked:
        flash("Tick the leads whose webhooks are to be sent again.", "info")
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
    """JSON with its names, texts and numbers marked for app.css, everything escaped."""

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
    with read_only():
        return leads.get(account_id(), public_id).label


def _webhooks(number: int) -> str:
    return "1 webhook is" if number == 1 else f"{number:,} webhooks are"


def _confirm(found: Sequence[Lead]) -> BaseResponse | str:
    """The dialog's content for htmx, which then opens it, else a page of the same words."""
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
    """What was clicked, as it is now: it then asks for the outcome and announces it, unless that is known by now or
    there is none, of which `words` say why."""
    if htmx.target_tag() == "tr":
        lead = lead_list.rows(account_id(), [public_id])[0]
        page = render_template("leads/_row.html", lead=lead, announce=not words, **_row_context([lead]))
    else:
        lead = leads.get(account_id(), public_id)
        page = render_template("leads/_lead.html", announce=not words, **_lead_context(lead))
    response = make_response(page)
    if words:
        return htmx.toast(response, words)
    return response if _pace(lead) else _announced(response, lead)


def _outcome(lead: Lead, partial: str, context: dict[str, Any]) -> BaseResponse:
    """204 while there is nothing new; then the partial, which asks no more, with words for who pressed the button."""
    pace, announce = _pace(lead), "announce" in request.args
    if pace and pace == request.args.get("pace"):
        return Response(status=204)
    response = make_response(render_template(partial, announce=announce, **context))
    return _announced(response, lead) if announce and not pace else response


def _announced(response: Response, lead: Lead) -> Response:
    """The response, which has what became of a click said."""
    delivery = lead.delivery
    if delivery is None:
        return response
    code = f", {delivery.last_code}" if delivery.last_code and delivery.status != "Held" else ""
    # Cut, for it goes by a header: proxies take 4 KB of them.
    return htmx.toast(response, f"{lead.label[:80]}: {delivery.status}{code}")


def _pace(lead: Lead) -> str | None:
    """How often the outcome of a lead under way is asked for; None where none is awaited."""
    delivery = lead.delivery
    if delivery is None or delivery.status != "Queued":
        return None
    since = moment(delivery.retry_at) if delivery.retry_at is not None else lead.received_at
    return "1s" if utcnow() - since < PATIENCE else "5s"


def _row_context(shown: Sequence[Lead]) -> dict[str, Any]:
    retries = len(current_config.retry_schedule)
    earlier = lead_list.earlier(shown)
    return {"retryable": leads.retryable, "pace": _pace, "most_tries": retries + 1, "earlier": earlier}


def _lead_context(lead: Lead) -> dict[str, Any]:
    attempts, total = lead_detail.attempts(lead.delivery)
    return {
        "lead": lead,
        "attempts": attempts,
        "attempts_total": total,
        "detail": lead_detail,
        "spam_reasons": spam.REASONS,
        "signed": bool(attempts and attempts[0].signed_with_id),
        **_row_context([lead]),
    }
