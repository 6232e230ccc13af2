"""One round of the fault suite: calm, SIGTERM under load, chaos, SIGTERM, until everything has settled."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.fault import checks
from tests.fault.chaos import UNKNOWN, Chaos, Cut, plan
from tests.fault.ledger import Books, Evidence, Exit, Ledger, unsettled
from tests.fault.moves import longest_stop
from tests.fault.visitors import Post, Visitors
from tests.fault.world import DEADLINE, RETRIES, START, World
from tests.support.waiting import wait_until

CALM_CHECKS = (
    checks.accepted_is_kept,
    checks.received_was_accepted,
    checks.signatures_verify,
    checks.repeats_have_one_id,
    checks.delivered_is_final,
    checks.wire_repeats_are_closed_connections,
    checks.tries_are_counted,
    checks.lanes_move,
    checks.mail_repeats_are_cut,
    checks.sigterm_ends_in_time,
    checks.only_the_killed_died,
    checks.captures_fail_only_with_their_database,
)


class Lengths(NamedTuple):
    """Of a round: leads accepted before the first SIGTERM, seconds of chaos, seconds between two deeds, visitors."""

    calm_leads: int
    chaos: float
    pause: float
    visitors: int


SHORT = Lengths(calm_leads=40, chaos=12, pause=1, visitors=4)
LONG = Lengths(calm_leads=150, chaos=60, pause=2.5, visitors=5)
SETTLES = 90.0  # seconds: a lease, a schedule's longest wait, a window of reports, and a machine that is busy


class Run:
    """Rounds in one world; `say` is told what happens. Each raises AssertionError where a promise is broken."""

    def __init__(self, world: World, database: str, say: Callable[[str], None]) -> None:
        self.world = world
        self.database = database
        self.say = say
        self.posts: list[Post] = []
        self.cuts: list[Cut] = []
        self.exits: list[Exit] = []

    def round(self, seed: str, lengths: Lengths) -> None:
        for receiver in self.world.receivers:
            receiver.healthy = False
        with self._visitors(f"{seed} calm", lengths) as visitors:
            wait_until(lambda: visitors.accepted() >= lengths.calm_leads, "visitors to be served", START)
            self._end_under_load()
        self._hold_in_calm()
        self.world.processes.start_worker()
        with self._visitors(f"{seed} chaos", lengths) as visitors, self._chaos(seed) as chaos:
            chaos.run(plan(seed, lengths.chaos, lengths.pause, self.database))
            chaos.mend()
            self._mended(visitors)
        ledger = self._settled()
        self.say(_summary(ledger))
        self._hold(ledger, checks.CHECKS)

    @contextmanager
    def _visitors(self, seed: str, lengths: Lengths) -> Iterator[Visitors]:
        visitors = Visitors(self.world.processes.url, self.world.forms, seed, lengths.visitors)
        visitors.start()
        try:
            yield visitors
        finally:
            visitors.stop()
            self.posts += visitors.posts

    @contextmanager
    def _chaos(self, seed: str) -> Iterator[Chaos]:
        chaos = Chaos(self.world, seed, self.say)
        try:
            yield chaos
        finally:
            self.cuts += chaos.cuts

    def _hold_in_calm(self) -> None:
        """So far only receivers failed: every send is recorded, and nothing was sent twice."""
        ledger = self._ledger()
        lost = [send.lead for send in ledger.cut_off if not self.cuts or send.at > self.cuts[-1].ended_at]
        assert not lost, f"BROKEN: without a crash, every send has its attempt: {lost}"
        self._hold(ledger, CALM_CHECKS)
        self.say(f"calm: {len(ledger.evidence.sends)} sends, all recorded")

    def _mended(self, visitors: Visitors) -> None:
        """Visitors are served again, then worker.py is ended once more, while mails are made due."""
        accepted = visitors.accepted()
        wait_until(lambda: visitors.accepted() > accepted + 10, "visitors to be served again", START)
        self.world.wait_for_workers()
        self._end_under_load()
        self.world.let_mails_wait_no_more()
        self.world.processes.start_worker()

    def _end_under_load(self) -> None:
        """Ends worker.py by SIGTERM while sends are in flight."""
        world = self.world
        wait_until(world.in_flight, "a send in flight", START, every=0.001)
        roles, number, told_at = world.serving(), world.in_flight(), time.monotonic()
        code, last = world.processes.end_worker()
        one = Exit(code, time.monotonic() - told_at, number, sorted(roles.get(pid, UNKNOWN) for pid in last))
        self.exits.append(one)
        self.say(f"SIGTERM: worker.py ended after {one.seconds:.1f} s, last of it {', '.join(one.last)}")

    def _settled(self) -> Ledger:
        """The ledger at a moment when nothing is under way. A mail that a webhook has recovered comes when a window of
        its reports ends, and may be under way while the ledger is looked up: then it is looked up again."""
        began_at, engine, last = time.monotonic(), self.world.engine(), ""
        while True:
            rest, mails = unsettled(engine), len(self.world.mailbox.accepted)
            ledger = self._ledger()
            rest = rest or unsettled(engine)
            if not rest and len(self.world.mailbox.accepted) == mails:
                self.say(f"settled after {time.monotonic() - began_at:.1f} s")
                return ledger
            if time.monotonic() > began_at + SETTLES:
                self.say(f"not settled: {rest or 'mails are sent again and again'}")
                return ledger
            if rest and rest != last:
                self.say(f"waiting for {rest}")
            last = rest
            time.sleep(0.5)

    def _ledger(self) -> Ledger:
        world = self.world
        sends = [send for receiver in world.receivers for send in list(receiver.sends)]
        mails, log = list(world.mailbox.accepted), world.processes.log.read_text()
        books = Books.read(world.engine())
        facts = (self.posts, sends, mails, self.cuts, self.exits, books, log)
        return Ledger(Evidence(self.database, DEADLINE, RETRIES, world.webhooks, *facts))

    def _hold(self, ledger: Ledger, promised: tuple[checks.Check, ...]) -> None:
        found = checks.broken(ledger, promised)
        assert not found, "\n".join(found)


def _summary(ledger: Ledger) -> str:
    evidence, stop = ledger.evidence, longest_stop(ledger)
    unknown = sum(post.status is None or post.status >= 500 for post in evidence.posts)
    crashes = sum(cut.what.startswith(("kill", "crash", "stop", "flush")) for cut in evidence.cuts)
    repeats = len(list(checks.repeated_mails(evidence.mails)))
    return (
        f"{crashes} crashes; {sum(post.accepted for post in evidence.posts)} leads accepted, {unknown} unanswered, "
        f"{len(ledger.books.promises)} kept; {len(evidence.sends)} sends, {len(ledger.cut_off)} without a record; "
        f"{len(evidence.mails)} mails, {repeats} of them repeats; longest stop of a lane {stop.seconds:.1f} s"
    )
