"""How much one client may send to one form; of IPv6 a whole network is one client (limits.py).

By the library that Flask-Limiter stands on, asked once a post: its decorators, which look every limit and exemption up
anew and guard each request twice, took a seventh of what a capture costs.
"""

import math
import time

from flask import Flask
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from webapp.extensions import limiter, queues


class FormLimit:
    """The limits of FORM_RATE_LIMIT, counted in Redis; while it is away each process counts for itself."""

    _limits: list[RateLimitItem]

    def init_app(self, app: Flask) -> None:
        """Comes after Flask-Limiter's own, whose connection it shares."""
        limit = app.extensions["leadhook"].form_rate_limit
        self._limits = parse_many(limit) if limit else []
        self._shared = MovingWindowRateLimiter(limiter.storage)
        self._own = MovingWindowRateLimiter(MemoryStorage())

    def seconds_to_wait(self, form: str, network: str) -> int:
        """Counts one post; 0 if it may be taken."""
        if not queues.resting:
            try:
                return self._ask(self._shared, form, network)
            except RedisError:
                queues.failed()
        return self._ask(self._own, form, network)

    def _ask(self, limiter: MovingWindowRateLimiter, form: str, network: str) -> int:
        for limit in self._limits:
            if not limiter.hit(limit, "form", form, network):
                window = limiter.get_window_stats(limit, "form", form, network)
                return max(1, math.ceil(window.reset_time - time.time()))
        return 0


form_limit = FormLimit()
