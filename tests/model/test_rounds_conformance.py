"""The real serve job does what the model of it does: random ways through the model are walked with it.

As in test_conformance.py, on SQLite, each actor is a thread that waits at a gate before each step. Walked are captures
and serve jobs of two processes, with killed processes, leases that run out and keys that Redis loses. A way ends where
a slot or a drain job would go on; those are walked there.
"""

import random
from collections.abc import Callable, Mapping

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.model import around, stage
from tests.model.rounds import DUE, LET_GO, NONE, PLAIN, RUN_OUT, RUNNING, Scene, Setting, Trouble
from tests.support.factories import point_at, submit
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import ledger, rings, serving, several
from webapp.delivery.rings import FAST, queues
from webapp.extensions import db
from webapp.models import Delivery, Interface, Lane
from webapp.services.interfaces import interfaces
from webapp.services.people import users
from webapp.webhooks.outcome import Outcome

TAKEN = Outcome(200, "", False, (), None, 1, None)
TROUBLE = Trouble(kills=1, stalls=1, redis=1)
RULES = {
    "one process": Setting(leads=(2, 1), batch=3, trouble=TROUBLE),
    "two processes": Setting(leads=(1, 2), batch=3, processes=2, trouble=TROUBLE),
    "one lane": Setting(leads=(3,), batch=4, processes=2, trouble=TROUBLE),
}
DRAWN, WALKED, LONGEST = 200, 12, 120
Way = list[tuple[around.Label, Scene]]


class Answers:
    """An exchange whose answer has come."""

    ended = False

    def poll(self) -> Outcome:
        return TAKEN


class Receiver:
    """Stands where the process's Sender does."""

    def __init__(self) -> None:
        self.sends = 0

    def begin(self, webhook_id: int, url: str, body: bytes, headers: Mapping[str, str], account: int) -> Answers:
        stage.Player.current.player.reach("send")
        self.sends += 1
        return Answers()

    def close(self) -> None:
        """Nothing is open."""


def way(rules: Setting, chance: random.Random) -> Way:
    """A way through the model, until nothing moves or a thread would go on. `serving` is not lost: then the model lets
    its job go on, and the real one ends."""
    scene, steps = rules.initial(), Way()
    while len(steps) < LONGEST:
        goes = list(around.moves(scene, rules))
        wrong = [one for one in around.faults(scene, rules) if "serving" not in one[0][0]]
        if not goes:
            break
        label, scene = chance.choice(wrong if wrong and chance.random() < 0.1 else goes)
        if scene.threads:
            break
        steps.append((label, scene))
    return steps


def met(rules: Setting, steps: Way) -> set[object]:
    """What a way meets."""
    before, found = rules.initial(), set[object]()
    for (who, index), after in steps:
        system = before.serving, before.marker, before.waiting, len(before.rung)
        if who == "server":
            server = before.servers[index]
            found.add((server.at, after.servers[index].at, len(server.holds), *system))
        else:
            found.add((who, *system, before.errands[index % len(before.errands)][1]))
        before = after
    return found


def chosen(rules: Setting) -> list[Way]:
    """Of many ways, the few that together meet the most."""
    chance = random.Random(21)
    ways = [way(rules, chance) for _ in range(DRAWN)]
    meets = [met(rules, steps) for steps in ways]
    picked: list[Way] = []
    for _ in range(WALKED):
        best = max(range(DRAWN), key=lambda number: len(meets[number]))
        picked.append(ways[best])
        new = meets[best]
        meets = [others - new for others in meets]
    return picked


def is_silent(before: Scene, after: Scene, index: int) -> bool:
    """Whether this step of the model is one inside the real job, which has done it already."""
    server = before.servers[index]
    ways = {hold.way for hold in server.holds}
    return {
        "pop": after.servers[index].at in ENDS,
        "first pop": after.servers[index].at in ENDS,
        "read": not server.holds,
        "sort": True,
        "send": before.sent == after.sent,
        "answer": True,
        "record": PLAIN not in ways,
        "let go": not server.holds,
    }.get(server.at, False)


