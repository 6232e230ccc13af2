"""Mails shown as they were sent: their HTML in a frame, where nothing of it can act or load."""

from flask import Response, make_response

from webapp.web.security import CSP

# Inline styles, as mails need them; links open a page of their own, for this site lets itself be framed by nobody.
CSP_OF_MAIL = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


def with_frames(page: str) -> Response:
    """A page that may hold frames of this site."""
    response = make_response(page)
    response.headers["Content-Security-Policy"] = f"{CSP}; frame-src 'self'"
    return response


def mail_html(body: str) -> Response:
    """A mail's HTML, for a frame of this site."""
    response = make_response(body)
    response.headers["Content-Security-Policy"] = CSP_OF_MAIL
    return response
