"""What happens beside the jobs: requests to the web, the sweep, time that passes, and faults."""

from collections.abc import Iterable, Iterator
from typing import Any

from tests.model import changes, jobs
from tests.model.protocol import (
    ACTIVE,
    ARCHIVED,
    BEGINS,
    DEAD,
    ENDS,
    FIRST,
    HOOK,
    LANE,
    PAUSED,
    RESTS,
    RETRIES,
    RUN_OUT,
    Actor,
    Delivery,
    Errand,
    Hook,
    Rules,
    State,
    Worse,
    any_due,
    at_rest,
    cancelled,
    committed,
    held,
    is_worth_a_ring,
    locked,
    on_hold,
    released,
    visible,
    wrote,
)

INSIDE = frozenset({"insert", "insert, on hold", "lock", "change", "commit"})


def _put(state: State, index: int, errand: Errand, **changes: Any) -> State:
    """The state with this errand, and these changes beside it."""
    return state._replace(errands=(*state.errands[:index], errand, *state.errands[index + 1 :]), **changes)


def errand(state: State, rules: Rules, index: int) -> Iterable[State]:
    """Every state that one step of this request can lead to."""
    one = state.errands[index]
    if one.at == "done":
        return ()
    if one.at == "begin" and index and state.errands[index - 1] == one:
        return ()  # alike: the one before it goes first
    if one.kind == ENDS and any(other.kind == BEGINS and other.at != "done" for other in state.errands):
        return ()  # its time comes later
    after = _ERRANDS[one.at](state, rules, index, one)
    return after if rules.postgresql else _to_the_end(after, rules, index)


def _to_the_end(states: Iterable[State], rules: Rules, index: int) -> Iterator[State]:
    """Where the transaction of this request has ended, from these states."""
    for state in states:
        if state.errands[index].at in INSIDE:
            yield from errand(state, rules, index)
        else:
            yield state


def _begin(state: State, rules: Rules, index: int, errand: Errand) -> Iterator[State]:
    if errand.kind != "capture":
        if early := changes.read_early(state, rules, errand):
            yield _put(state, index, early)
        elif not locked(state, LANE, ("errands", index)):  # every change of many deliveries locks the lane's row first
            yield _put(state, index, errand._replace(at="change", writes=((LANE, None),)))
    elif rules.worse is Worse.RINGS_EARLY:
        yield _put(state, index, errand._replace(at="ring"))
    elif rules.worse is Worse.READS_LANE_EARLY:
        yield _put(state, index, errand._replace(at="insert, held" if held(state) else "insert, free"))
    else:
        yield from _accept(state, rules, index, errand)


def _accept(state: State, rules: Rules, index: int, errand: Errand) -> Iterator[State]:
    """A form is read by its version, so as its webhook is now; that of a deleted interface answers 404. Where a change
    leaves the version as it is, the process has the form from before."""
    form = changes.form(state, rules)
    if form != state.hook.state:
        state = state._replace(broken="a capture goes by a webhook as it was before")
    at = {ACTIVE: "insert", PAUSED: "insert, on hold", ARCHIVED: "done"}[form]
    yield _put(state, index, errand._replace(at=at))


def _lock(state: State, rules: Rules, index: int, errand: Errand) -> Iterator[State]:
    if not locked(state, LANE, ("errands", index)):
        yield _put(state, index, errand._replace(at="change", writes=((LANE, None),)))


def _insert(state: State, rules: Rules, index: int, errand: Errand) -> Iterator[State]:
    """INSERT and COMMIT: the lead is there for everybody."""
    at = {"insert": "look", "insert, free": "ring"}.get(errand.at, "done")
    rows = list(state.deliveries)
    on_its_way = "held" if errand.at == "insert, on hold" else "pending"
    rows[rows.index(Delivery())] = Delivery(on_its_way)
    changing = any(key == HOOK for one in (*state.errands, *state.jobs) for key, _ in one.writes)
    slipped = state.slipped or changing or (state.hook.state == ACTIVE) != (on_its_way == "pending")
    yield _put(state, index, errand._replace(at=at), deliveries=tuple(rows), slipped=slipped, lost=None)


