"""The headers of the public form's answers, and who may frame it and post to it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import Response, g, request

from webapp.config import current_config
from webapp.services.interfaces import embedding

CSP = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{}; base-uri 'none'; frame-ancestors {}"
# A frame tells the page around it how high it is, and has its logo within; elsewhere there is no script.
FRAMED_CSP = {"style-src": "script-src 'self'; style-src", "img-src": "img-src data:"}


def is_framed() -> bool:
    """Whether the page is asked for by a frame of another one."""
    return request.headers.get("Sec-Fetch-Dest") in ("iframe", "frame", "embed", "object")


def may_post(interface: Any) -> bool:
    """Whether the site that the post comes from may: `interface` is one, or a row of its columns."""
    return embedding.may_post(interface.allowed_sites, request.headers.get("Origin"), _own_origins())


def _policy(allowed: Sequence[str]) -> str:
    """Browsers hold the redirect after a post to the form's own form-action, too."""
    parts = urlsplit(g.get("redirect_url") or "")
    elsewhere = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    policy = CSP.format(elsewhere, embedding.frame_ancestors(allowed))
    for directive, wider in FRAMED_CSP.items() if is_framed() else ():
        policy = policy.replace(directive, wider, 1)
    return policy


def set_on(response: Response) -> Response:
    """Any site may frame the form and post to it, or those that are allowed: it knows no cookie to abuse."""
    headers, allowed = response.headers, g.get("allowed_sites") or []
    headers.setdefault("Content-Security-Policy", _policy(allowed))
    # Kept for the way back, so that what was typed is still there.
    headers.setdefault("Cache-Control", "private, no-cache")
    origin = request.headers.get("Origin")
    if not allowed:
        headers["Access-Control-Allow-Origin"] = "*"
    elif embedding.may_post(allowed, origin, _own_origins()):
        headers["Access-Control-Allow-Origin"] = origin or "*"
    if allowed:
        headers.add("Vary", "Origin")
    headers["Access-Control-Expose-Headers"] = "Retry-After"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, POST"
        headers["Access-Control-Allow-Headers"] = "*"
        headers["Access-Control-Max-Age"] = "86400"
    return response


def _own_origins() -> tuple[str, str]:
    return current_config.public_url, f"{request.scheme}://{request.host}"
