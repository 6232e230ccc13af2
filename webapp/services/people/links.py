"""Links that let a person in. Each has a random token, which is mailed once; only its hash is stored."""

import hashlib
import secrets

from webapp.config import current_config


def new_token() -> str:
    """A random token of 256 bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """The hash that is stored. One round of SHA-256 is enough, because a token is random."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def address(path: str) -> str:
    """`path` below PUBLIC_URL. The Host header of the current request does not change it."""
    return f"{current_config.public_url}{path}"