def _change(state: State, rules: Rules, index: int, errand: Errand) -> Iterator[State]:
    """Under the lock: a click where there is none, or a change of the webhook."""
    actor: Actor = ("errands", index)
    if errand.kind == "resume" and state.hook.state != PAUSED and not errand.read:
        yield _put(state, index, errand._replace(at="done", writes=()))
        return
    if not errand.kind.startswith("click"):
        changed = changes.change(state, rules, errand, visible(state, actor))
        if not any(locked(state, key, actor) for key, _ in changed.writes):  # only where the lane is not locked
            after = changes.noted(state, errand, changed)
            yield _put(after, index, errand._replace(at="commit", writes=(*errand.writes, *changed.writes)))
        return
    row = visible(state, actor)[lead := int(errand.kind.split()[1])]
    queued = row.click if rules.worse is not Worse.CLICK_REPLACES else 0
    queued = queued or (row.state == "pending" and row.tries == 0)
    if queued or state.hook.state != ACTIVE or row.state in ("", "cancelled"):
        yield _put(state, index, errand._replace(at="done", writes=()))
        return
    if row.click and not state.sent[lead][RETRIES + row.click - 1]:
        state = state._replace(broken="a click is lost")
    writes = wrote(errand.writes, lead, row._replace(click=errand.number))
    yield _put(state, index, errand._replace(at="commit", writes=writes))


def _commit(state: State, rules: Rules, index: int, errand: Errand) -> Iterator[State]:
    after = committed(state, errand.writes)
    rings = errand.kind.startswith(("click", "resume")) or (errand.kind == "save" and after.hook.state == ACTIVE)
    at = "look" if rings else "done"
    yield _put(after, index, errand._replace(at=at, writes=()))


def _look(state: State, rules: Rules, index: int, errand: Errand) -> Iterator[State]:
    rings = not held(state) and is_worth_a_ring(state, rules)
    yield _put(state, index, errand._replace(at="ring" if rings else "done"))


def _ring(state: State, rules: Rules, index: int, errand: Errand) -> Iterator[State]:
    """SET NX the marker; where it stands already, the ring is swallowed."""
    swallowed = state.marker and rules.worse is not Worse.NO_MARKER
    at = _rung(rules) if swallowed else "enqueue"
    yield _put(state, index, errand._replace(at=at), marker=True)


def _enqueue(state: State, rules: Rules, index: int, errand: Errand) -> Iterator[State]:
    yield _put(state, index, errand._replace(at=_rung(rules)), waiting=state.waiting + 1)


def _rung(rules: Rules) -> str:
    return "insert, late" if rules.worse is Worse.RINGS_EARLY else "done"


_ERRANDS = {
    "begin": _begin,
    "insert": _insert,
    "insert, on hold": _insert,
    "insert, held": _insert,
    "insert, free": _insert,
    "insert, late": _insert,
    "lock": _lock,
    "change": _change,
    "commit": _commit,
    "look": _look,
    "ring": _ring,
    "enqueue": _enqueue,
}


def sweep(state: State, rules: Rules) -> Iterator[State]:
    """A step of the sweep: looks at the lane, then at the queue, then sets the marker, then enqueues."""
    if not rules.sweeping:
        return
    if state.sweep == "":
        if strays(state, rules):
            return  # those first
        if any_due(state, rules) and not held(state):
            if at_rest(state):
                yield state._replace(sweep="count")
            elif state.left.sweeps:
                left = state.left._replace(sweeps=state.left.sweeps - 1)
                yield state._replace(sweep="count", left=left)
    elif state.sweep == "count":
        waits = state.waiting > 0 and rules.worse is not Worse.SWEEP_READS_NO_QUEUE
        trusts = rules.worse is Worse.SWEEP_TRUSTS_MARKERS and state.marker
        yield state._replace(sweep="" if waits or trusts else "mark")
    elif state.sweep == "mark":
        yield state._replace(sweep="enqueue", marker=True)
    else:
        yield state._replace(sweep="", waiting=state.waiting + 1)


def strays(state: State, rules: Rules) -> list[tuple[int, Delivery]]:
    """What is in a state that its webhook's state does not allow, as it must be: _correct of webapp/delivery/sweep.py.
    That happens where it was captured or recorded while the webhook changed."""
    if state.hook == Hook() and not any(row.state == "held" for row in state.deliveries):
        return []
    corrections = {ACTIVE: released(state.deliveries), PAUSED: on_hold(state.deliveries)}
    return corrections.get(state.hook.state) or (
        cancelled(state.deliveries, rules) if state.hook.state == ARCHIVED else []
    )


