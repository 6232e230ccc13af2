"""Limits on requests: what they count by, and the limit of the public form.

Clients are counted by network; where people sign in or ask for a new password, also by the account they typed. What a
client can choose (an e-mail address, a form's id) is stored as a hash: it may be personal, or have kilobytes.
"""

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog
from flask import request
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from webapp.db.write_turns import meet
from webapp.extensions import REST, limiter
from webapp.per_app import per_app
from webapp.servers import redis_server
from webapp.text import typed_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

T = TypeVar("T")

# The networks that one client may have all of, by their bits, and how many times the limit of one each may have: a
# host has a /64, a home up to a /56, a company or the customer of a tunnel a /48.
IPV6 = {64: 1, 56: 4, 48: 16}
LONGEST_ADDRESS = 100  # characters
_WAIT = "leadhook.wait"  # in the WSGI environment


def account_of(email: str) -> str:
    """A hash of an e-mail address, the same for every spelling that finds the same user."""
    return hashlib.sha256(typed_address(email).encode("utf-8", "replace")).hexdigest()


def typed_account() -> str:
    """A hash of the e-mail address that was typed into the form."""
    return account_of(request.form.get("email", ""))


def network(bits: int = 64) -> str:
    """The client's address; for IPv6 its network, because a client that has one address of a /64 has all of them."""
    return _network(request.remote_addr, bits)


def _network(client: str | None, bits: int = 64) -> str:
    address = _address((client or "")[:LONGEST_ADDRESS])
    if address is None:  # a unix socket has none, and some proxies say "unknown"
        _warn_once()
        return "unknown"
    return str(address) if address.version == 4 else str(ip_network((int(address), bits), strict=False))


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
            found = ip_address(candidate.partition("%")[0])  # an interface of the proxy's machine may follow
            return getattr(found, "ipv4_mapped", None) or found
    return None


class ClientAddress:
    """WSGI middleware: the client's address is an IP address, or there is none.

    Some proxies add the port, write IPv6 in brackets, or say "unknown"; a unix socket has an empty address.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        address = _address(environ.get("REMOTE_ADDR", "")[:LONGEST_ADDRESS])
        if address is not None:
            environ["REMOTE_ADDR"] = str(address)
        else:
            environ.pop("REMOTE_ADDR", None)
        return self._app(environ, start_response)


class Counter(MovingWindowRateLimiter):
    """The library's own script and keys, but without its layers above them, and those of redis-py."""

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return self.hit_each(item, [identifiers], cost)[0]

    def hit_each(self, item: RateLimitItem, several: Sequence[Sequence[str]], cost: int = 1) -> list[bool]:
        """`hit` for each of these identifiers, in one conversation."""
        storage = self.storage
        if not isinstance(storage, RedisStorage):
            return [super(Counter, self).hit(item, *identifiers, cost=cost) for identifiers in several]
        keys = [storage.prefixed_key(item.key_for(*identifiers)) for identifiers in several]
        given = time.time(), item.amount, item.get_expiry(), cost
        return [*map(bool, redis_server.run(storage.lua_acquire_moving_window, *((key, *given) for key in keys)))]


class Counts:
    """Counts in Redis, by the connection of the app's Flask-Limiter; without Redis each process counts alone.

    It asks the library below Flask-Limiter. Flask-Limiter's decorators look up every limit and exemption again and
    check each request twice: that took a seventh of the time of a capture.
    """

    def __init__(self) -> None:
        self._shared = Counter(limiter.storage)
        self._own = Counter(MemoryStorage())
        self._failed_at = -REST

    def ask(self, question: Callable[..., T], *arguments: object) -> T:
        """The answer of `question(counter, *arguments)`."""
        if time.monotonic() > self._failed_at + REST:
            try:
                return question(self._shared, *arguments)
            except RedisError:
                self._failed_at = time.monotonic()
        return question(self._own, *arguments)


class Counted(Generic[T]):
    """A request to be counted by a key; `found`: what became of it, once that is known."""

    found: T | None = None

    def __init__(self, *key: str) -> None:
        self.key = key


class RequestLimit(Counts, Generic[T]):
    """A limit that requests side by side ask in one conversation."""

    def __init__(self, limit: str) -> None:
        """`limit`: such as "30 per minute"; empty for none."""
        super().__init__()
        self._limits: list[RateLimitItem] = parse_many(limit) if limit else []

    def _count_together(self, *key: str) -> T:
        """Counts this request, and those that come side by side with it."""
        mine: Counted[T] = Counted(*key)
        if beside := meet(self, mine):
            self.ask(self._count_all, beside)
        if mine.found is None:
            self.ask(self._count_all, [mine])
        assert mine.found is not None
        return mine.found

    def _count_all(self, counter: Counter, requests: Sequence[Counted[T]]) -> None:
        """Sets what is found of each."""
        raise NotImplementedError


class FormLimit(RequestLimit[int]):
    """FORM_RATE_LIMIT: how much one client may send to one form."""

    def seconds_to_wait(self, form: str, network: str) -> int:
        """Counts one post. Returns 0 if it is accepted, else the seconds until the next one is."""
        if not self._limits:
            return 0
        return self._count_together("form", hashlib.blake2b(form.encode(), digest_size=12).hexdigest(), network)

    def _count_all(self, counter: Counter, requests: Sequence[Counted[int]]) -> None:
        for limit in self._limits:
            hits = counter.hit_each(limit, [each.key for each in requests])
            for each, hit in zip(requests, hits, strict=True):
                each.found = 0 if hit else seconds_until(counter, limit, *each.key)
            requests = [each for each in requests if not each.found]


def seconds_until(counter: MovingWindowRateLimiter, limit: RateLimitItem, *key: str) -> int:
    """Until the limit takes one more; at least 1."""
    window = counter.get_window_stats(limit, *key)
    seconds = min(window.reset_time - time.time(), limit.get_expiry())  # another host's clock may differ
    return max(1, math.ceil(seconds))


form_limit: FormLimit = per_app("form_limit")


def seconds_to_wait(form: str, environ: "WSGIEnvironment") -> int:
    """As `FormLimit.seconds_to_wait`, for the client of this request; counts a request once, however often asked."""
    if _WAIT not in environ:
        environ[_WAIT] = form_limit.seconds_to_wait(form, _network(environ.get("REMOTE_ADDR")))
    return int(environ[_WAIT])
