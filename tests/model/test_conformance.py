"""The real code does what the model does: random ways through the model are walked with it, and it must agree.

The model is one of SQLite here, where a transaction is one step, so that threads need stop only between transactions.
Agreed must be: which step comes next for whom, what every delivery, the webhook, the lane, the marker and the queue
hold, how often the receiver was called, how many second requests are on record, and how many events tell of a failure.
"""

import random
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import case, func, select, update

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.model import events, stage
from tests.model.explorer import Label, moves
from tests.model.protocol import (
    ARCHIVED,
    BEGINS,
    BEGUN,
    ENDS,
    FIRST,
    LET_GO,
    NO_REST,
    NO_WINDOW,
    PLANNED,
    RESTS,
    RUN_OUT,
    RUNNING,
    TAKEN,
    Delivery,
    Faults,
    Rules,
    State,
)
from tests.support.factories import point_at, submit
from webapp.clock import now_sql
from webapp.db.transactions import read_only, transaction
from webapp.delivery import events as events_of
from webapp.delivery import ledger, maintenance, rings, states, sweep
from webapp.delivery.rings import FAST, SLOW, queues
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Attempt, Interface, Lane, Lead, User, Webhook, WebhookState
from webapp.models import Delivery as DeliveryRow
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads
from webapp.services.webhooks import editing, maintenance_windows, operational, webhooks
from webapp.services.webhooks.editing import Plan
from webapp.services.webhooks.operational import EventPlan
from webapp.webhooks.outcome import ErrorKind

URL = "http://127.0.0.1:9/"
DRAINED = (FAST, SLOW)  # the model knows one queue

FAILED = Delivery("failed", tries=2, results=2, events=1)
BLANK = Delivery("blank", payload=0)
AGAIN = Delivery("pending", tries=1, due=True, results=1)
FAULTS = Faults(kills=1, stalls=1, redis=1, stops=1, ends=1, sweeps=1)
RULES = {
    "captures": Rules(leads=3, faults=FAULTS, sweeping=True),
    "clicks": Rules(leads=2, captured=(FAILED,), clicks=(0, 0), faults=FAULTS, sweeping=True),
    "a click on what is tried again": Rules(leads=1, captured=(AGAIN,), clicks=(0,), faults=FAULTS, sweeping=True),
    "a deletion": Rules(leads=2, archive=True, faults=FAULTS, sweeping=True),
    "a removal": Rules(leads=2, people=("pause", "resume", "remove"), faults=FAULTS, sweeping=True),
    "a window": Rules(leads=3, people=(BEGINS, ENDS, "pause", "resume", "cancel"), faults=FAULTS, sweeping=True),
    "an answer that pauses": Rules(
        leads=2, people=(BEGINS, ENDS, "resume"), faults=FAULTS._replace(halts=1), sweeping=True
    ),
    "saves": Rules(
        leads=3, captured=(BLANK, BLANK), clicks=(0,), people=("pause", "save", "resume", "save"), sweeping=True
    ),
    "rests": Rules(leads=3, captured=(FAILED,), clicks=(0,), faults=FAULTS._replace(asks=2), sweeping=True),
}
LONGEST = 120  # steps of a way
DRAWN, WAYS = 300, 4  # ways of a scenario: tried out in the model, and walked; fewer where people change the webhook
DRAWN_OF_PEOPLE, WAYS_OF_PEOPLE = 100, 2
Way = list[tuple[Label, State]]


def way(rules: Rules, chance: random.Random) -> Way:
    """A way through the model until nothing moves any more."""
    state, steps = rules.initial(), Way()
    while len(steps) < LONGEST:
        goes = list(moves(state, rules))
        wrong = list(events.faults(state, rules))
        if not goes:
            break
        label, state = chance.choice(wrong if wrong and chance.random() < 0.1 else goes)
        steps.append((label, state))
    return steps


def met(rules: Rules, steps: Way) -> set[object]:
    """What a way meets: the steps it takes, and what they depend on or change."""
    before, found = rules.initial(), set[object]()
    for (who, index), after in steps:
        if who == "job":
            job, then = before.jobs[index], after.jobs[index]
            rows = [(row.seen.click, *before.deliveries[row.lead][:4], after.deliveries[row.lead]) for row in job.batch]
            ours = before.lane.token == index
            twice = job.at == "send" and then.requests[-1:] == (2,)
            tried = *(rows if job.at == "fence" else ()), twice, before.hook.state
            found.add((job.at, then.at, job.careful, ours, before.lane.lease, *tried))
        else:
            system = before.lane.lease, before.marker, before.waiting, before.sweep, before.hook
            found.add((who, *system, before.errands[-1]))
        before = after
    return found


