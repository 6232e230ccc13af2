"""Celery, one task per lead: prefork, with Valkey as its broker, and its defaults but for what only costs time."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from celery import Celery
from celery.signals import worker_ready
from redis import Redis

from tests.bench.leadhook import Installation
from tests.bench.machine import running
from tests.bench.peers import delivering
from tests.support.waiting import wait_until

QUEUE, PARKED, READY = "celery", "bench:parked", "bench:celery-is-ready"


def broker(redis_url: str) -> str:
    return redis_url.replace("unix://", "redis+socket://")


app = Celery("bench", broker=broker(os.environ.get("REDIS_URL", "")))
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_send_task_events = False


@app.task(name="deliver")
def deliver(delivery_id: int) -> None:
    delivering.deliver(delivery_id)


@worker_ready.connect
def say_so(**_: object) -> None:
    Redis.from_url(os.environ["REDIS_URL"]).set(READY, 1)


def park(installation: Installation, delivery_ids: Iterable[int]) -> None:
    """Publishes a task for each lead to a queue where no worker looks."""
    app.conf.broker_url = broker(installation.environ["REDIS_URL"])
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for one in delivery_ids:
            deliver.apply_async((one,), queue=PARKED, producer=producer)


def release(redis: Redis) -> None:
    """All that was parked becomes work, at once."""
    redis.rename(PARKED, QUEUE)


@contextmanager
def working(installation: Installation, processes: int = 2) -> Iterator[list[int]]:
    """A worker with that many processes while the block runs, idle and ready; its pid."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "warning"]
    name = ["-A", "tests.bench.peers.celery_per_lead"]
    command = [sys.executable, "-m", "celery", *name, "worker", "--concurrency", str(processes), *quiet]
    environ = {**installation.environ, "C_FORCE_ROOT": "1"}
    installation.redis.delete(READY)
    with running(command, environ, installation.directory / "celery.log") as child:

        def ready() -> bool:
            child.check()
            return bool(installation.redis.exists(READY))

        wait_until(ready, "Celery to be ready", timeout=60, every=0.1)
        yield [child.pid]


if "worker" in sys.argv:
    delivering.prepare()  # once, before the pool forks
