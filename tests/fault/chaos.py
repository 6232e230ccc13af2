"""What goes wrong, and when: drawn from one seed, so that it can be asked for again."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from redis import Redis
from redis.exceptions import RedisError

from tests.fault.world import World, kill

T = TypeVar("T")

ALL, ALONE, UNKNOWN = "all", "supervisor", "unknown"  # roles of what was killed, beside the queues a worker serves


class Cut(NamedTuple):
    """Something that was broken: what, the role of a worker process, and from when to when (wall clock)."""

    what: str
    role: str
    began_at: float
    ended_at: float


class Step(NamedTuple):
    """A deed of the plan: seconds after its beginning, and what."""

    at: float
    what: str


# What is broken: what mends it, and after how many seconds (least, most).
MENDED: dict[str, tuple[str, float, float]] = {
    "kill worker.py with all its processes": ("start worker.py", 0.1, 2),
    "kill worker.py alone": ("start worker.py", 0.1, 1),
    "kill the web with all its processes": ("start the web", 0.1, 1),
    "stop Valkey": ("start Valkey", 0.5, 3),
    "stop SMTP": ("start SMTP", 0.5, 3),
    "drop mail after acceptance": ("keep mail connections", 1, 4),
    "a receiver refuses": ("all receivers listen", 0.5, 3),
}
ONCE = (
    "kill a process of worker.py",
    "kill the fast worker",
    "kill the mail worker",
    "kill a process of the web",
    "flush Valkey",
)
CRASH = "crash PostgreSQL"
PATIENCE = 3.0  # seconds that are waited for somebody to kill, and until a send is in flight


def plan(seed: str, seconds: float, pause: float, database: str) -> list[Step]:
    """Every deed at least once within `seconds`, and more of them by chance, one every `pause` seconds on average."""
    chance = random.Random(f"{seed}/plan")
    deeds = [*MENDED, *ONCE, *([CRASH] if database == "postgresql" else [])]
    todo = deeds + chance.choices(deeds, k=max(0, round(seconds / pause) - len(deeds)))
    chance.shuffle(todo)
    steps = []
    for number, what in enumerate(todo):
        at = seconds * (number + chance.random()) / len(todo)
        steps.append(Step(at, what))
        if what in MENDED:
            mended, least, most = MENDED[what]
            steps.append(Step(at + chance.uniform(least, most), mended))
    return sorted(steps)


def _patiently(look: Callable[[], T]) -> T:
    """What `look` finds, or, after some seconds, that it finds nothing."""
    ends_at = time.monotonic() + PATIENCE
    while not (found := look()) and time.monotonic() < ends_at:
        time.sleep(0.05)
    return found


class Chaos:
    """Does what the plan says to a world, and keeps book of it in `cuts`."""

    def __init__(self, world: World, seed: str, say: Callable[[str], None]) -> None:
        self.world = world
        self.cuts: list[Cut] = []
        self._say = say
        self._chance = random.Random(f"{seed}/chaos")
        self._deeds = self._by_name()

    def _by_name(self) -> dict[str, Callable[[], str | None]]:
        return {
            "kill a process of worker.py": lambda: self._kill_worker(None),
            "kill the fast worker": lambda: self._kill_worker("fast"),
            "kill the mail worker": lambda: self._kill_worker("mail"),
            "kill worker.py with all its processes": self._kill_workers,
            "kill worker.py alone": self._kill_supervisor,
            "start worker.py": self._start_workers,
            "kill a process of the web": self._kill_web_process,
            "kill the web with all its processes": self._kill_web,
            "start the web": self._start_web,
            "stop Valkey": self.world.valkey.stop,
            "start Valkey": self._start_valkey,
            "flush Valkey": self._flush_valkey,
            CRASH: self._crash_postgres,
            "stop SMTP": self.world.mailbox.stop,
            "start SMTP": self.world.mailbox.start,
            "drop mail after acceptance": lambda: self._drop_mail(True),
            "keep mail connections": lambda: self._drop_mail(False),
            "a receiver refuses": self._refuse,
            "all receivers listen": self._listen,
        }

    def run(self, steps: Sequence[Step]) -> None:
        """The plan, step by step; a step whose time is over is done at once."""
        begun_at = time.monotonic()
        for step in steps:
            time.sleep(max(0.0, begun_at + step.at - time.monotonic()))
            self._do(step.what)

    def mend(self) -> None:
        """Everything runs again, and every receiver answers."""
        mended = ("start Valkey", "start SMTP", "keep mail connections", "all receivers listen")
        for what in (*mended, "start the web", "start worker.py"):
            self._do(what)
        for receiver in self.world.receivers:
            receiver.healthy = True

    def _do(self, what: str) -> None:
        began_at = time.time()
        role = self._deeds[what]() or ""
        self.cuts.append(Cut(what, role, began_at, time.time()))
        self._say(f"{what}{f' ({role})' if role else ''}")

    # Workers and web. A process that was killed is waited for only where it is our own child.

    def _kill_worker(self, queue: str | None) -> str:
        """One process: the one that serves `queue`, or, where it does not come for long, any."""
        roles: dict[int, str] = {}
        children: list[int] = []

        def serves() -> list[int]:
            nonlocal roles, children
            roles, children = self.world.serving(), self.world.processes.children(self.world.processes.worker)
            return [pid for pid in children if queue in (None, roles.get(pid))]

        wanted = _patiently(serves) or children
        if not wanted:
            return "nobody"
        pid = self._chance.choice(wanted)
        if roles.get(pid) == "fast":
            _patiently(self.world.in_flight)
        kill(pid)
        return roles.get(pid, UNKNOWN)

    def _kill_workers(self) -> str:
        _patiently(lambda: "fast" in self.world.serving().values())
        _patiently(self.world.in_flight)
        self._kill_group("worker")
        return ALL

    def _kill_supervisor(self) -> str:
        """Its children learn of it and end by themselves, as after SIGTERM."""
        if worker := self.world.processes.worker:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        return ALONE

    def _start_workers(self) -> None:
        worker = self.world.processes.worker
        if worker is None or worker.poll() is not None:
            self.world.processes.start_worker()

    def _kill_web_process(self) -> None:
        if children := self.world.processes.children(self.world.processes.web):
            kill(self._chance.choice(children))

    def _kill_web(self) -> None:
        self._kill_group("web")

    def _start_web(self) -> None:
        web = self.world.processes.web
        if web is None or web.poll() is not None:
            self.world.processes.start_web()

    def _kill_group(self, name: str) -> None:
        process = getattr(self.world.processes, name)
        if process is not None:
            for pid in self.world.processes.members(process.pid):
                kill(pid)
            process.wait()

    # What they stand on.

    def _start_valkey(self) -> None:
        if self.world.valkey.process is None:
            self.world.valkey.start()

    def _flush_valkey(self) -> str:
        try:
            with Redis.from_url(self.world.valkey.url, socket_timeout=2) as client:
                client.flushall()
        except RedisError:
            return "it is away"
        return ""

    def _crash_postgres(self) -> None:
        assert self.world.postgres
        self.world.postgres.stop(immediately=True)
        self.world.postgres.start()

    def _drop_mail(self, drops: bool) -> None:
        self.world.mailbox.drops = drops

    def _refuse(self) -> str:
        receiver = self._chance.choice(self.world.receivers)
        receiver.refuse()
        return receiver.name

    def _listen(self) -> None:
        for receiver in self.world.receivers:
            receiver.listen()
