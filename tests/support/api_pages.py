"""Reads the list of leads over the API to its end, and measures a page at its beginning and one at its end."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from flask import Flask
from sqlalchemy import event

from tests.support.api import Caller
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.services.people import users

FIRST = "/leads?limit=100"


class Pages(NamedTuple):
    """Of each page how many leads it has and how many statements it took; and the path of the last one that is full."""

    sizes: list[int]
    statements: list[int]
    last: str


def seed(app: Flask, count: int, password: str) -> int:
    """So many leads of a new account, by the command itself; the account's id."""
    with app.app_context():
        with transaction():
            account_id = users.create_owner("alice@example.com", password, "Brightwater Solar").account_id
        db.session.remove()
    result = app.test_cli_runner().invoke(args=["seed-leads", "--count", str(count)])
    assert result.exit_code == 0, result.output
    return account_id


def read(app: Flask, program: Caller, first: str = FIRST) -> Pages:
    """All pages. The key is asked for by a statement of its own, which SQLAlchemy does not see: it is counted, too."""
    sizes, statements, path, last = list[int](), list[int](), first, first
    seen: list[str] = []
    with app.app_context():
        engine = db.engine
    event.listen(engine, "after_cursor_execute", lambda *given: seen.append(given[2]))
    while True:
        seen.clear()
        answer = program.get(path)
        assert answer.status_code == 200, answer.text
        sizes.append(len(answer.json["data"]))
        statements.append(1 + sum(text.startswith(("SELECT", "WITH")) for text in seen))
        last = path if sizes[-1] == sizes[0] else last
        if answer.json["next"] is None:
            return Pages(sizes, statements, last)
        path = f"{first}&cursor={answer.json['next']}"


def milliseconds(
    program: Caller, paths: tuple[str, str], times: int, clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """What each of two pages takes, asked in turns, so that a busy moment of the machine counts for both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * times):
        began = clock()
        assert program.get(paths[number % 2]).status_code == 200
        taken[number % 2].append((clock() - began) * 1000)
    return taken


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def clock_of(app: Flask) -> Callable[[], float]:
    """The processor's time, and on PostgreSQL, whose processes are its own, the clock's."""
    is_sqlite = str(app.config["SQLALCHEMY_DATABASE_URI"]).startswith("sqlite")
    return time.process_time if is_sqlite else time.perf_counter
