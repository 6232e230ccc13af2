"""How long a visitor's post takes while programs wait at the pull feed, beside the same without them."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from sqlalchemy import select

from tests.bench import visitors
from tests.bench.feeds import following
from tests.bench.leadhook import Installation, installed
from tests.bench.machine import say
from tests.bench.measure import Row, Sizes, percentile
from tests.bench.nginx import running_nginx
from tests.bench.scenarios.capture import API_LIMIT, RATE
from tests.support.postgres import Postgres
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import KeyAccess, Webhook
from webapp.services import api_keys

FEEDS = 200
TARGET = 1.5


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    p99: dict[bool, list[float]] = {True: [], False: []}
    with (
        running_nginx(directory / f"nginx-{database}") as nginx,
        installed(database, postgres, API_RATE_LIMIT=API_LIMIT) as installation,
    ):
        hooks = installation.hooks(FEEDS, nginx.plain)
        with transaction():
            _, key = api_keys.create_api_key(installation.account_id, None, "Feeds", KeyAccess.PRIVATE)
        with read_only(), db.engine.connect() as connection:
            ids = {hook.webhook_id for hook in hooks}
            followed = connection.scalars(select(Webhook.public_id).where(Webhook.id.in_(ids))).all()
        for number in range(sizes.rounds):
            for waits in sorted(p99, reverse=bool(number % 2)):  # each goes first as often
                found = _measure(sizes, installation, hooks[0].form, key, followed if waits else ())
                p99[waits].append(percentile(found, 99))
                words = f"p50 {percentile(found, 50):.1f}, p99 {p99[waits][-1]:.1f} ms"
                say(f"  {database}, round {number + 1}: {FEEDS if waits else 'no'} feeds: {words}")
    title = f"p99 of a post beside {FEEDS} waiting feeds, {RATE:.0f}/s"
    yield Row("feeds", title, database, "ms", p99[True], "without them", p99[False], TARGET, at_least=False)


def _measure(sizes: Sizes, installation: Installation, form: str, key: str, followed: Sequence[str]) -> list[float]:
    """Milliseconds of each post. Everything runs, as in production; the posts are delivered, and one feed has them."""
    installation.settle()
    with installation.web() as url, installation.workers():
        with following(url, key, followed) if followed else nullcontext() as feeds:
            visitors.visit(f"{url}/f/{form}", 4.0, rate=RATE)  # to warm up, and until all feeds wait
            found = visitors.visit(f"{url}/f/{form}", sizes.beside_seconds, rate=RATE)
        assert not found["refused"], found["refused"]
        if feeds:
            assert feeds.events, "no feed got any of the posts"
        installation.wait_until_delivered(timeout=60)
    ms: list[float] = found["ms"]
    return ms
