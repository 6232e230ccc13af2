"""The shortest way that works: commit, push the id, pop it, post. Signed, but nothing is recorded or tried again."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from redis import Redis
from sqlalchemy import bindparam, select

from tests.bench.leadhook import Installation
from tests.bench.machine import python, running
from tests.bench.peers import delivering
from tests.support.waiting import wait_until
from webapp.config import Config
from webapp.db.transactions import read_only
from webapp.extensions import db
from webapp.models import ApiKey, Delivery, Webhook

LIST, READY = "bench:pipeline", "bench:pipeline-is-ready"
_WANTED = (
    select(Delivery.message_id, Delivery.payload, Webhook.url, ApiKey.secret_encrypted)
    .join(Webhook, Webhook.id == Delivery.webhook_id)
    .join(ApiKey, ApiKey.id == Webhook.shared_token_id)
    .where(Delivery.id == bindparam("delivery"))
)


def push(redis: Redis, delivery_id: int) -> None:
    redis.lpush(LIST, delivery_id)


def post(delivery_id: int) -> None:
    with read_only(), db.engine.connect() as connection:
        row = connection.execute(_WANTED, {"delivery": delivery_id}).one()
    timestamp = int(time.time())
    headers = {
        "content-type": "application/json",
        "webhook-id": row.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": delivering.signer(row.secret_encrypted).sign(row.message_id, timestamp, row.payload),
    }
    delivering.session().post(row.url, data=row.payload, headers=headers, timeout=(5, 15))


@contextmanager
def working(installation: Installation, processes: int = 2) -> Iterator[None]:
    installation.redis.delete(READY)
    with ExitStack() as stack:
        log = installation.directory / "pipeline.log"
        command = python("tests.bench.peers.pipeline")
        for _ in range(processes):
            stack.enter_context(running(command, installation.environ, log))
        wait_until(lambda: int(installation.redis.get(READY) or 0) >= processes, "the pipeline", timeout=60)
        yield


def main() -> None:
    redis = Redis.from_url(Config.load().redis_url)
    with delivering.application().app_context():
        redis.incr(READY)
        while True:
            popped = redis.brpop([LIST])
            post(int(popped[1]))


if __name__ == "__main__":
    main()
