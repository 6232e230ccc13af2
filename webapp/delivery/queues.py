"""The RQ queues, bound to an app's Redis. Redis is only the bell: nothing here is the sole copy of anything."""

import time
from typing import TYPE_CHECKING

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from webapp.config import config_of
from webapp.per_app import per_app

if TYPE_CHECKING:
    from redis.client import Pipeline

FAST, SLOW, MAIL = "fast", "slow", "mail"
NAMES = (FAST, SLOW, MAIL)

WEB_TIMEOUT = 0.2  # seconds a request may wait for Redis
REST = 2.0  # seconds without Redis after it failed to answer


class _Queue(Queue):
    """A queue whose jobs depend on none. To look for what one depends on, RQ begins a transaction for each."""

    def setup_dependencies(self, job: Job, pipeline: "Pipeline | None" = None) -> Job:
        """There is nothing to set up."""
        return job


class Queues:
    """The connection and the queues by name; `resting` while Redis was lately found away."""

    def __init__(self, redis_url: str) -> None:
        # Retries are the sweep's business: a ring that fails is rung again, a request does not wait for it.
        self.redis = Redis.from_url(
            redis_url,
            socket_timeout=WEB_TIMEOUT,
            socket_connect_timeout=WEB_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        # Ids only as arguments, so JSON serves.
        self._named = {name: _Queue(name, connection=self.redis, serializer=JSONSerializer) for name in NAMES}
        self._failed_at = -REST

    def get(self, name: str) -> Queue:
        """The queue called `name`, one of NAMES."""
        return self._named[name]

    @property
    def resting(self) -> bool:
        """Whether Redis failed less than two seconds ago and is better left alone."""
        return time.monotonic() - self._failed_at < REST

    def failed(self) -> None:
        """Redis did not answer: rest."""
        self._failed_at = time.monotonic()


queues = per_app("queues", lambda app: Queues(config_of(app).redis_url))
