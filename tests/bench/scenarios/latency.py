"""Milliseconds from a lead's commit to its receipt: Leadhook beside RQ and beside the shortest pipeline."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from tests.bench.endpoints import Endpoints, running_endpoints
from tests.bench.leadhook import Captured, Hook, Installation, installed
from tests.bench.load import arrivals, offer, received
from tests.bench.machine import say
from tests.bench.measure import Row, Sizes, percentile
from tests.bench.peers import pipeline, rq_per_lead
from tests.support.postgres import Postgres
from webapp.delivery import rings

# leads a second, webhooks, what p50 and p99 beside RQ may be at most
LOADS = {"latency-50": (50, 20, (1.2, 1.5)), "latency-300": (300, 1, (0.5, 0.5))}
PERCENTS = {"p50": 50, "p99": 99}

Working = Callable[[], AbstractContextManager[object]]
Capture = Callable[[Hook], Captured]


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    with running_endpoints(directory) as endpoints, installed(database, postgres) as installation:
        for name, (rate, count, targets) in LOADS.items():
            hooks = installation.hooks(count, lambda number: endpoints.url(f"measure/{number}"))
            found: dict[str, list[list[float]]] = {"leadhook": [], "rq": [], "pipeline": []}
            for number in range(sizes.rounds):
                for way, (working, capture) in _ways(installation).items():
                    ms = _measure(sizes, installation, endpoints, hooks, rate, number, working, capture)
                    found[way].append(ms)
                    words = ", ".join(f"{word} {percentile(ms, percent):.1f} ms" for word, percent in PERCENTS.items())
                    say(f"  {database}, {rate}/s over {count}, round {number + 1}: {way} {words}")
            yield from _rows(name, database, f"{rate} leads/s, {count} webhook{'s' * (count > 1)}", targets, found)


def _rows(
    name: str, database: str, load: str, targets: tuple[float, float], found: dict[str, list[list[float]]]
) -> Iterator[Row]:
    for (word, percent), target in zip(PERCENTS.items(), targets, strict=True):
        taken = {way: [percentile(ms, percent) for ms in rounds] for way, rounds in found.items()}
        title, ours = f"Commit → received, {load}, {word}", taken["leadhook"]
        beside = "RQ SimpleWorker, a job per lead"
        yield Row(f"{name}-{word}", title, database, "ms", ours, beside, taken["rq"], target, at_least=False)
        beside = "commit, push, pop, post; nothing recorded"
        yield Row(f"{name}-{word}-pipeline", title, database, "ms", ours, beside, taken["pipeline"], at_least=False)


def _ways(installation: Installation) -> dict[str, tuple[Working, Capture]]:
    redis = installation.redis
    queue = rq_per_lead.queue(redis)

    def enqueue(captured: Captured) -> None:
        queue.enqueue(rq_per_lead.delivering.deliver, captured.delivery_id, result_ttl=0)

    def push(captured: Captured) -> None:
        pipeline.push(redis, captured.delivery_id)

    return {
        "leadhook": (installation.workers, partial(installation.capture, look_up=True)),  # as theirs, which need it
        "rq": (partial(rq_per_lead.working, installation, "SimpleWorker"), partial(_and_then, installation, enqueue)),
        "pipeline": (partial(pipeline.working, installation), partial(_and_then, installation, push)),
    }


def _and_then(installation: Installation, deed: Callable[[Captured], None], hook: Hook) -> Captured:
    """The same capture, the same rows; after the commit theirs is done instead of the ring."""
    with patch.object(rings, "ring_lanes", lambda webhook_ids: None):
        captured = installation.capture(hook, look_up=True)
    deed(captured)
    return captured


def _measure(
    sizes: Sizes,
    installation: Installation,
    endpoints: Endpoints,
    hooks: list[Hook],
    rate: int,
    seed: int,
    working: Working,
    capture: Capture,
) -> list[float]:
    installation.settle()
    endpoints.arrivals()
    with working():
        seconds = sizes.warm_up_seconds + sizes.latency_seconds
        offers = arrivals(hooks, rate, seconds, seed)
        committed = offer(offers, capture)
        found = received(endpoints, installation.by_message(committed), installation.secret, timeout=120)
    warm = sum(one.at < sizes.warm_up_seconds for one in offers)
    return list(found.values())[warm:]
