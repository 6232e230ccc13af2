"""The pages of the public form and their headers; the same answers as JSON.

`g` holds what the headers depend on. lead_form.py sets `own_origins` (our addresses) and `allowed_sites` (of the form),
`page` sets `redirect_url`.
"""

from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from flask import Response, current_app, g, jsonify, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from webapp.blueprints import loader
from webapp.models import Interface
from webapp.services.intake import allowed_sites, packed_source, undeclared, visitor
from webapp.services.intake.answers import LeadForm
from webapp.services.interfaces import embedding, form_look, form_texts

CSP = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{}; base-uri 'none'{}"
# A framed page tells the page around it its height, and contains its logo. Other pages have no script.
FRAMED_CSP = {"style-src": "script-src 'self'; style-src", "img-src": "img-src data:"}

Answer = BaseResponse | str | tuple[str | Response, int]


# In the address of a page that is shown in a frame: the loader writes it, and the frame's own pages pass it on.
FRAME = "_frame"


def is_framed() -> bool:
    """Whether another page shows this one in a frame: its address says so, or the browser does.

    Browsers say what a page is for only over https; then a frame's address that was opened as a page is no frame.
    """
    return is_frame(request.headers.get("Sec-Fetch-Dest"), request.args)


def is_frame(shown_as: str | None, query: Container[str]) -> bool:
    """The same for a request with this Sec-Fetch-Dest and this query."""
    return shown_as in ("iframe", "frame", "embed", "object") or (FRAME in query and shown_as != "document")


def wants_json() -> bool:
    """Whether the client prefers JSON; or does not ask for a page, and sent JSON or is a script in a page."""
    accepted = request.accept_mimetypes
    if accepted.best_match(["text/html", "application/json"]) == "application/json":
        return True
    return "text/html" not in accepted.values() and (request.is_json or is_script())


def is_script() -> bool:
    """Whether a script in a web page asks, which can read only answers of this site that allow it.

    Browsers that do not say so (over plain http) send an Origin with a post, and ask for a page only when they open it.
    """
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode:
        return mode != "navigate"
    if "X-Requested-With" in request.headers:
        return True
    return "Origin" in request.headers and "text/html" not in request.accept_mimetypes.values()


def page(
    interface: Interface,
    form: LeadForm,
    tracked: Mapping[str, str],
    token: str | None = None,
    others: Mapping[str, Any] | None = None,
) -> str:
    """The form; with the token it had, if any: the minimum time counts from when the form was first shown.

    `others` are the undeclared answers of a form that is shown again.
    """
    g.redirect_url = interface.redirect_url
    hidden = own_values(interface.public_id, tracked, is_framed(), token)
    if others:
        hidden[undeclared.CARRIED] = packed_source.packed(others)
    return rendered("show", interface, form=form, hidden=hidden, trap=visitor.TRAP, prefix="")


def own_values(public_id: str, tracked: Mapping[str, str], framed: bool, token: str | None = None) -> dict[str, str]:
    """The form's own hidden values by name: all in which a page differs from others of its kind."""
    values = {visitor.TOKEN: token or visitor.new_token(public_id)}
    if tracked or framed:  # the loader sends it again once the page around the frame has its own title
        values[visitor.SOURCE] = packed_source.packed(tracked)
    return values


def thank_you_in_frame(interface: Interface, lead_id: str) -> str:
    """The address of the thank-you page for a frame. It says which lead it is for, so that its event comes once."""
    return url_for("lead_form.thank_you", public_id=interface.public_id, _frame=1, _lead=lead_id)


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
    script, mark = (loader.frame_address(), {FRAME: 1}) if framed else (None, {})
    return found.render(framed=framed, script=script, mark=mark, **context)


def _logo_address(interface: Interface, logo: str, framed: bool) -> str:
    if framed:
        with suppress(NotFound):  # it was replaced a moment ago
            return form_look.embedded_logo(interface.public_id, logo)
    return url_for("lead_form.logo", public_id=interface.public_id, name=logo)


def set_headers(response: Response) -> Response:
    """Lets any site frame the form and post to it, or the allowed ones: without a cookie there is nothing to abuse."""
    headers, allowed = response.headers, g.get("allowed_sites") or []
    headers.setdefault("Content-Security-Policy", _policy(allowed))
    # Pages that isolate themselves show only frames, and read only files, that say this.
    headers["Cross-Origin-Embedder-Policy"] = "require-corp"
    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    # Cached for the browser's Back button, so that what was typed is still there.
    headers.setdefault("Cache-Control", "private, no-cache")
    origin = request.headers.get("Origin")
    if not allowed:
        headers["Access-Control-Allow-Origin"] = "*"
    elif allowed_sites.may_post(allowed, origin, g.own_origins):
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