def chosen(rules: Rules) -> list[Way]:
    """Of many ways, the few that together meet the most."""
    chance = random.Random(20)
    drawn, walked = (DRAWN_OF_PEOPLE, WAYS_OF_PEOPLE) if rules.people else (DRAWN, WAYS)
    ways = [way(rules, chance) for _ in range(drawn)]
    meets = [met(rules, steps) for steps in ways]
    picked: list[Way] = []
    for _ in range(walked):
        best = max(range(drawn), key=lambda number: len(meets[number]))
        picked.append(ways[best])
        new = meets[best]
        meets = [others - new for others in meets]
    return picked


class Walk:
    """One way, walked by the real code on an interface of its own."""

    def __init__(self, app: Flask, owner: User, rules: Rules, steps: Way) -> None:
        self.app, self.rules, self.steps, self.number = app, rules, steps, 0
        self.before = rules.initial()
        self.receiver = app.extensions["leadhook_sender"] = stage.Receiver()
        queues.redis.flushall()
        with transaction():
            self.user_id, self.account_id = owner.id, owner.account_id
            interface = interfaces.create(self.account_id, "Contact sales")
            more = [editing.add(interface, Plan(URL))] if "remove" in rules.people else []  # the first one stays
            self.interface_id, self.webhook_id = interface.id, [interface.webhook, *more][-1].id
        if not more:
            point_at(interface, URL)
        if rules.people:
            self.change(update(Webhook).where(Webhook.id == self.webhook_id).values(_window(rules)))
        of_webhook = update(DeliveryRow).where(DeliveryRow.webhook_id == self.webhook_id)
        for row in rules.captured:
            submit(interface)
            newest = of_webhook.where(DeliveryRow.state == "pending", DeliveryRow.tries == 0)
            self.change(newest.values(_columns(row)))
        self.told_before = self.told()
        queues.redis.flushall()
        db.session.rollback()
        self.jobs: dict[int, stage.Player] = {}
        self.errands: dict[int, stage.Player] = {}
        self.sweep: stage.Player | None = None

    def walk(self) -> None:
        try:
            for number, (label, after) in enumerate(self.steps):
                self.number = number
                getattr(self, f"_{label[0].replace(' ', '_')}")(label[1], after)
                assert self.real() == modelled(after, self.rules), f"after {label}, step {self.number}"
                self.before = after
        finally:
            for player in [*self.jobs.values(), *self.errands.values(), *([self.sweep] if self.sweep else [])]:
                if player.gate:
                    player.kill()
            self.change(update(DeliveryRow).values(state="cancelled", retry_at=None))
            self.change(update(Webhook).values(maintenance_from=None, maintenance_until=None))

    def _begin(self, _: int, after: State) -> None:
        [index] = [i for i, job in enumerate(after.jobs) if job != self.before.jobs[i]]
        next(job_id for name in DRAINED if (job_id := queues.redis.lpop(queues.get(name).key)))
        player = self.jobs[index] = stage.job(self.app, self.webhook_id)
        player.over = lambda: self.over(index, player)
        player.step()

    def over(self, index: int, player: stage.Player) -> bool:
        """Whether the turn of this job is over, as the model has it: it asks before the first take, a send and a
        record, and after the last look."""
        mine = [after.jobs[index] for label, after in self.steps[self.number :] if label == ("job", index)]
        if player.gate == "clear":
            return mine[0].at == "pass on"
        if player.gate == "look":
            return mine[0].at == "ring"
        if player.sending:
            return mine[0].at == "fence"
        return len(mine) < 2 or not mine[1].batch

    def _job(self, index: int, after: State) -> None:
        player, job = self.jobs[index], after.jobs[index]
        player.answer = job.answers[-1] if job.answers else TAKEN
        player.requests = job.requests[-1] if job.requests else 1
        player.skips = player.gate == "clear" and after.marker
        player.step()
        assert player.gate == {"pass on": "look", "look, ended": "look"}.get(job.at, job.at), f"step {self.number}"
        assert job.at != "send" or player.batch == len(job.batch), f"step {self.number}"

    def _errand(self, index: int, after: State) -> None:
        at = after.errands[index].at
        if index not in self.errands:
            kind = self.before.errands[index].kind
            if kind in (BEGINS, ENDS):
                self._window(kind)
                return
            if kind == "capture" and self.before.hook.state == ARCHIVED:
                return  # its form answers 404
            self.errands[index] = stage.Player(self.app, lambda: self.request(kind))
        player = self.errands[index]
        player.step()
        assert player.gate == {"done": ""}.get(at, at), f"step {self.number}"

    def request(self, kind: str) -> None:
        if kind == "capture":
            submit(db.session.get_one(Interface, self.interface_id))
            return
        with transaction():
            interface = db.session.get_one(Interface, self.interface_id)
            if kind == "archive":
                interfaces.archive(interface)
                return
            if kind in _CHANGES:
                _CHANGES[kind](db.session.get_one(Webhook, self.webhook_id))
                return
            of_interface = select(Lead.public_id).where(Lead.interface_id == self.interface_id).order_by(Lead.id)
            number = int(kind.split()[1])
            leads.retry(self.account_id, db.session.scalars(of_interface).all()[number : number + 1], self.user_id)

    def _window(self, kind: str) -> None:
        """Its time has come, and the sweep sees to it: one transaction."""
        column = "maintenance_from" if kind == BEGINS else "maintenance_until"
        there = Webhook.maintenance_from.is_not(None) if kind == BEGINS else states.IN_WINDOW
        self.change(update(Webhook).where(Webhook.id == self.webhook_id, there).values({column: now_sql() - 1}))
        with db.engine.begin() as connection:
            maintenance.apply(connection, self.webhook_id)

    def _correct(self, _: int, __: State) -> None:
        with db.engine.begin() as connection:
            assert self.webhook_id in sweep._webhooks_to_correct(connection), f"step {self.number}"
            sweep._correct(connection, self.webhook_id)

    def _sweep(self, _: int, after: State) -> None:
        if self.sweep is None or not self.sweep.gate:
            self.sweep = stage.Player(self.app, self.swept)
        self.sweep.step()
        assert self.sweep.gate == after.sweep, f"step {self.number}"

    def swept(self) -> None:
        sweeper = Sweep()
        try:
            sweeper.once()
        finally:
            sweeper.resign()

    def _due(self, lead: int, _: State) -> None:
        rows = select(DeliveryRow.id).where(DeliveryRow.webhook_id == self.webhook_id).order_by(DeliveryRow.id)
        self.change(
            update(DeliveryRow)
            .where(DeliveryRow.id == rows.offset(lead).limit(1).scalar_subquery())
            .values(due_at=float(lead))  # long ago; a batch takes them in the order of their times
        )

    def _rest(self, _: int, __: State) -> None:
        self.change(update(Lane).where(Lane.webhook_id == self.webhook_id).values(rests_until=now_sql() - 1))

    def _lease(self, _: int, __: State) -> None:
        self.change(update(Lane).where(Lane.webhook_id == self.webhook_id).values(lease_until=now_sql() - 1))

    def change(self, statement: object) -> None:
        with transaction():
            db.session.execute(statement)  # type: ignore[call-overload]

    def _kill_job(self, index: int, _: State) -> None:
        self.jobs.pop(index).kill()

    def _kill_errand(self, index: int, _: State) -> None:
        self.errands.pop(index).kill()

    def _kill_sweep(self, _: int, __: State) -> None:
        assert self.sweep
        self.sweep.kill()

    def _lose_the_marker(self, _: int, __: State) -> None:
        queues.redis.delete(rings._marker(str(self.webhook_id)))

    def _flush(self, _: int, __: State) -> None:
        queues.redis.flushall()

    def real(self) -> object:
        """What the model tells apart, of the real database and Redis."""
        now = now_sql()
        of_webhook = DeliveryRow.webhook_id == self.webhook_id
        columns = DeliveryRow.state, DeliveryRow.tries, DeliveryRow.retry_at.is_not(None), DeliveryRow.due_at <= now
        columns += (DeliveryRow.payload != b"",)
        window = case((states.IN_WINDOW, BEGUN), (Webhook.maintenance_until.is_not(None), PLANNED), else_=NO_WINDOW)
        hooks = select(Webhook.state, window).where(Webhook.id == self.webhook_id)
        with db.engine.connect() as connection:
            rows = connection.execute(select(*columns).where(of_webhook).order_by(DeliveryRow.id)).all()
            held = Lane.lease_until == 0, Lane.lease_until > now, Lane.token.is_not(None)
            held += Lane.tries_first, ledger.RESTING
            lane = connection.execute(select(*held).where(Lane.webhook_id == self.webhook_id)).one()
            again = select(func.count()).select_from(Attempt).join(DeliveryRow).where(of_webhook)
            hook = tuple(map(str, connection.execute(hooks).one()))
            seconds = connection.execute(again.where(Attempt.error == ErrorKind.SENT_AGAIN)).scalar_one()
        deliveries = [
            (str(s), tries, bool(click), bool(tries and s == "pending" and due), bool(body))
            for s, tries, click, due, body in rows
        ]
        let_go, running, token, first, rests = lane
        rest = RESTS if rests else FIRST if first else NO_REST
        hold = (bool(token), LET_GO if let_go else RUNNING if running else RUN_OUT, rest)
        marker = bool(queues.redis.exists(rings._marker(str(self.webhook_id))))
        jobs = [job_id for name in DRAINED for job_id in queues.get(name).get_job_ids()]
        waiting = sum(job_id.startswith(f"{self.webhook_id}-") for job_id in jobs)
        return deliveries, hook, hold, marker, waiting, self.receiver.sends, seconds, self.told() - self.told_before

    def told(self) -> int:
        """Events about failures, of all there were."""
        with read_only(), db.engine.connect() as connection:
            of_failures = select(func.count()).where(DeliveryRow.event == events_of.FAILED)
            return connection.execute(of_failures).scalar_one()


