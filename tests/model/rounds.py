"""The serve job as a model: several lanes, the set of rung lanes, `leadhook:serving`, and who sends what.

tests/model/protocol.py knows one lane, and all that a record can say about it. Here there are two lanes, and a delivery
is only due or delivered: what is searched is who rings, who takes, who hands on to whom, and who looks last. A process
is one server at most (the serve job) and its threads. It dies as a whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeVar

from tests.model.replacing import replaces_quickly

T = TypeVar("T")

NONE, DEAD = -1, -2  # tokens of lanes, and values of `serving`
LET_GO, RUNNING, RUN_OUT = 0, 1, 2  # leases
ABSENT, DUE, DELIVERED = 0, 1, 2  # deliveries
EMPTY, FULL, ODD, PLAIN = "empty", "full", "odd", "plain"  # what a round makes of a lane that it took
CHANGE = "change"  # an errand: somebody changes a webhook, under the lock of its lane's row, and rings no one


class Weaker(StrEnum):
    """The one rule that is left out or turned round, to see that the search finds what it was for."""

    NOTHING = "nothing"
    RINGS_EARLY = "a capture rings before its commit"
    ASKS_FIRST = "a ring asks for a server before it adds the lane"
    NO_MARKER = "a ring sets no marker"
    MARKER_STAYS = "a serve job does not clear the marker"
    MARKER_CLEARED_LATE = "a serve job clears the marker at its end"
    SECOND_SERVES = "a serve job does not ask whether another one serves"
    LOOKS_AT_SET_FIRST = "the last look at the set comes before `serving` is deleted"
    NO_LOOK_AT_SET = "a serve job ends without a last look at the set"
    KEEPS_SERVING = "a serve job ends and does not delete `serving`"
    SERVING_LASTS = "`serving` has no end of its own"
    DROPS_DUE_AT_END = "what the last round found due again is not rung when the slice is over"
    DROPS_AT_END = "what was popped when the slice is over is dropped"
    REFUSED_COMES_BACK = "a lane that is held goes back into the set"
    TAKE_UNFLUSHED = "a take does not wait for the server's disk"
    RECORDED_ONCE = "a record that a crash rolled back is not made again"
    READS_EARLY = "what is due is read before the lanes are taken"
    ABANDONED_IS_PLAIN = "an abandoned lane is served like any other"
    TOKEN_OF_JOB = "a serve job has one token for all its rounds"
    ALL_OR_NOTHING = "the fence of a round is one for all its lanes"
    ANY_FENCE = "one lane that is still held is fence enough for the round"
    NO_LOOK_AT_LANES = "a round does not look at its lanes again"
    LOOKS_AT_LANES_EARLY = "a round looks at its lanes again before it lets them go"
    EMPTY_STAYS_HELD = "a lane with nothing due is not let go"
    SKIPPED_IS_FORGOTTEN = "a lane whose row is locked is skipped, and not rung"
    DRAIN_RUNG_EARLY = "a full batch rings its drain before the lane is let go"
    FULL_IS_LET_GO = "a full batch is let go, and no drain is rung"
    KEEPS_HANDED = "the server goes on with a lane that it handed to a slot"
    STAYS_WITHOUT_SLOT = "a lane for which no slot is free stays held"
    LATE_IS_LET_GO = "a lane whose answer is late is let go where no slot is free"
    LATE_STAYS_OPEN = "a round records what it has, and lets a lane go whose answer has not come"
    SENDS_AGAIN_IN_SLOT = "a slot sends the request again whose answer it was given to wait for"
    NO_LOOK_IN_SLOT = "a slot that was handed a lane does not look again"
    SWEEP_RINGS_SET = "the sweep adds lanes to the set, and enqueues no drain job"
    SWEEP_TRUSTS_MARKERS = "the sweep takes a lane's marker for a job"
    SWEEP_SEES_NO_SET = "the sweep does not ask whether the set waits for a job"
    SWEEP_READS_NO_QUEUE = "the sweep does not read the queue"


@replaces_quickly
class LaneRow(NamedTuple):
    token: int = NONE
    lease: int = LET_GO
    abandoned: bool = False


@replaces_quickly
class Held(NamedTuple):
    """A lane that a server or a thread holds, and its batch."""

    lane: int
    token: int = NONE
    careful: bool = False  # the holder before died: one row, and never plain
    rows: tuple[int, ...] = ()
    answered: int = 0  # of these rows
    is_open: bool = False  # the next one is sent, and its answer has not come
    way: str = ""


@replaces_quickly
class Server(NamedTuple):
    """A process's serve job: `at` names its next step, "" is none."""

    at: str = ""
    popped: tuple[int, ...] = ()
    holds: tuple[Held, ...] = ()
    looks: tuple[int, ...] = ()  # lanes that it let go and has not looked at again
    drains: tuple[int, ...] = ()  # lanes for which it rings a drain


