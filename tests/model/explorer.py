"""Looks at every state that can be reached, breadth first, and says by what way a promise is broken."""

import gc
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from tests.model import events, jobs
from tests.model.protocol import (
    ACTIVE,
    NO_REST,
    PAUSED,
    PERSON,
    RETRIES,
    Delivery,
    Rules,
    State,
    alike,
    at_rest,
    is_due,
    repeats,
)


class Broken(NamedTuple):
    """A promise that does not hold, and the states that lead to where it does not, the first one first."""

    promise: str
    way: list[Any]


class Explored(NamedTuple):
    """What was found: how many states there are, the promise that is broken if one is, the most jobs that waited."""

    states: int
    broken: Broken | None
    most_waiting: int


Label = tuple[str, int]  # who moves, and which of them


def moves(state: State, rules: Rules) -> Iterator[tuple[Label, State]]:
    """What happens by itself: everything but faults."""
    for following in jobs.begin(state, rules):
        yield ("begin", 0), following
    for index in range(len(state.jobs)):
        for following in jobs.step(state, rules, index):
            yield ("job", index), following
    for index in range(len(state.errands)):
        for following in events.errand(state, rules, index):
            yield ("errand", index), following
    for following in events.correct(state, rules):
        yield ("correct", 0), following
    for following in events.sweep(state, rules):
        yield ("sweep", 0), following
    yield from events.time(state, rules)


def settled(state: State) -> bool:
    """Whether everything is over: nothing is due, or will be."""
    waits = {"pending"} if (state.hook.state, state.hook.by) == (PAUSED, PERSON) else {"pending", "held"}
    return at_rest(state) and not any(row.click or row.state in waits for row in state.deliveries)


def promise_broken(state: State, rules: Rules) -> str:
    """The promise that does not hold in this state; "" if all do."""
    if state.broken:
        return state.broken
    if repeats(state) > state.may_repeat:
        return "more is sent twice than one batch a lost hold" if state.may_repeat else "something is sent twice"
    if state.waiting > rules.most_waiting:
        return "jobs of one lane pile up"
    left, given, is_over = state.left, rules.faults, at_rest(state)
    if not rules.sweeping and (left.kills, left.redis) == (given.kills, given.redis) and is_over:
        over = state.lane.rest == NO_REST  # what waits for the end of a rest is the sweep's to ring
        rung = [row for row in state.deliveries if row.click or (over and is_due(row) and not row.due)]
        if rung and state.hook.state == ACTIVE:
            return "something is due and nobody rings"
    for row, sent in zip(state.deliveries, state.sent, strict=True):
        if broken := _row_broken(row, is_over and not any(sent[RETRIES:])):
            return broken
    return _repeat_broken(state, rules) if given.ends else ""


def _row_broken(row: Delivery, is_over: bool) -> str:
    """The promise about events and payloads that this delivery breaks. `is_over`: nothing moves, and it was never sent
    by a click, of which no event tells."""
    if row.events > 1:
        return "an event is written twice"
    if row.events and row.state in ("pending", "held", "cancelled"):
        return "an event tells of a failure that is not on record"
    if is_over and row.state == "failed" and row.tries == RETRIES and not row.events:
        return "an event is lost"
    return "what has a payload waits for one" if is_over and row.state == "blank" and row.payload else ""


def _repeat_broken(state: State, rules: Rules) -> str:
    """The promise about second requests that does not hold in this state."""
    if any(number > 2 for job in state.jobs for number in job.requests):
        return "a try sends more than two requests"
    if at_rest(state) and state.owed:
        return "a request is not on record"
    for lead, row in enumerate(state.deliveries):
        first = rules.captured[lead].tries if lead < len(rules.captured) else 0
        if not all(state.sent[lead][first : min(row.tries, RETRIES)]):
            return "a step of the schedule is left out"
    return ""


