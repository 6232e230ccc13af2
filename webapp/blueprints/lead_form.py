"""The public form and its JSON twin. No cookie, ever, so there is nothing to forge and no token to check (docs: ui.md).

Whoever prefers JSON (by Accept, or by sending JSON) is answered in JSON: 201 {"id": "lead_…"}, else
{"errors": {"<field>": ["…"]}}, where what concerns no single field stands under "_form". Where a name is given twice,
the last one counts, in forms as in JSON.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import structlog
from flask import Blueprint, Response, current_app, g, jsonify, make_response, redirect, request, url_for
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, TooManyRequests
from werkzeug.wrappers import Response as BaseResponse

from webapp.blueprints import form_headers, loader
from webapp.extensions import csrf, db
from webapp.services.intake import capture, consents, shown_forms, spam, submissions
from webapp.services.intake.answers import LeadForm
from webapp.services.intake.capture import Submission
from webapp.services.intake.submissions import Published
from webapp.services.intake.validation import Rules
from webapp.services.interfaces import form_look, form_texts, privacy
from webapp.services.leads import leads
from webapp.web.error_pages import http_error
from webapp.web.form_limit import form_limit
from webapp.web.limits import network
from webapp.web.posted import posted
from webapp.web.security import cross_site, public, takes_json

blueprint = Blueprint("lead_form", __name__)
blueprint.after_request(form_headers.set_on)
log = structlog.get_logger()

LOGO_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox"  # an SVG opened by itself runs nothing
TRIES = 5  # to capture a lead by a form that is being changed
FOR_EVER = "public, max-age=31536000, immutable"
WORDS = {
    400: ("That could not be read", "The request could not be read."),
    403: ("That came from another site", "This form takes answers from the sites of its owner only."),
    404: ("There is no form here", "There is no form at this address, or it was taken down."),
    405: ("There is nothing here", "A form is read with GET and sent with POST."),
    413: ("That is too long", "This form can take 256 KB, in at most 500 fields. Please shorten what you wrote."),
    415: ("That could not be read", "Send the answers form-encoded, as multipart/form-data or as JSON."),
    429: ("One moment, please", "Too much was sent from your network just now. Go back, wait a minute, send it again."),
    500: ("That was not sent", "Your answers could not be stored just now. Go back and send them again in a moment."),
}

Answer = BaseResponse | str | tuple[str | Response, int]


@blueprint.get("/f/<public_id>")
@public
@cross_site
def show(public_id: str) -> Answer:
    """The form, empty but for its defaults; a hidden field is filled from the query."""
    published = _noted(shown_forms.get(public_id))
    if published.interface.closed_at:
        return _closed(published, 200)
    tracked = submissions.tracked({}, request.args, *_where_from())
    return _page(published, _filled(published, hidden=request.args), tracked)


@blueprint.get("/f/<public_id>/thank-you")
@public
@cross_site
def thank_you(public_id: str) -> str:
    """What a visitor sees after sending; it holds nothing of theirs."""
    return _rendered("thank_you", _noted(shown_forms.get(public_id)))


@blueprint.get("/f/look/<name>.css")
@public
@cross_site
def stylesheet(name: str) -> Response:
    """The form's look, which is its name: see services/interfaces/form_look.py."""
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
    """Captures a lead. The body is read first: however slowly it comes, no transaction is open meanwhile."""
    wait = form_limit.seconds_to_wait(public_id, network())
    if wait:
        raise TooManyRequests(retry_after=wait)
    post = _Post(*posted())
    kept = shown_forms.kept(public_id)
    lead = _captured(kept, post) if kept else None
    for _ in range(TRIES):
        if lead:
            return _thanks(lead)
        published = shown_forms.get(public_id)  # refused, or it has changed: what is said now is said of it as it is
        refusal = _refusal(_noted(published), post)
        if refusal:
            return refusal
        lead = _captured(published, post)
    if lead:
        return _thanks(lead)
    raise RuntimeError(f"form {public_id} was another one each time it was looked at")


class _Post(NamedTuple):
    """What was sent: the last value of each name, and all of each."""

    sent: Mapping[str, Any]
    repeated: Mapping[str, Sequence[str]]

    def judged(self, published: Published) -> LeadForm:
        return _filled(published, self.sent, repeated=self.repeated, hidden=request.args)

    def tracked(self) -> dict[str, str]:
        return submissions.tracked(self.sent, request.args, *_where_from())


class _Captured(NamedTuple):
    published: Published
    lead_id: str
    verdict: str | None


