"""The session cookie, on several hosts whose clocks differ.

With itsdangerous' own signer, a session that a host wrote whose clock is ahead by a second would be empty on the next
host: people would be signed out, and their forms refused, at every other request.
"""

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer

from webapp.clock import SkewedSigner


class Sessions(SecureCookieSessionInterface):
    """Flask's own sessions, signed by SkewedSigner."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = SkewedSigner
        return serializer


def init_app(app: Flask) -> None:
    app.session_interface = Sessions()
