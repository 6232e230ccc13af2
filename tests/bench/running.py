"""The processes of a started installation: their processor time and their memory."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.bench.machine import CannotMeasure

QUIET = 0.1  # seconds of processor time in two


class Running(NamedTuple):
    """A started installation. All its processes are in the session of `pid`."""

    name: str  # of its build
    pid: int
    start_seconds: float  # until /readyz answered 200

    def pids(self) -> list[int]:
        return [pid for pid, (session, _) in _processes().items() if session == self.pid]

    def cpu_seconds(self) -> float:
        """The processor time of all its processes, those that have ended included."""
        return sum(ticks for session, ticks in _processes().values() if session == self.pid) / os.sysconf("SC_CLK_TCK")

    def thread_seconds(self) -> dict[int, float]:
        """Processor time by thread, to the nanosecond: ticks are too coarse for an idle installation."""
        found = {}
        for pid in self.pids():
            for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with suppress(OSError):
                    found[int(file.parent.name)] = int(file.read_text().split()[0]) / 1e9
        return found

    def settle(self) -> None:
        """Waits until it has little to do for two seconds: workers become ready later than the web."""
        ends_at = time.monotonic() + 60
        while time.monotonic() < ends_at:
            used = self.cpu_seconds()
            time.sleep(2)
            if self.cpu_seconds() - used < QUIET:
                return
        raise CannotMeasure(f"{self.name} does not become quiet")

    def pss_mb(self) -> float:
        """The memory of all its processes in MiB; what several share counts once among them."""
        return sum(_pss(pid) for pid in self.pids()) / 1024


def _processes() -> dict[int, tuple[int, int]]:
    """The session of each process of this machine, and the ticks it and its ended children used."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[int(path.parent.name)] = (int(fields[3]), sum(int(value) for value in fields[11:15]))
    return found


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def end_rest(session: int) -> None:
    """Kills what outlived its parent."""
    for pid, (of, _) in _processes().items():
        if of == session:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
