"""Kept connections: what it costs if the receiver ends them, and encrypted ones."""

import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import func, select

from tests.bench.endpoints import DROPS, Endpoints, running_endpoints
from tests.bench.leadhook import Hook, Installation, installed
from tests.bench.machine import say
from tests.bench.measure import Row, Sizes, rounded
from tests.bench.nginx import Nginx, running_nginx
from tests.bench.rates import WARM_UP, leadhook_rate
from tests.support.postgres import Postgres
from webapp.db.transactions import read_only
from webapp.extensions import db
from webapp.models import Attempt, Delivery

DROPS_TARGET = 1.2
TURNS = 5  # measurements of a round, in turns; their median counts, because one takes only half a second


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    with ExitStack() as stack:
        nginx = stack.enter_context(running_nginx(directory / f"nginx-{database}"))
        endpoints = stack.enter_context(running_endpoints(directory))
        installation = stack.enter_context(installed(database, postgres, WEBHOOK_CA_FILE=nginx.ca_file))
        yield _drops(sizes, database, installation, endpoints)
        yield _encrypted(sizes, database, installation, nginx)


def _drops(sizes: Sizes, database: str, installation: Installation, endpoints: Endpoints) -> Row:
    [steady], [dropping] = [installation.hooks(1, endpoints.url(path)) for path in ("measure", "drop")]
    found: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(sizes.rounds):
        took: dict[str, list[float]] = {"with": [], "without": []}
        for _ in range(TURNS):
            took["without"].append(_seconds(installation, steady, sizes.few))
            endpoints.arrivals()
            endpoints.dropped()
            took["with"].append(_seconds(installation, dropping, sizes.few))
            _check_drops(installation, endpoints, sizes.few)
        for name, values in took.items():
            found[name].append(statistics.median(values))
        say(f"  {database}, round {number + 1}: {found['with'][-1]:.2f} s, without drops {found['without'][-1]:.2f} s")
    title = f"{sizes.few:,} leads, every {DROPS}th request gets no answer"
    beside = "without drops", found["without"], DROPS_TARGET
    return Row("connections-drops", title, database, "s", found["with"], *beside, at_least=False)


def _seconds(installation: Installation, hook: Hook, count: int) -> float:
    """From a backlog's commit until all of it is delivered, by workers that have a connection already."""
    installation.settle()
    with installation.workers(processes=1):
        installation.backlog([hook], WARM_UP)
        installation.ring([hook])
        installation.wait_until_delivered(timeout=30)
        ids, began = installation.backlog([hook], count)
        installation.ring([hook])
        took = installation.wait_until_delivered(timeout=120) - began
    installation.check(ids)
    return took


def _check_drops(installation: Installation, endpoints: Endpoints, count: int) -> None:
    """Every request that the receiver read is on record, by webhook-id, and some were dropped."""
    received = Counter(endpoints.dropped())
    attempts = select(Delivery.message_id, func.count()).join(Attempt.delivery).group_by(Delivery.message_id)
    with read_only(), db.engine.connect() as connection:
        rows = connection.execute(attempts.where(Delivery.message_id.in_(received))).tuples().all()
    assert dict(rows) == received, f"{received.total()} requests, {sum(number for _, number in rows)} attempts"
    leads = count + WARM_UP
    assert len(received) == leads
    assert received.total() == leads + received.total() // DROPS


def _encrypted(sizes: Sizes, database: str, installation: Installation, nginx: Nginx) -> Row:
    hooks = installation.hooks(1, nginx.secure)
    found, cpu = list[float](), list[float]()
    for number in range(sizes.rounds):
        rates = [leadhook_rate(installation, nginx, sizes.few, hooks) for _ in range(TURNS)]
        found.append(statistics.median(rate.per_second for rate in rates))
        cpu.append(statistics.median(rate.cpu_us for rate in rates))
        words = f"{found[-1]:,.0f}/s, {cpu[-1]:,.0f} µs of processor each"
        say(f"  {database}, round {number + 1}: over TLS {words}")
    title = f"{sizes.few:,} leads over TLS, kept connections"
    return Row("connections-tls", title, database, "/s", found, more={"cpu_us": rounded(cpu)})
