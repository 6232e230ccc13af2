"""API_RATE_LIMIT: how many requests a key may make, and the headers that say how many are left.

The headers are those of the IETF's draft 10: `RateLimit-Policy: "default";q=600;w=60` and
`RateLimit: "default";r=599;t=60`.
"""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from flask import request
from limits import RateLimitItem
from limits.storage import RedisStorage

from webapp.per_app import per_app
from webapp.servers import redis_server
from webapp.web.api.problems import Problem
from webapp.web.limits import Counted, Counter, RequestLimit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_QUOTAS = "leadhook.quotas"  # in the WSGI environment


# Counts a request in a list of `limits`, and says how many of them count and when the oldest of these was: the library
# asks Redis twice for that, which takes as long as all else that the short way does. Those that no longer count are
# dropped here, mostly one: to find them in a list that the library would keep takes twenty steps. After a rest they may
# be a million: each time twice as many are dropped, or half as many, as Redis answers no other question meanwhile.
_HIT = b"""
local now, most, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function at(place) return redis.call('LINDEX', KEYS[1], place) end
local function is_over(entry) return entry and tonumber(entry) < now - window end
local oldest, several = at(-1), 1
while is_over(oldest) do
  if several == 1 or is_over(at(-several)) then
    redis.call('LTRIM', KEYS[1], 0, -1 - several)
    oldest, several = at(-1), several * 2
  else
    several = several / 2
  end
end
local used = redis.call('LLEN', KEYS[1])
if used >= most then return {0, used, oldest or ARGV[1]} end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], window)
return {1, used + 1, oldest or ARGV[1]}
"""


class Quota(NamedTuple):
    """What is left of one limit. `seconds`: until the window ends that was begun by the oldest request in it."""

    name: str
    most: int
    window: int
    left: int
    seconds: int
    is_exceeded: bool


class Hit(NamedTuple):
    """Whether a limit takes one more, how many it has now, and when the oldest of them came (epoch seconds)."""

    is_taken: bool
    used: int
    oldest: float


class ApiLimit(RequestLimit[list[Quota]]):
    """API_RATE_LIMIT: how many requests a key may make."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        storage = self._shared.storage
        self._script = storage.get_connection().register_script(_HIT) if isinstance(storage, RedisStorage) else None

    def count(self, *key: str) -> list[Quota]:
        """Counts one request."""
        return self._count_together("api", *key) if self._limits else []

    def _count_all(self, counter: Counter, requests: Sequence[Counted[list[Quota]]]) -> None:
        found: list[list[Quota]] = [[] for _ in requests]
        for number, limit in enumerate(self._limits, start=1):
            name, window = "default" if number == 1 else f"default-{number}", limit.get_expiry()
            for quotas, hit in zip(found, self._hits(counter, limit, requests), strict=True):
                seconds = max(1, math.ceil(min(hit.oldest + window - time.time(), window)))  # a host's clock may differ
                left = max(0, limit.amount - hit.used)
                quotas.append(Quota(name, limit.amount, window, left, seconds, not hit.is_taken))
        for each, quotas in zip(requests, found, strict=True):
            each.found = quotas

    def _hits(self, counter: Counter, limit: RateLimitItem, requests: Sequence[Counted[list[Quota]]]) -> list[Hit]:
        storage, window = counter.storage, limit.get_expiry()
        if self._script and isinstance(storage, RedisStorage):
            names = [storage.prefixed_key(limit.key_for(*each.key)) for each in requests]
            given = time.time(), limit.amount, window
            answers = redis_server.run(self._script, *((name, *given) for name in names))
            return [Hit(bool(is_taken), used, float(oldest)) for is_taken, used, oldest in answers]
        found = []
        for each in requests:
            is_taken, stats = counter.hit(limit, *each.key), counter.get_window_stats(limit, *each.key)
            found.append(Hit(is_taken, limit.amount - stats.remaining, stats.reset_time - window))
        return found


api_limit: ApiLimit = per_app("api_limit")


def taken(environ: "WSGIEnvironment", *key: str) -> list[Quota]:
    """What is left for this request's key; counts a request once, however often asked."""
    if _QUOTAS not in environ:
        environ[_QUOTAS] = api_limit.count(*key)
    found: list[Quota] = environ[_QUOTAS]
    return found


def count(*key: str) -> None:
    """Counts this request; 429 if it is too many."""
    quotas = taken(request.environ, *key)
    if over := [quota for quota in quotas if quota.is_exceeded]:
        wait = max(quota.seconds for quota in over)
        words = f"This key made too many requests. Wait {wait} s, then try again."
        more = {"violated-policies": [quota.name for quota in over]}
        raise Problem(429, words, headers={"Retry-After": str(wait)}, more=more)


def words(limit: str) -> str:
    """What is said of this API_RATE_LIMIT."""
    if not limit:
        return "The number of requests is not limited here."
    return f"A private key may make {limit} requests; a public one as many from each network."


def headers(environ: "WSGIEnvironment") -> dict[str, str]:
    """What the answer says of the limits; nothing where there are none."""
    quotas: list[Quota] = environ.get(_QUOTAS, [])
    if not quotas:
        return {}
    return {
        "RateLimit-Policy": ", ".join(f'"{each.name}";q={each.most};w={each.window}' for each in quotas),
        "RateLimit": ", ".join(f'"{each.name}";r={each.left};t={each.seconds}' for each in quotas),
    }