def correct(state: State, rules: Rules) -> Iterator[State]:
    """The sweep's first step, where there is something to correct."""
    if rules.sweeping and not state.sweep and (wrong := strays(state, rules)) and not locked(state, LANE, ("sweep", 0)):
        yield committed(state, tuple(wrong))


def time(state: State, rules: Rules) -> Iterator[tuple[tuple[str, int], State]]:
    """The next automatic try's time comes; the lease of a dead holder runs out; a rest is over."""
    for lead, row in enumerate(state.deliveries):
        if row.state == "pending" and row.tries and not row.due and not locked(state, lead, ("time", 0)):
            rows = (*state.deliveries[:lead], row._replace(due=True), *state.deliveries[lead + 1 :])
            yield ("due", lead), state._replace(deliveries=rows)
    ends = rules.worse is not Worse.REST_ENDS_NEVER
    if (state.asked or state.lane.rest == RESTS) and ends and not locked(state, LANE, ("time", 0)):
        lane = state.lane._replace(rest=FIRST) if state.lane.rest == RESTS else state.lane
        yield ("rest", 0), state._replace(lane=lane, asked=False)
    alive = state.lane.token >= 0
    if held(state) and (not alive or _too_short(state, rules)):
        yield ("lease", 0), state._replace(lane=state.lane._replace(lease=RUN_OUT))


def _too_short(state: State, rules: Rules) -> bool:
    return rules.worse is Worse.SHORT_LEASE and state.jobs[state.lane.token].at == "send"


def faults(state: State, rules: Rules) -> Iterator[tuple[tuple[str, int], State]]:
    """What goes wrong, as often as is left."""
    left = state.left
    if left.kills:
        yield from _kills(state._replace(left=left._replace(kills=left.kills - 1)), rules)
    if left.stalls and held(state) and state.lane.token >= 0:
        lane = state.lane._replace(lease=RUN_OUT)
        spent = state._replace(left=left._replace(stalls=left.stalls - 1), lane=lane)
        yield ("lease", 0), spent._replace(may_repeat=state.may_repeat + _at_risk(state, rules))
    if left.crashes and rules.postgresql:
        yield ("crash", 0), _crashed(state._replace(left=left._replace(crashes=left.crashes - 1)), rules)
    if left.redis and (state.marker or state.waiting):
        spent = state._replace(left=left._replace(redis=left.redis - 1), marker=False)
        yield ("lose the marker", 0), spent
        yield ("flush", 0), spent._replace(waiting=0)


def _crashed(state: State, rules: Rules) -> State:
    """The database server is back, without what was not committed, or not on its disk. A record is made again, a
    request is answered 500."""
    again = jobs.IDLE if rules.worse is Worse.RECORDED_ONCE else None
    working = [again or job._replace(at="fence", writes=(), following=()) if job.writes else job for job in state.jobs]
    asking = [one._replace(at="done", writes=()) if one.writes else one for one in state.errands]
    return state._replace(lane=state.lost or state.lane, lost=None, jobs=tuple(working), errands=tuple(asking))


def _at_risk(state: State, rules: Rules) -> int:
    """How many sends the loss of the lane's hold may cost: one batch."""
    return 1 if state.jobs[state.lane.token].careful else rules.batch


def _kills(state: State, rules: Rules) -> Iterator[tuple[tuple[str, int], State]]:
    for index, job in enumerate(state.jobs):
        if not job.at:
            continue
        lane, may_repeat = state.lane, state.may_repeat
        if lane.token == index:
            sends = held(state) and job.at not in ("select", "give back")  # else it was counted when it stalled
            lane, may_repeat = lane._replace(token=DEAD), may_repeat + (_at_risk(state, rules) if sends else 0)
        owed = state.owed - job.seconds
        yield ("kill job", index), jobs.put(state, index, jobs.IDLE, owed=owed, lane=lane, may_repeat=may_repeat)
    for index, one in enumerate(state.errands):
        if one.at in ("look", "ring", "enqueue"):
            yield ("kill errand", index), _put(state, index, one._replace(at="done"))
    if state.sweep == "enqueue":
        yield ("kill sweep", 0), state._replace(sweep="")
