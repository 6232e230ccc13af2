"""Worker processes on the test's own database."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from flask import Flask

from tests.support.site import ROOT


class Workers:
    """worker.py as operators start it."""

    def __init__(self, app: Flask) -> None:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        self.environ = {**inherited, **app.config["ENVIRON"]}
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "worker.py", "--processes", "1", "--slots", "8", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=self.environ)
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