ENDS = "add", "delete"  # the slice is over
GATES = {"first pop": "pop", "": ""}


class Walk:
    """One way, walked by the real code on interfaces of its own."""

    def __init__(self, app: Flask, account_id: int, rules: Setting, steps: Way) -> None:
        self.app, self.rules, self.steps, self.number = app, rules, steps, 0
        self.before = rules.initial()
        self.receiver = app.extensions["leadhook_sender"] = Receiver()
        with transaction():
            made = [interfaces.create(account_id, "Contact sales") for _ in rules.leads]
            self.interfaces = [one.id for one in made]
            self.webhooks = [one.webhook.id for one in made]
        for one in made:
            point_at(one, "http://127.0.0.1:9/")
        queues.redis.flushall()
        db.session.rollback()
        self.servers: dict[int, stage.Player] = {}
        self.errands: dict[int, stage.Player] = {}

    def walk(self) -> None:
        try:
            for number, (label, after) in enumerate(self.steps):
                self.number = number
                getattr(self, f"_{label[0].split()[0]}")(label, after)
                assert self.real() == modelled(after), f"after {label}, step {number}"
                self.before = after
        finally:
            for player in [*self.servers.values(), *self.errands.values()]:
                if player.gate:
                    player.kill()
            self.change(update(Delivery).values(state="cancelled", retry_at=None))

    def _begin(self, _: around.Label, after: Scene) -> None:
        [index] = [i for i, server in enumerate(after.servers) if server != self.before.servers[i]]
        assert queues.redis.lpop(queues.get(FAST).key)

        def job() -> None:
            rings.unmark("serve-job", queues.redis)
            player.reach("claim")
            serving.serve(stopping=lambda: self.over(index, player))

        player = self.servers[index] = stage.Player(self.app, job)
        player.serves = True
        player.step()

    def over(self, index: int, player: stage.Player) -> bool:
        """Whether the slice of this job is over, as the model has it: it asks before each round."""
        if player.gate in ("read", "send"):
            return False
        mine = [after.servers[index] for label, after in self.steps[self.number :] if label == ("server", index)]
        pops = next((number for number, server in enumerate(mine) if server.at.endswith("pop")), len(mine))
        return any(server.at in ENDS for server in mine[pops + 1 : pops + 2])

    def _server(self, label: around.Label, after: Scene) -> None:
        index = label[1]
        player = self.servers[index]
        if not is_silent(self.before, after, index):
            assert player.gate == GATES.get(at := self.before.servers[index].at, at), f"step {self.number}"
            player.step()

    def _errand(self, label: around.Label, after: Scene) -> None:
        index = label[1]
        if index not in self.errands:
            lane = after.errands[index][0]
            self.errands[index] = stage.Player(self.app, lambda: self.post(lane))
        self.errands[index].step()
        at = after.errands[index][1]
        assert self.errands[index].gate == {"done": ""}.get(at, at), f"step {self.number}"

    def post(self, lane: int) -> None:
        submit(db.session.get_one(Interface, self.interfaces[lane]))

    def _kill(self, label: around.Label, _: Scene) -> None:
        if label[0] == "kill process":
            self.servers.pop(label[1]).kill()
        else:
            self.errands.pop(label[1]).kill()

    def _stall(self, label: around.Label, _: Scene) -> None:
        of_lane = update(Lane).where(Lane.webhook_id == self.webhooks[label[1]])
        self.change(of_lane.values(lease_until=now_sql() - 1))

    _lease = _stall

    def _serving(self, _: around.Label, __: Scene) -> None:
        queues.redis.delete(rings.serving_key)

    def _redis(self, label: around.Label, _: Scene) -> None:
        for which in label[0].split()[2:]:
            keys = {"rung": rings.rung_key, "marker": rings._marker("serve"), "waiting": queues.get(FAST).key}
            queues.redis.delete(keys[which])

    def change(self, statement: object) -> None:
        with transaction():
            db.session.execute(statement)  # type: ignore[call-overload]

    def real(self) -> object:
        now, redis = now_sql(), queues.redis
        lease = Lane.lease_until == 0, Lane.lease_until > now, Lane.token.is_not(None)
        found = []
        with db.engine.connect() as connection:
            for webhook_id in self.webhooks:
                rows = select(Delivery.state).where(Delivery.webhook_id == webhook_id)
                states = connection.scalars(rows.order_by(Delivery.id)).all()
                let_go, running, token = connection.execute(select(*lease).where(Lane.webhook_id == webhook_id)).one()
                held = LET_GO if let_go else RUNNING if running else RUN_OUT
                found.append(([str(state) for state in states], held, bool(token)))
        rung = sorted(int(lane) for lane in redis.zrange(rings.rung_key, 0, -1))
        keys = bool(redis.exists(rings.serving_key)), bool(redis.exists(rings._marker("serve")))
        return (
            found,
            [self.webhooks.index(lane) for lane in rung],
            *keys,
            redis.llen(queues.get(FAST).key),
            self.receiver.sends,
        )


