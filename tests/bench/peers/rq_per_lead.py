"""RQ, one job per lead: `Worker`, which forks for each job, or `SimpleWorker`, which does not."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from redis import Redis
from rq import Queue, SimpleWorker, Worker

from tests.bench.leadhook import Installation
from tests.bench.machine import python, running
from tests.bench.peers import delivering
from webapp.config import Config

KINDS = {"Worker": Worker, "SimpleWorker": SimpleWorker}
QUEUE, PARKED = "rq:queue:leads", "bench:parked"


def queue(redis: Redis) -> Queue:
    return Queue("leads", connection=redis)


def park(redis: Redis, delivery_ids: Iterable[int]) -> None:
    """Enqueues a job for each lead where no worker looks."""
    calls = [Queue.prepare_data(delivering.deliver, args=(one,), result_ttl=0) for one in delivery_ids]
    queue(redis).enqueue_many(calls)
    redis.rename(QUEUE, PARKED)


def release(redis: Redis) -> None:
    """All that was parked becomes work, at once."""
    redis.rename(PARKED, QUEUE)


@contextmanager
def working(installation: Installation, kind: str, processes: int = 2) -> Iterator[list[int]]:
    """That many processes while the block runs, idle and ready; their pids."""
    with ExitStack() as stack:
        command = python("tests.bench.peers.rq_per_lead", kind)
        log = installation.directory / "rq.log"
        started = [stack.enter_context(running(command, installation.environ, log)) for _ in range(processes)]
        installation.wait_for_workers(started[0], processes)
        yield [child.pid for child in started]


def main(kind: str) -> None:
    delivering.prepare()  # once, before any fork
    redis = Redis.from_url(Config.load().redis_url)
    KINDS[kind]([queue(redis)], connection=redis).work(logging_level="WARNING")


if __name__ == "__main__":
    main(sys.argv[1])
