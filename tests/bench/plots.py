"""The plots: bars, written by hand as SVG, readable in light and dark and by screen readers."""

import math
import statistics
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from tests.bench.measure import Row

WIDTH, LABEL, VALUE = 820, 300, 90
BAR, GAP, HEADING, TOP = 18, 6, 34, 64
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2937}.title{font-size:17px;font-weight:600}.group{font-weight:600}"
    ".note{fill:#6b7280}.ours{fill:#0f766e}.theirs{fill:#94a3b8}.noise{stroke:#111827;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.note{fill:#9ca3af}.ours{fill:#2dd4bf}.theirs{fill:#64748b}"
    ".noise{stroke:#f9fafb}}"
)
# Events a second, 3,000 posts over 16 connections to 10 endpoints; see docs/benchmarks.md.
PEERS = {"Outpost 1.2.0": 670.0, "Svix server 1.100": 590.0, "Leadhook 01d8307": 200.0}
POSTED = ", post → received over 16 connections"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


class Bar(NamedTuple):
    label: str
    values: Sequence[float]
    ours: bool


Group = tuple[str, list[Bar]]


def of(scenario: str, rows: Sequence[Row]) -> str | None:
    """The plot of a scenario's rows, on both databases; None where a table says it all."""
    if scenario == "throughput":
        return bars("Deliveries a second from a backlog", "more is better; /s", _throughput(rows))
    if scenario == "latency":
        return bars("From commit to receipt", "less is better; ms, logarithmic", _latency(rows), logarithmic=True)
    if scenario == "isolation":
        return bars("p99 of healthy webhooks beside others", "less is better; ms", _isolation(rows))
    if scenario == "end_to_end":
        return bars("From the post of a form to its receiver", "more is better; events a second", _end_to_end(rows))
    if scenario == "footprint":
        return bars("Memory of a whole installation", "less is better; MiB (PSS)", _footprint(rows))
    if scenario == "capture":
        return bars("Forms accepted a second", "more is better; /s", _capture(rows))
    return None


def title_of(drawing: str) -> str:
    """What a plot is called."""
    return drawing.partition("<title>")[2].partition("</title>")[0]


def _by_name(rows: Iterable[Row], database: str) -> dict[str, Row]:
    return {row.name: row for row in rows if row.database == database}


def _throughput(rows: Sequence[Row]) -> list[Group]:
    groups = []
    for database, title in NAMES.items():
        of = _by_name(rows, database)
        bare, secure = of["backlog-1"], of["backlog-https"]
        found = [
            Bar(f"Leadhook, {count} webhook{'s' * (count > 1)}", of[f"backlog-{count}"].ours, True)
            for count in (1, 10, 200)
        ]
        found += [
            Bar("Leadhook, 10 webhooks, https", secure.ours, True),
            Bar("bare requests loop, nothing recorded", bare.theirs, False),
            Bar("the same over https", secure.theirs, False),
            Bar("Celery, a task per lead", of["celery"].theirs, False),
            Bar("RQ SimpleWorker, a job per lead", of["rq-simple"].theirs, False),
            Bar("RQ Worker, a job per lead", of["rq-worker"].theirs, False),
        ]
        groups.append((title, found))
    return groups


def _latency(rows: Sequence[Row]) -> list[Group]:
    groups = []
    for database, title in NAMES.items():
        of = _by_name(rows, database)
        for load, words in (("latency-50", "50 leads/s, 20 webhooks"), ("latency-300", "300 leads/s, 1 webhook")):
            found = []
            for percent in ("p50", "p99"):
                rq, pipeline = of[f"{load}-{percent}"], of[f"{load}-{percent}-pipeline"]
                found += [
                    Bar(f"Leadhook, {percent}", rq.ours, True),
                    Bar(f"RQ SimpleWorker, {percent}", rq.theirs, False),
                    Bar(f"commit, push, pop, post, {percent}", pipeline.theirs, False),
                ]
            groups.append((f"{title}, {words}", found))
    return groups


