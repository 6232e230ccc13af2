"""python -m tests.bench [--scenarios a,b] [--databases sqlite,postgresql] [--quick]: measures, and tells what it found.

The table goes to stdout, progress to stderr, each row as one line of JSON to bench/results.jsonl. What was measured on
both databases, and not quickly, also goes into docs/benchmarks.md, a table and a plot for each scenario.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import machine, report
from tests.bench.leadhook import DurablePostgres
from tests.bench.machine import CannotMeasure, say
from tests.bench.measure import QUICK, Row, Sizes
from tests.bench.scenarios import (
    capture,
    connections,
    form,
    hanging,
    isolation,
    latency,
    memory,
    scale,
    throughput,
    webhooks,
)
from tests.support.postgres import Postgres

SCENARIOS = {
    "throughput": throughput.run,
    "connections": connections.run,
    "latency": latency.run,
    "isolation": isolation.run,
    "hanging": hanging.run,
    "capture": capture.run,
    "form": form.run,
    "scale": scale.run,
    "memory": memory.run,
    "webhooks": webhooks.run,
}
DATABASES = ("sqlite", "postgresql")
BUSY = 0.2  # processors that others may use before a warning is due


def main(arguments: Sequence[str] | None = None) -> int:
    given = _arguments(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    try:
        machine.need(given.databases)
    except CannotMeasure as error:
        say(str(error))
        return 1
    facts, began = machine.facts() | {"others_busy_cpus": round(machine.busy(), 2)}, time.monotonic()
    if facts["others_busy_cpus"] > BUSY:
        say(f"Others use {facts['others_busy_cpus']} processors of this machine just now: the figures will be worse.")
    found, failed = _measured(given, facts)
    minutes = (time.monotonic() - began) / 60
    rows = [row for those in found.values() for row in those]
    print(report.table(rows))
    missed = sum(row.met is False for row in rows)
    say(f"{len(rows)} rows in {minutes:.0f} minutes; {missed} targets missed; {len(failed)} scenarios failed.")
    return 1 if failed else 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures Leadhook beside its peers.")
    parser.add_argument("--scenarios", type=_choice(tuple(SCENARIOS)), default=tuple(SCENARIOS))
    parser.add_argument("--databases", type=_choice(DATABASES), default=DATABASES)
    parser.add_argument("--quick", action="store_true", help="a few minutes, to see that it works: not for quoting")
    return parser.parse_args(arguments)


def _choice(names: tuple[str, ...]):  # type: ignore[no-untyped-def]
    def choose(text: str) -> tuple[str, ...]:
        if unknown := sorted(set(text.split(",")) - set(names)):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}: choose of {', '.join(names)}")
        return tuple(name for name in names if name in text.split(","))

    return choose


def _measured(given: argparse.Namespace, facts: Mapping[str, Any]) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows of each scenario, and which failed: the others are measured all the same, and told at once."""
    sizes = QUICK if given.quick else Sizes()
    found: dict[str, list[Row]] = {name: [] for name in given.scenarios}
    failed: list[str] = []
    with ExitStack() as stack:
        postgres = None
        if "postgresql" in given.databases:
            postgres = DurablePostgres()
            stack.callback(postgres.remove)
            postgres.start()
        for name in given.scenarios:
            for database in given.databases:
                say(f"{name} on {database}")
                try:
                    found[name] += _one(name, sizes, database, postgres if database == "postgresql" else None)
                except Exception:  # the next one is worth measuring
                    traceback.print_exc()
                    failed.append(f"{name} on {database}")
            report.append(found[name], facts, quick=given.quick)
            whole = {row.database for row in found[name]} == set(DATABASES)
            if whole and not given.quick and not any(one.startswith(name) for one in failed):
                report.publish(name, found[name], facts)
    for name in failed:
        say(f"Failed: {name}")
    return found, failed


def _one(name: str, sizes: Sizes, database: str, postgres: Postgres | None) -> list[Row]:
    directory = Path(tempfile.mkdtemp(prefix="leadhook-bench-"))
    directory.chmod(0o755)  # nginx answers as another user
    try:
        return list(SCENARIOS[name](sizes, database, postgres, directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
