"""What does not grow with the backlog: a sweep, taking a lane, and Valkey's memory."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import text

from tests.bench.leadhook import Installation, installed
from tests.bench.machine import say
from tests.bench.measure import Row, Sizes
from tests.bench.nginx import running_nginx
from tests.support.postgres import Postgres
from webapp.delivery import lanes
from webapp.delivery.sweep import Sweep
from webapp.extensions import db

HOOKS = 100
ROUNDS, TIMES = 5, 40
TARGET = 1.5
MEMORY_TARGET = 5.0  # MB
WATCH_SECONDS = 8.0
DEEDS = {"sweep": "One sweep", "take": "Taking a lane and its batch"}


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    with (
        running_nginx(directory / f"nginx-{database}") as nginx,
        installed(database, postgres, worker=True) as small,  # their sweeps and takes are this process's own
        installed(database, postgres, worker=True) as large,
    ):
        with large.workers():
            without = _memory(large, seconds=3.0)
        few, many = _Backlog(small, nginx.plain, sizes.few), _Backlog(large, nginx.plain, sizes.many)
        for _ in range(ROUNDS):
            for deed in DEEDS:
                few.measure(deed)  # in turn, for the machine is not as fast in one minute as in the next
                many.measure(deed)
        for deed, title in DEEDS.items():
            words = f"{title}, {sizes.many:,} due over {HOOKS} webhooks"
            row = (deed, words, database, "ms", many.found[deed], f"{sizes.few:,} due", few.found[deed], TARGET)
            say(f"  {database}: {words} {_ms(many.found[deed])}; {sizes.few:,} due {_ms(few.found[deed])}")
            yield Row(*row, at_least=False)
        with large.chosen():
            many.sweep.resign()
            large.redis.flushall()
            with large.workers():
                beside = _memory(large, WATCH_SECONDS)
                assert large.due(), "the backlog was gone before the time was over"
        say(f"  {database}: Valkey holds {without:.2f} MB without, {beside:.2f} MB with {sizes.many:,} due")
        more = {"used_memory_mb": {"without": without, "with": beside}}
        title = f"Valkey's memory at {sizes.many:,} due over {HOOKS} webhooks, more than at none"
        yield Row("valkey", title, database, "MB", [beside - without], target=MEMORY_TARGET, at_least=False, more=more)


def _ms(found: list[float]) -> str:
    return f"{statistics.median(found):.2f} ms"


class _Backlog:
    """An installation with so much due. No worker runs."""

    def __init__(self, installation: Installation, url: str, due: int) -> None:
        self.installation = installation
        self.found: dict[str, list[float]] = {deed: [] for deed in DEEDS}  # the median of each pass, in milliseconds
        self.sweep = Sweep()
        with installation.chosen():
            self.hooks = installation.hooks(HOOKS, url)
            installation.backlog(self.hooks, due)
            _settled_down()
            self.sweep.once()  # rings them all; from now on they wait, as when workers are behind

    def measure(self, deed: str) -> None:
        """One pass."""
        with self.installation.chosen():
            each = [_timed(getattr(self, f"_{deed}"), number) for number in range(TIMES)]
        self.found[deed].append(statistics.median(each))

    def _sweep(self, number: int) -> None:
        self.sweep.once()

    def _take(self, number: int) -> None:
        """As a drain begins: the lane and its first batch; then the lane is given back."""
        hold = lanes._take(self.hooks[number % HOOKS].webhook_id)
        assert hold
        assert lanes._select(hold)
        lanes._let_go(hold)


def _timed(deed: Callable[[int], None], number: int) -> float:
    began = time.perf_counter()
    deed(number)
    return (time.perf_counter() - began) * 1000


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


def _memory(installation: Installation, seconds: float) -> float:
    """The most that Valkey held within so many seconds, in MB."""
    most, ends_at = 0, time.monotonic() + seconds
    while time.monotonic() < ends_at:
        most = max(most, int(installation.redis.info("memory")["used_memory"]))  # type: ignore[index]
        time.sleep(0.1)
    return most / 2**20
