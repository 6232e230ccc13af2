"""What was found: a table for people, JSON lines for programs, and the tables and plots of the documents."""

import json
import re
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
    judged = row.judged
    ratio = f"{number(row.median)} ({number(min(judged))}–{number(max(judged))})" if row.theirs else ""
    target = "" if row.target is None else f"{'≥' if row.at_least else '≤'} {row.target:g}"
    if target and not row.theirs:
        target += f" {row.unit}"
    met = {True: "met", False: "MISSED", None: ""}[row.met]
    ours = f"{number(statistics.median(row.ours))} {row.unit}"
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


def publish(rows: Sequence[Row], facts: Mapping[str, Any], minutes: float) -> None:
    """Puts the table of a whole run into the document, and draws its plots."""
    day = datetime.now(UTC).date().isoformat()
    words = (
        f"Measured {day} in {minutes:.0f} minutes on {facts['cpus']} processors ({facts['cpu']}), "
        f"{facts['memory_gb']} GB, {facts['system']}, Python {facts['python']}; an fsync took {facts['fsync_ms']} ms."
    )
    heads = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    drawings = plots.all_of(rows)
    images = [f"![{plots.title_of(drawing)}]({DOCUMENT.stem}/{name}.svg)" for name, drawing in drawings.items()]
    lines = [words, "", *heads, *("| " + " | ".join(_cells(row)) + " |" for row in rows), "", *images]
    text = DOCUMENT.read_text()
    parts = re.split(r"(<!-- figures -->\n).*?(<!-- /figures -->)", text, flags=re.DOTALL)
    DOCUMENT.write_text("".join([parts[0], parts[1], "\n".join(lines), "\n", *parts[2:]]))
    folder = DOCUMENT.with_suffix("")
    folder.mkdir(exist_ok=True)
    for name, drawing in drawings.items():
        (folder / f"{name}.svg").write_text(drawing)
