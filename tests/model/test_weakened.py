"""The protocol made worse in one thing at a time: the search must find what that breaks, or it would find nothing."""

from dataclasses import replace

import pytest

from tests.model.explorer import explore
from tests.model.protocol import BEGINS, ENDS, Delivery, Faults, Rules, Worse
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
READ_PAUSED = "a batch is read while the webhook is paused"
UNDONE = "a window ends what a person or an answer paused"
OVERTAKEN = "a lead is sent before one that was on hold"
AGAIN_ACTIVE = "a removed webhook sends again"
OLD_FORM = "a capture goes by a webhook as it was before"
OTHER_BYTES = "a retry sends other bytes"
NO_BYTES = "an empty body is sent"
EVENT_TWICE = "an event is written twice"
EVENT_UNTRUE = "an event tells of a failure that is not on record"
EVENT_LOST = "an event is lost"

CRASHED = Rules(failing=False, leads=1, faults=Faults(crashes=1))
STALLED = Rules(failing=False, faults=Faults(stalls=1))
ENDING = Rules(leads=1, faults=Faults(ends=2))
QUEUED = Rules(slots=0, leads=4, most_waiting=2)
RESTING = Rules(failing=False, slots=1, faults=Faults(asks=1))
RESTING_CLICKED = replace(RESTING, captured=(FAILED,), clicks=(0,))
AGAIN = Delivery("pending", tries=1, due=True, results=1)

BLANK = Delivery("blank", payload=0)
PAUSED_AND_RESUMED = Rules(leads=1, people=("pause", "resume"), sweeping=True, failing=False, slots=1)
WINDOW = Rules(leads=1, people=(BEGINS, ENDS), sweeping=True, failing=False, slots=1)

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
    (Worse.PAUSE_IGNORED, Rules(leads=2, people=("pause",)), READ_PAUSED),
    (Worse.PAUSE_LOST, replace(WINDOW, people=(BEGINS, ENDS, "pause")), UNDONE),
    (Worse.END_FREES_ALL, replace(WINDOW, people=(BEGINS, ENDS, "pause")), UNDONE),
    (Worse.RELEASES_LATER, replace(WINDOW, leads=2), OVERTAKEN),
    (Worse.RESUME_UNVERSIONED, PAUSED_AND_RESUMED, OLD_FORM),
    (Worse.REMOVE_UNVERSIONED, Rules(leads=1, archive=True), OLD_FORM),
    (Worse.REMOVE_FORGETS_HELD, replace(PAUSED_AND_RESUMED, people=("pause",), archive=True), NEVER_DELIVERED),
    (Worse.RENDERS_ALL, Rules(leads=1, people=("save",), sweeping=True), OTHER_BYTES),
    (Worse.SENDS_BLANK, Rules(leads=1, captured=(BLANK,), clicks=(0,)), NO_BYTES),
    (Worse.HOLDS_RENDERED, Rules(leads=1, captured=(BLANK,), clicks=(0,), people=("save",)), LOST),
    (Worse.EVENT_UNFENCED, Rules(leads=1, sweeping=True, faults=Faults(stalls=1, sweeps=1)), EVENT_UNTRUE),
    (Worse.EVENT_LATER, Rules(leads=1, captured=(AGAIN,), sweeping=True, faults=Faults(kills=1)), EVENT_LOST),
    (Worse.EVENT_AGAIN, Rules(captured=(AGAIN,), batch=1, sweeping=True, faults=Faults(unsure=1)), EVENT_TWICE),
    (Worse.EVENT_OF_CANCELLED, Rules(leads=1, archive=True, sweeping=True, faults=Faults(halts=1)), EVENT_UNTRUE),
]
# On SQLite no other transaction comes between, so that these are as good there.
BROKEN_ON_POSTGRESQL = [
    (Worse.LOOKS_WITHIN, Rules(), NOBODY_RINGS),
    (Worse.LOOK_COUNTS_REFUSED, Rules(leads=1, archive=True), SPINS),
    (Worse.FENCE_IN_UPDATE, STALLED, OVERWRITTEN),
    (Worse.TAKE_UNFLUSHED, CRASHED, TWICE),
    (Worse.RECORDED_ONCE, replace(CRASHED, sweeping=True), NEVER_DELIVERED),
    (Worse.END_WITHOUT_LOCK, replace(WINDOW, people=(BEGINS, ENDS, "pause")), UNDONE),
    (Worse.CANCEL_WITHOUT_LOCK, replace(WINDOW, people=(BEGINS, ENDS, "cancel")), NEVER_DELIVERED),
    (Worse.RESUME_TRUSTS, Rules(leads=1, people=("pause", "resume"), archive=True), AGAIN_ACTIVE),
    (Worse.RENDER_READS_EARLY, Rules(leads=1, captured=(BLANK,), people=("save", "save"), sweeping=True), OTHER_BYTES),
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