def _isolation(rows: Sequence[Row]) -> list[Group]:
    groups = []
    for database, title in NAMES.items():
        those = [row for row in rows if row.database == database and row.name.startswith("isolation-")]
        found = [Bar("alone", those[0].theirs, False)]
        found += [Bar(row.title.removeprefix("Healthy p99 "), row.ours, True) for row in those]
        groups.append((title, found))
    return groups


def _end_to_end(rows: Sequence[Row]) -> list[Group]:
    groups = []
    for database, title in NAMES.items():
        those = [row for row in rows if row.database == database and row.title.endswith(POSTED)]
        groups.append((title, [bar for row in those for bar in _both(row, row.title.removesuffix(POSTED))]))
    peers = [Bar(label, [value], False) for label, value in PEERS.items()]
    return [*groups, ("10 webhooks in another run, of 2026-11-27, PostgreSQL", peers)]


def _footprint(rows: Sequence[Row]) -> list[Group]:
    groups = []
    for database, title in NAMES.items():
        those = [row for row in rows if row.database == database and row.unit == "MiB"]
        words = {row.name: "hanging" if row.name.startswith("memory-hanging") else "idle" for row in those}
        groups.append((title, [bar for row in those for bar in _both(row, words[row.name])]))
    return groups


def _both(row: Row, words: str) -> list[Bar]:
    """Ours and theirs, without theirs if nothing stands beside it."""
    theirs = [Bar(f"{row.beside}, {words}", row.theirs, False)] if row.theirs else []
    return [Bar(f"Leadhook, {words}", row.ours, True), *theirs]


def _capture(rows: Sequence[Row]) -> list[Group]:
    groups = []
    for database, title in NAMES.items():
        of = _by_name(rows, database)
        same, bare = of["capture-same"], of["capture-bare"]
        found = [
            Bar("Leadhook", same.ours, True),
            Bar(same.beside, same.theirs, False),
            Bar(bare.beside, bare.theirs, False),
        ]
        groups.append((title, found))
    return groups


def bars(title: str, note: str, groups: Sequence[Group], logarithmic: bool = False) -> str:
    """Horizontal bars of the medians, with a line from the least to the most that was measured."""
    values = [value for _, found in groups for bar in found for value in bar.values]
    scale = _scale(values, logarithmic)
    body, y = [], TOP
    for heading, found in groups:
        body.append(f'<text class="group" x="0" y="{y + 14}">{escape(heading)}</text>')
        y += HEADING - 8
        for bar in found:
            body += _bar(bar, y, scale)
            y += BAR + GAP
        y += HEADING - BAR
    said = "; ".join(
        f"{head}: " + ", ".join(f"{bar.label} {_number(_middle(bar))}" for bar in found) for head, found in groups
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc><style>{STYLE}</style>"
        f'<text class="title" x="0" y="20">{escape(title)}</text><text class="note" x="0" y="42">{escape(note)}</text>'
        + "".join(body)
        + "</svg>\n"
    )


class _Scale(NamedTuple):
    least: float
    most: float
    logarithmic: bool

    def x(self, value: float) -> float:
        room = WIDTH - LABEL - VALUE
        if self.logarithmic:
            return room * math.log(max(value, self.least) / self.least) / math.log(self.most / self.least)
        return room * value / self.most


def _scale(values: Sequence[float], logarithmic: bool) -> _Scale:
    return _Scale(min(1.0, *values) if logarithmic else 0.0, max(values), logarithmic)


def _bar(bar: Bar, y: int, scale: _Scale) -> list[str]:
    middle = scale.x(_middle(bar))
    least, most = (LABEL + scale.x(value) for value in (min(bar.values), max(bar.values)))
    line = y + BAR / 2
    return [
        f'<text x="{LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect class="{"ours" if bar.ours else "theirs"}" x="{LABEL}" y="{y}" width="{middle:.1f}" height="{BAR}"/>',
        f'<line class="noise" x1="{least:.1f}" x2="{most:.1f}" y1="{line}" y2="{line}"/>',
        f'<text x="{max(LABEL + middle, most) + 6:.1f}" y="{y + 13}">{_number(_middle(bar))}</text>',
    ]


def _middle(bar: Bar) -> float:
    return statistics.median(bar.values)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
