"""Figures: taken in turns within one run, told with their noise, and judged."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered) + 0.5) - 1))]


@dataclass(frozen=True)
class Row:
    """One line of the table: ours beside theirs, a value for each round; the ratio is taken round by round.

    Without `theirs` the figure itself is judged. `target` None: for information. `at_least`: more is better.
    """

    name: str
    title: str
    database: str
    unit: str
    ours: Sequence[float]
    beside: str = ""
    theirs: Sequence[float] = ()
    target: float | None = None
    at_least: bool = True
    more: dict[str, Any] = field(default_factory=dict)  # whatever else was seen, for results.jsonl

    @property
    def judged(self) -> list[float]:
        """What the target is held against, a value for each round."""
        return (
            [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)] if self.theirs else [*self.ours]
        )

    @property
    def median(self) -> float:
        return statistics.median(self.judged)

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.median >= self.target if self.at_least else self.median <= self.target

    def as_json(self) -> dict[str, Any]:
        return {
            "scenario": self.name,
            "title": self.title,
            "database": self.database,
            "unit": self.unit,
            "leadhook": rounded(self.ours),
            "beside": self.beside or None,
            "theirs": rounded(self.theirs),
            "ratio": round(self.median, 3) if self.theirs else None,
            "ratios": rounded(self.judged) if self.theirs else [],
            "target": self.target,
            "at_least": self.at_least,
            "met": self.met,
            **self.more,
        }


def rounded(values: Sequence[float]) -> list[float]:
    """To four digits: what is behind them is noise."""
    return [float(f"{value:.4g}") for value in values]


@dataclass(frozen=True)
class Sizes:
    """How much a run does: the real one, or a quick look that only shows that everything works."""

    rounds: int = 3
    backlog: int = 10_000
    bare_posts: int = 5_000
    rq_worker_jobs: int = 300
    rq_simple_jobs: int = 1_200
    celery_tasks: int = 2_500
    latency_seconds: float = 10.0
    warm_up_seconds: float = 2.0
    isolation_seconds: float = 18.0  # longer than the deadline, so that the hung ones are met a second time
    hanging_leads: int = 200
    hanging_rounds: int = 1  # two minutes each, of which forty deadlines are most
    capture_seconds: float = 6.0
    beside_seconds: float = 10.0
    beside_backlog: int = 60_000
    few: int = 1_000
    many: int = 1_000_000


QUICK = Sizes(
    rounds=1,
    backlog=3_000,
    bare_posts=2_000,
    rq_worker_jobs=100,
    rq_simple_jobs=400,
    celery_tasks=800,
    latency_seconds=4.0,
    warm_up_seconds=1.0,
    isolation_seconds=8.0,
    hanging_leads=50,
    capture_seconds=2.5,
    beside_seconds=4.0,
    beside_backlog=20_000,
    many=100_000,
)
