"""Browsers that a user has signed in with before. Each has a few tries of its own to sign in again: sign_in_limits.py.

The cookie names the user, the version of their sessions and a random id, signed. It signs in no one: it only says
that the password was known here. So it outlives the session. A new password and *Sign out everywhere* change the
version, which makes the cookies of all browsers void; the browser that chose the new password gets a new one.
"""

import secrets

from flask import Response, after_this_request, current_app, request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from webapp.clock import SkewedSigner
from webapp.models import User
from webapp.services.people import users
from webapp.text import typed_address

DAYS = 90
SALT = "leadhook known browser"  # so that no other signed value of ours is taken for a cookie


def remember(user: User) -> None:
    """Gives the browser of this request the cookie."""
    value = _serializer().dumps([user.get_id(), secrets.token_urlsafe(12)])

    @after_this_request
    def put(response: Response) -> Response:
        response.set_cookie(
            _name(),
            value,
            max_age=DAYS * 24 * 3600,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return response


def id_of(email: str) -> str | None:
    """The random id of the browser if the user with this address has signed in with it, else None."""
    try:
        key, browser = _serializer().loads(request.cookies.get(_name(), ""), max_age=DAYS * 24 * 3600)
    except (BadSignature, ValueError, TypeError):
        return None
    user = users.of_session_key(str(key))
    return str(browser) if user and user.email == typed_address(email) else None


def _name() -> str:
    return "__Host-leadhook-known" if current_app.config["SESSION_COOKIE_SECURE"] else "leadhook-known"


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt=SALT, signer=SkewedSigner)