@replaces_quickly
class Thread(NamedTuple):
    """A thread of a process: with a drain job, or with a lane that the server handed over."""

    process: int
    at: str
    held: Held
    is_handed: bool = False


@replaces_quickly
class Trouble(NamedTuple):
    """How many of each may still happen."""

    kills: int = 0  # a process, a request or the sweep ends at once
    stalls: int = 0  # a lease runs out while its holder is alive, to come back later
    late: int = 0  # `serving` ends while its server is alive
    crashes: int = 0  # PostgreSQL's; it is back at once
    redis: int = 0  # FLUSHALL, or a part of it: the set, the marker, the queue, `serving`
    sweeps: int = 0  # no fault: sweeps that begin while something else moves; when nothing does, there is always one


CALM = Trouble()


@replaces_quickly
class Scene(NamedTuple):
    """One state."""

    lanes: tuple[LaneRow, ...]
    rows: tuple[tuple[int, ...], ...]  # of each lane, its deliveries
    sent: tuple[tuple[int, ...], ...]  # how often each was sent
    rung: tuple[int, ...]  # the set of rung lanes
    serving: int  # whose `leadhook:serving` is
    marker: bool
    waiting: int  # serve jobs in the queue
    drain_markers: tuple[bool, ...]
    drains: tuple[int, ...]  # drain jobs in the queue
    servers: tuple[Server, ...]  # one a process
    threads: tuple[Thread, ...]
    errands: tuple[tuple[int, str], ...]  # captures and changes: lane and next step
    sweep: tuple[str, tuple[int, ...], bool]  # next step, lanes, whether a job is needed
    left: Trouble
    may_repeat: int  # sends that lost holds may cost
    broken: str
    lost: tuple[tuple[int, LaneRow], ...] = ()  # lanes as a crash would leave them, where it would lose the last take


@dataclass(frozen=True)
class Setting:
    """What is explored."""

    leads: tuple[int, ...] = (1, 1)  # of each lane
    processes: int = 1
    slots: int = 2  # threads of a process
    batch: int = 2
    odd: bool = False  # a lane that is taken may be one that only a slot can serve
    lateness: bool = False  # an answer may come late
    leaves: bool = False  # a round may leave a part of a batch to the next one
    is_rung: bool = False  # at the beginning, the first lead of each lane is there and rung
    drains: tuple[int, ...] = ()  # drain jobs at the beginning: lanes
    changes: tuple[int, ...] = ()  # lanes of webhooks that somebody changes
    trouble: Trouble = CALM
    sweeping: bool = False
    postgresql: bool = False
    most_waiting: int = 4  # serve jobs in the queue, and drain jobs of a lane
    blind: bool = False  # `serving` is set and deleted without a look whose it is
    weaker: Weaker = Weaker.NOTHING

    @property
    def judges_stuck(self) -> bool:
        return self.sweeping and self.processes > 0

    @property
    def judges_endless(self) -> bool:
        return self.trouble == CALM and not self.sweeping

    def initial(self) -> Scene:
        number = len(self.leads)
        return Scene(
            lanes=(LaneRow(),) * number,
            rows=tuple((DUE,) * self.is_rung + (ABSENT,) * (count - self.is_rung) for count in self.leads),
            sent=tuple((0,) * count for count in self.leads),
            rung=tuple(range(number)) if self.is_rung else (),
            serving=NONE,
            marker=self.is_rung,
            waiting=int(self.is_rung),
            drain_markers=tuple(lane in self.drains for lane in range(number)),
            drains=self.drains,
            servers=(Server(),) * self.processes,
            threads=(),
            errands=(*self._captures(), *((lane, CHANGE) for lane in self.changes)),
            sweep=("", (), False),
            left=self.trouble,
            may_repeat=0,
            broken="",
        )

    def _captures(self) -> list[tuple[int, str]]:
        return [(lane, "begin") for lane, count in enumerate(self.leads) for _ in range(count - self.is_rung)]


