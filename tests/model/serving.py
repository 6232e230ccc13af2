"""What a serve job, a thread and a capture do, step by step, made weaker where the rules say so."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from tests.model.rounds import (
    DUE,
    EMPTY,
    FULL,
    NONE,
    ODD,
    PLAIN,
    Held,
    Scene,
    Server,
    Setting,
    Thread,
    Weaker,
    added,
    changed,
    drain_rang,
    due,
    free_slots,
    fresh_token,
    is_held,
    is_ours,
    let_go,
    locked,
    rang,
    recorded,
    sent,
    took,
    with_drain,
    with_thread,
)

IDLE = Server()
# The steps of one that serves.
SERVES = {
    "first pop",
    "pop",
    "take",
    "skipped",
    "read",
    "sort",
    "send",
    "answer",
    "record",
    "commit",
    "let go",
    "look",
    "add",
}


def put(scene: Scene, index: int, server: Server, **changes: Any) -> Scene:
    """The scene with this server, and these changes beside it."""
    return scene._replace(servers=(*scene.servers[:index], server, *scene.servers[index + 1 :]), **changes)


def begin(scene: Scene, rules: Setting) -> Iterator[Scene]:
    """A job of the queue begins in any process that has room."""
    if scene.waiting:
        stays = rules.weaker in (Weaker.MARKER_STAYS, Weaker.MARKER_CLEARED_LATE)
        for index, server in enumerate(scene.servers):
            if server == IDLE:
                yield put(scene, index, Server("claim" if stays else "clear"), waiting=scene.waiting - 1)
    for place, lane in enumerate(scene.drains):
        if lane in scene.drains[:place]:
            continue
        left = scene._replace(drains=(*scene.drains[:place], *scene.drains[place + 1 :]))
        for index in range(rules.processes):
            if free_slots(scene, rules, index) > 0:
                yield with_thread(left, Thread(index, "clear", Held(lane)))


def serve(scene: Scene, rules: Setting, index: int) -> Iterator[Scene]:
    """Every scene that one step of this server can lead to."""
    if scene.servers[index].at:
        yield from _SERVER[scene.servers[index].at](scene, rules, index, scene.servers[index])


def _clear(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    yield put(scene, index, Server("claim"), marker=False)


def _claim(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """SET serving NX; if another one serves, this job ends."""
    if scene.serving == NONE or rules.weaker is Weaker.SECOND_SERVES:
        yield put(scene, index, Server("first pop"), serving=index)
    else:
        yield put(scene, index, IDLE)


def _pop(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """Renews `serving` and pops all rung lanes, beside those that the round before found due again; ends after a while
    without any, or when its slice is over. The first round comes before that: a job whose slice is over at once would
    go round in circles."""
    if server.at == "pop" or not scene.rung:
        dropping = scene._replace(rung=()) if rules.weaker is Weaker.DROPS_AT_END else scene
        if server.popped and rules.weaker is not Weaker.DROPS_DUE_AT_END:
            yield put(dropping, index, server._replace(at="add"))
        else:
            yield put(dropping, index, Server("end look" if rules.weaker is Weaker.LOOKS_AT_SET_FIRST else "delete"))
    if scene.rung or server.popped:
        at = "read early" if rules.weaker is Weaker.READS_EARLY else "take"
        yield put(scene._replace(rung=()), index, Server(at, popped=tuple(sorted({*scene.rung, *server.popped}))))


def _take(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """One UPDATE of all popped lanes that are free. It skips rows that are locked, so that no lane waits for another
    one's transaction."""
    token = 90 + index if rules.weaker is Weaker.TOKEN_OF_JOB else fresh_token(scene)
    busy, early = locked(scene), {hold.lane: hold for hold in server.holds}
    holds, refused = [], []
    for lane in server.popped:
        if is_held(scene, lane) or lane in busy:
            refused.append(lane)
            continue
        scene, hold = took(scene, rules, lane, token)
        holds.append(early[lane]._replace(token=token) if early else hold)
    if rules.weaker is Weaker.REFUSED_COMES_BACK:
        scene = added(scene, refused)
    at = "sort" if early else "read"
    yield put(scene, index, Server("skipped" if refused else at, tuple(refused), tuple(holds)))