class Game(NamedTuple):
    """What is searched: by these functions of a state and the rules."""

    moves: Callable[[Any, Any], Iterator[tuple[Label, Any]]]
    faults: Callable[[Any, Any], Iterator[tuple[Label, Any]]]
    promise_broken: Callable[[Any, Any], str]
    settled: Callable[[Any], bool]
    alike: Callable[[Any], Any]  # one state for all that differ in nothing that matters


ONE_LANE = Game(moves, events.faults, promise_broken, settled, alike)


class Explorer:
    """One search. States are numbered in the order in which they are found."""

    def __init__(self, rules: Any, game: Game = ONE_LANE) -> None:
        self.rules = rules
        self.game = game
        self.states = [rules.initial()]
        self.number = {self.states[0]: 0}
        self.found_from = [0]
        self.by_itself: list[list[int]] = []  # of each state, those that follow without a fault

    def run(self) -> Explored:
        """Everything there is, up to the first broken promise. Then whether anything ends stuck, or never ends."""
        collects = gc.isenabled()
        gc.disable()  # states refer to no states, so looking for circles among them only takes time
        try:
            broken = self._search()
        finally:
            if collects:
                gc.enable()
        if broken is None and self.rules.judges_stuck:
            broken = self._stuck()
        if broken is None and self.rules.judges_endless:
            broken = self._endless()
        return Explored(len(self.states), broken, max(state.waiting for state in self.states))

    def _search(self) -> Broken | None:
        current = 0
        while current < len(self.states):
            state = self.states[current]
            promise = self.game.promise_broken(state, self.rules)
            if promise:
                return Broken(promise, self._way(current))
            self.by_itself.append(
                [self._add(following, current) for _, following in self.game.moves(state, self.rules)]
            )
            for _, following in self.game.faults(state, self.rules):
                self._add(following, current)
            current += 1
        return None

    def _add(self, state: Any, origin: int) -> int:
        state = self.game.alike(state)
        number = self.number.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
            self.found_from.append(origin)
        return number

    def _way(self, number: int) -> list[Any]:
        way = [number]
        while way[-1]:
            way.append(self.found_from[way[-1]])
        return [self.states[one] for one in reversed(way)]

    def _stuck(self) -> Broken | None:
        """From everywhere there must be a way, without another fault, to where everything is over."""
        before: list[list[int]] = [[] for _ in self.states]
        for origin, follows in enumerate(self.by_itself):
            for following in follows:
                before[following].append(origin)
        waiting = [number for number, state in enumerate(self.states) if self.game.settled(state)]
        fine = set(waiting)
        while waiting:
            for origin in before[waiting.pop()]:
                if origin not in fine:
                    fine.add(origin)
                    waiting.append(origin)
        stuck = next((number for number in range(len(self.states)) if number not in fine), None)
        return None if stuck is None else Broken("something is never delivered", self._way(stuck))

    def _endless(self) -> Broken | None:
        """Without a sweep nothing goes round in circles: what has no one before it is taken away, again and again."""
        incoming = [0] * len(self.states)
        for follows in self.by_itself:
            for following in follows:
                incoming[following] += 1
        free = [number for number, count in enumerate(incoming) if not count]
        taken = 0
        while free:
            taken += 1
            for following in self.by_itself[free.pop()]:
                incoming[following] -= 1
                if not incoming[following]:
                    free.append(following)
        if taken == len(self.states):
            return None
        circle = next(number for number, count in enumerate(incoming) if count)
        return Broken("a lane spins", self._way(circle))


def explore(rules: Any, game: Game = ONE_LANE) -> Explored:
    """Searches everything that can happen by these rules."""
    return Explorer(rules, game).run()


def told(way: list[Any]) -> str:
    """A way in lines: what each step changed."""
    lines = []
    for before, after in pairwise(way):
        changes = [
            f"{name}: {old} -> {new}"
            for name, old, new in zip(before._fields, before, after, strict=True)
            if old != new
        ]
        lines.append("; ".join(changes))
    return "\n".join(lines)
