"""The public form, as a page and as JSON. It never sets a cookie, so a post needs no CSRF token.

A client that prefers JSON (by Accept, or because it sent JSON) gets JSON: 201 {"id": "lead_…"}, else
{"errors": {"<field>": ["…"]}}; errors that are not about one field are under "_form". If a name is sent twice, the last
value counts, in forms and in JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import structlog
from flask import Blueprint, Response, abort, g, jsonify, make_response, redirect, request, url_for
from werkzeug.exceptions import HTTPException, MethodNotAllowed, TooManyRequests

from webapp import ids
from webapp.blueprints import foreign_text, form_pages, form_uploads, json_posts, short_way, webhook_posts
from webapp.blueprints.form_pages import Answer
from webapp.config import current_config
from webapp.extensions import csrf, db
from webapp.models import Interface
from webapp.services.intake import idempotency, prefill, published_forms, refused_sites, submissions, visitor
from webapp.services.intake.answers import LeadForm
from webapp.services.intake.encodings import CHARSET, MAYBE_NOT_UTF_8
from webapp.services.intake.published_forms import PublishedForm
from webapp.services.intake.submissions import Captured, Declined, DeclineReason, Post
from webapp.services.interfaces import form_look, form_texts
from webapp.web.error_pages import http_error
from webapp.web.limits import seconds_to_wait
from webapp.web.security import cross_site, public, takes_files, takes_json

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
    503: ("That was not sent", "Your files could not be stored just now. Go back and send them again in a moment."),
}


@blueprint.get("/f/<public_id>")
@public
@cross_site
def show(public_id: str) -> Answer:
    """The empty form with its defaults. The query fills hidden fields, and others if the interface says so."""
    interface = _noted(short_way.outcome(request.environ) or published_forms.get(public_id))
    if interface.closed_at:
        return form_pages.closed(interface, 200)
    every = _query_lists()
    query = _last(every)
    tracked = visitor.tracked({}, query, *_where_from())
    if interface.allowed_sites and form_pages.is_framed():
        refused_sites.note(interface, request.referrer, g.own_origins)
    form = LeadForm.of(interface, hidden=query)
    if interface.prefills:
        prefill.fill(form, every)
    return form_pages.page(interface, form, tracked)


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
@takes_files
@csrf.exempt  # type: ignore[untyped-decorator]
def submit(public_id: str) -> Answer:
    """Captures a lead. The body is read first, so that no transaction is open while a slow client sends it."""
    if wait := seconds_to_wait(public_id, request.environ):
        form_uploads.drain()
        raise TooManyRequests(retry_after=wait)
    try:
        result = short_way.outcome(request.environ) or submissions.submit(public_id, _post(public_id))
    except Exception:
        if form := published_forms.cached(public_id):
            _noted(form)  # the page of an error has the headers of the form too
        raise
    _noted(result.form)
    g.is_spam = result.spam is not None if isinstance(result, Captured) else None
    if isinstance(result, Declined):
        return _refused(result)
    try:
        return _thanks(result)
    except Exception as error:  # the lead is kept, so its visitor must not send it again
        log.error("the answer to an accepted lead failed", exc_info=error)
        return redirect(url_for(".thank_you", public_id=public_id), 303)


@blueprint.before_request
def _note_request() -> None:
    """Keeps in `g` what form_pages needs of the request. 404 for what cannot be a form's id, before it is counted."""
    g.own_origins = current_config.public_url, f"{request.scheme}://{request.host}"
    if len((request.view_args or {}).get("public_id", "")) > ids.LONGEST:
        abort(404)


def _noted(form: PublishedForm) -> Interface:
    """The form's interface. Keeps in `g` which sites may show it, for the headers of the response."""
    g.allowed_sites = form.interface.allowed_sites
    return form.interface


def _post(public_id: str) -> Post:
    page, referrer = _where_from()
    files = form_uploads.read(public_id) if request.mimetype == "multipart/form-data" else None
    values, repeated = _posted()
    return Post(
        values=values,
        repeated=repeated,
        query=_last(_query_lists()),
        page=page,
        referrer=referrer,
        origin=request.headers.get("Origin"),
        own_origins=g.own_origins,
        ip=request.remote_addr,
        user_agent=request.user_agent.string,
        key=_key(),
        files=files,
        hops=_hops(),
    )


