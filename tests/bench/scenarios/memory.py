"""The resident memory of a worker process while every slot waits for an answer."""

from collections.abc import Iterator
from pathlib import Path

from rq.worker import Worker

from tests.bench.endpoints import Endpoints, running_endpoints
from tests.bench.leadhook import SLOTS, Installation, installed
from tests.bench.machine import resident_mb, say
from tests.bench.measure import Row, Sizes
from tests.support.postgres import Postgres
from tests.support.tls import Authority
from tests.support.waiting import wait_until

TARGET = 160.0  # MB


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    authority = Authority(directory)
    authority.valid()
    with (
        running_endpoints(directory, certificate=directory / "leaf-1.pem") as endpoints,
        installed(database, postgres, WEBHOOK_CA_FILE=authority.ca_file) as installation,
    ):
        for scheme in ("http", "https"):
            found = _measure(installation, endpoints, secure=scheme == "https")
            say(f"  {database}: {scheme}: {', '.join(f'{name} {mb:.0f} MB' for name, mb in found.items())}")
            title = f"A worker process, all {SLOTS} slots busy over {scheme}"
            row = (f"memory-{scheme}", title, database, "MB", [found["busy"]])
            yield Row(*row, target=TARGET, at_least=False, more={"resident_mb": found})


def _measure(installation: Installation, endpoints: Endpoints, secure: bool) -> dict[str, float]:
    """One process serves `fast`; as many webhooks as it has slots answer after ten seconds."""
    installation.settle()
    hooks = installation.hooks(SLOTS, lambda number: endpoints.url(f"slow-10/{number}", "127.0.0.1", secure))
    with installation.workers(processes=1):
        [fast] = [worker.pid for worker in Worker.all(connection=installation.redis) if "fast" in worker.queue_names()]
        found = {"idle": resident_mb(fast)}
        installation.backlog(hooks, SLOTS * 3)
        installation.ring(hooks)
        wait_until(lambda: endpoints.waiting() >= SLOTS, "every slot to be busy", timeout=9, every=0.05)
        found["busy"] = resident_mb(fast)
        installation.archive(hooks)
        endpoints.release()
    return found
