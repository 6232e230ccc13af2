"""Deliveries a second from a backlog: Leadhook beside a bare loop, RQ and Celery."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.bench import leadhook
from tests.bench.backlog import payload
from tests.bench.leadhook import Hook, Installation, installed
from tests.bench.machine import ROOT, cpu_seconds, python, say
from tests.bench.measure import Row, Sizes, rounded
from tests.bench.nginx import Nginx, running_nginx
from tests.bench.peers import celery_per_lead, rq_per_lead
from tests.bench.rates import WARM_UP, Rate, check, leadhook_rate
from tests.support.postgres import Postgres

# Beside the bare loop over SQLite and PostgreSQL.
TARGETS = {1: (1.1, 0.95), 10: (1.8, 1.5), 200: (1.1, 0.9)}
HTTPS_TARGETS = (1.3, 1.1)
RQ_TARGET, CELERY_TARGET = 40.0, 4.0


Way = Callable[[], Rate]


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    with (
        running_nginx(directory / f"nginx-{database}") as nginx,
        installed(database, postgres, WEBHOOK_CA_FILE=nginx.ca_file) as installation,
    ):
        yield from _rows(database, _rates(sizes, installation, nginx), sizes.rounds)


def _rates(sizes: Sizes, installation: Installation, nginx: Nginx) -> dict[str, Way]:
    """What is measured in each round, in this order."""
    plain, secure = installation.hooks(200, nginx.plain), installation.hooks(10, nginx.secure)
    ours = partial(leadhook_rate, installation, nginx, sizes.backlog)
    theirs = partial(per_lead_rate, installation, nginx, plain[:10])
    return {
        "bare": partial(bare_rate, installation, nginx.plain, sizes.bare_posts, None),
        "leadhook-1": partial(ours, plain[:1]),
        "leadhook-10": partial(ours, plain[:10]),
        "leadhook-200": partial(ours, plain),
        "bare-https": partial(bare_rate, installation, nginx.secure, sizes.bare_posts, nginx.ca_file),
        "leadhook-https": partial(ours, secure),
        "rq-worker": partial(theirs, "Worker", sizes.rq_worker_jobs),
        "rq-simple": partial(theirs, "SimpleWorker", sizes.rq_simple_jobs),
        "celery": partial(theirs, "Celery", sizes.celery_tasks),
    }


def _rows(database: str, ways: dict[str, Way], rounds: int) -> Iterator[Row]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            rate = way()
            found[name].append(rate.per_second)
            cpu[name].append(rate.cpu_us)
            found_out = f"{name} {rate.per_second:,.0f}/s, {rate.cpu_us:,.0f} µs of processor each"
            say(f"  {database}, round {number + 1}: {found_out}")
    yield from _table(database, found, cpu)


def _table(database: str, found: dict[str, list[float]], cpu: dict[str, list[float]]) -> Iterator[Row]:
    choice = 0 if database == "sqlite" else 1
    loop = "one bare requests.Session loop"

    def row(name: str, hooks: int, mine: str, beside: str, other: str, target: float | None, how: str = "") -> Row:
        title = f"Backlog over {hooks} webhook{'s' * (hooks > 1)}{how}"
        more = {"cpu_us": {"leadhook": rounded(cpu[mine]), "theirs": rounded(cpu[other])}}
        return Row(name, title, database, "/s", found[mine], beside, found[other], target, more=more)

    for hooks, targets in TARGETS.items():
        yield row(f"backlog-{hooks}", hooks, f"leadhook-{hooks}", loop, "bare", targets[choice])
    target = HTTPS_TARGETS[choice]
    yield row("backlog-https", 10, "leadhook-https", f"{loop}, https", "bare-https", target, ", https")
    ten = "leadhook-10"
    yield row("rq-worker", 10, ten, "RQ Worker, a job per lead", "rq-worker", RQ_TARGET)
    yield row("rq-simple", 10, ten, "RQ SimpleWorker, a job per lead", "rq-simple", None)
    yield row("celery", 10, ten, "Celery, a task per lead", "celery", CELERY_TARGET)


def bare_rate(installation: Installation, url: str, count: int, ca_file: str | None) -> Rate:
    """The bare loop, in a process of its own."""
    given = {"url": url, "count": count, "secret": installation.secret, "body": payload().decode(), "ca_file": ca_file}
    command = python("tests.bench.peers.bare_loop")
    ended = subprocess.run(
        command, input=json.dumps(given), cwd=ROOT, env=installation.environ, check=True, capture_output=True, text=True
    )
    return Rate(*json.loads(ended.stdout))


def per_lead_rate(installation: Installation, nginx: Nginx, hooks: list[Hook], kind: str, count: int) -> Rate:
    """The same with a job per lead; all jobs wait in the queue when the time begins."""
    installation.settle()
    if kind == "Celery":
        working = celery_per_lead.working(installation, leadhook.PROCESSES)
        park, release = partial(celery_per_lead.park, installation), celery_per_lead.release
    else:
        working = rq_per_lead.working(installation, kind, leadhook.PROCESSES)
        park, release = partial(rq_per_lead.park, installation.redis), rq_per_lead.release
    with working as pids:
        warm, _ = installation.backlog(hooks, WARM_UP)
        park(warm)
        release(installation.redis)
        installation.wait_until_delivered(timeout=60)
        before = nginx.received()
        ids, _ = installation.backlog(hooks, count)
        park(ids)
        began, used = time.monotonic(), cpu_seconds(*pids)
        release(installation.redis)
        took = installation.wait_until_delivered(timeout=120) - began
        used = cpu_seconds(*pids) - used
    check(installation, nginx, before, warm, ids)
    return Rate(count / took, used / count * 1e6)
