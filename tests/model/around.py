"""What happens beside the servers: their threads, captures, the sweep, time that passes, and what goes wrong."""

from collections.abc import Iterator

from tests.model import serving
from tests.model.rounds import (
    ABSENT,
    CALM,
    CHANGE,
    DEAD,
    DUE,
    LET_GO,
    NONE,
    PLAIN,
    RUN_OUT,
    RUNNING,
    Held,
    Scene,
    Setting,
    Thread,
    Weaker,
    added,
    changed,
    drain_rang,
    due,
    fresh_token,
    is_held,
    is_ours,
    is_still,
    let_go,
    locked,
    rang,
    recorded,
    repeats,
    sent,
    took,
    with_drain,
    with_thread,
)

Label = tuple[str, int]


def moves(scene: Scene, rules: Setting) -> Iterator[tuple[Label, Scene]]:
    """What happens by itself: everything but faults."""
    for following in serving.begin(scene, rules):
        yield ("begin", 0), following
    for index in range(len(scene.servers)):
        for following in serving.serve(scene, rules, index):
            yield ("server", index), following
    for index in range(len(scene.threads)):
        for following in step(scene, rules, index):
            yield ("thread", index), following
    for index in range(len(scene.errands)):
        for following in errand(scene, rules, index):
            yield ("errand", index), following
    if rules.sweeping:
        for following in sweep(scene, rules):
            yield ("sweep", 0), following
    yield from time(scene, rules)


# Threads: a drain, or the rest of one ---------------------------------------------------------------------------------


def step(scene: Scene, rules: Setting, index: int) -> Iterator[Scene]:
    """Every scene that one step of this thread can lead to."""
    thread = scene.threads[index]
    if index and scene.threads[index - 1] == thread:
        return  # alike: the one before it goes first
    rest = scene._replace(threads=(*scene.threads[:index], *scene.threads[index + 1 :]))
    yield from _THREAD[thread.at](rest, rules, thread, thread.held)