def _captured(published: Published, post: _Post) -> _Captured | None:
    """The lead; None where its form does not take it, or is not as `published` says any more."""
    interface, form = _noted(published).interface, post.judged(published)
    if not form_headers.may_post(published.interface) or interface.closed_at or form.errors:
        return None
    token = spam.read(interface.public_id, post.sent.get(spam.TOKEN))
    verdict = spam.verdict(interface, post.sent, token, form.values, request.remote_addr)
    address = privacy.kept_address(request.remote_addr, interface.ip_addresses)
    source = submissions.source(post.tracked(), address, request.user_agent.string)
    given = consents.given(published.fields, form.values, source["page_url"])
    nonce = spam.nonce(token, form.values)
    # Only now, for on SQLite everybody who writes waits for its end.
    lead_id = capture.submit(Submission(published, form.values, source, given, nonce, verdict))
    if lead_id is None and nonce:  # perhaps the same form with the same answers was sent before
        lead_id = leads.of_nonce(nonce)
    return _Captured(published, lead_id, verdict) if lead_id else None


def _refusal(published: Published, post: _Post) -> Answer | None:
    if not form_headers.may_post(published.interface):
        return _decline(403, *WORDS[403])
    if published.interface.closed_at:
        return _closed(published, 403)
    form = post.judged(published)
    return _again(published, form, post.tracked(), post.sent) if form.errors else None


def _thanks(captured: _Captured) -> Answer:
    interface = captured.published.interface
    if captured.verdict == spam.BLOCKED and interface.blocklist_published:
        words = form_texts.of(interface)
        return _decline(403, words["blocked_title"], words["blocked"])
    if _wants_json():
        return jsonify(id=captured.lead_id), 201
    # Elsewhere and not here at once: whoever reloads the thank-you page, or returns to it, sends nothing twice.
    elsewhere = interface.redirect_url if not form_headers.is_framed() else None
    return redirect(elsewhere or url_for(".thank_you", public_id=interface.public_id), 303)


def _noted(published: Published) -> Published:
    """The same; the headers of the answer say which sites may show it."""
    g.allowed_sites = published.interface.allowed_sites
    return published


def _again(published: Published, form: LeadForm, tracked: Mapping[str, str], sent: Mapping[str, Any]) -> Answer:
    """With its first token, where it had one: it counts from when the form was first seen."""
    if _wants_json():
        return jsonify(errors=form.errors), 422
    token = sent.get(spam.TOKEN)
    known = spam.read(published.interface.public_id, token)
    return _page(published, form, tracked, str(token) if known else None), 422


def _filled(published: Published, sent: Mapping[str, Any] | None = None, **more: Any) -> LeadForm:
    """The form in the interface's words, with what was sent."""
    rules = Rules(form_texts.of(published.interface), published.interface.country)
    return LeadForm(published.fields, sent, rules=rules, **more)


def _closed(published: Published, code: int) -> Answer:
    if _wants_json():
        return jsonify(errors={"_form": [form_texts.of(published.interface)["closed"]]}), 403
    return _rendered("closed", published), code


def _page(published: Published, form: LeadForm, tracked: Mapping[str, str], token: str | None = None) -> str:
    g.redirect_url = published.interface.redirect_url
    hidden = {**tracked, spam.TOKEN: token or spam.token(published.interface.public_id)}
    return _rendered("show", published, form=form, hidden=hidden, trap=spam.TRAP, prefix="")


def _rendered(page: str, published: Published | None, **context: object) -> str:
    """A page of templates/lead_form. Not render_template(): its context processors open the session, for nothing."""
    template = current_app.jinja_env.get_template(f"lead_form/{page}.html")
    if published:
        shown = published.interface
        context |= {"interface": shown, "account_name": published.account_name}
        context |= {"words": form_texts.of(shown), "look": form_look.stylesheet_name(shown)}
    framed = form_headers.is_framed()
    if published and published.interface.logo:
        context["logo"] = _logo_address(published.interface, framed)
    return template.render(framed=framed, script=loader.frame_address() if framed else None, **context)


def _logo_address(interface: Any, framed: bool) -> str:
    if framed:
        with suppress(NotFound):  # replaced just now
            return form_look.embedded_logo(interface.public_id, interface.logo)
    return url_for(".logo", public_id=interface.public_id, name=interface.logo)


def _for_ever(body: str | bytes, media_type: str) -> Response:
    """What its address says all about, so that browsers need ask for it but once."""
    response = Response(body, mimetype=media_type)
    response.headers["Cache-Control"] = FOR_EVER
    return response


def _where_from() -> tuple[str | None, str | None]:
    """The page the form stands on, and what led to it, as far as the browser says.

    The referrer of a form in a frame, or of a post, is the page; that of the form's own page is what led to it.
    """
    if form_headers.is_framed() or request.method == "POST":
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
    response = form_headers.set_on(make_response(_declined(error)))
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
    return _rendered("declined", None, title=title, words=words, look=form_look.plain_stylesheet_name()), code
