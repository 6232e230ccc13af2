"""The serve job, every interleaving of it, within bounds: what is promised holds in every scene there is.

- *No ring is lost.* Where no process died and Redis lost nothing, no lane with something due stands still once all has
  come to rest, and no lane stays locked. With processes killed, `FLUSHALL`, or any one key lost, the sweep brings
  everything to its end: from every scene there is a way, without another fault.
- *Nothing is sent twice*, unless a lease ran out or a process was killed: then at most one batch of each lane it held.
- *No two holders record* the same lead, and no lead overtakes one of its lane.
- *One job serves at a time*, unless `serving` ended before its job did; and then nothing else of this is broken.
- *Few jobs* wait in the queue, and nothing goes round in circles.

Then each rule is left out, one at a time: the search must find what it was for. The larger searches are part of
`make soak`.

On PostgreSQL a record is two steps: its rows are locked, then it is committed. All ways of SQLite, where it is one, are
among those. So what holds is searched with PostgreSQL's steps, and what breaks with SQLite's.
"""

import os
from dataclasses import replace

import pytest

from tests.model import around, rounds
from tests.model.explorer import Explorer, Game, told
from tests.model.rounds import DEAD, RUN_OUT, Setting, Trouble, Weaker

SEVERAL_LANES = Game(around.moves, around.faults, around.promise_broken, rounds.is_settled, rounds.same)
SOAKS = os.environ.get("SOAK") == "1"

TWO = {"processes": 2, "slots": 1}
KILLED = {"sweeping": True, "trouble": Trouble(kills=1)}
LATE_KEY = {**TWO, "trouble": Trouble(late=1)}

HOLDS = {
    "two lanes": Setting(),
    "two leads of a lane": Setting(leads=(2,), batch=3),
    "a full batch": Setting(leads=(2,)),
    "two processes": Setting(leads=(1, 1), **TWO),
    "lanes that only a slot can serve": Setting(odd=True),
    "no slot for one of them": Setting(odd=True, slots=1),
    "late answers": Setting(lateness=True),
    "late answers of a lane with two leads": Setting(leads=(2,), lateness=True, batch=3, slots=1),
    "a batch that is left in part to the next round": Setting(leads=(3,), batch=4, leaves=True),
    "such a batch beside another lane": Setting(leads=(2, 1), batch=3, leaves=True),
    "such a batch and two processes": Setting(leads=(2,), batch=3, leaves=True, **LATE_KEY),
    "such a batch and a killed process": Setting(leads=(2,), batch=3, leaves=True, **KILLED),
    "a webhook that is changed": Setting(changes=(0,), odd=True, leads=(1,)),
    "two lanes, one that is changed": Setting(changes=(0,)),
    "a lease that runs out": Setting(trouble=Trouble(stalls=1)),
    "`serving` ends too early": Setting(leads=(2,), batch=3, **LATE_KEY),
    "`serving` ends too early, two lanes": Setting(**LATE_KEY),
    "`serving` is deleted whosever it is": Setting(blind=True, **LATE_KEY),
    "a killed process": Setting(**KILLED),
    "a killed one of two": Setting(**KILLED, **TWO),
    "a killed process and a full batch": Setting(leads=(2,), **KILLED),
    "a killed process and late answers": Setting(leads=(1,), lateness=True, odd=True, **KILLED),
    "Redis loses anything": Setting(sweeping=True, trouble=Trouble(redis=1)),
    "Redis loses anything, and a killed process": Setting(leads=(1,), sweeping=True, trouble=Trouble(redis=1, kills=1)),
    "FLUSHALL, then one key": Setting(leads=(1,), sweeping=True, trouble=Trouble(redis=2)),
    "PostgreSQL crashes": Setting(trouble=Trouble(crashes=1)),
    "PostgreSQL crashes, late answers": Setting(leads=(2,), lateness=True, batch=3, trouble=Trouble(crashes=1)),
    "sweeps at any time": Setting(leads=(1,), sweeping=True, trouble=Trouble(sweeps=2)),
}
LARGE = {
    "a lane with a full batch beside another one": Setting(leads=(2, 1)),
    "two leads of a lane, two processes": Setting(leads=(2,), drains=(0,), **TWO),
    "a lease that runs out beside a drain job": Setting(drains=(0,), slots=1, trouble=Trouble(stalls=1)),
    "the same with a late answer": Setting(
        leads=(2,), drains=(0,), batch=3, lateness=True, slots=1, trouble=Trouble(stalls=1)
    ),
    "a lane that only a slot can serve, with a full batch": Setting(leads=(2,), odd=True),
    "a killed process, late answers, two lanes": Setting(lateness=True, odd=True, slots=1, **KILLED),
    "two processes are killed": Setting(sweeping=True, trouble=Trouble(kills=2), **TWO),
    "Redis loses anything, a killed process, two lanes": Setting(sweeping=True, trouble=Trouble(redis=1, kills=1)),
    "sweeps at any time, two lanes": Setting(sweeping=True, trouble=Trouble(sweeps=2)),
    "a lease that runs out, slots": Setting(leads=(2,), odd=True, trouble=Trouble(stalls=1)),
    "a lease and `serving` that end too early": Setting(leads=(2,), batch=3, **TWO, trouble=Trouble(stalls=1, late=1)),
    "a killed process, a lane with two leads beside another one": Setting(leads=(2, 1), batch=3, **KILLED),
    "a lane that is changed, and one only a slot can serve": Setting(leads=(2,), changes=(0,), odd=True),
}