def modelled(scene: Scene) -> object:
    words = {DUE: "pending"}
    lanes = [
        ([words.get(row, "delivered") for row in rows if row], lane.lease, lane.token != NONE)
        for rows, lane in zip(scene.rows, scene.lanes, strict=True)
    ]
    return lanes, list(scene.rung), scene.serving != NONE, scene.marker, scene.waiting, sum(map(sum, scene.sent))


def gated(gate: str | Callable[..., str], real: Callable[..., object]) -> Callable[..., object]:
    """As in stage.py; the gate's name may depend on what is called."""

    def waiting(*arguments: object, **named: object) -> object:
        player = getattr(stage.Player.current, "player", None)
        name = "" if player is None else gate if isinstance(gate, str) else gate(player, *arguments)
        if name:
            player.reach(name)
        return real(*arguments, **named)

    return waiting


def set_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate before each step that the model tells apart."""
    gates: list[tuple[object, str, str | Callable[..., str]]] = [
        (rings, "unmark", "clear"),
        (serving.Server, "pop", "pop"),
        (several, "take", "take"),
        (several, "free", "skipped"),
        (several, "read", "read"),
        (several, "record_delivered", "record"),
        (several, "let_go", "let go"),
        (several, "last_look", "look"),
        (rings, "ring_lanes", lambda player, _: "add" if player.serves else "ring"),
        (rings, "_ring", _of_server),
        (rings, "enqueue", lambda _, name, *__: "enqueue" if name == "serve" else ""),
        (serving.Server, "end", "delete"),
        (queues.redis, "zcard", "end look"),
    ]
    for module, name, gate in gates:
        monkeypatch.setattr(module, name, gated(gate, getattr(module, name)))
    monkeypatch.setattr(serving, "wait", lambda exchanges, _: exchanges)
    for name in "ALIVE", "PATIENCE":  # only the model says when the key ends, or an answer is late
        monkeypatch.setattr(serving, name, stage.PATIENCE)
    monkeypatch.setattr(ledger, "SLICE", 3600.0)
    monkeypatch.setattr(serving, "SERVES", 3600.0)


def _of_server(player: stage.Player, name: str, *_: object) -> str:
    """The gate before the marker of the serve job; those of drain jobs are not in these ways."""
    return "" if name != "serve" else "end ring" if player.serves else "mark"


@pytest.mark.skipif(ON_POSTGRESQL, reason="this model is of SQLite")
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
def test_the_real_serve_job_walks_the_models_ways(
    make_app: AppMaker, monkeypatch: pytest.MonkeyPatch, rules: Setting
) -> None:
    monkeypatch.setattr("webapp.delivery.rings.WEB_TIMEOUT", stage.PATIENCE)
    app = make_app()
    with app.app_context():
        with transaction():
            account = users.create_owner("alice@example.com", "correct horse battery", "Brightwater Solar").account_id
        set_gates(monkeypatch)
        for steps in chosen(rules):
            Walk(app, account, rules, steps).walk()
