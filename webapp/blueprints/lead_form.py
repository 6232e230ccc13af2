"""The public form and its JSON twin. No cookie, ever, so there is nothing to forge and no token to check (docs: ui.md).

Whoever prefers JSON (by Accept, or by sending JSON) is answered in JSON: 201 {"id": "lead_…"}, else
{"errors": {"<field>": ["…"]}}, where what concerns no single field stands under "_form". Where a name is given twice,
the last one counts, in forms as in JSON.
"""

import json
from collections.abc import Mapping
from typing import Any

import structlog
from flask import (
    Blueprint,
    Response,
    abort,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import HTTPException, MethodNotAllowed, TooManyRequests
from werkzeug.wrappers import Response as BaseResponse

from webapp.errors import http_error
from webapp.extensions import csrf, db
from webapp.form_limit import form_limit
from webapp.forms.lead_form import LeadForm
from webapp.security import MAX_FIELDS, cross_site, public, takes_json
from webapp.services import leads, submissions
from webapp.services.submissions import Published
from webapp.transaction import transaction

blueprint = Blueprint("lead_form", __name__)
log = structlog.get_logger()

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
CSP = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors *"
WORDS = {
    400: ("That could not be read", "The request could not be read."),
    404: ("There is no form here", "There is no form at this address, or it was taken down."),
    405: ("There is nothing here", "A form is read with GET and sent with POST."),
    413: ("That is too long", "This form can take 256 KB, in at most 500 fields. Please shorten what you wrote."),
    415: ("That could not be read", "Send the answers form-encoded, as multipart/form-data or as JSON."),
    429: ("One moment, please", "Too much was sent from your network just now. Go back, wait a minute, send it again."),
    500: ("That was not sent", "Your answers could not be stored just now. Go back and send them again in a moment."),
}

Answer = BaseResponse | tuple[str | Response, int]


@blueprint.get("/f/<public_id>")
@public
@cross_site
def show(public_id: str) -> str:
    """The form, empty."""
    published = submissions.published(public_id)
    tracked = submissions.tracked({}, request.args, *_where_from())
    return _page(published, LeadForm(published.fields), tracked)


@blueprint.get("/f/<public_id>/thank-you")
@public
@cross_site
def thank_you(public_id: str) -> str:
    """What a visitor sees after sending; it holds nothing of theirs."""
    return render_template(
        "lead_form/thank_you.html", interface=submissions.published(public_id).interface, framed=_framed()
    )


@blueprint.post("/f/<public_id>")
@public
@cross_site
@takes_json
@csrf.exempt  # type: ignore[untyped-decorator]
def submit(public_id: str) -> Answer:
    """Captures a lead. The body is read first: however slowly it comes, no transaction is open meanwhile."""
    wait = form_limit.seconds_to_wait(public_id, request.remote_addr or "unknown")
    if wait:
        raise TooManyRequests(retry_after=wait)
    sent = _sent()
    tracked = submissions.tracked(sent, request.args, *_where_from())
    published = submissions.published(public_id)
    form = LeadForm(published.fields, sent)
    if form.errors:
        return _again(published, form, tracked)
    source = submissions.source(tracked, request.remote_addr, request.user_agent.string)
    with transaction():  # only now: on SQLite everybody who writes waits for its end
        lead_id = leads.capture(published, form.values, source).public_id
    if _wants_json():
        return jsonify(id=lead_id), 201
    # Elsewhere and not here at once: whoever reloads the thank-you page, or returns to it, sends nothing twice.
    return redirect(url_for(".thank_you", public_id=public_id), 303)


def _again(published: Published, form: LeadForm, tracked: Mapping[str, str]) -> Answer:
    if _wants_json():
        return jsonify(errors=form.errors), 422
    return _page(published, form, tracked), 422


def _page(published: Published, form: LeadForm, tracked: Mapping[str, str]) -> str:
    return render_template(
        "lead_form/show.html",
        interface=published.interface,
        account_name=published.account_name,
        form=form,
        tracked=tracked,
        prefix="",
        framed=_framed(),
    )


def _sent() -> Mapping[str, Any]:
    """What was posted, by name. 413, 415, or 400 and 422 for JSON that cannot be read or is no object."""
    if request.is_json:
        return _json(request.get_data())
    if request.mimetype not in FORM_TYPES and request.get_data():
        abort(415)
    return {name: values[-1] for name, values in request.form.lists()}


def _json(body: bytes) -> dict[str, Any]:
    """Numbers stay as they were written: a phone number sent as one keeps its digits."""
    try:
        sent = json.loads(body, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        abort(400, "The body is not valid JSON.")
    if not isinstance(sent, dict):
        abort(422, 'The body must be a JSON object, such as {"email": "ada@example.com"}.')
    if len(sent) > MAX_FIELDS:
        abort(413)
    return sent


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _framed() -> bool:
    """Whether the page is asked for by a frame of another one."""
    return request.headers.get("Sec-Fetch-Dest") in ("iframe", "frame", "embed", "object")


def _where_from() -> tuple[str | None, str | None]:
    """The page the form stands on, and what led to it, as far as the browser says.

    The referrer of a form in a frame, or of a post, is the page; that of the form's own page is what led to it.
    """
    if _framed() or request.method == "POST":
        return request.referrer, None
    return None, request.referrer


def _wants_json() -> bool:
    accepted = request.accept_mimetypes
    if accepted.best_match(["text/html", "application/json"]) == "application/json":
        return True
    return request.is_json and "text/html" not in accepted.values()


@blueprint.errorhandler(HTTPException)
def _declined(error: HTTPException) -> Answer:
    code = error.code or 500
    title, words = WORDS.get(code, (error.name, error.description or ""))
    if code in (400, 422):
        words = error.description or words
    answer = make_response(_decline(code, title, words))
    if isinstance(error, TooManyRequests):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


@blueprint.app_errorhandler(MethodNotAllowed)
def _not_taken(error: MethodNotAllowed) -> Any:
    """No view was found, so no blueprint either: below /f/ it is answered as everything there is."""
    if not request.path.startswith("/f/"):
        return http_error(error)
    response = _headers(make_response(_declined(error)))
    response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


@blueprint.errorhandler(Exception)
def _crashed(error: Exception) -> Answer:
    db.session.rollback()
    log.error("form failed", endpoint=request.endpoint, exc_info=error)
    return _decline(500, *WORDS[500])


def _decline(code: int, title: str, words: str) -> Answer:
    """In the form's own look, or JSON's own shape; neither session nor database is asked."""
    if _wants_json():
        return jsonify(errors={"_form": [words]}), code
    return render_template("lead_form/declined.html", title=title, words=words, framed=_framed()), code


@blueprint.after_request
def _headers(response: Response) -> Response:
    """Any site may frame the form, and any site's script may post to it: it knows no cookie to abuse."""
    headers = response.headers
    headers["Content-Security-Policy"] = CSP
    headers["Cache-Control"] = "private, no-cache"  # kept for the way back, so that what was typed is still there
    headers["Access-Control-Allow-Origin"] = "*"
    headers["Access-Control-Expose-Headers"] = "Retry-After"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, POST"
        headers["Access-Control-Allow-Headers"] = "*"
        headers["Access-Control-Max-Age"] = "86400"
    return response
