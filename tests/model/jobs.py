"""What a job does, step by step: `drain` of webapp/delivery/lanes.py, made worse where the rules say so."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from tests.model.protocol import (
    ACTIVE,
    ARCHIVED,
    ASKING,
    ASKS,
    ENDING,
    FIRST,
    HOOK,
    LANE,
    LAST,
    LET_GO,
    NO_REST,
    NOBODY,
    PERSON,
    REFUSED,
    RESTS,
    RETRIES,
    RUNNING,
    STOPS,
    TAKEN,
    UNSENT,
    Delivery,
    Job,
    Lane,
    Row,
    Rules,
    State,
    Worse,
    any_due,
    committed,
    held,
    is_due,
    is_worth_a_ring,
    locked,
    on_hold,
    paused,
    visible,
    wrote,
)

IDLE = Job()
# Between these and the step before them no transaction ends: on SQLite they are one step.
INSIDE = frozenset({"write", "renew", "select next", "let go", "commit", "commit, due", "commit, not due"})


def put(state: State, index: int, job: Job, **changes: Any) -> State:
    """The state with this job, and these changes beside it."""
    return state._replace(jobs=(*state.jobs[:index], job, *state.jobs[index + 1 :]), **changes)


def step(state: State, rules: Rules, index: int) -> Iterable[State]:
    """Every state that one step of this job can lead to; none: it waits for a lock, or the slot is idle."""
    job = state.jobs[index]
    if not job.at:
        return ()
    after = STEPS[job.at](state, rules, index, job)
    return after if rules.postgresql else _to_the_end(after, rules, index)


def _to_the_end(states: Iterable[State], rules: Rules, index: int) -> Iterator[State]:
    """Where the transaction of this job has ended, from these states."""
    for state in states:
        if state.jobs[index].at in INSIDE:
            yield from step(state, rules, index)
        else:
            yield state


def begin(state: State, rules: Rules) -> Iterator[State]:
    """The next job of the queue gets a slot; which one makes no difference."""
    if state.waiting and IDLE in state.jobs:
        at = "take" if rules.worse in (Worse.MARKER_STAYS, Worse.MARKER_CLEARED_LATE) else "clear"
        yield put(state, state.jobs.index(IDLE), Job(at), waiting=state.waiting - 1)


def _clear(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    left = state.left
    first = "select" if rules.worse is Worse.SELECTS_EARLY else "take"
    yield put(state, index, job._replace(at=first), marker=False)
    if left.redis:
        yield put(state, index, job._replace(at=first), left=left._replace(redis=left.redis - 1))
    if left.stops:
        yield put(state, index, Job("pass on"), marker=False, left=left._replace(stops=left.stops - 1))


def _pass_on(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    """A process that stops: somebody else's, then, unless the lane is held."""
    yield put(state, index, Job("ring") if not held(state) and is_worth_a_ring(state, rules) else IDLE)


