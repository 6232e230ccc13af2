"""What was found: a table for people, JSON lines for programs, and the tables and plots of the documents."""

import json
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.bench import plots
from tests.bench.machine import ROOT
from tests.bench.measure import Row

RESULTS = ROOT / "bench" / "results.jsonl"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
HEADINGS = ("", "database", "Leadhook", "beside", "", "ratio (min–max)", "target", "")


def table(rows: Sequence[Row]) -> str:
    """Columns of equal width; medians, and the ratio with its noise."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    theirs = f"{number(statistics.median(row.theirs))} {row.unit}" if row.theirs else ""
    ratios = row.ratios
    ratio = f"{number(statistics.median(ratios))} ({number(min(ratios))}–{number(max(ratios))})" if ratios else ""
    target = "" if row.target is None else f"{'≥' if row.at_least else '≤'} {row.target:g}"
    if target and row.is_absolute:
        target += f" {row.unit}"
    met = {True: "met", False: "MISSED", None: ""}[row.met]
    ours = f"{number(statistics.median(row.ours))} {row.unit}" if row.ours else "not measured"
    return (row.title, NAMES[row.database], ours, row.beside, theirs, ratio, target, met)


def number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def append(rows: Sequence[Row], facts: Mapping[str, Any], quick: bool) -> None:
    """One JSON object for each row, after those of earlier runs."""
    RESULTS.parent.mkdir(exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with RESULTS.open("a") as file:
        for row in rows:
            file.write(
                json.dumps({"at": at, "quick": quick, "machine": facts, **row.as_json()}, ensure_ascii=False) + "\n"
            )


def publish(scenario: str, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
    """Puts the table of a scenario, measured on both databases in one run, into the document, and draws its plot."""
    day = datetime.now(UTC).date().isoformat()
    words = (
        f"Measured {day} at {facts['commit']} on {facts['cpus']} processors ({facts['cpu']}), {facts['memory_gb']} GB, "
        f"{facts['system']}, Python {facts['python']}, PostgreSQL {facts['postgresql']}, nginx {facts['nginx']}; "
        f"an fsync took {facts['fsync_ms']} ms, others used {facts['others_busy_cpus']} processors."
    )
    lines = [words, "", "| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    drawing = plots.of(scenario, rows)
    if drawing:
        folder = DOCUMENT.with_suffix("")
        folder.mkdir(exist_ok=True)
        (folder / f"{scenario}.svg").write_text(drawing)
        lines += ["", f"![{plots.title_of(drawing)}]({DOCUMENT.stem}/{scenario}.svg)"]
    begin, end = f"<!-- {scenario} -->\n", f"<!-- /{scenario} -->"
    before, _, rest = DOCUMENT.read_text().partition(begin)
    DOCUMENT.write_text("".join([before, begin, *(f"{line}\n" for line in lines), end, rest.partition(end)[2]]))