def _skipped(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """A lane that is held has a last look to come. One whose row was only locked has not: it gets a drain job."""
    free = tuple(lane for lane in server.popped if not is_held(scene, lane))
    drains = () if rules.weaker is Weaker.SKIPPED_IS_FORGOTTEN else free
    yield put(scene, index, Server("read", holds=server.holds, drains=drains))


def _read_early(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    holds = tuple(Held(lane, rows=due(scene, lane)[: rules.batch], way=PLAIN) for lane in server.popped)
    yield put(scene, index, server._replace(at="take", holds=holds))


def _read(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """One SELECT for all lanes of the round, which says what becomes of each."""
    choices = []
    for hold in server.holds:
        careful = hold.careful and rules.weaker is not Weaker.ABANDONED_IS_PLAIN
        rows = due(scene, hold.lane)[: 1 if careful else rules.batch]
        hold = hold._replace(rows=rows)
        ways = (PLAIN, ODD) if rules.odd else (PLAIN,)
        if not rows:
            ways = (EMPTY,)
        elif careful:
            ways = (ODD,)
        elif len(rows) == rules.batch and rules.weaker is not Weaker.ABANDONED_IS_PLAIN:
            ways = (FULL,)
        choices.append([hold._replace(way=way) for way in ways])
    for holds in product(*choices):
        yield put(scene, index, server._replace(at="sort", holds=holds))


def _sort(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """Gives one lane that only a slot can serve to one, with its hold; without a free one it gets a drain job."""
    place = next((number for number, hold in enumerate(server.holds) if hold.way == ODD), None)
    if place is None:
        early = rules.weaker is Weaker.DRAIN_RUNG_EARLY
        full = tuple(hold.lane for hold in server.holds if hold.way == FULL and early)
        yield put(scene, index, server._replace(at="send", drains=(*server.drains, *full)))
        return
    hold = server.holds[place]
    rest = server._replace(holds=(*server.holds[:place], *server.holds[place + 1 :]))
    if free_slots(scene, rules, index) > 0:
        if rules.weaker is Weaker.KEEPS_HANDED:
            rest = server._replace(holds=changed(server.holds, place, hold._replace(way=PLAIN)))
        yield put(with_thread(scene, Thread(index, "send", hold, is_handed=True)), index, rest)
    elif rules.weaker is Weaker.STAYS_WITHOUT_SLOT:
        yield put(scene, index, rest)
    else:
        yield put(scene, index, server._replace(holds=changed(server.holds, place, hold._replace(way=FULL))))


def _send(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """Writes the next request of the first plain lane that has one to write."""
    if server.drains and rules.weaker is Weaker.DRAIN_RUNG_EARLY:
        yield put(scene, index, server._replace(at="ring drain"))
        return
    for place, hold in enumerate(server.holds):
        if hold.way == PLAIN and not hold.is_open and hold.answered < len(hold.rows):
            holds = changed(server.holds, place, hold._replace(is_open=True))
            yield put(sent(scene, hold), index, server._replace(holds=holds))
            return
    yield put(scene, index, server._replace(at="answer"))


def _answer(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """The next answer; or it is late, and a slot waits for it and goes on with the lane. There is always a thread for
    what is under way. Once each lane has sent one, what is left may be for the next round."""
    place = next((number for number, hold in enumerate(server.holds) if hold.is_open), None)
    if place is None:
        plain = [hold for hold in server.holds if hold.way == PLAIN]
        left = any(hold.answered < len(hold.rows) for hold in plain)
        over = "look early" if rules.weaker is Weaker.LOOKS_AT_LANES_EARLY else "record"
        yield put(scene, index, server._replace(at="send" if left else over))
        if rules.leaves and left and all(hold.answered for hold in plain):
            yield put(scene, index, server._replace(at=over))
        return
    hold = server.holds[place]
    came = hold._replace(is_open=False, answered=hold.answered + 1)
    yield put(scene, index, server._replace(holds=changed(server.holds, place, came)))
    if not rules.lateness:
        return
    if rules.weaker is Weaker.LATE_STAYS_OPEN or (
        rules.weaker is Weaker.LATE_IS_LET_GO and free_slots(scene, rules, index) <= 0
    ):
        left_open = hold._replace(way=FULL if rules.weaker is Weaker.LATE_IS_LET_GO else EMPTY, is_open=False)
        yield put(scene, index, server._replace(holds=changed(server.holds, place, left_open)))
        return
    again = rules.weaker is Weaker.SENDS_AGAIN_IN_SLOT
    given = Thread(index, "send" if again else "finish", hold._replace(is_open=not again), is_handed=True)
    rest = server._replace(holds=(*server.holds[:place], *server.holds[place + 1 :]))
    yield put(with_thread(scene, given), index, rest)


def _record(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """All plain lanes of the round together, one at most by a slot: because its record is not plain, or its row is
    locked."""
    plain = [hold for hold in server.holds if hold.way == PLAIN]
    busy = locked(scene)
    unusual = [hold for hold in plain if hold.lane in busy and is_ours(scene, hold)]
    if not unusual:
        after = put(scene, index, server._replace(at="commit"))
        if rules.postgresql:
            yield after
        else:
            yield from _commit(after, rules, index, after.servers[index])
    for hold in unusual or (plain if rules.odd else ()):
        rest = server._replace(holds=tuple(other for other in server.holds if other != hold))
        yield put(with_thread(scene, Thread(index, "record", hold, is_handed=True)), index, rest)


def _commit(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    plain = [hold for hold in server.holds if hold.way == PLAIN]
    ours = [is_ours(scene, hold) for hold in plain]
    if rules.weaker is Weaker.ALL_OR_NOTHING:
        ours = [all(ours)] * len(ours)
    if rules.weaker is Weaker.ANY_FENCE:
        ours = [any(ours)] * len(ours)
    for hold, is_mine in zip(plain, ours, strict=True):
        scene = recorded(scene, hold) if is_mine else scene
    looks = () if rules.weaker is Weaker.NO_LOOK_AT_LANES else tuple(hold.lane for hold in plain)
    rest = tuple(hold for hold in server.holds if hold.way != PLAIN)
    yield put(scene, index, server._replace(at="let go", holds=rest, looks=looks))


def _let_go(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """What was not sent is let go, by one UPDATE; then it is rung or looked at."""
    weaker = rules.weaker
    busy, drains, looks = locked(scene), list(server.drains), list(server.looks)
    for hold in server.holds:
        if hold.lane in busy and is_ours(scene, hold):  # skipped: a slot waits for it
            scene = with_thread(scene, Thread(index, "give back", hold))
            continue
        if hold.way != EMPTY or weaker is not Weaker.EMPTY_STAYS_HELD:
            scene = let_go(scene, hold)
        if hold.way == FULL and weaker not in (Weaker.FULL_IS_LET_GO, Weaker.DRAIN_RUNG_EARLY):
            drains.append(hold.lane)
        elif hold.way == EMPTY:
            looks.append(hold.lane)
    after = Server("ring drain", looks=tuple(sorted(looks)), drains=tuple(sorted({*drains})), popped=server.popped)
    yield put(scene, index, after if after.drains else _over(after, rules))


def _ring_drain(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    scene, needed = drain_rang(scene, server.drains[0])
    yield put(scene, index, server._replace(at="enqueue drain") if needed else _rung(server, rules))


def _enqueue_drain(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    yield put(with_drain(scene, server.drains[0]), index, _rung(server, rules))


def _rung(server: Server, rules: Setting) -> Server:
    left = server._replace(drains=server.drains[1:], at="ring drain")
    if left.drains:
        return left
    return left._replace(at="send") if server.holds else _over(left, rules)


def _over(server: Server, rules: Setting) -> Server:
    if rules.weaker is Weaker.LOOKS_AT_LANES_EARLY:
        return Server("pop", popped=server.popped)
    return Server("look", looks=server.looks) if server.looks else Server("pop")


def _look_early(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    again = tuple(hold.lane for hold in server.holds if {*due(scene, hold.lane)} - {*hold.rows})
    yield put(scene, index, server._replace(at="record", popped=again))


def _look(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """What is due again is the next round's, without a ring."""
    again = tuple(lane for lane in server.looks if DUE in scene.rows[lane])
    yield put(scene, index, Server("pop", popped=again))


def _add(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """There is no next round: rings what is due again, before `serving` is deleted."""
    at = "end look" if rules.weaker is Weaker.LOOKS_AT_SET_FIRST else "delete"
    yield put(added(scene, server.popped), index, Server(at))


def _delete(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    """DEL serving, if it is still this job's."""
    deletes = (rules.blind or scene.serving == index) and rules.weaker is not Weaker.KEEPS_SERVING
    over = rules.weaker in (Weaker.LOOKS_AT_SET_FIRST, Weaker.NO_LOOK_AT_SET)
    yield put(scene._replace(serving=NONE) if deletes else scene, index, IDLE if over else Server("end look"))


def _end_look(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    first, late = rules.weaker is Weaker.LOOKS_AT_SET_FIRST, rules.weaker is Weaker.MARKER_CLEARED_LATE
    if scene.rung:
        yield put(scene, index, Server("pop" if first else "end ring"))
    else:
        yield put(scene, index, Server("delete") if first else Server("clear late") if late else IDLE)


def _end_ring(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    if rules.weaker is Weaker.MARKER_CLEARED_LATE:
        scene = scene._replace(marker=False)
    scene, needed = rang(scene, rules)
    yield put(scene, index, Server("enqueue") if needed else IDLE)


def _clear_late(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    yield put(scene, index, IDLE, marker=False)


def _enqueue(scene: Scene, rules: Setting, index: int, server: Server) -> Iterator[Scene]:
    yield put(scene, index, IDLE, waiting=scene.waiting + 1)


_SERVER = {
    "clear": _clear,
    "claim": _claim,
    "first pop": _pop,
    "pop": _pop,
    "read early": _read_early,
    "take": _take,
    "read": _read,
    "sort": _sort,
    "skipped": _skipped,
    "send": _send,
    "answer": _answer,
    "look early": _look_early,
    "record": _record,
    "commit": _commit,
    "let go": _let_go,
    "ring drain": _ring_drain,
    "enqueue drain": _enqueue_drain,
    "look": _look,
    "add": _add,
    "delete": _delete,
    "end look": _end_look,
    "end ring": _end_ring,
    "clear late": _clear_late,
    "enqueue": _enqueue,
}
