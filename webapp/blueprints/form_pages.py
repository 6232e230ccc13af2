"""The pages of the public form and their headers; the same answers as JSON.

`g` holds what the headers depend on. lead_form.py sets `own_origins` (our addresses) and `allowed_sites` (of the form),
`page` sets `redirect_url`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from flask import Response, current_app, g, jsonify, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from webapp.blueprints import loader
from webapp.models import Interface
from webapp.services.intake import visitor
from webapp.services.intake.answers import LeadForm
from webapp.services.interfaces import embedding, form_look, form_texts

CSP = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{}; base-uri 'none'; frame-ancestors {}"
# A framed page tells the page around it its height, and contains its logo. Other pages have no script.
FRAMED_CSP = {"style-src": "script-src 'self'; style-src", "img-src": "img-src data:"}

Answer = BaseResponse | str | tuple[str | Response, int]


def is_framed() -> bool:
    """Whether another page asks for this one, to show it in a frame."""
    return request.headers.get("Sec-Fetch-Dest") in ("iframe", "frame", "embed", "object")


def wants_json() -> bool:
    """Whether the client prefers JSON, or sent JSON and does not ask for a page."""
    accepted = request.accept_mimetypes
    if accepted.best_match(["text/html", "application/json"]) == "application/json":
        return True
    return request.is_json and "text/html" not in accepted.values()


def page(interface: Interface, form: LeadForm, tracked: Mapping[str, str], token: str | None = None) -> str:
    """The form; with the token it had, if any: the minimum time counts from when the form was first shown."""
    g.redirect_url = interface.redirect_url
    hidden = {**tracked, visitor.TOKEN: token or visitor.new_token(interface.public_id)}
    return rendered("show", interface, form=form, hidden=hidden, trap=visitor.TRAP, prefix="")


def closed(interface: Interface, code: int) -> Answer:
    """The page of a form that takes no answers; as JSON always 403."""
    if wants_json():
        return jsonify(errors={"_form": [form_texts.of(interface)["closed"]]}), 403
    return rendered("closed", interface), code


def declined(code: int, title: str, words: str) -> Answer:
    """Why a request is declined, in the look of forms or as JSON; without session and database."""
    if wants_json():
        return jsonify(errors={"_form": [words]}), code
    return rendered("declined", None, title=title, words=words, look=form_look.plain_stylesheet_name()), code


def rendered(template: str, interface: Interface | None, **context: object) -> str:
    """A page of templates/lead_form. Without render_template(): its context processors open a session for nothing."""
    framed = is_framed()
    if interface:
        context |= {"interface": interface, "account_name": interface.account.name}
        context |= {"words": form_texts.of(interface), "look": form_look.stylesheet_name(interface)}
    if interface and interface.logo:
        context["logo"] = _logo_address(interface, interface.logo, framed)
    found = current_app.jinja_env.get_template(f"lead_form/{template}.html")
    return found.render(framed=framed, script=loader.frame_address() if framed else None, **context)


def _logo_address(interface: Interface, logo: str, framed: bool) -> str:
    if framed:
        with suppress(NotFound):  # it was replaced a moment ago
            return form_look.embedded_logo(interface.public_id, logo)
    return url_for("lead_form.logo", public_id=interface.public_id, name=logo)


def set_headers(response: Response) -> Response:
    """Lets any site frame the form and post to it, or the allowed ones: without a cookie there is nothing to abuse."""
    headers, allowed = response.headers, g.get("allowed_sites") or []
    headers.setdefault("Content-Security-Policy", _policy(allowed))
    # Cached for the browser's Back button, so that what was typed is still there.
    headers.setdefault("Cache-Control", "private, no-cache")
    origin = request.headers.get("Origin")
    if not allowed:
        headers["Access-Control-Allow-Origin"] = "*"
    elif visitor.may_post(allowed, origin, g.own_origins):
        headers["Access-Control-Allow-Origin"] = origin or "*"
    if allowed:
        headers.add("Vary", "Origin")
    headers["Access-Control-Expose-Headers"] = "Retry-After"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, POST"
        headers["Access-Control-Allow-Headers"] = "*"
        headers["Access-Control-Max-Age"] = "86400"
    return response


def _policy(allowed: Sequence[str]) -> str:
    """Browsers apply the form's own form-action to the redirect after a post, too."""
    parts = urlsplit(g.get("redirect_url") or "")
    elsewhere = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    policy = CSP.format(elsewhere, embedding.frame_ancestors(allowed))
    for directive, wider in FRAMED_CSP.items() if is_framed() else ():
        policy = policy.replace(directive, wider, 1)
    return policy