def search(rules: Setting) -> Explorer:
    return Explorer(rules, SEVERAL_LANES)


@pytest.mark.parametrize("rules", HOLDS.values(), ids=HOLDS.keys())
def test_whatever_happens_to_rounds_the_promises_hold(rules: Setting) -> None:
    broken = search(replace(rules, postgresql=True)).run().broken
    assert broken is None, f"{broken.promise}:\n{told(broken.way)}"


@pytest.mark.skipif(not SOAKS, reason="SOAK=1 turns it on")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rules", LARGE.values(), ids=LARGE.keys())
def test_whatever_happens_to_more_of_them_the_promises_hold(rules: Setting) -> None:
    broken = search(replace(rules, postgresql=True)).run().broken
    assert broken is None, f"{broken.promise}:\n{told(broken.way)}"


def test_few_serve_jobs_wait_however_long_the_queue_does() -> None:
    trouble = Trouble(redis=1, sweeps=3)
    found = search(Setting(leads=(3,), processes=0, sweeping=True, trouble=trouble, most_waiting=99)).run()
    assert found.broken is None
    assert found.most_waiting <= 3


def test_the_search_gets_to_where_it_is_dangerous() -> None:
    of_late_key = search(HOLDS["`serving` ends too early, two lanes"])
    of_kill = search(HOLDS["a killed one of two"])
    of_late_answers = search(HOLDS["late answers"])
    for each in of_late_key, of_kill, of_late_answers:
        assert each.run().broken is None
    assert any(all(server.holds for server in scene.servers) for scene in of_late_key.states), "two rounds at a time"
    lost = [[lane for lane in scene.lanes if lane.token == DEAD] for scene in of_kill.states]
    assert max(map(len, lost)) == 2, "a round of two lanes is killed"
    assert any(lane.lease == RUN_OUT for lanes in lost for lane in lanes)
    assert any(scene.serving == DEAD and scene.rung for scene in of_kill.states), "rung while nobody serves any more"
    finishing = [sum(thread.at == "finish" for thread in scene.threads) for scene in of_late_answers.states]
    assert max(finishing) == 2, "both lanes wait for late answers"


STANDS, LOCKED = "a lane stands still", "a lane stays locked"
TWICE, TOO_OFTEN = "something is sent twice", "more is sent twice than lost holds cost"
BOTH = "two holders both record"
NEVER = "something is never delivered"
PILE, SPINS, TWO_SERVE = "serve jobs pile up", "a lane spins", "two serve at a time"

ONE = Setting(leads=(1,))
FULL = Setting(leads=(2,))
STALLED = Setting(leads=(1, 1), is_rung=True, drains=(0,), trouble=Trouble(stalls=1), slots=1)
QUEUED = Setting(leads=(3,), processes=0, most_waiting=2)

