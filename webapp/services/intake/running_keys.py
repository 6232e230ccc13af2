"""Which Idempotency-Keys have a request under way. Redis knows it, for all processes and hosts.

A repeat that comes meanwhile is refused: if it waited, it would take a thread that other posts need. Without Redis it
waits, because the index of the database does. Both ways there is one lead.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from webapp.delivery.rings import queues
from webapp.services.intake import idempotency

# Seconds. A process that is killed leaves its key taken. A repeat that comes later waits, as without Redis.
LONGEST = 30
WAIT = 1  # seconds until a repeat may try again
RUNNING = "A request with this Idempotency-Key runs just now. Wait a second, then send it again to get its lead."


class KeyRuns(Exception):
    """Another request with the same key has not ended yet."""


@contextmanager
def running(interface_id: int, key: str | None) -> Iterator[None]:
    """Within the block, requests with the same key for this interface raise KeyRuns. Nothing without a key."""
    name = f"leadhook:running:{idempotency.name_of(interface_id, key)}" if key else ""
    is_noted = bool(name) and _begin(name)
    try:
        yield
    finally:
        if is_noted:
            _end(name)


def _begin(name: str) -> bool:
    """Whether it is noted, and must be taken back."""
    if queues.resting:
        return False
    try:
        is_first = queues.redis.set(name, "1", nx=True, ex=LONGEST)
    except RedisError as error:
        queues.failed(error)
        return False
    if not is_first:
        raise KeyRuns
    return True


def _end(name: str) -> None:
    try:
        queues.redis.delete(name)
    except RedisError as error:
        queues.failed(error)
