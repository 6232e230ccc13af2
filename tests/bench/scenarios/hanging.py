"""Ten webhooks, of which one hangs on one in five requests: *Parallel requests* 1, and *Automatic*."""

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import exists, select

from tests.bench.endpoints import Endpoints, running_endpoints
from tests.bench.leadhook import Hook, Installation, installed
from tests.bench.load import arrivals, offer, received
from tests.bench.machine import say
from tests.bench.measure import Row, Sizes, percentile
from tests.support.postgres import Postgres
from tests.support.waiting import wait_until
from webapp.db.transactions import read_only, transaction
from webapp.delivery import ledger
from webapp.extensions import db
from webapp.models import Delivery, Webhook

WEBHOOKS = 10
DEADLINE = 3  # seconds, a fifth of the default, so that the row takes minutes: at 1, forty that hang wait one by one
WAYS = {"1": False, "Automatic": True}
TIME, P99 = 0.35, 1.2  # targets


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    seconds = {way: list[float]() for way in WAYS}
    p99 = {way: list[float]() for way in WAYS}
    environ = {"WEBHOOK_DEADLINE": str(DEADLINE), "WEBHOOK_CONNECT_TIMEOUT": "2"}
    with running_endpoints(directory) as endpoints, installed(database, postgres, **environ) as installation:
        hooks = installation.hooks(WEBHOOKS, lambda n: endpoints.url(f"measure/{n}" if n else "hang-some/0"))
        for number in range(sizes.hanging_rounds):
            for way in WAYS:
                took, ms, warm = _measure(sizes, installation, endpoints, hooks, way, number)
                seconds[way].append(took)
                p99[way].append(percentile(ms[warm:], 99))
                words = f"first tries ended after {took:.0f} s, p99 of the others {p99[way][-1]:.1f} ms"
                words += f" ({percentile(ms, 99):.1f} with the first {sizes.warm_up_seconds} s)"
                say(f"  {database}, round {number + 1}: at {way} {words}")
    beside = "at 1"
    title = f"{sizes.hanging_leads} leads, one in five hangs: until each was tried, Automatic"
    row = ("hanging-time", title, database, "s", seconds["Automatic"], beside, seconds["1"], TIME)
    yield Row(*row, at_least=False)
    title = "p99 of nine healthy webhooks beside it"
    yield Row("hanging-p99", title, database, "ms", p99["Automatic"], beside, p99["1"], P99, at_least=False)


def _measure(
    sizes: Sizes, installation: Installation, endpoints: Endpoints, hooks: list[Hook], way: str, seed: int
) -> tuple[float, list[float], int]:
    """Seconds until each lead's first try has ended, the milliseconds of the leads of the nine others in their order,
    and how many of these came while the workers were warming up: twenty of 1,800 are a p99."""
    installation.settle()
    endpoints.arrivals()
    with transaction():
        for hook in hooks:
            webhook = db.session.get_one(Webhook, hook.webhook_id)
            webhook.parallel_requests, webhook.automatic_parallel = 1, WAYS[way]
    db.session.remove()
    hanging, committed = hooks[0].webhook_id, dict[str, float]()
    span = sizes.hanging_leads / 10  # seconds: ten leads a second for each webhook
    offers = arrivals(hooks, sizes.hanging_leads * len(hooks) / span, span, seed)
    with installation.workers():
        began = time.monotonic()
        healthy = [one for one in offers if one.hook.webhook_id != hanging]
        warm = sum(one.at < sizes.warm_up_seconds for one in healthy)
        for one, (lead_id, at) in zip(sorted(offers), offer(offers, installation.capture).items(), strict=True):
            if one.hook.webhook_id != hanging:
                committed[lead_id] = at
        found = received(endpoints, installation.by_message(committed), installation.secret, timeout=60)
        wait_until(_all_tried, "each lead to be tried", timeout=sizes.hanging_leads * DEADLINE, every=0.1)
        took = time.monotonic() - began
        installation.settle()  # nothing is left to be tried again
        endpoints.release()
    return took, list(found.values()), warm


def _all_tried() -> bool:
    with read_only(), db.engine.connect() as connection:
        return not connection.execute(select(exists().where(ledger.FRESH).select_from(Delivery))).scalar_one()
