"""The public form, as a page and as JSON. It never sets a cookie, so a post needs no CSRF token.

A client that prefers JSON (by Accept, or because it sent JSON) gets JSON: 201 {"id": "lead_…"}, else
{"errors": {"<field>": ["…"]}}; errors that are not about one field are under "_form". If a name is sent twice, the last
value counts, in forms and in JSON.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from flask import Blueprint, Response, abort, g, jsonify, make_response, redirect, request, url_for
from werkzeug.exceptions import HTTPException, MethodNotAllowed, TooManyRequests

from webapp.blueprints import form_pages
from webapp.blueprints.form_pages import Answer
from webapp.config import current_config
from webapp.extensions import csrf, db
from webapp.models import Interface
from webapp.services.intake import published_forms, submissions, visitor
from webapp.services.intake.answers import LeadForm
from webapp.services.intake.published_forms import PublishedForm
from webapp.services.intake.submissions import Captured, Declined, DeclineReason, Post
from webapp.services.interfaces import form_look, form_texts
from webapp.web.error_pages import http_error
from webapp.web.limits import form_limit, network
from webapp.web.security import MAX_FIELDS, cross_site, public, takes_json

blueprint = Blueprint("lead_form", __name__)
blueprint.after_request(form_pages.set_headers)
log = structlog.get_logger()

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")

LOGO_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox"  # an SVG that is opened as a page runs no script
FOR_EVER = "public, max-age=31536000, immutable"
WORDS = {
    400: ("That could not be read", "The request could not be read."),
    403: ("That came from another site", "This form accepts answers only from its owner’s websites."),
    404: ("There is no form here", "There is no form at this address, or it was taken down."),
    405: ("There is nothing here", "A form is read with GET and sent with POST."),
    413: ("That is too long", "This form accepts at most 256 KB in 500 fields. Please shorten what you wrote."),
    415: ("That could not be read", "Send the answers form-encoded, as multipart/form-data or as JSON."),
    429: ("One moment, please", "Too much was sent from your network just now. Go back, wait a minute and try again."),
    500: ("That was not sent", "Your answers could not be stored just now. Go back and send them again in a moment."),
}


@blueprint.get("/f/<public_id>")
@public
@cross_site
def show(public_id: str) -> Answer:
    """The empty form with its defaults. Hidden fields are filled from the query."""
    interface = _noted(published_forms.get(public_id))
    if interface.closed_at:
        return form_pages.closed(interface, 200)
    tracked = visitor.tracked({}, request.args, *_where_from())
    return form_pages.page(interface, LeadForm.of(interface, hidden=request.args), tracked)


@blueprint.get("/f/<public_id>/thank-you")
@public
@cross_site
def thank_you(public_id: str) -> str:
    """What a visitor sees after sending; it shows nothing of what they sent."""
    return form_pages.rendered("thank_you", _noted(published_forms.get(public_id)))


@blueprint.get("/f/look/<name>.css")
@public
@cross_site
def stylesheet(name: str) -> Response:
    """The form's look. The name says all of it: see services/interfaces/form_look.py."""
    return _for_ever(form_look.stylesheet(name), "text/css")


@blueprint.get("/f/<public_id>/logo/<name>")
@public
@cross_site
def logo(public_id: str, name: str) -> Response:
    response = _for_ever(*form_look.logo(public_id, name))
    response.headers["Content-Security-Policy"] = LOGO_CSP
    return response


@blueprint.post("/f/<public_id>")
@public
@cross_site
@takes_json
@csrf.exempt  # type: ignore[untyped-decorator]
def submit(public_id: str) -> Answer:
    """Captures a lead. The body is read first, so that no transaction is open while a slow client sends it."""
    wait = form_limit.seconds_to_wait(public_id, network())
    if wait:
        raise TooManyRequests(retry_after=wait)
    try:
        result = submissions.submit(public_id, _post())
    except Exception:
        if form := published_forms.cached(public_id):
            _noted(form)  # the page of an error has the headers of the form too
        raise
    _noted(result.form)
    g.is_spam = result.spam is not None if isinstance(result, Captured) else None
    return _thanks(result) if isinstance(result, Captured) else _refused(result)


@blueprint.before_request
def _note_request() -> None:
    """Keeps in `g` what form_pages needs of the request."""
    g.own_origins = current_config.public_url, f"{request.scheme}://{request.host}"


