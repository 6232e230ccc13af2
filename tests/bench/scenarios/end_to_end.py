"""From the post of a form to its receiver: the whole of Leadhook beside other builds, each alone on the machine."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.builds import Form, Home, builds, described, homes
from tests.bench.endpoints import Endpoints, running_endpoints
from tests.bench.load import verify
from tests.bench.machine import ProcessorTime, cpu_seconds, say, steady_loop_ms
from tests.bench.measure import Row, Sizes, percentile, rounded
from tests.bench.nginx import Nginx, running_nginx
from tests.bench.posts import at_random, form_posts, send, views
from tests.bench.running import Running
from tests.support.postgres import Postgres

TODAY = "01d8307"  # the build that the targets are set beside
TARGETS = {10: (3.1, 3.5), 1: (2.2, 2.2)}  # over SQLite and PostgreSQL
MANY_TARGETS = (2.2, 2.2)
CPU, POSTGRES_CPU, VIEW, LATENCY = 0.30, 0.5, 0.25, 1.0
RATE, LATENCY_HOOKS = 50.0, 20
JSON, BROWSER = "application/json", "text/html,application/xhtml+xml"  # what the visitor's program accepts


class Forms(NamedTuple):
    """The interfaces of an installation: `plain` send to nginx, `measured` to the receiver that notes times."""

    plain: list[Form]
    measured: list[Form]


Found = dict[str, list[float]]  # by what was measured, a value for each round


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    with ExitStack() as stack:
        nginx = stack.enter_context(running_nginx(directory / f"nginx-{database}"))
        endpoints = stack.enter_context(running_endpoints(directory))
        prepared = stack.enter_context(homes(database, postgres))
        urls = (
            [nginx.plain] * sizes.whole_hooks,
            [endpoints.url(f"measure/{number}") for number in range(LATENCY_HOOKS)],
        )
        forms = {name: Forms(*(home.create(each) for each in urls)) for name, home in prepared.items()}
        found: dict[str, Found] = {name: defaultdict(list) for name in prepared}
        for number in range(sizes.whole_rounds):
            for name in sorted(prepared, reverse=bool(number % 2)):  # each goes first as often
                session = _Session(sizes, prepared[name], forms[name], nginx, endpoints, postgres)
                for what, value in session.measure(number).items():
                    found[name][what].append(value)
                words = ", ".join(f"{what} {values[-1]:,.4g}" for what, values in found[name].items())
                say(f"  {database}, round {number + 1}, {name}: {words}")
    yield from _rows(sizes, database, found)


class _Session:
    """One start of one build, in which everything is measured once."""

    def __init__(
        self, sizes: Sizes, home: Home, forms: Forms, nginx: Nginx, endpoints: Endpoints, postgres: Postgres | None
    ) -> None:
        self.sizes, self.home, self.forms, self.nginx, self.endpoints = sizes, home, forms, nginx, endpoints
        self.postgres = postgres.process.pid if postgres and postgres.process else None
        self.found: dict[str, float] = {}

    def measure(self, number: int) -> dict[str, float]:
        with self.home.running() as running:
            self._deliver(self.forms.plain, len(self.forms.plain) * 2)  # to warm up
            self._deliver(self.forms.measured, len(self.forms.measured) * 2)
            self.found["loop_ms"] = steady_loop_ms()
            before, began, ours = ProcessorTime.now(), time.monotonic(), self._all_ours(running)
            for count in (*TARGETS, self.sizes.whole_hooks):
                posts = self.sizes.whole_posts if count == 10 else self.sizes.whole_posts // 3
                self._events(running, count, posts)
            self._events(running, 10, self.sizes.whole_posts // 3, BROWSER)
            self._views(running)
            self._latency(number)
            used = (ProcessorTime.now().worked - before.worked) / os.sysconf("SC_CLK_TCK")
            others = used - (self._all_ours(running) - ours)
            self.found["others_cpus"] = max(0.0, others / (time.monotonic() - began))
            self.found["stolen"] = before.stolen_share()
        return self.found

    def _all_ours(self, running: Running) -> float:
        """The processor time of all that this benchmark runs."""
        return running.cpu_seconds() + cpu_seconds(os.getpid()) - cpu_seconds(running.pid)

    def _deliver(self, forms: Sequence[Form], count: int, accept: str = JSON) -> float:
        """Posts so many forms over these interfaces, waits until all are recorded, and counts. Events a second."""
        after, received = self.home.last_delivery(), self._received()
        sent = send(self.home.port, form_posts([form.path for form in forms], count, accept))
        sent.expect(*([201] if accept == JSON else [200, 303]))
        arrived = self._wait_until_received(received + count)
        self.home.wait_until_recorded(after, count)
        self.home.check(after, count)
        assert self._received() == received + count
        return count / (arrived - sent.began)

    def _received(self) -> int:
        """At both receivers."""
        return self.nginx.received() + self.endpoints.received()

    def _wait_until_received(self, count: int) -> float:
        ends_at = time.monotonic() + 60
        while self._received() < count:
            assert time.monotonic() < ends_at, f"{self._received()} of {count} requests came within a minute"
            time.sleep(0.01)
        return time.monotonic()

    def _events(self, running: Running, hooks: int, posts: int, accept: str = JSON) -> None:
        """What is counted as processor time ends when all is recorded."""
        key = f"{hooks}{'' if accept == JSON else '-browser'}"
        used, database = running.cpu_seconds(), self._database_seconds()
        self.found[f"events-{key}"] = self._deliver(self.forms.plain[:hooks], posts, accept)
        self.found[f"cpu-{key}"] = (running.cpu_seconds() - used) / posts * 1000
        if self.postgres:
            self.found[f"postgres-cpu-{key}"] = (self._database_seconds() - database) / posts * 1000

    def _database_seconds(self) -> float:
        return cpu_seconds(self.postgres) if self.postgres else 0.0

    def _views(self, running: Running) -> None:
        """All of its processes count, of which only the web's have anything to do."""
        count, path = self.sizes.whole_views, self.forms.plain[0].path
        send(self.home.port, views(path, 100))
        used = running.cpu_seconds()
        send(self.home.port, views(path, count)).expect(200)
        self.found["view"] = (running.cpu_seconds() - used) / count * 1000

    def _latency(self, number: int) -> None:
        """From when a post was due until its receiver had all of it; every signature is verified."""
        times = at_random(RATE, self.sizes.whole_latency_seconds, number)
        self.endpoints.arrivals()
        after = self.home.last_delivery()
        requests = form_posts([form.path for form in self.forms.measured], len(times))
        sent = send(self.home.port, requests, times=times)
        sent.expect(201)
        self.home.wait_until_recorded(after, len(times))
        self.home.check(after, len(times))
        arrivals = self.endpoints.arrivals()
        assert len(arrivals) == len(times), f"{len(arrivals)} requests for {len(times)} leads"
        for arrival in arrivals:
            verify(arrival, self.home.secret)
        came = {arrival.lead_id: arrival.at for arrival in arrivals}
        ms = [(came[lead_id] - due) * 1000 for lead_id, due in zip(sent.lead_ids(), sent.due, strict=True)]
        self.found["p50"], self.found["p99"] = percentile(ms, 50), percentile(ms, 99)