BROKEN = [
    (Weaker.RINGS_EARLY, ONE, STANDS),
    (Weaker.ASKS_FIRST, Setting(), STANDS),
    (Weaker.NO_MARKER, QUEUED, PILE),
    (Weaker.MARKER_STAYS, Setting(), STANDS),
    (Weaker.MARKER_CLEARED_LATE, Setting(), STANDS),
    (Weaker.SECOND_SERVES, Setting(**TWO), TWO_SERVE),
    (Weaker.LOOKS_AT_SET_FIRST, Setting(), STANDS),
    (Weaker.NO_LOOK_AT_SET, Setting(), STANDS),
    (Weaker.KEEPS_SERVING, Setting(), STANDS),
    (Weaker.SERVING_LASTS, replace(ONE, **KILLED), NEVER),
    (Weaker.DROPS_AT_END, Setting(), STANDS),
    (Weaker.DROPS_DUE_AT_END, HOLDS["`serving` ends too early"], STANDS),
    (Weaker.READS_EARLY, Setting(leads=(2,), lateness=True, batch=3), TWICE),
    (Weaker.ABANDONED_IS_PLAIN, replace(FULL, sweeping=True, trouble=Trouble(kills=2)), TOO_OFTEN),
    (Weaker.NO_LOOK_AT_LANES, HOLDS["`serving` ends too early"], STANDS),
    (Weaker.LOOKS_AT_LANES_EARLY, HOLDS["`serving` ends too early"], STANDS),
    (Weaker.EMPTY_STAYS_HELD, Setting(leads=(2,), batch=3), LOCKED),
    (Weaker.DRAIN_RUNG_EARLY, FULL, STANDS),
    (Weaker.FULL_IS_LET_GO, FULL, STANDS),
    (Weaker.KEEPS_HANDED, replace(ONE, odd=True), TWICE),
    (Weaker.STAYS_WITHOUT_SLOT, Setting(odd=True, slots=1), STANDS),
    (Weaker.LATE_IS_LET_GO, Setting(lateness=True, slots=1), TWICE),
    (Weaker.LATE_STAYS_OPEN, replace(ONE, lateness=True), TWICE),
    (Weaker.SENDS_AGAIN_IN_SLOT, replace(ONE, lateness=True), TWICE),
    (Weaker.NO_LOOK_IN_SLOT, Setting(leads=(2,), odd=True, batch=3), STANDS),
    (Weaker.SWEEP_RINGS_SET, replace(FULL, **KILLED), NEVER),
    (Weaker.SWEEP_TRUSTS_MARKERS, replace(FULL, **KILLED), NEVER),
    (Weaker.SWEEP_SEES_NO_SET, replace(ONE, **KILLED), NEVER),
    (Weaker.SWEEP_READS_NO_QUEUE, replace(QUEUED, leads=(1,), sweeping=True, trouble=Trouble(sweeps=3)), PILE),
    (Weaker.REFUSED_COMES_BACK, replace(FULL, odd=True), SPINS),
    (Weaker.ALL_OR_NOTHING, STALLED, STANDS),
    (Weaker.ANY_FENCE, STALLED, BOTH),
    (Weaker.TOKEN_OF_JOB, replace(STALLED, leads=(2,), batch=3, lateness=True), BOTH),
    (Weaker.TAKE_UNFLUSHED, Setting(leads=(1,), drains=(0,), postgresql=True, trouble=Trouble(crashes=1)), TWICE),
    (Weaker.RECORDED_ONCE, Setting(leads=(1,), postgresql=True, trouble=Trouble(crashes=1)), STANDS),
    (Weaker.SKIPPED_IS_FORGOTTEN, Setting(leads=(1,), changes=(0,), postgresql=True), STANDS),
]


@pytest.mark.parametrize(("weaker", "rules", "promise"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_rule_left_out_breaks_a_promise(weaker: Weaker, rules: Setting, promise: str) -> None:
    found = search(replace(rules, weaker=weaker)).run()
    assert found.broken is not None
    assert found.broken.promise == promise


def test_every_rule_is_left_out_once() -> None:
    assert {weaker for weaker, _, _ in BROKEN} == set(Weaker) - {Weaker.NOTHING}


def test_without_the_weakness_the_same_searches_find_nothing() -> None:
    large = (Weaker.NO_MARKER, Weaker.REFUSED_COMES_BACK, Weaker.TOKEN_OF_JOB)  # these are searched by `make soak`
    for rules in {rules for weaker, rules, _ in BROKEN if weaker not in large}:
        broken = search(rules).run().broken
        assert broken is None, f"{broken.promise}:\n{told(broken.way)}"
