"""What does not grow with the backlog: a sweep, taking a lane, and Valkey's memory."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import text

from tests.bench.leadhook import Hook, Installation, installed
from tests.bench.machine import say
from tests.bench.measure import Row, Sizes
from tests.bench.nginx import running_nginx
from tests.support.postgres import Postgres
from webapp.delivery import lanes
from webapp.delivery.sweep import Sweep
from webapp.extensions import db

HOOKS = 100
TIMES = 40
TARGET = 1.5
MEMORY_TARGET = 5.0  # MB
WATCH_SECONDS = 8.0


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    with running_nginx(directory / f"nginx-{database}") as nginx, installed(database, postgres) as installation:
        hooks = installation.hooks(HOOKS, nginx.plain)
        with installation.workers():
            without = _memory(installation, seconds=3.0)
        few = _timed(installation, hooks, sizes.few)
        many = _timed(installation, hooks, sizes.many - sizes.few)
        say(f"  {database}: sweep, take at {sizes.few:,}: {_ms(few)}; at {sizes.many:,}: {_ms(many)}")
        for word, title in (("sweep", "One sweep"), ("take", "Taking a lane and its batch")):
            words = f"{title}, {sizes.many:,} due over {HOOKS} webhooks"
            row = (word, words, database, "ms", many[word], f"{sizes.few:,} due", few[word], TARGET)
            yield Row(*row, at_least=False)
        installation.redis.flushall()
        with installation.workers():
            beside = _memory(installation, WATCH_SECONDS)
            assert installation.due(), "the backlog was gone before the time was over"
        say(f"  {database}: Valkey holds {without:.2f} MB without, {beside:.2f} MB with {sizes.many:,} due")
        more = {"used_memory_mb": {"without": without, "with": beside}}
        title = f"Valkey's memory at {sizes.many:,} due over {HOOKS} webhooks, more than at none"
        yield Row("valkey", title, database, "MB", [beside - without], target=MEMORY_TARGET, at_least=False, more=more)


def _ms(found: dict[str, list[float]]) -> str:
    return ", ".join(f"{statistics.median(each):.2f}" for each in found.values()) + " ms"


def _timed(installation: Installation, hooks: list[Hook], more: int) -> dict[str, list[float]]:
    """Medians of three passes over each, in milliseconds, with `more` due than before. No worker runs."""
    installation.backlog(hooks, more)
    _settled_down()
    sweep = Sweep()

    def take(number: int) -> Callable[[], None]:
        return lambda: _take(hooks[number % HOOKS].webhook_id)

    sweep.once()  # rings them all; from now on they wait, as when workers are behind
    found: dict[str, list[float]] = {"sweep": [], "take": []}
    for _ in range(3):
        found["sweep"].append(_median([sweep.once] * TIMES))
        found["take"].append(_median([take(number) for number in range(TIMES)]))
    sweep.resign()
    return found


def _settled_down() -> None:
    """As autovacuum leaves a table within minutes; and nothing of what was written is still to be checkpointed."""
    if db.engine.dialect.name == "sqlite":
        connection = db.engine.raw_connection()  # outside a transaction, which SQLAlchemy's own would begin
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) leads, deliveries"))
        connection.execute(text("CHECKPOINT"))


def _take(webhook_id: int) -> None:
    """As a drain begins: the lane and its first batch; then the lane is given back."""
    hold = lanes._take(webhook_id)
    assert hold
    assert lanes._select(hold)
    lanes._give_back(hold)


def _median(deeds: list[Callable[[], None]]) -> float:
    times = []
    for deed in deeds:
        began = time.perf_counter()
        deed()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _memory(installation: Installation, seconds: float) -> float:
    """The most that Valkey held within so many seconds, in MB."""
    most, ends_at = 0, time.monotonic() + seconds
    while time.monotonic() < ends_at:
        most = max(most, int(installation.redis.info("memory")["used_memory"]))  # type: ignore[index]
        time.sleep(0.1)
    return most / 2**20
