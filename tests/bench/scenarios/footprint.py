"""What a whole installation takes while it has nothing to do: memory, processor time, and its start."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.bench import bare_clone
from tests.bench.builds import Form, Home, builds, described, homes
from tests.bench.endpoints import Endpoints, running_endpoints
from tests.bench.machine import say
from tests.bench.measure import Row, Sizes, rounded
from tests.bench.posts import form_posts, send
from tests.support.postgres import Postgres
from tests.support.waiting import wait_until

TODAY = "01d8307"  # the build that the targets are set beside
HANGING = 100  # webhooks, each with a delivery that waits for its answer
HANG_SECONDS = 5.0  # then memory is looked at; far from the deadline
LOOK = 5.0  # seconds between two looks at the threads: one that ends meanwhile loses what it used since the last

Found = dict[str, list[float]]
# What is found by which name, and the targets beside TODAY; the one for `idle` is its figure's own.
ROWS = {
    "memory-idle": ("Memory of an idle installation (PSS)", "MiB", 0.36),
    "memory-hanging": (f"Memory with {HANGING} deliveries hanging (PSS)", "MiB", 0.45),
    "idle": ("Processor time of an idle installation, of a core", "%", 0.3),
    "start": ("Second start, until /readyz answers 200", "s", 0.5),
    "start-cpu": ("Second start, processor time until then", "s", None),
    "settled-cpu": ("Second start, processor time until all is quiet", "s", None),
}


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    found: dict[str, Found] = {}
    with ExitStack() as stack:
        endpoints = stack.enter_context(running_endpoints(directory))
        prepared = stack.enter_context(homes(database, postgres))
        forms = {}
        for name, home in prepared.items():
            found[name] = defaultdict(list)
            forms[name] = home.create([endpoints.url(f"hang/{number}") for number in range(HANGING)])
            with home.running():  # all is compiled and kept
                pass
            home.keep()
        for number in range(sizes.whole_rounds):
            for name in sorted(prepared, reverse=bool(number % 2)):  # each goes first as often
                _measure(prepared[name], forms[name], endpoints, found[name])
                words = ", ".join(f"{what} {values[-1]:,.4g}" for what, values in found[name].items())
                say(f"  {database}, round {number + 1}, {name}: {words}")
        for name, percent in _idle(prepared, sizes.idle_seconds).items():
            found[name]["idle"].append(percent)
            say(f"  {database}, idle for {sizes.idle_seconds:.0f} s, {name}: {percent:.2f} %")
    yield from _rows(database, found)
    if database == "sqlite" and sizes.bare_clone:
        yield bare_clone.row(directory)


def _measure(home: Home, forms: list[Form], endpoints: Endpoints, found: Found) -> None:
    """One start, of which nothing is left."""
    home.restore()
    with home.running(killed=True) as running:
        found["start-cpu"].append(running.cpu_seconds())
        found["start"].append(running.start_seconds)
        running.settle()
        found["settled-cpu"].append(running.cpu_seconds())
        found["memory-idle"].append(running.pss_mb())
        found["processes"].append(len(running.pids()))
        send(home.port, form_posts([form.path for form in forms], HANGING)).expect(201)
        wait_until(lambda: endpoints.waiting() >= HANGING, "all deliveries to hang", timeout=12, every=0.1)
        time.sleep(HANG_SECONDS)
        assert endpoints.waiting() >= HANGING, "the deadline came before the look at the memory"
        found["memory-hanging"].append(running.pss_mb())
    wait_until(lambda: endpoints.waiting() == 0, "the connections to end")


def _idle(prepared: Mapping[str, Home], seconds: float) -> dict[str, float]:
    """Percent of a core. All builds at the same time: nothing of them stands in each other's way."""
    with ExitStack() as stack:
        started = {}
        for name, home in prepared.items():
            home.restore()
            started[name] = stack.enter_context(home.running())
        for running in started.values():
            running.settle()
        before = {name: running.thread_seconds() for name, running in started.items()}
        last = {name: dict(seen) for name, seen in before.items()}
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            time.sleep(min(LOOK, left))
            for name, running in started.items():
                last[name] |= running.thread_seconds()
        took = time.monotonic() - began
    return {name: _used(before[name], last[name]) / took * 100 for name in started}


def _used(before: Mapping[int, float], last: Mapping[int, float]) -> float:
    return sum(value - before.get(thread, 0.0) for thread, value in last.items())


def _rows(database: str, found: Mapping[str, Found]) -> Iterator[Row]:
    measured = {name: {key: rounded(values) for key, values in of.items()} for name, of in found.items()}
    described_builds = {build.name: described(build) for build in builds()}
    others = [name for name in found if name != "ours"]
    for key, (title, unit, target) in ROWS.items():
        ours = found["ours"][key]
        absolute = key == "idle"
        for number, other in enumerate(others or [""]):
            yield Row(
                f"{key}-{other}" if number else key,
                title,
                database,
                unit,
                ours,
                f"the build {other}" if other else "",
                found[other][key] if other else (),
                target if absolute or other.startswith(TODAY) else None,
                at_least=False,
                absolute=absolute,
                more={"measured": measured, "builds": described_builds},
            )