def modelled(state: State, rules: Rules) -> object:
    real = {"blank": "held"}
    deliveries = [
        (real.get(row.state, row.state), row.tries, row.click > 0, row.due, row.payload > 0)
        for row in state.deliveries
        if row.state
    ]
    told = sum(row.events for row in state.deliveries) - sum(row.events for row in rules.captured)
    hook = state.hook.state, state.hook.window if state.hook.state != ARCHIVED else NO_WINDOW
    lane = (state.lane.token != -1, state.lane.lease, state.lane.rest)
    sends = sum(map(sum, state.sent)) + rules.faults.ends - state.left.ends
    return deliveries, hook, lane, state.marker, state.waiting, sends, state.seconds, told


def _columns(row: Delivery) -> dict[str, object]:
    if row.state != "blank":
        return {"state": row.state, "tries": row.tries}
    return {"state": "held", "state_reason": "The payload could not be made.", "payload": b""}


def _window(rules: Rules) -> dict[str, object]:
    """A planned window, if these rules have one."""
    later = [now_sql() + 3600.0, now_sql() + 7200.0] if BEGINS in rules.people else [None, None]
    return dict(zip(("maintenance_from", "maintenance_until"), later, strict=True))


def _save(webhook: Webhook) -> None:
    editing.save(webhook, Plan(webhook.url))


