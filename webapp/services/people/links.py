"""Links that let somebody in: a token of chance, mailed once, of which only a hash is kept."""

import hashlib
import secrets

from webapp.config import current_config


def new_token() -> str:
    """256 bits of chance, fit for an address."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is kept of a token. It is random, so that one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def address(path: str) -> str:
    """`path` below PUBLIC_URL, whatever host the request at hand names."""
    return f"{current_config.public_url}{path}"
