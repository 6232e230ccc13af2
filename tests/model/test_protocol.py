"""The delivery protocol, every interleaving of it, within bounds: what is promised holds in every state there is.

What each search promises, wherever it can get to:

- *Nothing is due without an event that will ring it.* Where no process died and Redis lost nothing, this needs no
  sweep: once everything has come to rest, no delivery is left that is fresh or was clicked. (A retry whose time comes
  later is the sweep's to ring, always.) With processes killed, `FLUSHALL` and lost markers it needs the sweep: from
  every state there is a way, without another fault, to where everything is delivered and nothing moves.
- *Nothing is sent twice*, unless a lease ran out or a process was killed: then at most one batch a hold that was lost,
  and one row if the holder before had died, too.
- *No newer state is overwritten*; a cancelled delivery is not revived; a click is sent once and not lost.
- *While the receiver rests* only clicks are sent, and then one lead tries first.
- *Every second request is on record*, unless a crash cut its batch off; a try sends two at most, and they are one step.
- *A batch is read only of an active webhook*, and what was on hold is sent before what came later. A pause by a person
  or by an answer lasts until a person resumes; a maintenance window ends only its own. A removed webhook stays removed.
- *Every try sends the same bytes*, and none sends an empty body because a payload could not be made.
- *One event tells of a final failure*, if and only if it is on record: never two, and none is lost.
- *Few jobs a lane* wait in the queue, and none goes round in circles.

What is left out: several webhooks of an interface (each has a lane of its own, and nothing else in common than the
form's version), a resume that ends a rest, shadows and rates (they change what is told and when, not who may send),
several sweepers, Parallel requests, and locks waited for in a circle.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.model.explorer import Explorer, explore, told
from tests.model.protocol import BEGINS, BEGUN, DEAD, ENDS, PERSON, RUN_OUT, Delivery, Faults, Rules, State

FAILED = Delivery("failed", tries=2, results=2, events=1)
BLANK = Delivery("blank", payload=0)  # its payload could not be made when the lead came
DATABASES = pytest.mark.parametrize("postgresql", [False, True], ids=["sqlite", "postgresql"])

ALONE = {
    "captures that may be refused": Rules(),
    "captures and a worker that stops": Rules(leads=3, batch=1, failing=False, faults=Faults(stops=1)),
    "three slots": Rules(leads=3, slots=3, batch=1, failing=False),
    "a holder that comes back after its lease": Rules(faults=Faults(stalls=1)),
    "a commit whose answer is lost": Rules(faults=Faults(unsure=1, stalls=1), batch=1, failing=False),
    "two clicks on a lead that failed": Rules(leads=1, captured=(FAILED,), clicks=(0, 0), faults=Faults(stalls=1)),
    "a click beside captures": Rules(captured=(FAILED,), clicks=(0,), faults=Faults(stalls=1), failing=False),
    "a click on a lead that is being tried": Rules(leads=1, clicks=(0,), faults=Faults(stalls=1, unsure=1)),
    "kept connections that end without an answer": Rules(batch=1, faults=Faults(ends=2, stalls=1)),
    "one that ends, and a commit whose answer is lost": Rules(leads=1, faults=Faults(ends=1, unsure=1, stalls=1)),
    "a deletion": Rules(archive=True, batch=1, faults=Faults(stalls=1), failing=False),
    "rests": Rules(leads=3, failing=False, faults=Faults(asks=2)),
    "a click beside a rest": Rules(captured=(FAILED,), clicks=(0,), faults=Faults(asks=1)),
    "a rest and a holder that comes back": Rules(failing=False, faults=Faults(asks=1, stalls=1)),
    "a pause and a resume": Rules(leads=1, people=("pause", "resume"), faults=Faults(stalls=1)),
    "a removal beside a pause and a resume": Rules(leads=1, people=("pause", "resume"), archive=True, failing=False),
    "an answer that pauses": Rules(batch=1, people=("resume",), failing=False, faults=Faults(halts=1)),
    "saves and a click on what has no payload": Rules(
        leads=1, captured=(BLANK,), clicks=(0,), people=("save",), failing=False
    ),
}
SWEPT = {
    "two processes are killed": Rules(faults=Faults(kills=2, sweeps=1), failing=False),
    "one is killed and one comes back": Rules(leads=1, faults=Faults(kills=1, stalls=1, sweeps=1)),
    "a killed process, a lost marker": Rules(batch=1, failing=False, faults=Faults(kills=1, redis=1, sweeps=1)),
    "FLUSHALL twice": Rules(leads=1, faults=Faults(redis=2, sweeps=2), failing=False),
    "a click and a killed process": Rules(leads=1, captured=(FAILED,), clicks=(0, 0), faults=Faults(kills=1, sweeps=1)),
    "a rest and a killed process": Rules(failing=False, faults=Faults(asks=1, kills=1, sweeps=1)),
    "a kept connection that ends and a killed process": Rules(leads=1, faults=Faults(kills=1, ends=2, sweeps=1)),
    "a maintenance window": Rules(batch=1, slots=1, people=(BEGINS, ENDS), failing=False),
    "a window, a pause and a resume": Rules(leads=1, people=(BEGINS, ENDS, "pause", "resume"), slots=1),
    "a window that is cancelled": Rules(leads=1, people=(BEGINS, ENDS, "cancel"), faults=Faults(kills=1)),
    "a window and a removal": Rules(leads=1, people=(BEGINS, ENDS), archive=True),
    "a window and an answer that pauses": Rules(leads=1, people=(BEGINS, ENDS), faults=Faults(halts=1, stalls=1)),
    "a window and a save": Rules(captured=(BLANK,), people=(BEGINS, ENDS, "save"), slots=1, failing=False),
    "a deletion and a killed process": Rules(leads=1, archive=True, faults=Faults(kills=1, redis=1, sweeps=1)),
}
CRASHED = {
    "while leads are under way": Rules(failing=False, faults=Faults(crashes=1)),
    "and a holder that comes back after its lease": Rules(leads=1, faults=Faults(crashes=1, stalls=1)),
    "and a click": Rules(leads=1, captured=(FAILED,), clicks=(0,), faults=Faults(crashes=1)),
    "twice": Rules(leads=1, faults=Faults(crashes=2)),
}


@DATABASES
@pytest.mark.parametrize("rules", ALONE.values(), ids=ALONE.keys())
def test_without_a_sweep_nothing_is_lost_unless_a_process_or_redis_dies(rules: Rules, postgresql: bool) -> None:
    found = explore(replace(rules, postgresql=postgresql))
    assert found.broken is None, f"{found.broken.promise}:\n{told(found.broken.way)}"
    assert found.most_waiting == 1


@DATABASES
@pytest.mark.parametrize("rules", SWEPT.values(), ids=SWEPT.keys())
def test_with_the_sweep_nothing_is_ever_stuck(rules: Rules, postgresql: bool) -> None:
    found = explore(replace(rules, postgresql=postgresql, sweeping=True))
    assert found.broken is None, f"{found.broken.promise}:\n{told(found.broken.way)}"
    assert found.most_waiting <= 2 + rules.faults.redis


@pytest.mark.parametrize("rules", CRASHED.values(), ids=CRASHED.keys())
def test_a_crash_of_postgresql_repeats_and_loses_nothing(rules: Rules) -> None:
    found = explore(replace(rules, postgresql=True))
    assert found.broken is None, f"{found.broken.promise}:\n{told(found.broken.way)}"


@DATABASES
@pytest.mark.parametrize("lost_markers", [0, 1])
def test_however_long_the_queue_waits_few_jobs_of_a_lane_are_in_it(postgresql: bool, lost_markers: int) -> None:
    faults = Faults(redis=lost_markers, sweeps=6 - 2 * lost_markers)
    rules = Rules(leads=4, slots=0, faults=faults, sweeping=True, postgresql=postgresql)
    found = explore(rules)
    assert found.broken is None, told(found.broken.way)
    assert found.most_waiting == 2 + lost_markers


INTERESTING: dict[str, Callable[[State], bool]] = {
    "two jobs send at a time, one of them after its lease": lambda state: all(job.at == "send" for job in state.jobs),
    "a holder records though its lease has run out": lambda state: (
        state.lane.lease == RUN_OUT and any(job.at == "write" and job.writes for job in state.jobs)
    ),
    "a lane is free with a job under way and a marker set": lambda state: (
        state.marker and not state.waiting and any(job.at == "look" for job in state.jobs)
    ),
    "a take waits while another transaction has the lane": lambda state: (
        any(job.at == "take" for job in state.jobs) and any(job.at == "commit" for job in state.jobs)
    ),
    "a click waits while the try before it is under way": lambda state: any(
        state.deliveries[row.lead].click > row.seen.click for job in state.jobs for row in job.batch
    ),
}
INTERESTING_OF_WINDOWS: dict[str, Callable[[State], bool]] = {
    "a window begins while a batch is under way": lambda state: (
        state.hook.window == BEGUN and any(job.at == "send" for job in state.jobs)
    ),
    "a delivery is recorded as pending while its webhook is paused": lambda state: (
        state.hook.window == BEGUN and any(row.state == "pending" and row.tries for row in state.deliveries)
    ),
    "a capture goes by the webhook as it was before a change": lambda state: state.slipped,
    "a person pauses what a window has paused": lambda state: (
        state.stopped
        and state.hook.by == PERSON
        and any(one.kind == ENDS and one.at != "done" for one in state.errands)
    ),
}


def test_the_search_gets_to_where_it_is_dangerous() -> None:
    search = Explorer(Rules(leads=2, clicks=(0,), batch=1, failing=False, faults=Faults(stalls=1), postgresql=True))
    assert search.run().broken is None
    missed = [what for what, reached in INTERESTING.items() if not any(map(reached, search.states))]
    assert missed == []


def test_the_search_gets_to_where_a_dead_holders_lane_is_taken_carefully() -> None:
    search = Explorer(Rules(faults=Faults(kills=1), failing=False, sweeping=True))
    assert search.run().broken is None
    assert any(state.lane.token == DEAD for state in search.states)
    assert any(
        job.careful and job.at == "send" and len(job.batch) == 1 for state in search.states for job in state.jobs
    )


def test_the_search_gets_to_where_a_window_is_dangerous() -> None:
    search = Explorer(Rules(leads=1, people=(BEGINS, ENDS, "pause"), slots=1, sweeping=True, postgresql=True))
    assert search.run().broken is None
    missed = [what for what, is_there in INTERESTING_OF_WINDOWS.items() if not any(map(is_there, search.states))]
    assert missed == []
