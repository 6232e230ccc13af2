"""How much one client may send to one form; of IPv6 a whole network is one client (limits.py).

By the library that Flask-Limiter stands on, asked once a post: its decorators, which look every limit and exemption up
anew and guard each request twice, took a seventh of what a capture costs.
"""

import math
import time

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from webapp.config import config_of
from webapp.delivery.queues import queues
from webapp.extensions import limiter
from webapp.per_app import per_app


class FormLimit:
    """The limits of FORM_RATE_LIMIT, counted in Redis; while it is away each process counts for itself."""

    def __init__(self, limit: str) -> None:
        """`limit`: such as "30 per minute"; empty: none. Shares the connection of the current app's Flask-Limiter."""
        self._limits: list[RateLimitItem] = parse_many(limit) if limit else []
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


form_limit = per_app("form_limit", lambda app: FormLimit(config_of(app).form_rate_limit))
