"""The delivery engine as a model: what the database and Redis hold, and what transactions see of one another.

One webhook, a few leads, a few slots that perform jobs, one sweep. A state is a tuple of tuples, so that it can be
hashed and every state that can be reached be looked at once. What a transaction writes stands in its actor's `writes`
until its commit, and nobody else sees it; a row that stands there is locked for everybody else. On PostgreSQL (READ
COMMITTED) every statement is a step of its own, and a SELECT sees what is committed at that moment; on SQLite (BEGIN
IMMEDIATE) a transaction is one step.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from tests.model.replacing import replaces_quickly

NOBODY, DEAD = -1, -2  # tokens of a lane; from 0 on: the slot whose job holds it
LET_GO, RUNNING, RUN_OUT = 0, 1, 2  # leases
LANE, HOOK = -1, -2  # keys of rows that can be written; from 0 on: the delivery of that lead
RETRIES = 2  # automatic tries of a delivery, the first among them
REFUSED, TAKEN, ASKS, LAST, STOPS = 0, 1, 2, 3, 4  # answers of the receiver
UNSENT = 5  # no answer: the delivery has no payload
ASKING = {ASKS, LAST}  # both ask for a rest; LAST takes the lead, and says that nothing remains of a rate limit
ENDING = {*ASKING, STOPS}  # after these, no other row of the batch is sent; STOPS pauses the webhook, too
NO_REST, RESTS, FIRST = 0, 1, 2  # of a lane; FIRST: the rest is over, and one lead tries first
ACTIVE, PAUSED, ARCHIVED = "active", "paused", "archived"  # of a webhook; a removed one is archived, too
WINDOW, PERSON = "window", "person"  # who paused it; a person must end a pause that an answer caused
NO_WINDOW, PLANNED, BEGUN = "", "planned", "begun"  # maintenance


class Worse(StrEnum):
    """The one thing in which the protocol is made worse, to see that the search finds what it then breaks."""

    NOTHING = "nothing"
    LOOKS_EARLY = "the last look comes before the lane is let go"
    LOOKS_WITHIN = "the last look is part of the transaction that lets the lane go"
    LOOK_COUNTS_REFUSED = "the last look counts what a batch refuses"
    RINGS_EARLY = "a capture rings before its commit"
    READS_LANE_EARLY = "a capture reads the lane before its commit"
    MARKER_STAYS = "a job does not clear the marker"
    MARKER_CLEARED_LATE = "a job clears the marker after the take"
    NO_MARKER = "a ring sets no marker"
    JOB_INSISTS = "a job that finds the lane held rings again"
    SELECTS_EARLY = "what is due is read before the lane is taken"
    SHORT_LEASE = "a lease is shorter than its batch"
    TAKE_UNFLUSHED = "a take does not wait for the server's disk"
    RECORDED_ONCE = "a record that a crash rolled back is not made again"
    NO_FENCE = "a record does not ask whose the lane is"
    FENCE_IN_UPDATE = "the fence is an EXISTS in the update of the deliveries"
    ENDLESS_BATCH = "a batch has no bound"
    DEATH_FORGOTTEN = "a holder's death is not remembered"
    CLEARS_ANY_CLICK = "a record clears any click"
    CLICK_REPLACES = "a click replaces one that waits"
    REVIVES = "a result is written over a cancellation"
    SWEEP_TRUSTS_MARKERS = "the sweep trusts markers"
    SWEEP_READS_NO_QUEUE = "the sweep does not read the queue"
    REST_IGNORED = "a batch is read as if the lane did not rest"
    REST_NOT_RECORDED = "an ask for a rest is not recorded"
    REST_FORGOTTEN = "the drain that lets the lane go forgets the rest"
    REST_ENDS_NEVER = "a rest does not end"
    REST_BINDS_CLICKS = "a rest binds clicks, too"
    REST_RINGS_NO_CLICK = "a click does not ring a lane that rests"
    MANY_TRY_FIRST = "after a rest a whole batch tries first"
    LOOK_COUNTS_RESTING = "the last look counts what waits for the end of a rest"
    SECOND_UNRECORDED = "a second request is not recorded"
    SENT_THREE_TIMES = "a request is sent once more twice"
    SECOND_IS_A_STEP = "a second request counts as a step of the schedule"
    PAUSE_IGNORED = "a batch is read as if the webhook were not paused"
    PAUSE_LOST = "a person's pause does nothing while a window is under way"
    END_WITHOUT_LOCK = "a window's end does not lock the lane"
    END_FREES_ALL = "a window's end does not ask who paused the webhook"
    CANCEL_WITHOUT_LOCK = "a window is cancelled without the lane's lock"
    RELEASES_LATER = "a window's end lets the sweep release what is held"
    RESUME_TRUSTS = "a resume trusts what was read before its lock"
    RESUME_UNVERSIONED = "a resume does not change the form's version"
    REMOVE_UNVERSIONED = "a removal does not change the form's version"
    REMOVE_FORGETS_HELD = "a removal cancels only what is due"
    RENDERS_ALL = "a save makes the payload of everything that waits"
    RENDER_READS_EARLY = "a save reads what has no payload before its lock"
    SENDS_BLANK = "a batch sends what has no payload"
    HOLDS_RENDERED = "a record holds what got its payload meanwhile"
    EVENT_UNFENCED = "an event is written though the lane was lost"
    EVENT_LATER = "an event is written after the commit of its record"
    EVENT_AGAIN = "a record that is made again writes its event again"
    EVENT_OF_CANCELLED = "an event tells of a cancelled delivery"


@replaces_quickly
class Delivery(NamedTuple):
    """A delivery's row. `results`, not a column, counts what was recorded, by which an older result is known."""

    state: str = ""  # not captured yet
    tries: int = 0
    due: bool = False  # whether the time of the next automatic try has come
    click: int = 0  # `retry_at`: the number of the click that waits
    results: int = 0
    payload: int = 1  # 0: none; each save that makes one makes another
    events: int = 0  # about its failure


