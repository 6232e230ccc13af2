"""Worker processes on the test's own database."""

import os
from collections.abc import Iterator

import pytest
from flask import Flask

from tests.support.forked import Program, forking
from tests.support.site import ROOT


class Workers:
    """worker.py with the arguments of an operator."""

    def __init__(self, app: Flask) -> None:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        self.environ = {**inherited, **app.config["ENVIRON"]}
        self.running: list[Program] = []

    def start(self, *arguments: str) -> Program:
        command = ["worker.py", "--processes", "1", "--slots", "8", *arguments]
        process = forking().start(command, ROOT, self.environ)
        self.running.append(process)
        return process


@pytest.fixture
def workers(app: Flask) -> Iterator[Workers]:
    workers = Workers(app)
    yield workers
    for process in workers.running:
        if process.poll() is None:
            process.terminate()
    for process in workers.running:
        process.wait(timeout=60)
