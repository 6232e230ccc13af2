"""Figures: taken in turns within one run, told with their noise, and judged."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered) + 0.5) - 1))]


@dataclass(frozen=True)
class Row:
    """One line of the table: ours beside theirs, a value for each round; the ratio is taken round by round.

    Without `theirs` the figure itself is judged. Without `ours` it could not be measured. `target` None: for
    information. `at_least`: more is better.
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
    absolute: bool = False  # the target is for our figure, not for the ratio
    more: dict[str, Any] = field(default_factory=dict)  # whatever else was seen, for results.jsonl

    @property
    def ratios(self) -> list[float]:
        """Ours to theirs, a value for each round."""
        return [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)] if self.theirs else []

    @property
    def is_absolute(self) -> bool:
        return self.absolute or not self.theirs

    @property
    def met(self) -> bool | None:
        """Whether the median of the rounds meets the target; None where there is no target or no figure."""
        judged = self.ours if self.is_absolute else self.ratios
        if self.target is None or not judged:
            return None
        median = statistics.median(judged)
        return median >= self.target if self.at_least else median <= self.target

    def as_json(self) -> dict[str, Any]:
        return {
            "scenario": self.name,
            "title": self.title,
            "database": self.database,
            "unit": self.unit,
            "leadhook": rounded(self.ours),
            "beside": self.beside or None,
            "theirs": rounded(self.theirs),
            "ratio": round(statistics.median(self.ratios), 3) if self.theirs else None,
            "ratios": rounded(self.ratios),
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
    whole_rounds: int = 5  # of the rows about a whole installation
    whole_posts: int = 3_000
    whole_hooks: int = 200
    whole_views: int = 2_000
    whole_latency_seconds: float = 10.0
    idle_seconds: float = 60.0
    bare_clone: bool = True

    def with_rounds(self, number: int | None) -> "Sizes":
        return replace(self, rounds=number, hanging_rounds=number, whole_rounds=number) if number else self


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
    whole_rounds=1,
    whole_posts=600,
    whole_hooks=50,
    whole_views=500,
    whole_latency_seconds=3.0,
    idle_seconds=10.0,
    bare_clone=False,
)