class _What(NamedTuple):
    """A row: what of the findings it shows, and its targets over SQLite and PostgreSQL."""

    key: str
    title: str
    unit: str
    targets: tuple[float | None, float | None]
    at_least: bool = False


def _whats(sizes: Sizes) -> Iterator[_What]:
    for count, targets in (TARGETS | {sizes.whole_hooks: MANY_TARGETS}).items():
        title = f"{count} webhook{'s' * (count > 1)}, post → received over 16 connections"
        yield _What(f"events-{count}", title, "/s", targets, at_least=True)
    title = "10 webhooks, a browser's post → received over 16 connections"
    yield _What("events-10-browser", title, "/s", (None, None), at_least=True)
    yield _What("cpu-10", "Processor time of a lead, all of Leadhook", "ms", (CPU, CPU))
    yield _What("postgres-cpu-10", "Processor time of a lead, PostgreSQL's own", "ms", (POSTGRES_CPU, POSTGRES_CPU))
    yield _What("view", "Processor time of a form's view", "ms", (VIEW, VIEW))
    for name in ("p50", "p99"):
        title = f"Post → received, {RATE:.0f} leads/s, {LATENCY_HOOKS} webhooks, {name}"
        yield _What(name, title, "ms", (LATENCY, LATENCY))


def _rows(sizes: Sizes, database: str, found: Mapping[str, Found]) -> Iterator[Row]:
    ours = found["ours"]
    more: dict[str, Any] = {
        "measured": {name: {key: rounded(v) for key, v in of.items()} for name, of in found.items()},
        "builds": {build.name: described(build) for build in builds()},
    }
    others = [name for name in found if name != "ours"]
    for what in _whats(sizes):
        if what.key not in ours:
            continue
        row = partial(Row, title=what.title, database=database, unit=what.unit, ours=ours[what.key], more=more)
        name = f"end-to-end-{what.key.removeprefix('events-')}"
        if not others:
            yield row(name=name)
        for other in others:
            target = what.targets[database == "postgresql"] if other.startswith(TODAY) else None
            beside = f"the build {other}", found[other][what.key]
            yield row(name=f"{name}-{other}", beside=beside[0], theirs=beside[1], target=target, at_least=what.at_least)
