"""The machine: what it is, the programs the benchmark needs, and the processes it starts (and ends, by pid)."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.postgres import binary

ROOT = Path(__file__).parents[2]
PACKAGES = {"nginx": "nginx-light", "postgres": "postgresql"}


class CannotMeasure(Exception):
    """A sentence for the person at the terminal."""


def facts() -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine."""
    return {
        "commit": commit_of(ROOT),
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "fsync_ms": _fsync_ms(),
        "nginx": _version([nginx() or "nginx", "-v"]),
        "postgresql": _version([_postgres() or "postgres", "--version"]),
    }


def _version(command: Sequence[str]) -> str | None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    numbers = re.search(r"\d+(\.\d+)+", ended.stdout + ended.stderr)
    return numbers[0] if numbers else None


def commit_of(tree: Path) -> str:
    """What is measured."""
    described = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--exclude=*"]
    found = subprocess.run(described, capture_output=True, text=True)
    return found.stdout.strip() or "an unknown commit"


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _fsync_ms() -> float:
    """What one commit waits for the disk, which decides a good part of every figure about capture."""
    times = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return round(statistics.median(times) * 1000, 2)


def steady_loop_ms() -> float:
    """The processor time of a fixed piece of Python: how fast this machine is just now."""
    began, total = time.process_time(), 0
    for number in range(300_000):
        total += number % 7
    return (time.process_time() - began) * 1000


def busy() -> float:
    """How many processors others are using just now, over a second of looking."""
    before = _cpu_seconds()
    time.sleep(1)
    return max(0.0, _cpu_seconds() - before)


def _cpu_seconds() -> float:
    ticks = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    used = sum(int(tick) for number, tick in enumerate(ticks) if number not in (3, 4))  # without idle and iowait
    return used / os.sysconf("SC_CLK_TCK")


class ProcessorTime(NamedTuple):
    """Ticks of all processors: how many they worked, and how many more their host took from them while they would."""

    worked: int
    stolen: int

    @classmethod
    def now(cls) -> "ProcessorTime":
        user, nice, system, _, _, interrupts, soft, stolen = map(
            int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        )
        return cls(user + nice + system + interrupts + soft, stolen)

    def stolen_share(self) -> float:
        """Of the processor time that was wanted since, the share that the host of this (virtual) machine took."""
        now = self.now()
        stolen = now.stolen - self.stolen
        return stolen / max(1, now.worked - self.worked + stolen)


def need(databases: Sequence[str]) -> None:
    """Sees to it that nginx, and PostgreSQL where it is asked for, are there; CannotMeasure says how to get them."""
    missing = [name for name in PACKAGES if not _have(name) and (name != "postgres" or "postgresql" in databases)]
    packages = [PACKAGES[name] for name in missing]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"Installing by apt, for the benchmark: {' '.join(packages)}")
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "-qq", *command], env=environ, check=False, stdout=subprocess.DEVNULL)
    still = [PACKAGES[name] for name in missing if not _have(name)]
    if still:
        raise CannotMeasure(
            f"The benchmark needs {' and '.join(still)}. On Debian or Ubuntu: apt install {' '.join(still)}"
        )


def _have(name: str) -> bool:
    return (nginx() if name == "nginx" else _postgres()) is not None


def _postgres() -> str | None:
    try:
        return binary("postgres")
    except RuntimeError:
        return None


def nginx() -> str | None:
    """Its path; Debian keeps it where only root looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def say(text: str) -> None:
    """Tells the person at the terminal how far it is."""
    print(text, file=sys.stderr, flush=True)


class Child:
    """A process of ours, its words in a log that is shown when it fails."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        log: Path,
        cwd: Path = ROOT,
        new_session: bool = False,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=dict(environ), stdout=output, stderr=output, start_new_session=new_session
            )
        self.pid = self.process.pid

    def check(self) -> None:
        """CannotMeasure, with its last words, if it has ended."""
        code = self.process.poll()
        if code is not None:
            raise CannotMeasure(f"{self.process.args} ended with {code}:\n{self.log.read_text()[-3000:]}")

    def stop(self, within: float = 40.0) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[Child]:
    """A process while the block runs; CannotMeasure if it did not last so long."""
    child = Child(command, environ, log)
    try:
        yield child
        child.check()
    finally:
        child.stop()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def cpu_seconds(*pids: int) -> float:
    """The processor time that processes and all their children used: what other load distorts least."""
    return sum(_cpu_of(pid) for pid in pids)


def _cpu_of(pid: int) -> float:
    try:
        numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
        tasks = [task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it ended meanwhile, and its parent has its time
        return 0.0
    own = sum(int(number) for number in numbers) / os.sysconf("SC_CLK_TCK")
    return own + cpu_seconds(*(int(child) for children in tasks for child in children))


def resident_mb(pid: int) -> float:
    """The resident memory of a process."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
