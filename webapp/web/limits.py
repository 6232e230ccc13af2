"""Limits on requests: what they count by, and the limit of the public form.

Clients are counted by network; where people sign in or ask for a new password, also by the account they typed. Redis
gets a hash of it, never a person's e-mail address.
"""

import contextlib
import hashlib
import math
import time
from collections.abc import Iterable
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

import structlog
from flask import request
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from webapp.extensions import REST, limiter
from webapp.per_app import per_app
from webapp.text import typed_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()


def typed_account() -> str:
    """A hash of the e-mail address that was typed into the form."""
    return hashlib.sha256(typed_address(request.form.get("email", "")).encode("utf-8", "replace")).hexdigest()


def network() -> str:
    """The client's address; for IPv6 its /64 network, because a client that has one address has all of them."""
    address = _address(request.remote_addr or "")
    if address is None:  # a unix socket has none, and some proxies say "unknown"
        _warn_once()
        return "unknown"
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))


@cache
def _warn_once() -> None:
    log.warning(
        "Visitors have no address, so all of them share one rate limit.",
        do="Set TRUSTED_PROXIES to the number of proxies in front, and have them set X-Forwarded-For.",
    )


@lru_cache(2048)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address of a client; also of an IPv4 client on an IPv6 listener, and if a proxy added the port."""
    bare = text.strip('"')
    for candidate in (bare, bare.strip("[]"), bare.rpartition(":")[0].strip("[]")):
        with contextlib.suppress(ValueError):
            found = ip_address(candidate)
            return getattr(found, "ipv4_mapped", None) or found
    return None


class ClientAddress:
    """WSGI middleware: the client's address is an IP address, or there is none.

    Some proxies add the port, write IPv6 in brackets, or say "unknown"; a unix socket has an empty address.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        address = _address(environ.get("REMOTE_ADDR", ""))
        if address is not None:
            environ["REMOTE_ADDR"] = str(address)
        else:
            environ.pop("REMOTE_ADDR", None)
        return self._app(environ, start_response)


class FormLimit:
    """FORM_RATE_LIMIT: how much one client may send to one form. Counts in Redis; without it each process counts alone.

    It asks the library below Flask-Limiter, once per post. Flask-Limiter's decorators look up every limit and exemption
    again and check each request twice: that took a seventh of the time of a capture.
    """

    def __init__(self, limit: str) -> None:
        """`limit`: such as "30 per minute"; empty for none. Uses the Redis connection of the app's Flask-Limiter."""
        self._limits: list[RateLimitItem] = parse_many(limit) if limit else []
        self._shared = MovingWindowRateLimiter(limiter.storage)
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._failed_at = -REST

    def seconds_to_wait(self, form: str, network: str) -> int:
        """Counts one post. Returns 0 if it is accepted, else the seconds until the next one is."""
        if time.monotonic() > self._failed_at + REST:
            try:
                return self._ask(self._shared, form, network)
            except RedisError:
                self._failed_at = time.monotonic()
        return self._ask(self._own, form, network)

    def _ask(self, limiter: MovingWindowRateLimiter, form: str, network: str) -> int:
        for limit in self._limits:
            if not limiter.hit(limit, "form", form, network):
                window = limiter.get_window_stats(limit, "form", form, network)
                seconds = min(window.reset_time - time.time(), limit.get_expiry())  # another host's clock may differ
                return max(1, math.ceil(seconds))
        return 0


form_limit: FormLimit = per_app("form_limit")
