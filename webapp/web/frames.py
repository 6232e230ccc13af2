"""Shows the HTML of mails in a frame, where it cannot act or load anything."""

from flask import Response, make_response

from webapp.web.security import CSP

# Mails need inline styles. Their links open a new page, because pages of this site refuse to be framed.
CSP_OF_MAIL = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


def with_frames(page: str) -> Response:
    """A response with a page that may contain frames of this site."""
    response = make_response(page)
    response.headers["Content-Security-Policy"] = f"{CSP}; frame-src 'self'"
    return response


def mail_html(body: str) -> Response:
    """A response with a mail's HTML, for a frame of this site."""
    response = make_response(body)
    response.headers["Content-Security-Policy"] = CSP_OF_MAIL
    return response