@replaces_quickly
class Hook(NamedTuple):
    """A webhook's row."""

    state: str = ACTIVE
    by: str = ""  # who paused it
    window: str = NO_WINDOW


@replaces_quickly
class Lane(NamedTuple):
    token: int = NOBODY
    lease: int = LET_GO
    abandoned: bool = False  # a holder died, and nothing was recorded since
    rest: int = NO_REST


@replaces_quickly
class Row(NamedTuple):
    """A delivery as selected for sending."""

    lead: int
    seen: Delivery


@replaces_quickly
class Job(NamedTuple):
    """A slot and what its job is about to do: `at` names the next step, "" is an idle slot."""

    at: str = ""
    batch: tuple[Row, ...] = ()
    answers: tuple[int, ...] = ()  # of the rows sent so far
    requests: tuple[int, ...] = ()  # of the same rows: how many requests the try sent
    following: tuple[Row, ...] = ()  # selected, not committed yet
    careful: bool = False  # the holder before died: one row a batch until one is recorded
    writes: tuple[tuple[int, Any], ...] = ()
    again: bool = False  # whether it records a second time what was committed

    @property
    def seconds(self) -> int:
        """How many second requests of this batch are to be recorded."""
        return sum(self.requests) - len(self.requests)


@replaces_quickly
class Errand(NamedTuple):
    """A request to the web: a capture, a click on a lead, the deletion of the interface (or the removal of one webhook,
    which is the same), a change of the webhook; or the begin or the end of a window, which the sweep sees to."""

    kind: str
    number: int = 0  # of the click, or of the save
    at: str = "begin"
    writes: tuple[tuple[int, Any], ...] = ()
    read: tuple[Any, ...] = ()  # before its lock


@replaces_quickly
class Faults(NamedTuple):
    """How many of each may still happen."""

    kills: int = 0  # a worker, a request or the sweep ends at once, its transaction rolled back
    stalls: int = 0  # a lease runs out while its holder is alive, to come back later
    redis: int = 0  # FLUSHALL, a lost marker, or a call that Redis does not answer
    unsure: int = 0  # a record that was committed, but the answer to its COMMIT is lost: it is made again
    stops: int = 0  # SIGTERM: a job begins and passes its lane on
    asks: int = 0  # no fault: the receiver asks for a rest
    halts: int = 0  # no fault: the receiver answers that it wants no more leads
    crashes: int = 0  # the database server's; it is back at once. SQLite has none
    ends: int = 0  # a kept connection ends without an answer to a request: the same try sends it once more
    sweeps: int = 0  # no fault: sweeps that begin while something else moves; when nothing does, there is always one


NO_FAULTS = Faults()