def _noted(form: PublishedForm) -> Interface:
    """The form's interface. Keeps in `g` which sites may show it, for the headers of the response."""
    g.allowed_sites = form.interface.allowed_sites
    return form.interface


def _post() -> Post:
    page, referrer = _where_from()
    values, repeated = _posted()
    return Post(
        values=values,
        repeated=repeated,
        query=request.args,
        page=page,
        referrer=referrer,
        origin=request.headers.get("Origin"),
        own_origins=g.own_origins,
        ip=request.remote_addr,
        user_agent=request.user_agent.string,
    )


def _where_from() -> tuple[str | None, str | None]:
    """The page that shows the form, and the page before it; None for what the browser does not say.

    In a frame, and for a post, the Referer header is the page that shows the form; else it is the page before.
    """
    if request.method == "POST" or form_pages.is_framed():
        return request.referrer, None
    return None, request.referrer


def _posted() -> tuple[Mapping[str, Any], Mapping[str, Sequence[str]]]:
    """The posted values by name; and of a form, all values of each name.

    Aborts with 415 for another content type, 400 for JSON that cannot be read, 422 for JSON that is not an object, 413
    for too many fields.
    """
    if request.is_json:
        return _json(request.get_data()), {}
    if request.mimetype not in FORM_TYPES and request.get_data():
        abort(415)
    repeated = dict(request.form.lists())
    return {name: values[-1] for name, values in repeated.items()}, repeated


def _json(body: bytes) -> dict[str, Any]:
    """Numbers stay as they were written, so that a phone number sent as a number keeps its digits."""
    try:
        sent = json.loads(body, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        abort(400, "The body is not valid JSON.")
    if not isinstance(sent, dict):
        abort(422, 'The body must be a JSON object, such as {"email": "ada@example.com"}.')
    if len(sent) > MAX_FIELDS:
        abort(413)
    return sent


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _thanks(captured: Captured) -> Answer:
    interface = captured.form.interface
    if captured.spam == visitor.BLOCKED and interface.blocklist_published:
        words = form_texts.of(interface)
        return form_pages.declined(403, words["blocked_title"], words["blocked"])
    if form_pages.wants_json():
        return jsonify(id=captured.lead_id), 201
    # A redirect, so that reloading the thank-you page or going back to it does not send the form again.
    elsewhere = interface.redirect_url if not form_pages.is_framed() else None
    return redirect(elsewhere or url_for(".thank_you", public_id=interface.public_id), 303)


def _refused(declined: Declined) -> Answer:
    interface = declined.form.interface
    if declined.reason is DeclineReason.OTHER_SITE:
        return form_pages.declined(403, *WORDS[403])
    if declined.reason is DeclineReason.CLOSED:
        return form_pages.closed(interface, 403)
    assert declined.answers  # the reason is INVALID
    if form_pages.wants_json():
        return jsonify(errors=declined.answers.errors), 422
    return form_pages.page(interface, declined.answers, declined.tracked, declined.token), 422


def _for_ever(body: str | bytes, media_type: str) -> Response:
    """A response that browsers may keep for ever, because its address changes with its content."""
    response = Response(body, mimetype=media_type)
    response.headers["Cache-Control"] = FOR_EVER
    return response


@blueprint.errorhandler(HTTPException)
def _declined(error: HTTPException) -> Answer:
    code = error.code or 500
    title, words = WORDS.get(code, (error.name, error.description or ""))
    if code in (400, 422):
        words = error.description or words
    answer = make_response(form_pages.declined(code, title, words))
    if isinstance(error, TooManyRequests):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


@blueprint.app_errorhandler(MethodNotAllowed)
def _wrong_method(error: MethodNotAllowed) -> Any:
    """405, below /f/ like other errors there. No view matched, so Flask does not call this blueprint's own handler."""
    if not request.path.startswith("/f/"):
        return http_error(error)
    _note_request()
    response = form_pages.set_headers(make_response(_declined(error)))
    response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


@blueprint.errorhandler(Exception)
def _crashed(error: Exception) -> Answer:
    db.session.rollback()
    log.error("form failed", endpoint=request.endpoint, exc_info=error)
    return form_pages.declined(500, *WORDS[500])