def _resume(webhook: Webhook) -> None:
    if webhook.state == WebhookState.PAUSED:  # its page asks
        webhooks.resume(webhook)


_CHANGES: dict[str, Callable[[Webhook], object]] = {
    "pause": lambda webhook: webhooks.pause(webhook, "Paused by Alice."),
    "resume": _resume,
    "save": _save,
    "remove": editing.remove,
    "cancel": maintenance_windows.cancel,
}


@pytest.mark.skipif(ON_POSTGRESQL, reason="this model is of SQLite")
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
def test_the_real_code_walks_the_models_ways(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch, rules: Rules) -> None:
    monkeypatch.setattr("webapp.delivery.rings.WEB_TIMEOUT", stage.PATIENCE)  # only the model says when Redis is away
    app = make_app(RETRY_SCHEDULE="3600")
    with app.app_context():
        owner = _owner()
        stage.set_gates(monkeypatch)
        monkeypatch.setattr(ledger, "BATCH", rules.batch)
        for steps in chosen(rules):
            Walk(app, owner, rules, steps).walk()


def _owner() -> User:
    from webapp.services.people import users

    with transaction():
        owner = users.create_owner("alice@example.com", "correct horse battery", "Brightwater Solar")
        # Paused, so that what is written for it is counted, and never due.
        webhooks.pause(operational.save(owner.account_id, EventPlan(URL, None)), "Paused by Alice.")
        return owner