def changed(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    return (*items[:index], item, *items[index + 1 :])


def due(scene: Scene, lane: int) -> tuple[int, ...]:
    return tuple(number for number, row in enumerate(scene.rows[lane]) if row == DUE)


def is_held(scene: Scene, lane: int) -> bool:
    return scene.lanes[lane].lease == RUNNING


def locked(scene: Scene) -> set[int]:
    """The lanes whose rows a transaction has locked. Only PostgreSQL shows a moment in which there are any."""
    of_threads = {thread.held.lane for thread in scene.threads if thread.at == "commit"}
    of_people = {lane for lane, at in scene.errands if at == "commit"}
    of_servers = {
        hold.lane for server in scene.servers if server.at == "commit" for hold in server.holds if hold.way == PLAIN
    }
    return of_threads | of_people | of_servers


def fresh_token(scene: Scene) -> int:
    """A number that no hold and no lane has."""
    used = {lane.token for lane in scene.lanes} | {thread.held.token for thread in scene.threads}
    used |= {hold.token for server in scene.servers for hold in server.holds}
    return next(number for number in range(99) if number not in used)


def took(scene: Scene, rules: Setting, lane: int, token: int) -> tuple[Scene, Held]:
    """The scene with this lane locked, which is free."""
    row = scene.lanes[lane]
    careful = row.abandoned or row.lease != LET_GO
    if rules.weaker is Weaker.TAKE_UNFLUSHED and lane not in dict(scene.lost):
        scene = scene._replace(lost=(*scene.lost, (lane, row)))
    lanes = changed(scene.lanes, lane, LaneRow(token, RUNNING, careful))
    return scene._replace(lanes=lanes), Held(lane, token, careful)


def let_go(scene: Scene, held: Held) -> Scene:
    """UPDATE lanes … WHERE token = mine: nothing was recorded."""
    row = scene.lanes[held.lane]
    if row.token != held.token:
        return scene
    return scene._replace(lanes=changed(scene.lanes, held.lane, row._replace(token=NONE, lease=LET_GO)), lost=())


def is_ours(scene: Scene, held: Held) -> bool:
    return scene.lanes[held.lane].token == held.token


def recorded(scene: Scene, held: Held) -> Scene:
    """The batch on record, and the lane let go. The fence was asked before."""
    rows, broken = list(scene.rows[held.lane]), scene.broken
    for number in held.rows[: held.answered]:
        if rows[number] != DUE:
            broken = broken or "two holders both record"
        rows[number] = DELIVERED
    lanes = changed(scene.lanes, held.lane, LaneRow())
    return scene._replace(lanes=lanes, rows=changed(scene.rows, held.lane, tuple(rows)), broken=broken, lost=())


def sent(scene: Scene, held: Held) -> Scene:
    """The scene after a request for the next row of this batch."""
    number = held.rows[held.answered]
    counts = scene.sent[held.lane]
    before = any(not count for count in counts[:number])
    counts = changed(counts, number, counts[number] + 1)
    broken = scene.broken or ("a lead overtakes one of its lane" if before else "")
    return scene._replace(sent=changed(scene.sent, held.lane, counts), broken=broken)


def added(scene: Scene, lanes: Iterable[int]) -> Scene:
    """ZADD."""
    return scene._replace(rung=tuple(sorted({*scene.rung, *lanes})))


def rang(scene: Scene, rules: Setting) -> tuple[Scene, bool]:
    """SET marker NX; whether a serve job is to be enqueued."""
    return scene._replace(marker=True), not scene.marker or rules.weaker is Weaker.NO_MARKER


def drain_rang(scene: Scene, lane: int) -> tuple[Scene, bool]:
    """Sets the marker of this lane's drain job; whether a job is needed."""
    return scene._replace(drain_markers=changed(scene.drain_markers, lane, True)), not scene.drain_markers[lane]


def with_drain(scene: Scene, lane: int) -> Scene:
    return scene._replace(drains=tuple(sorted((*scene.drains, lane))))


def with_thread(scene: Scene, thread: Thread) -> Scene:
    return scene._replace(threads=tuple(sorted((*scene.threads, thread))))


def free_slots(scene: Scene, rules: Setting, process: int) -> int:
    return rules.slots - sum(thread.process == process for thread in scene.threads)


def is_still(scene: Scene) -> bool:
    """Whether nothing moves any more but time and the sweep."""
    jobs = scene.waiting or scene.drains or scene.threads or any(server.at for server in scene.servers)
    return not jobs and not scene.sweep[0] and all(at == "done" for _, at in scene.errands)


def is_settled(scene: Scene) -> bool:
    """Whether everything is over: nothing is due, and nothing waits for a job that does not come."""
    return is_still(scene) and not scene.rung and not any(DUE in rows for rows in scene.rows)


def repeats(scene: Scene) -> int:
    return sum(count - 1 for counts in scene.sent for count in counts if count > 1)


def same(scene: Scene) -> Scene:
    """One scene for all that differ only in which process is which."""
    if len(scene.servers) != 2:
        return scene
    key = scene.servers[0], [thread[1:] for thread in scene.threads if not thread.process], scene.serving == 0
    other = scene.servers[1], [thread[1:] for thread in scene.threads if thread.process], scene.serving == 1
    if key <= other:
        return scene
    return scene._replace(
        servers=scene.servers[::-1],
        threads=tuple(sorted(thread._replace(process=1 - thread.process) for thread in scene.threads)),
        serving=1 - scene.serving if scene.serving >= 0 else scene.serving,
    )