@replaces_quickly
class State(NamedTuple):
    deliveries: tuple[Delivery, ...]
    lane: Lane
    hook: Hook
    marker: bool
    waiting: int  # jobs in the queue
    jobs: tuple[Job, ...]
    errands: tuple[Errand, ...]
    sweep: str  # its next step; "": it rests
    left: Faults
    # What only the checker knows:
    sent: tuple[tuple[int, ...], ...]  # of each lead, how often each of its tries was sent: automatic ones, then clicks
    may_repeat: int  # sends that a hold which was lost may cost
    asked: bool  # for a rest, which is not over
    broken: str  # the promise that the last step broke, in words
    owed: int = 0  # second requests that are not on record yet; a crash may lose those of its batch
    seconds: int = 0  # second requests on record
    stopped: bool = False  # a person or an answer paused the webhook, and no person resumed it
    slipped: bool = False  # a capture that read the webhook before a change of it was committed after it
    bodies: tuple[int, ...] = ()  # of each lead, the payload that was sent; 0: none yet
    lost: Lane | None = None  # the lane as a crash would leave it, where it would lose the last take


@dataclass(frozen=True)
class Rules:
    """What is explored: who acts, on what, with which faults."""

    postgresql: bool = False
    leads: int = 2
    captured: tuple[Delivery, ...] = ()  # those that are there at the beginning
    clicks: tuple[int, ...] = ()  # the leads that are clicked, by somebody each
    archive: bool = False
    people: tuple[str, ...] = ()  # what else is done to the webhook, each by somebody else
    slots: int = 2
    batch: int = 2
    faults: Faults = NO_FAULTS
    sweeping: bool = False
    failing: bool = True  # whether the receiver may refuse
    most_waiting: int = 4  # jobs of the lane in the queue
    worse: Worse = Worse.NOTHING

    @property
    def judges_stuck(self) -> bool:
        """Whether everything must come to its end: where a sweep rings what lost its ring, and jobs have a slot."""
        return self.sweeping and self.slots > 0

    @property
    def judges_endless(self) -> bool:
        """Whether nothing may go round in circles."""
        return self.faults._replace(asks=0) == NO_FAULTS and not self.sweeping

    def initial(self) -> State:
        captures = [Errand("capture")] * (self.leads - len(self.captured))
        clicks = [Errand(f"click {lead}", number) for number, lead in enumerate(self.clicks, 1)]
        return State(
            deliveries=self.captured + (Delivery(),) * len(captures),
            lane=Lane(),
            hook=Hook(window=PLANNED if BEGINS in self.people else NO_WINDOW),
            marker=False,
            waiting=0,
            jobs=(Job(),) * self.slots,
            errands=(*captures, *clicks, *([Errand("archive")] if self.archive else []), *self._done_to_it()),
            sweep="",
            left=self.faults,
            sent=((0,) * (RETRIES + len(self.clicks)),) * self.leads,
            may_repeat=0,
            asked=False,
            broken="",
            bodies=(0,) * self.leads,
        )

    def _done_to_it(self) -> list[Errand]:
        saves = iter(range(2, 9))  # the payload that each would make
        return [Errand(kind, next(saves) if kind == "save" else 0) for kind in self.people]


BEGINS, ENDS = "window begins", "window ends"
Actor = tuple[str, int]  # "jobs" or "errands", and which of them; anybody else has no transaction


def writes_of(state: State, actor: Actor) -> tuple[tuple[int, Any], ...]:
    kind, index = actor
    return state.jobs[index].writes if kind == "jobs" else state.errands[index].writes


def locked(state: State, key: int, actor: Actor) -> bool:
    """Whether somebody else's transaction has written this row, and not ended."""
    kind, index = actor
    for number, job in enumerate(state.jobs):
        if job.writes and (number != index or kind != "jobs") and any(key == row for row, _ in job.writes):
            return True
    for number, one in enumerate(state.errands):
        if one.writes and (number != index or kind != "errands") and any(key == row for row, _ in one.writes):
            return True
    return False


def visible(state: State, actor: Actor) -> tuple[Delivery, ...]:
    """The deliveries as a SELECT of this actor sees them: what is committed, and its own."""
    rows = list(state.deliveries)
    for key, value in writes_of(state, actor):
        if key >= 0:
            rows[key] = value
    return tuple(rows)


def wrote(writes: tuple[tuple[int, Any], ...], key: int, value: Any) -> tuple[tuple[int, Any], ...]:
    """These writes and one more; None as a value locks the row, and changes nothing."""
    return (*((other, old) for other, old in writes if other != key), (key, value))


