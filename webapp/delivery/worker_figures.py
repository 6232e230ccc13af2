"""What the workers of all hosts say about themselves in Redis: their attempts, and how many of them are alive."""

from typing import cast

from redis import Redis
from redis.exceptions import RedisError
from rq import worker_registration

from webapp.delivery.rings import queues
from webapp.delivery.sending import AttemptCounts, attempt_counts

_attempts_key = "leadhook:attempts"  # a hash of counts: see sending.AttemptCounts


def add_attempts(connection: Redis, counted: AttemptCounts = attempt_counts) -> None:
    """Adds this process's counts of attempts to those of all workers. They begin at 0 again when Redis loses them."""
    counts = counted.take()
    if not counts:
        return
    try:
        with connection.pipeline(transaction=False) as pipeline:
            for name, count in counts.items():
                pipeline.hincrby(_attempts_key, name, count)
            pipeline.execute()
    except RedisError:
        counted.put_back(counts)
        raise


def attempts() -> dict[str, int]:
    """The counts of all workers."""
    found = cast(dict[bytes, bytes], queues.redis.hgetall(_attempts_key))
    return {name.decode(): int(count) for name, count in found.items()}


def workers_alive(name: str) -> int:
    """How many worker processes serve the queue. A killed one counts until its registration expires."""
    keys = worker_registration.get_keys(queues.get(name))
    return cast(int, queues.redis.exists(*keys)) if keys else 0
