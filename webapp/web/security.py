"""Sign-in, permissions, and the headers of every response.

Nothing is open by default: a view needs sign-in and a row in the table of roles (roles.py) unless it is `@public`, or
`@takes_key`: then it needs an API Key.
"""

from collections.abc import Callable
from string import punctuation
from typing import Any, TypeVar, cast
from urllib.parse import quote_from_bytes

from flask import Flask, Response, abort, current_app, redirect, request, session, url_for
from flask_login import current_user, login_user, logout_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.extensions import login
from webapp.models import User
from webapp.services.people import users
from webapp.web import known_browsers, roles
from webapp.web.multipart import KeepingFormParser
from webapp.webhooks import shown_addresses
from webapp.webhooks.shown_addresses import AddressView

V = TypeVar("V", bound=Callable[..., Any])

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MAX_FIELDS = 500  # of a form; people need fewer, and parsing a million would keep a processor busy
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def public(view: V) -> V:
    """Marks a view that needs no sign-in."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def cross_site(view: V) -> V:
    """Marks a view that other sites may post to. It uses no cookie, so a forged request gains nothing."""
    view.is_cross_site = True  # type: ignore[attr-defined]
    return view


def takes_json(view: V) -> V:
    """Marks a view that reads JSON. Others answer JSON with 415: Flask-WTF would take a list for a form, and crash."""
    view.reads_json = True  # type: ignore[attr-defined]
    return view


def takes_key(view: V) -> V:
    """Marks a view that only an API Key opens: web/api/keys.py. It reads no cookie, so it needs no CSRF token."""
    view.takes_key = True  # type: ignore[attr-defined]
    return takes_json(view)


def takes_files(view: V) -> V:
    """Marks a view that reads multipart bodies itself, because it knows how much they may have."""
    view.reads_files = True  # type: ignore[attr-defined]
    return view


def signed_in() -> User:
    """The user of this request. Only for views that need sign-in: `_require_sign_in` made sure that there is one."""
    return cast(User, current_user._get_current_object())


def begin_session(user: User, remember: bool = False) -> None:
    """Signs the user in, in a new session: nothing of an earlier one is kept, above all not its CSRF token."""
    end_session()
    login_user(user, remember=remember)
    known_browsers.remember(user)


def end_session() -> None:
    """Signs out the current user, if any. `logout_user` comes last: its note in the session ends *Stay signed in*."""
    session.clear()
    logout_user()


def account_id() -> int:
    """The account that every query of this request is limited to."""
    return signed_in().account_id


def init_app(app: Flask) -> None:
    login.session_protection = None  # it would sign out a phone that changes networks; the cookie is HttpOnly
    # First of all: busy.py comes before this module, and reads the query too.
    app.before_request_funcs.setdefault(None, []).insert(0, _encode_query)
    app.before_request(_refuse_nul)
    app.before_request(_refuse_too_much)
    app.before_request(_refuse_json)
    app.before_request(_refuse_cross_site)
    app.before_request(_require_sign_in)
    app.before_request(_require_role)
    app.jinja_env.globals.update(may=_may, addresses=addresses)
    app.after_request(_headers)


login.user_loader(users.of_session_key)


def _view_has(mark: str) -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    return getattr(view, mark, False) is True


def _encode_query() -> None:
    """Percent-encodes bytes that a link should have encoded: werkzeug would crash on those that are not UTF-8."""
    if not request.query_string.isascii():
        request.query_string = quote_from_bytes(request.query_string, safe=punctuation).encode()


def _refuse_nul() -> None:
    """404 for a path with NUL: nothing has such an address, and PostgreSQL refuses to look for it."""
    if "\0" in request.path:
        abort(404)


def _refuse_too_much() -> None:
    """413 before anything else reads the form: the limiter would take the error for a Redis outage, and count alone."""
    is_chunked = "chunked" in request.headers.get("Transfer-Encoding", "")
    if is_chunked and request.mimetype != "multipart/form-data" and _is_cut(request.get_data()):
        abort(413)
    if request.mimetype == "application/x-www-form-urlencoded":
        if request.get_data().count(b"&") >= MAX_FIELDS:  # werkzeug counts the parts of multipart forms only
            abort(413)
    elif request.mimetype == "multipart/form-data" and _view_has("reads_files"):
        request.form_data_parser_class = KeepingFormParser  # the public form, to which pages in any encoding may post
    elif request.mimetype == "multipart/form-data":
        _ = request.form  # read here, within werkzeug's limits


def _is_cut(body: bytes) -> bool:
    """Whether a body that does not say its length goes on beyond the limit: werkzeug cuts it there and says nothing."""
    return len(body) >= current_app.config["MAX_CONTENT_LENGTH"] and bool(request.environ["wsgi.input"].read(1))


def _refuse_json() -> None:
    if request.is_json and request.method not in SAFE_METHODS and request.endpoint and not _view_has("reads_json"):
        abort(415)


def _refuse_cross_site() -> None:
    """A second layer besides CSRF tokens: browsers send Sec-Fetch-Site when another site makes them post."""
    if request.method in SAFE_METHODS or _view_has("is_cross_site") or _view_has("takes_key"):
        return
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        abort(403, "This request came from another site, so nothing was changed.")


def _require_sign_in() -> BaseResponse | None:
    if request.endpoint is None or request.endpoint == "static" or _view_has("is_public") or _view_has("takes_key"):
        return None
    if current_user.is_authenticated:
        return None
    here = request.full_path.rstrip("?") if request.method in SAFE_METHODS else None
    target = url_for("auth.sign_in", next=here if here != "/" else None)
    if request.headers.get("HX-Request") == "true":  # htmx would follow a redirect and swap the sign-in page into a row
        return Response(status=401, headers={"HX-Redirect": target})
    return redirect(target, 303)


def _require_role() -> None:
    """403 for a role that may not call the endpoint; 404 if only the operator may, as if it did not exist."""
    endpoint = request.endpoint
    if endpoint is None or endpoint == "static" or _view_has("is_public") or _view_has("takes_key"):
        return
    if roles.may(signed_in(), endpoint):
        return
    if roles.of(endpoint) == roles.ONLY_OPERATOR:
        abort(404)
    abort(403, "Your role does not allow this. Ask the owner of your account.")


def _may(endpoint: str) -> bool:
    """For templates: whether a user is signed in and may call the endpoint."""
    return current_user.is_authenticated and roles.may(signed_in(), endpoint)


def addresses() -> AddressView:
    """How the user of this request sees addresses of webhooks: whole if they may open the Lead Generation tab."""
    return shown_addresses.WHOLE if _may("interfaces.lead_generation") else shown_addresses.CUT


def _headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CSP)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if current_app.config["SESSION_COOKIE_SECURE"]:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint != "static" and not _view_has("is_cross_site"):
        headers.setdefault("Cache-Control", "no-store")
    return response


def local_path(target: str | None) -> str | None:
    """`target` if it is a path of this site, else None: so `next` cannot lead to another site."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return None
    return None if any(ord(character) < 32 or character == "\\" for character in target) else target
