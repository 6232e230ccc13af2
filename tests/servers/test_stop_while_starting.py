"""gunicorn with our settings is told to stop while its processes start (findings/stop-while-starting.sh)."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.once

PROCESSES = 2  # as in gunicorn.conf.py
GRACE = 15.0  # seconds of graceful_timeout there


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_they_end_at_once(tmp_path: Path, name: str) -> None:
    log, worker = tmp_path / "log", "tests.support.late_worker.LateWorker"
    settings = {**os.environ, "LEADHOOK_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "gunicorn", "-k", worker, "--bind", "127.0.0.1:0", "tests.support.tiny_app:app"]
    with log.open("wb") as file, subprocess.Popen(command, cwd=ROOT, env=settings, stdout=file, stderr=file) as running:
        try:
            wait_until(lambda: log.read_text().count("starts") == PROCESSES, "both to start", timeout=60)
            running.send_signal(signal.Signals[name])
            assert running.wait(timeout=GRACE / 2) == 0, log.read_text()
        finally:
            running.kill()
