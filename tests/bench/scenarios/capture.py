"""Forms accepted a second, beside Flask views that one would write; leads over the REST API beside forms; and how long
one waits while a backlog drains.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.bench import visitors
from tests.bench.leadhook import Installation, installed
from tests.bench.machine import say
from tests.bench.measure import Row, Sizes, percentile
from tests.bench.nginx import Nginx, running_nginx
from tests.bench.peers import flask_views
from tests.support.postgres import Postgres
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import KeyAccess
from webapp.services import api_keys

VIEWS = "tests.bench.peers.flask_views:create_app()"
BARE_TARGET, SAME_TARGET, API_TARGET, BESIDE_TARGET = 0.4, 0.85, 0.9, 10.0
API_LIMIT = "1000000 per minute"  # counted, but never reached: one key sends what thousands of visitors do
RATE = 50.0  # posts a second while a backlog drains
HOOKS = 10


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    with (
        running_nginx(directory / f"nginx-{database}") as nginx,
        installed(database, postgres, API_RATE_LIMIT=API_LIMIT) as installation,
    ):
        yield from _throughput(sizes, database, installation, nginx)
        yield from _beside(sizes, database, installation, nginx)


def _throughput(sizes: Sizes, database: str, installation: Installation, nginx: Nginx) -> Iterator[Row]:
    """No worker runs: views that deliver nothing are what it stands beside. What is promised is rung all the same."""
    [hook] = installation.hooks(1, nginx.plain)
    with db.engine.begin() as connection:
        flask_views.prepare(connection)
    with transaction():
        _, key = api_keys.create_api_key(installation.account_id, None, "Program", KeyAccess.PRIVATE)
    ways = {
        "leadhook": ("webapp:create_app()", f"/f/{hook.form}", ""),
        "api": ("webapp:create_app()", f"/api/v1/leads?{hook.form}", key),
        "bare": (VIEWS, "/bare", ""),
        "same": (VIEWS, "/same", ""),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(sizes.rounds):
        for name, (application, path, secret) in ways.items():
            installation.settle()
            found[name].append(_posts_per_second(installation, application, path, sizes.capture_seconds, secret))
            say(f"  {database}, round {number + 1}: capture {name} {found[name][-1]:,.0f}/s")
    row = partial(Row, title="Forms accepted", database=database, unit="/s", ours=found["leadhook"])
    words = "a bare Flask view that commits one row"
    yield row(name="capture-bare", beside=words, theirs=found["bare"], target=BARE_TARGET)
    words = "a view with the same validation and rows"
    yield row(name="capture-same", beside=words, theirs=found["same"], target=SAME_TARGET)
    title, words = "Leads accepted by POST /api/v1/leads", "forms accepted"
    api = {"ours": found["api"], "theirs": found["leadhook"]}
    yield Row("capture-api", title, database, "/s", beside=words, target=API_TARGET, **api)


def _posts_per_second(installation: Installation, application: str, path: str, seconds: float, key: str) -> float:
    with installation.web(application) as url:
        visitors.visit(url + path, 1.0, key=key)  # to warm up
        found = visitors.visit(url + path, seconds, key=key)
    assert not found["refused"], found["refused"]
    return float(found["accepted"] / found["seconds"])


def _beside(sizes: Sizes, database: str, installation: Installation, nginx: Nginx) -> Iterator[Row]:
    """Everything runs, as in production; the posts are delivered, too."""
    ours, alone = [], []
    hooks = installation.hooks(HOOKS, nginx.plain)
    for number in range(sizes.rounds):
        installation.settle()
        with installation.web() as url, installation.workers():
            form = f"{url}/f/{hooks[0].form}"
            visitors.visit(form, 2.0, rate=RATE)
            alone.append(_p99(visitors.visit(form, sizes.beside_seconds, rate=RATE)))
            installation.backlog(hooks, sizes.beside_backlog)
            installation.ring(hooks)
            ours.append(_p99(visitors.visit(form, sizes.beside_seconds, rate=RATE)))
            left = installation.due()
            assert left, f"{sizes.beside_backlog} were delivered before the time was over"
            installation.archive(hooks[1:])
            installation.settle()
        words = f"p99 alone {alone[-1]:.1f} ms, beside a backlog {ours[-1]:.1f} ms, {left:,} left"
        say(f"  {database}, round {number + 1}: {words}")
        hooks = [hooks[0], *installation.hooks(HOOKS - 1, nginx.plain)]
    title, words = f"p99 of a post beside a draining backlog, {RATE:.0f}/s", "without one"
    yield Row("capture-beside", title, database, "ms", ours, words, alone, BESIDE_TARGET, at_least=False)


def _p99(found: dict[str, object]) -> float:
    """Fails if any post was not accepted."""
    assert not found["refused"], found["refused"]
    return percentile(found["ms"], 99)  # type: ignore[arg-type]
