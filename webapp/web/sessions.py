"""The session cookie, on several hosts whose clocks differ.

With itsdangerous' own signer, a session that a host wrote whose clock is ahead by a second would be empty on the next
host: people would be signed out, and their forms refused, at every other request.
"""

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from itsdangerous import URLSafeTimedSerializer

from webapp.clock import SkewedSigner


class Sessions(SecureCookieSessionInterface):
    """Flask's own sessions, signed by SkewedSigner."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = SkewedSigner
        return serializer

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Pages for other sites and the REST API have no cookie, so their answers do not depend on one."""
        view = app.view_functions.get(request.endpoint or "")
        if not (getattr(view, "is_cross_site", False) or getattr(view, "takes_key", False)):
            super().save_session(app, session, response)


def init_app(app: Flask) -> None:
    app.session_interface = Sessions()
