"""`make run` with nothing to do: its processes share their memory, they sleep, and each that is killed comes back."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.make_run import START, MakeRun
from tests.support.tree import ROOT
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they are separate programs"),
]
# With WORKER_PROCESSES=1. The arbiter, two that serve, and their like: `ps` shows all three by one name.
NAMES = {
    "-m webapp.run": 1,
    "gunicorn webapp:create_app()": 3,
    "flask receive": 1,
    "worker.py": 1,
    "worker.py fast": 1,
    "worker.py slow": 1,
    "worker.py mail": 1,
    "valkey-server": 1,
}
# All processes together, beside one process that imported and built for itself. It is 2.1; with four interpreters it
# was 6.
MOST_MEMORY = 2.6
# Per second, of all threads together. It is about ten, most of them gunicorn's and Valkey's own; it was 80.
MOST_WAKES = 30.0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeRun]:
    folder = tmp_path_factory.mktemp("idle")
    with MakeRun(folder / "home", folder / "run") as started:
        started.ready()
        wait_until(lambda: names(started) == NAMES, "all processes to run", timeout=START)
        yield started


def names(run: MakeRun) -> Counter[str]:
    """How often `ps` shows each of NAMES; the longest that fits counts."""
    shown = (command for command in run.group().values() if not command.startswith("make "))
    longest_first = sorted(NAMES, key=len, reverse=True)
    return Counter(next((name for name in longest_first if name in command), command) for command in shown)


def memory(pid: int) -> int:
    """The kilobytes of a process; what several share is divided among them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def wakes(pids: list[int]) -> int:
    """How often their threads have gone to sleep so far."""
    found = 0
    for pid in pids:
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            lines = status.read_text().splitlines()
            found += next(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
    return found


def ours(run: MakeRun) -> list[int]:
    return [pid for pid in run.group() if pid != run.make.pid]


def ready(run: MakeRun) -> bool:
    try:
        return requests.get(f"{run.address}/readyz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def test_all_together_need_little_more_memory_than_one_that_builds_for_itself(run: MakeRun) -> None:
    alone = "import webapp; app = webapp.create_app(); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", alone], cwd=ROOT, env=run.environ, **pipes) as one:  # type: ignore[call-overload]
        one.stdout.readline()
        of_one = memory(one.pid)
        one.stdin.write(b"\n")
    together = sum(map(memory, ours(run)))
    assert together < of_one * MOST_MEMORY, f"{together} KB beside {of_one} KB"


def test_they_sleep(run: MakeRun) -> None:
    pids = ours(run)

    def rate() -> float:
        before, began = wakes(pids), time.monotonic()
        time.sleep(3)  # what is measured
        return (wakes(pids) - before) / (time.monotonic() - began)

    wait_until(lambda: rate() < MOST_WAKES, f"less than {MOST_WAKES:g} wake-ups a second", timeout=60)


def test_each_that_is_killed_comes_back(run: MakeRun) -> None:
    for pid in ours(run):
        command = run.group().get(pid)
        if command is None or "webapp.run" in command:  # it ended with the one before
            continue
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: pid not in run.group(), f"{command} to end")
        wait_until(lambda: names(run) == NAMES, f"{command} to come back, with what it starts", timeout=START)
    wait_until(lambda: ready(run), "the site to be ready", timeout=START)


def test_all_that_are_killed_at_once_come_back(run: MakeRun) -> None:
    killed = [pid for pid, command in run.group().items() if pid != run.make.pid and "webapp.run" not in command]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(killed) & set(run.group()), "all to end")
    wait_until(lambda: names(run) == NAMES and ready(run), "all to come back", timeout=START)
    assert "Traceback" not in run.printed