def committed(state: State, writes: tuple[tuple[int, Any], ...]) -> State:
    """The state after a commit of these writes."""
    rows = list(state.deliveries)
    for key, value in writes:
        if value is None:
            continue
        if key == LANE:
            state = state._replace(lane=value)
        elif key == HOOK:
            state = state._replace(hook=value)
        else:
            rows[key] = value
    return state._replace(deliveries=tuple(rows), lost=None)


def is_due(delivery: Delivery, rest: int = NO_REST) -> bool:
    """The predicate *due*, of a webhook that is active: clicked or, unless it rests, fresh, or its time has come."""
    if delivery.click > 0:
        return True
    return rest != RESTS and delivery.state == "pending" and (delivery.tries == 0 or delivery.due)


def any_due(state: State, rules: "Rules | None" = None) -> bool:
    rest, rows = state.lane.rest, state.deliveries
    if rules and rules.worse is Worse.REST_BINDS_CLICKS and rest == RESTS:
        return False
    return state.hook.state == ACTIVE and any(is_due(row, rest) for row in rows)


def is_worth_a_ring(state: State, rules: "Rules") -> bool:
    """Whether the lane does not rest, or a click waits, which goes through the rest."""
    clicked = any(row.click for row in state.deliveries) and rules.worse is not Worse.REST_RINGS_NO_CLICK
    return state.lane.rest != RESTS or (clicked and rules.worse is not Worse.REST_BINDS_CLICKS)


def on_hold(rows: tuple[Delivery, ...]) -> list[tuple[int, Delivery]]:
    """What a pause changes: states.hold of webapp/delivery/states.py."""
    return [
        (lead, row._replace(state="held" if row.state == "pending" else row.state, click=0, due=False))
        for lead, row in enumerate(rows)
        if row.state == "pending" or row.click
    ]


def released(rows: tuple[Delivery, ...]) -> list[tuple[int, Delivery]]:
    """What a release makes due again; what has no payload waits for one."""
    return [
        (lead, row._replace(state="pending", due=row.tries > 0)) for lead, row in enumerate(rows) if row.state == "held"
    ]


def cancelled(rows: tuple[Delivery, ...], rules: "Rules") -> list[tuple[int, Delivery]]:
    """What an end of the webhook changes."""
    waiting = {"pending"} if rules.worse is Worse.REMOVE_FORGETS_HELD else {"pending", "held", "blank"}
    return [
        (lead, row._replace(state="cancelled" if row.state in waiting else row.state, click=0, due=False))
        for lead, row in enumerate(rows)
        if row.state in waiting or row.click
    ]


def paused(hook: Hook, by: str, rules: "Rules") -> Hook:
    """The webhook after a pause; a person's or an answer's takes a window's over, which is over then."""
    if hook.state == ACTIVE:
        return hook._replace(state=PAUSED, by=by)
    if hook.state == PAUSED and hook.by == WINDOW and rules.worse is not Worse.PAUSE_LOST:
        return hook._replace(by=by, window=NO_WINDOW)
    return hook


def held(state: State) -> bool:
    return state.lane.lease == RUNNING


def repeats(state: State) -> int:
    """How many sends were one too many."""
    number = 0
    for counts in state.sent:
        for count in counts:
            if count > 1:
                number += count - 1
    return number


def at_rest(state: State) -> bool:
    """Whether nothing moves any more but time and the sweep."""
    if state.waiting or state.sweep:
        return False
    for job in state.jobs:
        if job.at:
            return False
    return all(one.at == "done" for one in state.errands)


def alike(state: State) -> State:
    """One state for all that differ only in which slot performs which job."""
    if len(state.jobs) != 2 or state.jobs[0] <= state.jobs[1]:
        return state
    second, first = (job._replace(writes=_swapped(job.writes)) if job.writes else job for job in state.jobs)
    return state._replace(jobs=(first, second), lane=_other(state.lane), lost=state.lost and _other(state.lost))


def _other(lane: Lane) -> Lane:
    return lane._replace(token=1 - lane.token) if lane.token >= 0 else lane


def _swapped(writes: tuple[tuple[int, Any], ...]) -> tuple[tuple[int, Any], ...]:
    return tuple((key, _other(value) if key == LANE else value) for key, value in writes)
