"""python -m tests.bench [--scenarios a,b] [--databases sqlite,postgresql] [--rounds N] [--quick]: measures, and tells.

The table goes to stdout, progress to stderr, each row as one line of JSON to bench/results.jsonl. What was measured on
both databases, and not quickly, also goes into docs/benchmarks.md, a table and a plot for each scenario.
"""

import argparse
import importlib
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

from tests.bench import beside, builds, machine, report
from tests.bench.machine import CannotMeasure, say
from tests.bench.measure import QUICK, Row, Sizes
from tests.bench.postgres import DurablePostgres
from tests.support.postgres import Postgres

# Modules of tests.bench.scenarios, each imported when its turn comes: memory that this process shares with an
# installation would make that look smaller.
SCENARIOS = (
    "footprint",
    "end_to_end",
    "throughput",
    "connections",
    "latency",
    "isolation",
    "isolation_of_three",
    "hanging",
    "capture",
    "feeds",
    "form",
    "scale",
    "memory",
    "webhooks",
)
WHOLE = ("footprint", "end_to_end")  # these compare builds themselves
DATABASES = ("sqlite", "postgresql")
FEWEST = 3  # rounds of a run that may be quoted
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
    parser.add_argument("--scenarios", type=_choice(SCENARIOS), default=SCENARIOS)
    parser.add_argument("--databases", type=_choice(DATABASES), default=DATABASES)
    parser.add_argument("--quick", action="store_true", help="a few minutes, to see that it works: not for quoting")
    parser.add_argument(
        "--rounds", type=int, help="of each measurement; by default three, or five of whole installations"
    )
    return parser.parse_args(arguments)


def _choice(names: tuple[str, ...]):  # type: ignore[no-untyped-def]
    def choose(text: str) -> tuple[str, ...]:
        if unknown := sorted(set(text.split(",")) - set(names)):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}: choose of {', '.join(names)}")
        return tuple(name for name in names if name in text.split(","))

    return choose


def _measured(given: argparse.Namespace, facts: Mapping[str, Any]) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows of each scenario, and which failed: the others are measured all the same, and told at once."""
    sizes = (QUICK if given.quick else Sizes()).with_rounds(given.rounds)
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
                server = postgres if database == "postgresql" else None
                try:
                    if builds.beside() and name not in WHOLE:
                        rows = beside.rows(name, database, sizes.rounds, given.quick)
                    else:
                        rows = _one(name, sizes, database, server)
                    found[name] += rows
                    report.append(rows, facts, quick=given.quick)  # at once: the next database may take long, or fail
                except Exception:  # the next one is worth measuring
                    traceback.print_exc()
                    failed.append(f"{name} on {database}")
    if not given.quick and (given.rounds or FEWEST) >= FEWEST:
        _publish({name: rows for name, rows in found.items() if not any(one.startswith(name) for one in failed)}, facts)
    for name in failed:
        say(f"Failed: {name}")
    return found, failed


def _publish(found: Mapping[str, list[Row]], facts: Mapping[str, Any]) -> None:
    """Writes what was measured on both databases into the document."""
    if builds.beside():
        compared = [row for name, rows in found.items() if name not in WHOLE for row in rows]
        found = {name: rows for name, rows in found.items() if name in WHOLE} | {"beside": compared}
    else:  # the tables of whole installations stand there for their ratios
        found = {name: rows for name, rows in found.items() if name not in WHOLE}
    for name, rows in found.items():
        if {row.database for row in rows} == set(DATABASES):
            report.publish(name, rows, facts)


def _one(name: str, sizes: Sizes, database: str, postgres: Postgres | None) -> list[Row]:
    directory = Path(tempfile.mkdtemp(prefix="leadhook-bench-"))
    directory.chmod(0o755)  # nginx answers as another user
    try:
        scenario = importlib.import_module(f"tests.bench.scenarios.{name}")
        return list(scenario.run(sizes, database, postgres, directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
