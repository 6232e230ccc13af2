"""A scenario beside other builds: the benchmark of each tree measures its own build, in turns, a round each.

Only the figures of Leadhook count. Peers are left out, or measured so briefly that it costs no time.
"""

import json
import os
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.bench.builds import BESIDE, Build, builds
from tests.bench.machine import CannotMeasure, say
from tests.bench.measure import Row

TARGET = 0.95  # of rates; other rows are told for information
# Runs in a tree, with the benchmark that stands there. Its peers cost nothing, and Celery may be missing.
_RUN = """
import dataclasses, json, pathlib, sys, types
given = json.load(sys.stdin)
try:
    import celery
except ImportError:
    sys.modules["tests.bench.peers.celery_per_lead"] = types.ModuleType("celery_per_lead")
from tests.bench import __main__ as bench, measure, report
from tests.bench.scenarios import latency, throughput
ways = latency._ways
latency._ways = lambda installation: {"leadhook": ways(installation)["leadhook"]}
throughput.bare_rate = throughput.per_lead_rate = lambda *_, **__: throughput.Rate(1.0, 1.0)
known = {field.name for field in dataclasses.fields(measure.Sizes)}
sizes = measure.QUICK if given["quick"] else measure.Sizes()
bench.QUICK = dataclasses.replace(sizes, **{name: 1 for name in ("rounds", "hanging_rounds") if name in known})
report.RESULTS = pathlib.Path(given["results"])
sys.exit(bench.main(["--quick", "--scenarios", given["scenario"], "--databases", given["database"]]))
"""
Figures = dict[str, list[float]]  # by a row's title, a value for each round


def rows(scenario: str, database: str, rounds: int, quick: bool) -> Iterator[Row]:
    """The rows of a scenario, ours beside those of each build that knows it."""
    found: dict[str, Figures] = {}
    seen: dict[str, dict[str, Any]] = {}
    for number in range(rounds):
        for build in sorted(builds(), reverse=bool(number % 2)):  # each goes first as often
            if build.name in found or number == 0:
                figures = found.setdefault(build.name, defaultdict(list))
                for row in _measure(build, scenario, database, quick):
                    figures[row["title"]].append(statistics.median(row["leadhook"]))
                    seen.setdefault(row["title"], row)
                words = "; ".join(f"{title} {values[-1]:,.4g}" for title, values in figures.items())
                say(f"  {database}, round {number + 1}, {build.name}: {words or 'has no such scenario'}")
    yield from _compared(database, found, seen)


def _measure(build: Build, scenario: str, database: str, quick: bool) -> list[dict[str, Any]]:
    """One round of it, the rows by title; none if the tree does not know the scenario."""
    if not (build.directory / "tests" / "bench" / "scenarios" / f"{scenario}.py").exists():
        return []
    with tempfile.NamedTemporaryFile(prefix="leadhook-bench-") as results:
        _run(build, json.dumps({"scenario": scenario, "database": database, "quick": quick, "results": results.name}))
        each = [json.loads(line) for line in Path(results.name).read_text().splitlines()]
    return list({row["title"]: row for row in each}.values())


def _run(build: Build, given: str) -> None:
    """If this process is asked to end, so is the one that it started, which ends what it started."""
    process = subprocess.Popen(
        [build.python, "-c", _RUN],
        cwd=build.directory,
        env={name: value for name, value in os.environ.items() if name != BESIDE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(given)
    finally:
        process.terminate()
        process.wait()
    if process.returncode:
        raise CannotMeasure(f"{build.name}: {output[-3000:]}")


def _compared(database: str, found: Mapping[str, Figures], seen: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    for title, ours in found["ours"].items():
        row, unit = seen[title], seen[title]["unit"]
        for other, figures in found.items():
            if other != "ours" and len(figures.get(title, [])) == len(ours):
                yield Row(
                    f"beside-{row['scenario']}-{other}",
                    title,
                    database,
                    unit,
                    ours,
                    f"the build {other}",
                    figures[title],
                    TARGET if unit == "/s" else None,
                    at_least=unit == "/s",
                )
