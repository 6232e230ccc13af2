"""What endpoints that hang, fail or are slow do to those that answer: the healthy ones' p99, from the first lead on."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.bench.endpoints import Endpoints, running_endpoints
from tests.bench.leadhook import Hook, Installation, installed
from tests.bench.load import arrivals, now_and_then, offer, received
from tests.bench.machine import ProcessorTime, say
from tests.bench.measure import Row, Sizes, percentile
from tests.support.postgres import Postgres

HEALTHY, RATE = 20, 50.0  # webhooks, leads a second over all of them
FIRST_WITHIN, EVERY = 5.0, 10.0  # seconds: when the others get their first lead, and how often after that
TARGET = 1.5
# A host that takes more than this of the processor time makes every p99 a figure of the host. Such a measurement is
# made again, whatever it found; of so many tries at most, the one that the host disturbed least counts.
STOLEN, TRIES = 0.03, 5


class Company(NamedTuple):
    """What stands beside the healthy ones: `url` has the number of the endpoint and where the misbehaving listen."""

    name: str
    words: str
    count: int
    url: str
    program: str = "worker.py"


ALONE = Company("alone", "alone", 0, "")
COMPANIES = (
    Company("hung-100", "100 that hang", 100, "http://127.0.0.1:{port}/hang/{number}"),
    Company("hung-300", "300 that hang", 300, "http://127.0.0.1:{port}/hang/{number}"),
    Company("failing-100", "100 that answer 500", 100, "http://127.0.0.1:{port}/fail/{number}"),
    Company("slow-100", "100 that take a second", 100, "http://127.0.0.1:{port}/slow/{number}"),
    Company(
        *("silent-100", "100 whose name server is silent", 100, "http://hook-{number}.silent.invalid/"),
        program="tests/bench/silent_names.py",
    ),
)


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    found: dict[str, list[float]] = {company.name: [] for company in (ALONE, *COMPANIES)}
    middle = {name: list[float]() for name in found}
    stolen = {name: list[float]() for name in found}
    with (
        running_endpoints(directory) as measuring,
        running_endpoints(directory) as misbehaving,
        installed(database, postgres) as installation,
    ):
        # By name, so that their look-ups stand in line with those that hang.
        healthy = installation.hooks(HEALTHY, lambda number: measuring.url(f"measure/{number}", host="localhost"))
        for number in range(sizes.rounds):
            for company in (ALONE, *COMPANIES):
                measure = partial(_measure, sizes, installation, measuring, misbehaving, healthy, company, number)
                ms, share = undisturbed(measure)
                found[company.name].append(percentile(ms, 99))
                middle[company.name].append(percentile(ms, 50))
                stolen[company.name].append(round(share, 3))
                words = f"p50 {percentile(ms, 50):.1f}, p99 {percentile(ms, 99):.1f}, worst {max(ms):.0f} ms"
                say(f"  {database}, round {number + 1}: beside {company.name} {words}; {share:.1%} stolen")
    for company in COMPANIES:
        title = f"Healthy p99 beside {company.words}"
        row = (f"isolation-{company.name}", title, database, "ms", found[company.name], "without them", found["alone"])
        more = {"p50": middle[company.name], "p50_without": middle["alone"]}
        more |= {"stolen": stolen[company.name], "stolen_without": stolen["alone"]}
        yield Row(*row, TARGET, at_least=False, more=more)


def undisturbed(measure: Callable[[], list[float]]) -> tuple[list[float], float]:
    """What was measured while the host took the least, and the share that it took all the same."""
    tries: list[tuple[float, list[float]]] = []
    while len(tries) < TRIES and all(share > STOLEN for share, _ in tries):
        before = ProcessorTime.now()
        ms = measure()
        tries.append((before.stolen_share(), ms))
    share, ms = min(tries, key=lambda one: one[0])
    return ms, share


def _measure(
    sizes: Sizes,
    installation: Installation,
    measuring: Endpoints,
    misbehaving: Endpoints,
    healthy: list[Hook],
    company: Company,
    seed: int,
) -> list[float]:
    """The same healthy leads each time. Before, every process is new: nothing is known of any endpoint."""
    installation.settle()
    measuring.arrivals()
    others = installation.hooks(company.count, lambda n: company.url.format(number=n, port=misbehaving.port))
    offers = arrivals(healthy, RATE, sizes.isolation_seconds, seed)
    offers += now_and_then(others, FIRST_WITHIN, EVERY, sizes.isolation_seconds, seed)
    mine = {hook.webhook_id for hook in healthy}
    committed: dict[str, float] = {}
    with installation.workers(program=company.program):
        for one, (lead_id, at) in zip(sorted(offers), offer(offers, installation.capture).items(), strict=True):
            if one.hook.webhook_id in mine:
                committed[lead_id] = at
        found = received(measuring, installation.by_message(committed), installation.secret, timeout=60)
        misbehaving.release()
        installation.archive(others)
        misbehaving.release()
    return list(found.values())
