"""The protocol made worse in one thing at a time: the search must find what that breaks, or it would find nothing."""

from dataclasses import replace

import pytest

from tests.model.explorer import explore
from tests.model.protocol import Delivery, Faults, Rules, Worse
from tests.model.test_protocol import FAILED

NOBODY_RINGS = "something is due and nobody rings"
NEVER_DELIVERED = "something is never delivered"
TWICE = "something is sent twice"
MORE_THAN_A_BATCH = "more is sent twice than one batch a lost hold"
OVERWRITTEN = "a newer state is overwritten"
PILE = "jobs of one lane pile up"
LOST = "a click is lost"
REVIVED = "a cancelled delivery is revived"
SPINS = "a lane spins"
IN_SPITE = "something is sent while the receiver rests"
MANY_FIRST = "more than one lead tries first"
UNRECORDED = "a request is not on record"
THRICE = "a try sends more than two requests"
LEFT_OUT = "a step of the schedule is left out"

STALLED = Rules(failing=False, faults=Faults(stalls=1))
ENDING = Rules(leads=1, faults=Faults(ends=2))
QUEUED = Rules(slots=0, leads=4, most_waiting=2)
RESTING = Rules(failing=False, slots=1, faults=Faults(asks=1))
RESTING_CLICKED = replace(RESTING, captured=(FAILED,), clicks=(0,))
AGAIN = Delivery("pending", tries=1, due=True, results=1)

BROKEN = [
    (Worse.LOOKS_EARLY, Rules(), NOBODY_RINGS),
    (Worse.RINGS_EARLY, Rules(), NOBODY_RINGS),
    (Worse.READS_LANE_EARLY, Rules(), NOBODY_RINGS),
    (Worse.MARKER_STAYS, Rules(), NOBODY_RINGS),
    (Worse.MARKER_CLEARED_LATE, Rules(leads=3, failing=False), NOBODY_RINGS),
    (Worse.JOB_INSISTS, Rules(failing=False), SPINS),
    (Worse.SELECTS_EARLY, Rules(), TWICE),
    (Worse.SHORT_LEASE, Rules(), TWICE),
    (Worse.NO_FENCE, STALLED, OVERWRITTEN),
    (Worse.ENDLESS_BATCH, Rules(batch=1, sweeping=True, faults=Faults(kills=1)), MORE_THAN_A_BATCH),
    (Worse.DEATH_FORGOTTEN, Rules(sweeping=True, faults=Faults(kills=2)), MORE_THAN_A_BATCH),
    (
        Worse.CLEARS_ANY_CLICK,
        Rules(leads=1, captured=(AGAIN,), clicks=(0,), sweeping=True, faults=Faults(sweeps=1)),
        LOST,
    ),
    (Worse.CLICK_REPLACES, Rules(leads=1, captured=(FAILED,), clicks=(0, 0)), LOST),
    (Worse.REVIVES, Rules(leads=1, archive=True), REVIVED),
    (Worse.SWEEP_TRUSTS_MARKERS, Rules(leads=1, sweeping=True, faults=Faults(kills=1)), NEVER_DELIVERED),
    (Worse.SWEEP_READS_NO_QUEUE, replace(QUEUED, sweeping=True, faults=Faults(sweeps=4)), PILE),
    (Worse.NO_MARKER, QUEUED, PILE),
    (Worse.REST_IGNORED, RESTING, IN_SPITE),
    (Worse.REST_NOT_RECORDED, RESTING, IN_SPITE),
    (Worse.REST_FORGOTTEN, RESTING, IN_SPITE),
    (Worse.REST_ENDS_NEVER, replace(RESTING, sweeping=True), NEVER_DELIVERED),
    (Worse.REST_BINDS_CLICKS, RESTING_CLICKED, NOBODY_RINGS),
    (Worse.REST_RINGS_NO_CLICK, RESTING_CLICKED, NOBODY_RINGS),
    (Worse.MANY_TRY_FIRST, replace(RESTING, leads=3, sweeping=True), MANY_FIRST),
    (Worse.LOOK_COUNTS_RESTING, RESTING, SPINS),
    (Worse.SECOND_UNRECORDED, ENDING, UNRECORDED),
    (Worse.SENT_THREE_TIMES, ENDING, THRICE),
    (Worse.SECOND_IS_A_STEP, ENDING, LEFT_OUT),
]
# On SQLite no other transaction comes between, so that these are as good there.
BROKEN_ON_POSTGRESQL = [
    (Worse.LOOKS_WITHIN, Rules(), NOBODY_RINGS),
    (Worse.LOOK_COUNTS_REFUSED, Rules(leads=1, archive=True), SPINS),
    (Worse.FENCE_IN_UPDATE, STALLED, OVERWRITTEN),
]


@pytest.mark.parametrize("postgresql", [False, True], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize(("worse", "rules", "promise"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_weaker_protocol_breaks_a_promise(worse: Worse, rules: Rules, promise: str, postgresql: bool) -> None:
    found = explore(replace(rules, worse=worse, postgresql=postgresql))
    assert found.broken is not None
    assert found.broken.promise == promise


@pytest.mark.parametrize("postgresql", [False, True], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("worse", "rules", "promise"), BROKEN_ON_POSTGRESQL, ids=[case[0] for case in BROKEN_ON_POSTGRESQL]
)
def test_what_only_sqlite_forgives_breaks_on_postgresql(
    worse: Worse, rules: Rules, promise: str, postgresql: bool
) -> None:
    found = explore(replace(rules, worse=worse, postgresql=postgresql))
    assert (found.broken and found.broken.promise) == (promise if postgresql else None)


def test_every_weakness_is_tried() -> None:
    tried = {worse for worse, _, _ in [*BROKEN, *BROKEN_ON_POSTGRESQL]}
    assert tried == set(Worse) - {Worse.NOTHING}


def test_the_protocol_as_it_is_keeps_each_of_these_promises_where_the_weaker_one_broke_it() -> None:
    for rules in {rules for _, rules, _ in [*BROKEN, *BROKEN_ON_POSTGRESQL]}:
        assert explore(rules).broken is None
