"""Interfaces with three webhooks beside interfaces with one: what a lead costs the capture, what a delivery costs."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import text

from tests.bench import visitors
from tests.bench.backlog import insert
from tests.bench.leadhook import Hook, Installation, installed
from tests.bench.machine import cpu_seconds, say
from tests.bench.measure import Row, Sizes, rounded
from tests.bench.nginx import Nginx, running_nginx
from tests.bench.rates import WARM_UP, Rate
from tests.support.postgres import Postgres
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Authentication, Lane, Webhook
from webapp.services.intake import published_forms

CAPTURE_TARGET = 1.25
EACH = 3  # webhooks of an interface
INTERFACES = 10
TURNS = 3  # measurements of a round, in turns
# The same leads again, to the other webhooks of their interfaces.
_MORE = text(
    "INSERT INTO deliveries"
    " (message_id, account_id, lead_id, webhook_id, payload, test, state, state_reason, tries, due_at)"
    " SELECT d.message_id || '_' || w.id, d.account_id, d.lead_id, w.id, d.payload, d.test, d.state, '', 0, d.due_at"
    " FROM deliveries d JOIN webhooks f ON f.id = d.webhook_id"
    " JOIN webhooks w ON w.interface_id = f.interface_id AND NOT w.is_first"
    " WHERE d.id >= :start AND d.id < :stop"
)


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    with running_nginx(directory / f"nginx-{database}") as nginx, installed(database, postgres) as installation:
        one, several = installation.hooks(EACH * INTERFACES, nginx.plain), installation.hooks(INTERFACES, nginx.plain)
        more = [give_more(installation, several, lambda _: nginx.plain) for _ in range(EACH - 1)]
        lanes = [hook for hooks in (several, *more) for hook in hooks]
        assert len(published_forms.get(several[0].form).interface.webhooks) == EACH
        yield _capture(sizes, database, installation, one[0], several[0])
        yield _deliveries(sizes, database, installation, nginx, {"one": one, "several": several}, lanes)


def give_more(installation: Installation, hooks: Sequence[Hook], url: Callable[[int], str]) -> list[Hook]:
    """Another webhook for each of these interfaces, as the first ones are."""
    with transaction():
        made = [
            Webhook(
                account_id=installation.account_id,
                interface_id=hook.interface_id,
                is_first=False,
                url=url(number),
                authentication=Authentication.SHARED_TOKEN,
                shared_token_id=installation.token_id,
                lane=Lane(),
            )
            for number, hook in enumerate(hooks)
        ]
        db.session.add_all(made)
        db.session.execute(text("UPDATE interfaces SET webhooks_version = webhooks_version + 1"))
        db.session.flush()
        found = [Hook(hook.interface_id, webhook.id, hook.form) for hook, webhook in zip(hooks, made, strict=True)]
    db.session.remove()
    installation.read_forms(hooks)
    return found


def _capture(sizes: Sizes, database: str, installation: Installation, one: Hook, several: Hook) -> Row:
    """Milliseconds that an accepted form takes, with as many visitors as the web takes; no worker runs."""
    found: dict[str, list[float]] = {"one": [], "several": []}
    for number in range(sizes.rounds):
        with installation.web() as url:
            forms = {"one": f"{url}/f/{one.form}", "several": f"{url}/f/{several.form}"}
            taken: dict[str, list[float]] = {name: [] for name in forms}
            for form in forms.values():
                visitors.visit(form, 1.0)  # to warm up
            for turn in range(TURNS):
                for name in sorted(forms, reverse=bool(turn % 2)):
                    installation.settle()
                    seen = visitors.visit(forms[name], sizes.capture_seconds)
                    assert not seen["refused"], seen["refused"]
                    taken[name].append(float(seen["seconds"] / seen["accepted"] * 1000))
        for name, values in taken.items():
            found[name].append(statistics.median(values))
        words = f"{found['several'][-1]:.2f} ms, for one {found['one'][-1]:.2f} ms"
        say(f"  {database}, round {number + 1}: a lead captured for {EACH} webhooks {words}")
    beside = "for 1 webhook", found["one"], CAPTURE_TARGET
    title = f"A lead captured for {EACH} webhooks"
    return Row("webhooks-capture", title, database, "ms", found["several"], *beside, at_least=False)


def _deliveries(
    sizes: Sizes,
    database: str,
    installation: Installation,
    nginx: Nginx,
    hooks: dict[str, list[Hook]],
    lanes: list[Hook],
) -> Row:
    """As many deliveries over as many webhooks, of leads that have one delivery each, or three."""
    ways = ("several", "one")
    found: dict[str, list[Rate]] = {name: [] for name in ways}
    leads = sizes.backlog // EACH
    for number in range(sizes.rounds):
        rates: dict[str, list[Rate]] = {name: [] for name in ways}
        for turn in range(TURNS):
            for name in sorted(ways, reverse=bool(turn % 2)):  # each goes first and last
                mine = hooks["one"] if name == "one" else hooks["several"]
                rung = mine if name == "one" else lanes
                each = 1 if name == "one" else EACH
                rates[name].append(_rate(installation, nginx, mine, rung, leads * EACH // each, each))
        for name, measured in rates.items():
            found[name].append(Rate(*(statistics.median(values) for values in zip(*measured, strict=True))))
            rate = found[name][-1]
            say(f"  {database}, round {number + 1}: {name} {rate.per_second:,.0f}/s, {rate.cpu_us:,.0f} µs each")
    ours = [rate.per_second for rate in found["several"]]
    more = {"cpu_us": {name: rounded([rate.cpu_us for rate in rates]) for name, rates in found.items()}}
    title = f"Backlog of leads with {EACH} webhooks, deliveries"
    theirs = [rate.per_second for rate in found["one"]]
    return Row("webhooks-one", title, database, "/s", ours, "leads with 1 webhook", theirs, more=more)


def _rate(installation: Installation, nginx: Nginx, hooks: list[Hook], rung: list[Hook], leads: int, each: int) -> Rate:
    """As `throughput.leadhook_rate`, for leads with `each` deliveries."""
    installation.settle()
    with installation.workers() as workers:
        _promise(installation, hooks, WARM_UP, each)
        installation.ring(rung)
        installation.wait_until_delivered(timeout=30)
        before = nginx.received()
        ids, began = _promise(installation, hooks, leads, each)
        used = cpu_seconds(workers.pid)
        installation.ring(rung)
        took = installation.wait_until_delivered(timeout=120) - began
        used = cpu_seconds(workers.pid) - used
    assert nginx.received() - before == len(ids)
    installation.check(ids)
    return Rate(len(ids) / took, used / len(ids) * 1e6)


def _promise(installation: Installation, hooks: list[Hook], leads: int, each: int) -> tuple[range, float]:
    """As `Installation.backlog`, with `each` deliveries of a lead."""
    pairs = [(hook.interface_id, hook.webhook_id) for hook in hooks]
    with db.engine.begin() as connection:
        first = insert(connection, installation.account_id, pairs, leads)
        if each > 1:
            connection.execute(_MORE, {"start": first, "stop": first + leads})
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE leads, deliveries"))
        at = time.monotonic()
    return range(first, first + leads * each), at