def _take(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    """UPDATE lanes SET token, lease WHERE NOT held, which commits itself: it looks at the row as committed, and again
    once it has its lock."""
    if held(state):
        insists = {Worse.JOB_INSISTS: Job("ring"), Worse.MARKER_CLEARED_LATE: Job("clear late")}
        yield put(state, index, insists.get(rules.worse, IDLE))
    elif not locked(state, LANE, ("jobs", index)):
        at = "send" if rules.worse is Worse.SELECTS_EARLY else "select"
        abandoned = state.lane.abandoned or state.lane.lease != LET_GO
        lost = state.lane if rules.worse is Worse.TAKE_UNFLUSHED else None
        lane = Lane(index, RUNNING, abandoned, state.lane.rest)
        yield put(state, index, job._replace(at=at, careful=abandoned), lane=lane, lost=lost)


def _clear_late(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    yield put(state, index, job._replace(at="send") if job.batch else IDLE, marker=False)


def _due(state: State, rules: Rules, index: int, limit: int) -> tuple[Row, ...]:
    if state.hook.state != ACTIVE and (rules.worse is not Worse.PAUSE_IGNORED or state.hook.state == ARCHIVED):
        return ()
    limit = rules.leads if rules.worse is Worse.ENDLESS_BATCH else limit
    rest = _rest(state, state.jobs[index])
    if rules.worse is Worse.REST_BINDS_CLICKS and rest == RESTS:
        return ()
    limit = 1 if rest == FIRST and rules.worse is not Worse.MANY_TRY_FIRST else limit
    rest = NO_REST if rules.worse is Worse.REST_IGNORED else rest
    rows = [Row(lead, row) for lead, row in enumerate(visible(state, ("jobs", index))) if is_due(row, rest)]
    return tuple(sorted(rows, key=lambda row: (not row.seen.click, row.seen.tries > 0))[:limit])


def _rest(state: State, job: Job) -> int:
    """The lane's rest as this job sees it: its own write, or what is committed."""
    return next((value.rest for key, value in job.writes if key == LANE and value is not None), state.lane.rest)


def _select(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    one = job.careful and rules.worse is not Worse.DEATH_FORGOTTEN
    rows = _due(state, rules, index, 1 if one else rules.batch)
    if rules.worse is Worse.SELECTS_EARLY:
        yield put(state, index, Job("take", batch=rows) if rows else Job("look"))
    elif not rows:
        yield put(state, index, Job("early look" if rules.worse is Worse.LOOKS_EARLY else "give back"))
    else:
        late = rules.worse is Worse.MARKER_CLEARED_LATE
        broken = state.broken or _read_in_spite(state, rows)
        after = replied(rules, Job("clear late" if late else "send", batch=rows, careful=job.careful))
        yield put(state, index, after, broken=broken)


def replied(rules: Rules, job: Job) -> Job:
    """What has no payload is not sent: connecting.rendered of webapp/delivery/connecting.py."""
    blank = tuple(row for row in job.batch if not row.seen.payload)
    if not blank or rules.worse is Worse.SENDS_BLANK:
        return job
    batch = (*blank, *(row for row in job.batch if row.seen.payload))
    at = "fence" if len(blank) == len(batch) else job.at
    return job._replace(at=at, batch=batch, answers=(UNSENT,) * len(blank), requests=(1,) * len(blank))


def _read_in_spite(state: State, rows: tuple[Row, ...]) -> str:
    """The promise of a pause that this batch breaks: it is read while the webhook is paused, or passes a lead by that
    was on hold before."""
    if state.hook.state != ACTIVE:
        return "a batch is read while the webhook is paused"
    first = min((row.lead for row in rows if not row.seen.click and not row.seen.tries), default=0)
    passed = any(row.state == "held" for row in state.deliveries[:first])
    return "a lead is sent before one that was on hold" if passed and not state.slipped else ""


def _give_back(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    """UPDATE lanes SET token, lease WHERE token = mine: nothing was due."""
    if locked(state, LANE, ("jobs", index)):
        return
    over = {Worse.LOOKS_WITHIN: Job("ring") if any_due(state, rules) else IDLE}
    yield put(
        state,
        index,
        over.get(rules.worse, Job("look")),
        lane=state.lane._replace(token=NOBODY, lease=LET_GO) if state.lane.token == index else state.lane,
        marker=state.marker and rules.worse is not Worse.MARKER_CLEARED_LATE,
        lost=None,
    )


def _send(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    row = job.batch[len(job.answers)]
    number = RETRIES + row.seen.click - 1 if row.seen.click else row.seen.tries
    counts = list(state.sent[row.lead])
    counts[number] += 1
    sent = (*state.sent[: row.lead], tuple(counts), *state.sent[row.lead + 1 :])
    broken = state.broken or _sent_in_spite(state, index, job, row) or _other_body(state, row)
    if state.bodies[row.lead] != row.seen.payload:
        bodies = (*state.bodies[: row.lead], row.seen.payload, *state.bodies[row.lead + 1 :])
        state = state._replace(bodies=bodies)
    if state.left.halts:
        left = state.left._replace(halts=state.left.halts - 1)
        stops = job._replace(at="fence", answers=(*job.answers, STOPS), requests=(*job.requests, 1))
        yield put(state, index, stops, sent=sent, broken=broken, left=left)
    if state.left.asks:
        left = state.left._replace(asks=state.left.asks - 1)
        answer = ASKS if state.left.asks == 1 else LAST  # both, where there are two
        asked = job._replace(at="fence", answers=(*job.answers, answer), requests=(*job.requests, 1))
        yield put(state, index, asked, sent=sent, broken=broken, left=left)
    answered = (TAKEN, REFUSED) if rules.failing else (TAKEN,)
    for answer, requests in product(answered, _requests(state, rules)):
        answers = (*job.answers, answer)
        left = state.left._replace(ends=state.left.ends - requests + 1)
        done = state._replace(sent=sent, broken=broken, left=left, owed=state.owed + requests - 1)
        after = job._replace(answers=answers, requests=(*job.requests, requests))
        yield put(done, index, after._replace(at="fence"))  # the last one, or the turn is over
        if len(answers) < len(job.batch):
            yield put(done, index, after)


def _other_body(state: State, row: Row) -> str:
    """The promise of frozen bytes that this send breaks."""
    if not row.seen.payload:
        return "an empty body is sent"
    return "a retry sends other bytes" if state.bodies[row.lead] not in (0, row.seen.payload) else ""


def _requests(state: State, rules: Rules) -> range:
    """How many requests a try may send: two where the kept connection ends without an answer to the first."""
    most = 3 if rules.worse is Worse.SENT_THREE_TIMES else 2
    return range(1, min(most, 1 + state.left.ends) + 1)


def recorded(state: State, rules: Rules, job: Job) -> State:
    """The state with the attempts of this batch, which are inserted even if the lane is lost."""
    if rules.worse is Worse.SECOND_UNRECORDED:
        return state
    return state._replace(owed=state.owed - job.seconds, seconds=state.seconds + job.seconds, lost=None)


def _sent_in_spite(state: State, index: int, job: Job, row: Row) -> str:
    """The promise of a rest that this send breaks. One who lost the lane cannot know of a rest."""
    if state.lane.token != index or row.seen.click:
        return ""
    if state.asked:
        return "something is sent while the receiver rests"
    first = sum(not one.seen.click for one in job.batch)
    return "more than one lead tries first" if state.lane.rest == FIRST and first > 1 else ""


def _fence(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    """UPDATE lanes SET lease WHERE token = mine: nothing else is written where it is not."""
    ours = state.lane.token == index
    if rules.worse is Worse.NO_FENCE:
        yield put(state, index, job._replace(at="write"))
    elif not ours:
        if rules.worse is Worse.EVENT_UNFENCED:
            state = _told(state, job)
        yield put(recorded(state, rules, job), index, Job(_look_after(job)))
    elif rules.worse is Worse.FENCE_IN_UPDATE:
        yield put(state, index, job._replace(at="write"))  # with what it saw when it began
    elif not locked(state, LANE, ("jobs", index)):
        writes = wrote(job.writes, LANE, Lane(index, RUNNING, rest=_rest_after(state, rules, job)))
        yield put(state, index, job._replace(at="write", writes=writes))


def _rest_after(state: State, rules: Rules, job: Job) -> int:
    """What the answers make of the lane's rest: rests.change of webapp/delivery/rests.py."""
    if ASKING & {*job.answers} and rules.worse is not Worse.REST_NOT_RECORDED:
        return RESTS
    return NO_REST if state.lane.rest == FIRST and job.answers else state.lane.rest


def _write(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    """UPDATE deliveries, as they are now: nobody writes them without the lock on the lane's row."""
    actor = ("jobs", index)
    writes, broken = job.writes, state.broken
    requests = job.requests or (1,) * len(job.answers)
    for row, answer, number in zip(job.batch, job.answers, requests, strict=False):
        if locked(state, row.lead, actor):
            return
        now = visible(state, actor)[row.lead]
        after = moved(now, row.seen, answer, rules, number)
        if _fails(row.seen, answer, after, rules) and (not job.again or rules.worse is Worse.EVENT_AGAIN):
            after = after._replace(events=now.events + (rules.worse is not Worse.EVENT_LATER))
        writes = wrote(writes, row.lead, after)
        broken = broken or _wrong(state, row, now, after)
    fenced = any(key == LANE for key, _ in job.writes)
    job = job._replace(writes=writes)
    if STOPS in job.answers:
        if locked(state, HOOK, actor) or any(locked(state, lead, actor) for lead in range(rules.leads)):
            return
        job, state = _stopped(state, rules, job)
    # A batch that was not full is seldom followed by another, and one that ended early is not.
    goes_on = len(job.batch) == rules.batch and not ENDING & {*job.answers} and rules.worse is not Worse.EVENT_LATER
    for at in (("select next", "let go") if goes_on else ("let go",)) if fenced else ("renew",):
        yield put(state, index, job._replace(at=at), broken=broken)


def _stopped(state: State, rules: Rules, job: Job) -> tuple[Job, State]:
    """Pauses the webhook in the transaction of the record: pausing.pause_reason."""
    hook = paused(state.hook, PERSON, rules)
    mine = dict(job.writes)
    writes = wrote(job.writes, HOOK, hook) if hook != state.hook else job.writes
    for lead, row in on_hold(tuple(mine.get(lead, row) for lead, row in enumerate(state.deliveries))):
        writes = wrote(writes, lead, row)
    return job._replace(writes=writes), state._replace(stopped=state.hook.state != ARCHIVED)


def _fails(seen: Delivery, answer: int, after: Delivery, rules: Rules) -> bool:
    """Whether an event tells of this: the delivery is not tried again. That of a removed webhook was told when it was
    cancelled."""
    states = ("failed", "cancelled") if rules.worse is Worse.EVENT_OF_CANCELLED else ("failed",)
    return not seen.click and answer in (REFUSED, ASKS, STOPS) and after.state in states


def _told(state: State, job: Job) -> State:
    """The state with an event about each failure of this batch, as what was read of it says."""
    rows = list(state.deliveries)
    for row, answer in zip(job.batch, job.answers, strict=False):
        if not row.seen.click and (answer == STOPS or (answer in (REFUSED, ASKS) and row.seen.tries + 1 >= RETRIES)):
            rows[row.lead] = rows[row.lead]._replace(events=rows[row.lead].events + 1)
    return state._replace(deliveries=tuple(rows))


def moved(now: Delivery, seen: Delivery, answer: int, rules: Rules, requests: int) -> Delivery:
    """A delivery after a try: moves.move and the UPDATE of webapp/delivery/record.py."""
    if answer == UNSENT:
        if now.payload and rules.worse is not Worse.HOLDS_RENDERED:
            return now
        kept = now.state in ("cancelled", "delivered")
        return now._replace(state=now.state if kept else "blank", due=False, click=0)
    step = requests if rules.worse is Worse.SECOND_IS_A_STEP else 1
    tries = seen.tries if seen.click else seen.tries + step
    if answer in (TAKEN, LAST):
        state, due = "delivered", False
    elif seen.click:
        state, due = (seen.state, now.due) if seen.state == "pending" else ("failed", False)
    else:
        state, due = ("pending" if tries < RETRIES and answer != STOPS else "failed"), False
    if now.state == "cancelled" and rules.worse is not Worse.REVIVES:
        state, due = now.state, False
    answered = rules.worse is Worse.CLEARS_ANY_CLICK or now.click == seen.click
    return now._replace(state=state, tries=tries, due=due, click=0 if answered else now.click, results=now.results + 1)


def _wrong(state: State, row: Row, now: Delivery, after: Delivery) -> str:
    if now.results != row.seen.results:
        return "a newer state is overwritten"
    if now.state == "cancelled" != after.state:
        return "a cancelled delivery is revived"
    if row.seen.payload == now.payload == 0:
        return ""
    if now.click and not after.click and not state.sent[row.lead][RETRIES + now.click - 1]:
        return "a click is lost"
    return ""


def _renew(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    """Without a fence before it: the lane is renewed at the end, where it is still ours."""
    if state.lane.token != index:
        yield put(state, index, job._replace(at="commit"))
    elif not locked(state, LANE, ("jobs", index)):
        for at in ("select next", "let go"):
            writes = wrote(job.writes, LANE, Lane(index, RUNNING, rest=state.lane.rest))
            yield put(state, index, job._replace(at=at, writes=writes))


def _select_next(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    rows = _due(state, rules, index, rules.batch)
    yield put(state, index, job._replace(following=rows, at="commit" if rows else "let go"))


def _let_go(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    at, writes = "commit", job.writes
    if rules.worse is Worse.LOOKS_WITHIN:
        at = "commit, due" if _due(state, rules, index, 1) else "commit, not due"
    if rules.worse is not Worse.LOOKS_EARLY:
        rest = NO_REST if rules.worse is Worse.REST_FORGOTTEN else _rest(state, job)
        writes = wrote(writes, LANE, Lane(NOBODY, LET_GO, rest=rest))
    yield put(state, index, job._replace(at=at, writes=writes))


def _commit(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    after = recorded(committed(state, job.writes), rules, job)
    if rules.worse is Worse.EVENT_LATER:
        yield put(after, index, Job("tell", batch=job.batch, answers=job.answers))
        return
    if ASKING & {*job.answers} and any(key == LANE for key, _ in job.writes):
        after = after._replace(asked=True)
    over = {"commit, due": "ring", "commit, not due": ""}
    look = _look_after(job)
    at = "send" if job.following else "early look" if rules.worse is Worse.LOOKS_EARLY else over.get(job.at, look)
    yield put(after, index, replied(rules, Job(at, batch=job.following)))
    if state.left.unsure:
        again = tuple(row._replace(seen=row.seen._replace(results=row.seen.results + 1)) for row in job.batch)
        left = state.left._replace(unsure=state.left.unsure - 1)
        yield put(after, index, Job("fence", batch=again, answers=job.answers, again=True), left=left)


def _tell(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    if not any(locked(state, row.lead, ("jobs", index)) for row in job.batch):
        yield put(_told(state, job), index, Job(_look_after(job)))


def _look_after(job: Job) -> str:
    return "look, ended" if ENDING & {*job.answers} else "look"


def _early_look(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    yield put(state, index, Job("free, ring" if any_due(state, rules) else "free"))


def _free(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    if not locked(state, LANE, ("jobs", index)):
        ours = state.lane.token == index
        lane = Lane(NOBODY, LET_GO, rest=state.lane.rest) if ours else state.lane
        yield put(state, index, Job("ring") if job.at == "free, ring" else IDLE, lane=lane)


def _look(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    counts_all = rules.worse in (Worse.LOOK_COUNTS_REFUSED, Worse.LOOK_COUNTS_RESTING)
    counted = any(map(is_due, state.deliveries)) if counts_all else 0
    if not (counted or any_due(state, rules)):
        yield put(state, index, IDLE)
        return
    yield put(state, index, Job("ring"))  # the slice is over, or the receiver wants a rest
    if job.at == "look":
        yield put(state, index, Job("select" if rules.worse is Worse.SELECTS_EARLY else "take"))


def _ring(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    yield put(state, index, IDLE if state.marker else Job("enqueue"), marker=True)


def _enqueue(state: State, rules: Rules, index: int, job: Job) -> Iterator[State]:
    yield put(state, index, IDLE, waiting=state.waiting + 1)


STEPS = {
    "clear": _clear,
    "pass on": _pass_on,
    "take": _take,
    "select": _select,
    "give back": _give_back,
    "send": _send,
    "fence": _fence,
    "write": _write,
    "renew": _renew,
    "select next": _select_next,
    "let go": _let_go,
    "commit": _commit,
    "commit, due": _commit,
    "commit, not due": _commit,
    "tell": _tell,
    "early look": _early_look,
    "free": _free,
    "free, ring": _free,
    "clear late": _clear_late,
    "look": _look,
    "look, ended": _look,
    "ring": _ring,
    "enqueue": _enqueue,
}
