"""A first view of a form beside a static file of about its size, from the same processes, one request each in turns."""

import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.leadhook import installed
from tests.bench.machine import ROOT, say
from tests.bench.measure import Row, Sizes, percentile
from tests.support.postgres import Postgres

TARGET = 2.0
WARM_UP, VIEWS = 50, 400  # of each, a round


def run(sizes: Sizes, database: str, postgres: Postgres | None, directory: Path) -> Iterator[Row]:
    ours, static = [], []
    with installed(database, postgres) as installation:
        [hook] = installation.hooks(1, "http://127.0.0.1:9/")
        with installation.web() as url:
            form = f"/f/{hook.form}"
            size = len(_get(_connection(url), form))
            name = _of_size(size)
            for number in range(sizes.rounds):
                found = _in_turns(_connection(url), form, f"/static/{name}")
                ours.append(found[0])
                static.append(found[1])
                say(f"  {database}, round {number + 1}: form p50 {found[0]:.2f} ms, static file {found[1]:.2f} ms")
    words = f"a static file of the same server ({name}; the page has {size:,} bytes)"
    title = "p50 of a form's first view"
    yield Row("form-view", title, database, "ms", ours, words, static, TARGET, at_least=False)


def _of_size(size: int) -> str:
    """The stylesheet whose size is nearest."""
    sheets = (ROOT / "webapp" / "static").glob("*.css")
    return min(sheets, key=lambda path: abs(path.stat().st_size - size)).name


def _connection(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (path, answer.status)
    return body


def _in_turns(connection: http.client.HTTPConnection, *paths: str) -> list[float]:
    """The p50 of each in ms. What disturbs the machine disturbs all of them alike."""
    found: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(WARM_UP + VIEWS):
        for path in paths:
            began = time.perf_counter()
            _get(connection, path)
            found[path].append((time.perf_counter() - began) * 1000)
    connection.close()
    return [percentile(found[path][WARM_UP:], 50) for path in paths]