def _hops() -> int:
    """How many webhooks brought the post here; 0 for a visitor's. Aborts with 508 if it goes round in a circle."""
    message_id, sent = request.environ.get("HTTP_WEBHOOK_ID"), request.environ.get("HTTP_LEADHOOK_HOPS")
    return webhook_posts.read_hops(message_id or "", sent or "") if message_id or sent else 0


def _key() -> str | None:
    """The post's Idempotency-Key, if it has one. Aborts with 400 if it is no key."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    try:
        return idempotency.key_of(header)
    except ValueError as error:
        abort(400, str(error))


def _where_from() -> tuple[str | None, str | None]:
    return visitor.where_from(request.referrer, request.method == "POST" or form_pages.is_framed())


def _posted() -> tuple[Mapping[str, Any], Mapping[str, Sequence[str]]]:
    """The posted values by name; and of a form, all values of each name.

    Aborts with 415 for another content type, 400 for JSON that cannot be read, 422 for JSON that is not an object, 413
    for too many fields.
    """
    if request.is_json:
        return json_posts.read(), {}
    if request.mimetype not in FORM_TYPES and request.get_data():
        abort(415)
    names = [part.filename or "" for _, part in request.files.items(multi=True)]
    repeated = _in_any_encoding(dict(request.form.lists()), foreign_text.form, names)
    return _last(repeated), repeated


def _query_lists() -> Mapping[str, Sequence[str]]:
    """All values of each name in the query."""
    if not request.query_string:
        return {}
    return _in_any_encoding(dict(request.args.lists()), foreign_text.query)


def _last(values: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
    return {name: each[-1] for name, each in values.items()}


def _in_any_encoding(
    read: dict[str, list[str]], read_again: Callable[[], foreign_text.Pairs], files: Sequence[str] = ()
) -> dict[str, list[str]]:
    """All values of each name: as werkzeug read them in UTF-8, or read again where they, or the names of files, may be
    in another encoding."""
    text = "".join(chain(read, *read.values(), files))
    is_utf_8 = read and request.mimetype_params.get("charset", "utf-8").lower() == "utf-8"
    if is_utf_8 and CHARSET not in read and not MAYBE_NOT_UTF_8.search(text):
        return read
    found: dict[str, list[str]] = {}
    for name, value in read_again():
        found.setdefault(name, []).append(value)
    return found


def _thanks(captured: Captured) -> Answer:
    interface = captured.form.interface
    if captured.spam == visitor.BLOCKED and interface.blocklist_published:
        words = form_texts.of(interface)
        return form_pages.declined(403, words["blocked_title"], words["blocked"])
    if form_pages.wants_json():
        more = {"undeclared_files": captured.undeclared_files} if captured.undeclared_files else {}
        return jsonify(id=captured.lead_id, **more), 201
    # A redirect, so that reloading the thank-you page or going back to it does not send the form again.
    if form_pages.is_framed():
        return redirect(form_pages.thank_you_in_frame(interface, captured.lead_id), 303)
    elsewhere = interface.redirect_url if not form_pages.is_script() else None  # which could not read another site
    return redirect(elsewhere or url_for(".thank_you", public_id=interface.public_id), 303)


def _refused(declined: Declined) -> Answer:
    interface = declined.form.interface
    if declined.reason is DeclineReason.OTHER_SITE:
        refused_sites.note(interface, request.headers.get("Origin"), g.own_origins)
        return form_pages.declined(403, *WORDS[403])
    if declined.reason is DeclineReason.CLOSED:
        return form_pages.closed(interface, 403)
    if declined.reason is DeclineReason.KEY_REUSED:
        return form_pages.declined(422, "That was sent before", idempotency.REUSED)
    if declined.reason is DeclineReason.KEY_SPENT:
        return form_pages.declined(410, "That was sent before", idempotency.DELETED)
    assert declined.answers  # the reason is INVALID
    if form_pages.wants_json():
        return jsonify(errors=declined.answers.errors), 422
    return form_pages.page(interface, declined.answers, declined.tracked, declined.token, declined.others), 422


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
    elif code == 413:
        words = g.get("too_large") or words
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