def _clear(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    markers = changed(scene.drain_markers, held.lane, False)
    yield with_thread(scene._replace(drain_markers=markers), thread._replace(at="take"))


def _take(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    if is_held(scene, held.lane):
        yield scene
    elif held.lane not in locked(scene):
        scene, taken = took(scene, rules, held.lane, fresh_token(scene))
        yield with_thread(scene, thread._replace(at="select", held=taken))


def _select(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    rows = due(scene, held.lane)[: 1 if held.careful else rules.batch]
    if not rows and held.lane in locked(scene) and is_ours(scene, held):
        return  # letting go waits
    if rows:
        yield with_thread(scene, thread._replace(at="send", held=held._replace(rows=rows)))
    else:
        yield with_thread(let_go(scene, held), thread._replace(at="look", held=Held(held.lane)))


def _send(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    """A request and its answer."""
    after = held._replace(answered=held.answered + 1, is_open=False)
    at = "send" if after.answered < len(after.rows) else "record"
    yield with_thread(sent(scene, held), thread._replace(at=at, held=after))


def _finish(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    """The answer to what the server sent."""
    after = held._replace(answered=held.answered + 1, is_open=False)
    at = "send" if after.answered < len(after.rows) else "record"
    yield with_thread(scene, thread._replace(at=at, held=after))


def _record(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    if held.lane in locked(scene) and is_ours(scene, held):
        return  # it waits
    if rules.postgresql and is_ours(scene, held):
        yield with_thread(scene, thread._replace(at="commit"))
    else:
        yield from _commit(scene, rules, thread, held)


def _commit(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    scene = recorded(scene, held) if is_ours(scene, held) else scene
    if thread.is_handed and rules.weaker is Weaker.NO_LOOK_IN_SLOT:
        yield scene
    else:
        yield with_thread(scene, thread._replace(at="look", held=Held(held.lane), is_handed=False))


def _look(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    if DUE not in scene.rows[held.lane]:
        yield scene
        return
    for at in "ring", "take", "add":  # its turn is over, or not, or the lane goes back to the rounds
        yield with_thread(scene, thread._replace(at=at))


def _add(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    """As a capture rings a lane."""
    scene = added(scene, (held.lane,))
    yield scene if scene.serving != NONE else with_thread(scene, thread._replace(at="mark"))


def _mark(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    scene, needed = rang(scene, rules)
    yield with_thread(scene, thread._replace(at="enqueue serve")) if needed else scene


def _enqueue_serve(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    yield scene._replace(waiting=scene.waiting + 1)


def _give_back(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    if not (held.lane in locked(scene) and is_ours(scene, held)):
        yield with_thread(let_go(scene, held), thread._replace(at="ring", held=Held(held.lane)))


def _ring(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    """A drain job of its own."""
    scene, needed = drain_rang(scene, held.lane)
    yield with_thread(scene, thread._replace(at="enqueue")) if needed else scene


def _enqueue(scene: Scene, rules: Setting, thread: Thread, held: Held) -> Iterator[Scene]:
    yield with_drain(scene, held.lane)


_THREAD = {
    "clear": _clear,
    "take": _take,
    "select": _select,
    "send": _send,
    "finish": _finish,
    "record": _record,
    "commit": _commit,
    "look": _look,
    "add": _add,
    "mark": _mark,
    "enqueue serve": _enqueue_serve,
    "give back": _give_back,
    "ring": _ring,
    "enqueue": _enqueue,
}


# Captures, the sweep, time --------------------------------------------------------------------------------------------


def errand(scene: Scene, rules: Setting, index: int) -> Iterator[Scene]:
    """A post, and the bell after it, which asks the database nothing; or a change of a webhook."""
    lane, at = scene.errands[index]
    if index and scene.errands[index - 1] == scene.errands[index]:
        return  # alike: the one before it goes first

    def now(at: str, scene: Scene = scene) -> Scene:
        return scene._replace(errands=changed(scene.errands, index, (lane, at)))

    weaker = rules.weaker
    over = "insert" if weaker is Weaker.RINGS_EARLY else "done"
    if at == "begin" and weaker is Weaker.RINGS_EARLY:
        yield now("ring")
    elif at in ("begin", "insert"):
        rows = scene.rows[lane]
        after = scene._replace(rows=changed(scene.rows, lane, changed(rows, rows.index(ABSENT), DUE)), lost=())
        yield now("done" if at == "insert" else "ask" if weaker is Weaker.ASKS_FIRST else "ring", after)
    elif at == "ask":
        yield now("add" if scene.serving != NONE else "add, mark")
    elif at in ("ring", "add", "add, mark"):
        served = at == "add" or (at == "ring" and scene.serving != NONE)
        yield now(over if served else "mark", added(scene, (lane,)))
    elif at == "mark":
        after, needed = rang(scene, rules)
        yield now("enqueue" if needed else over, after)
    elif at == "enqueue":
        yield now(over, scene._replace(waiting=scene.waiting + 1))
    elif at == CHANGE and rules.postgresql and lane not in locked(scene):
        yield now("commit")
    elif at in (CHANGE, "commit"):
        yield now("done")


def sweep(scene: Scene, rules: Setting) -> Iterator[Scene]:
    """Looks for due lanes that are free, then at the queue, the set and `serving`; sets markers, then enqueues: a drain
    job for each of these lanes that neither has one nor is in the set, and a serve job if the set waits for one."""
    at, lanes, needed = scene.sweep
    weaker = rules.weaker
    if at == "":
        lanes = tuple(lane for lane, rows in enumerate(scene.rows) if DUE in rows and not is_held(scene, lane))
        if not lanes and not _set_waits(scene, rules):
            return
        if is_still(scene):
            yield scene._replace(sweep=("count", lanes, False))
        elif scene.left.sweeps:
            left = scene.left._replace(sweeps=scene.left.sweeps - 1)
            yield scene._replace(sweep=("count", lanes, False), left=left)
    elif at == "count":
        lanes = tuple(lane for lane in lanes if lane not in scene.rung or weaker is Weaker.SWEEP_RINGS_SET)
        if weaker is Weaker.SWEEP_TRUSTS_MARKERS:
            lanes = tuple(lane for lane in lanes if not scene.drain_markers[lane])
        if weaker is not Weaker.SWEEP_READS_NO_QUEUE:
            lanes = tuple(lane for lane in lanes if lane not in scene.drains)
        needed = _set_waits(scene, rules)
        if weaker is Weaker.SWEEP_RINGS_SET:
            needed = bool(lanes) and not scene.waiting and scene.serving == NONE
        yield scene._replace(sweep=("mark", lanes, needed) if lanes or needed else ("", (), False))
    elif at == "mark":
        after = scene._replace(marker=scene.marker or needed)
        if weaker is Weaker.SWEEP_RINGS_SET:
            after, lanes = added(after, lanes), ()
        markers = tuple(marker or lane in lanes for lane, marker in enumerate(scene.drain_markers))
        yield after._replace(drain_markers=markers, sweep=("enqueue", lanes, needed))
    else:
        drains = tuple(sorted((*scene.drains, *lanes)))
        yield scene._replace(sweep=("", (), False), waiting=scene.waiting + needed, drains=drains)


def _set_waits(scene: Scene, rules: Setting) -> bool:
    """Whether lanes are in the set, and no job will pop them: whatever the marker says."""
    if rules.weaker is Weaker.SWEEP_SEES_NO_SET:
        return False
    waits = scene.waiting > 0 and rules.weaker is not Weaker.SWEEP_READS_NO_QUEUE
    return bool(scene.rung) and scene.serving == NONE and not waits


def time(scene: Scene, rules: Setting) -> Iterator[tuple[Label, Scene]]:
    """What a dead process left behind ends: its leases, and `serving`."""
    for lane, row in enumerate(scene.lanes):
        if row.lease == RUNNING and row.token == DEAD:
            yield ("lease", lane), scene._replace(lanes=changed(scene.lanes, lane, row._replace(lease=RUN_OUT)))
    if scene.serving == DEAD and rules.weaker is not Weaker.SERVING_LASTS:
        yield ("serving ends", 0), scene._replace(serving=NONE)


# What goes wrong ------------------------------------------------------------------------------------------------------


def faults(scene: Scene, rules: Setting) -> Iterator[tuple[Label, Scene]]:
    left = scene.left
    if left == CALM:
        return
    if left.kills:
        yield from _kills(scene._replace(left=left._replace(kills=left.kills - 1)), rules)
    if left.stalls:
        spent = scene._replace(left=left._replace(stalls=left.stalls - 1))
        for held in _holds(scene):
            row = scene.lanes[held.lane]
            if row.lease == RUNNING and is_ours(scene, held):
                lanes = changed(scene.lanes, held.lane, row._replace(lease=RUN_OUT))
                cost = scene.may_repeat + _at_risk(held, rules)
                yield ("stall", held.lane), spent._replace(lanes=lanes, may_repeat=cost)
    if left.late and scene.serving >= 0:
        yield ("late", 0), scene._replace(left=left._replace(late=left.late - 1), serving=NONE)
    if left.crashes and rules.postgresql:
        yield ("crash", 0), _crashed(scene._replace(left=left._replace(crashes=left.crashes - 1)), rules)
    if left.redis:
        spent = scene._replace(left=left._replace(redis=left.redis - 1))
        without = {"rung": (), "marker": False, "waiting": 0, "serving": NONE, "drains": ()}
        without["drain_markers"] = (False,) * len(scene.lanes)
        lost = [{name: value} for name, value in without.items()] if left.redis == 1 else []
        for which in (*lost, without):
            after = spent._replace(**which)
            if after != spent:
                yield ("redis loses " + " ".join(which), 0), after


def _crashed(scene: Scene, rules: Setting) -> Scene:
    """PostgreSQL is back, without what was not committed, or not on its disk. The record of a thread is made again,
    that of a round by a thread for each lane; a change is refused."""
    lanes = scene.lanes
    for lane, row in scene.lost:
        lanes = changed(lanes, lane, row)
    again = rules.weaker is not Weaker.RECORDED_ONCE
    threads = tuple(thread._replace(at="record") if thread.at == "commit" else thread for thread in scene.threads)
    errands = tuple((lane, "done" if at == "commit" else at) for lane, at in scene.errands)
    scene = scene._replace(lanes=lanes, lost=(), threads=threads, errands=errands)
    for index, server in enumerate(scene.servers):
        if server.at == "commit":
            for hold in server.holds:
                if hold.way == PLAIN and again:
                    scene = with_thread(scene, Thread(index, "record", hold, is_handed=True))
            rest = tuple(hold for hold in server.holds if hold.way != PLAIN)
            scene = serving.put(scene, index, server._replace(at="let go", holds=rest))
    return scene


def _holds(scene: Scene, process: int | None = None) -> list[Held]:
    """The holds of one process, or of all."""
    of_threads = [thread.held for thread in scene.threads if process in (None, thread.process)]
    servers = scene.servers if process is None else scene.servers[process : process + 1]
    found = [*of_threads, *(hold for server in servers for hold in server.holds)]
    return [held for held in found if held.token != NONE]


def _at_risk(held: Held, rules: Setting) -> int:
    return 1 if held.careful else len(held.rows) or rules.batch


def _kills(scene: Scene, rules: Setting) -> Iterator[tuple[Label, Scene]]:
    for index, server in enumerate(scene.servers):
        threads = tuple(thread for thread in scene.threads if thread.process != index)
        if not server.at and len(threads) == len(scene.threads):
            continue
        lanes, cost = scene.lanes, scene.may_repeat
        for held in _holds(scene, index):
            if is_ours(scene, held):
                row = lanes[held.lane]
                cost += _at_risk(held, rules) if row.lease == RUNNING else 0  # else it was counted when it stalled
                lanes = changed(lanes, held.lane, row._replace(token=DEAD))
        after = serving.put(scene, index, serving.IDLE)
        after = after._replace(threads=threads, lanes=lanes, may_repeat=cost)
        yield ("kill process", index), after._replace(serving=DEAD if scene.serving == index else scene.serving)
    for index, (lane, at) in enumerate(scene.errands):
        if at in ("ring", "mark", "enqueue"):
            yield ("kill errand", index), scene._replace(errands=changed(scene.errands, index, (lane, "done")))
    if scene.sweep[0] in ("mark", "enqueue"):
        yield ("kill sweep", 0), scene._replace(sweep=("", (), False))


def promise_broken(scene: Scene, rules: Setting) -> str:
    """The promise that does not hold in this scene; "" if all do."""
    if scene.broken:
        return scene.broken
    if repeats(scene) > scene.may_repeat:
        return "more is sent twice than lost holds cost" if scene.may_repeat else "something is sent twice"
    if scene.waiting > rules.most_waiting:
        return "serve jobs pile up"
    if any(scene.drains.count(lane) > rules.most_waiting for lane in {*scene.drains}):
        return "drain jobs of one lane pile up"
    left, given = scene.left, rules.trouble
    lost_nothing = (left.kills, left.redis) == (given.kills, given.redis)
    serve = sum(server.at in serving.SERVES for server in scene.servers)
    if serve > 1 and lost_nothing and left.late == given.late and not rules.blind:
        return "two serve at a time"
    if lost_nothing and not rules.sweeping and is_still(scene):
        if any(DUE in rows for rows in scene.rows):
            return "a lane stands still"
        if any(row.lease != LET_GO for row in scene.lanes):
            return "a lane stays locked"
    return ""
