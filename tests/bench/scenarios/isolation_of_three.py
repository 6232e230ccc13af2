"""Interfaces with three webhooks, of which one hangs: what that does to the two others of the same leads."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import select

from tests.bench.endpoints import Endpoints, running_endpoints
from tests.bench.leadhook import Hook, Installation, installed
from tests.bench.load import arrivals, offer, received
from tests.bench.machine import say
from tests.bench.measure import Row, Sizes, percentile
from tests.bench.scenarios.isolation import HEALTHY, RATE, TARGET, undisturbed
from tests.bench.scenarios.webhooks import give_more
from tests.support.postgres import Postgres
from webapp.db.transactions import read_only
from webapp.extensions import db
from webapp.models import Delivery, Lead

WAYS = {"without": "measure", "hanging": "hang"}  # what the third webhook's receiver does


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    p99 = {way: list[float]() for way in WAYS}
    more = {name: {way: list[float]() for way in WAYS} for name in ("p50", "stolen")}
    with (
        running_endpoints(directory) as measuring,
        running_endpoints(directory) as third,
        installed(database, postgres) as installation,
    ):
        for number in range(sizes.rounds):
            for way in WAYS:
                ms, share = undisturbed(partial(_measure, sizes, installation, measuring, third, way, number))
                p99[way].append(percentile(ms, 99))
                more["p50"][way].append(percentile(ms, 50))
                more["stolen"][way].append(round(share, 3))
                words = f"p50 {percentile(ms, 50):.1f}, p99 {percentile(ms, 99):.1f}, worst {max(ms):.0f} ms"
                say(f"  {database}, round {number + 1}: two of three, {way}: {words}; {share:.1%} stolen")
    title = "Healthy p99 of two webhooks whose interface's third hangs"
    beside = "all three answer", p99["without"], TARGET
    yield Row("isolation-of-three", title, database, "ms", p99["hanging"], *beside, at_least=False, more=more)


def _measure(
    sizes: Sizes, installation: Installation, measuring: Endpoints, third: Endpoints, way: str, seed: int
) -> list[float]:
    """New interfaces and new processes: nothing is known of any endpoint."""
    installation.settle()
    measuring.arrivals()
    first = installation.hooks(HEALTHY, lambda number: measuring.url(f"measure/{number}", host="localhost"))
    second = give_more(installation, first, lambda number: measuring.url(f"measure/{number}-2", host="localhost"))
    last = give_more(installation, first, lambda number: third.url(f"{WAYS[way]}/{number}"))
    # Two healthy deliveries of each lead: as many a second as in the other rows of isolation.
    offers = arrivals(first, RATE / 2, sizes.isolation_seconds, seed)
    with installation.workers():
        committed = offer(offers, installation.capture)
        timed = _by_message(committed, [*first, *second])
        found = received(measuring, timed, installation.secret, timeout=60)
        third.release()
        installation.archive(last)
        third.release()
    assert len(found) == 2 * len(offers)
    return list(found.values())


def _by_message(committed: dict[str, float], hooks: list[Hook]) -> dict[str, float]:
    """When each delivery to these webhooks was committed, by its message id."""
    query = select(Delivery.message_id, Lead.public_id).join(Lead).where(Lead.public_id.in_(committed))
    query = query.where(Delivery.webhook_id.in_([hook.webhook_id for hook in hooks]))
    with read_only(), db.engine.connect() as connection:
        return {message_id: committed[lead_id] for message_id, lead_id in connection.execute(query).tuples()}
