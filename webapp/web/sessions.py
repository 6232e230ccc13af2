"""The session cookie, on several hosts whose clocks differ.

itsdangerous refuses a signature whose age is below 0 seconds. So a session that a host wrote whose clock is ahead by a
second would be empty on the next host: people would be signed out, and their forms refused, at every other request.
"""

from datetime import datetime
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import SignatureExpired, TimestampSigner, URLSafeTimedSerializer


class SkewedSigner(TimestampSigner):
    """Refuses what is too old; what comes from the future was signed with our key by a host whose clock is ahead."""

    def unsign(self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False) -> Any:
        value, signed_at = super().unsign(signed_value, return_timestamp=True)
        if max_age is not None and self._age(signed_at) > max_age:
            raise SignatureExpired("The signature is too old.", payload=value, date_signed=signed_at)
        return (value, signed_at) if return_timestamp else value

    def _age(self, signed_at: datetime) -> float:
        return self.get_timestamp() - signed_at.timestamp()


class Sessions(SecureCookieSessionInterface):
    """Flask's own sessions, signed by SkewedSigner."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = SkewedSigner
        return serializer


def init_app(app: Flask) -> None:
    app.session_interface = Sessions()
