"""A separate `make run`: make, its process group, and what it prints."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
# The recipe in ./Makefile, but with the interpreter that runs the tests. A house test compares the two.
RECIPE = "-m webapp.run"
START = 90.0  # seconds: several interpreters start at once, while other tests run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MakeRun:
    """A context manager: starts on entry, kills the whole process group on exit.

    `environ` is added to PATH, HOME, LANG and PYTHONPATH; the rest of our environment is not passed on.
    """

    def __init__(self, home: Path, scratch: Path, **environ: str) -> None:
        scratch.mkdir(exist_ok=True)
        self.makefile, self.output = scratch / "Makefile", scratch / "output"
        self.makefile.write_text(f"run:\n\t@exec {sys.executable} {RECIPE}\n")
        self.output.touch()
        ports = {"PORT": str(free_port()), "RECEIVER_PORT": str(free_port())}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
        self.environ = {**kept, **ports, "LEADHOOK_HOME": str(home), "WORKER_PROCESSES": "1", **environ}
        self.address = f"http://127.0.0.1:{self.environ['PORT']}"

    def __enter__(self) -> "MakeRun":
        with open(self.output, "wb") as output:
            command = ["make", "--no-print-directory", "-f", str(self.makefile), "run"]
            self.make = subprocess.Popen(
                command, cwd=ROOT, env=self.environ, stdout=output, stderr=output, start_new_session=True
            )
        return self

    def __exit__(self, *error: object) -> None:
        for pid in self.group():
            with suppress(ProcessLookupError):  # what is done once may have ended
                os.kill(pid, signal.SIGKILL)
        self.make.wait()

    @property
    def printed(self) -> str:
        return self.output.read_text()

    def ready(self) -> "MakeRun":
        wait_until(lambda: "Ctrl-C" in self.printed or self.make.poll() is not None, "make run to start", START)
        assert self.make.poll() is None, self.printed
        return self

    def said(self, pattern: str) -> str:
        """The first group of the pattern in what was printed."""
        found = re.search(pattern, self.printed)
        assert found, self.printed
        return found[1]

    def group(self) -> dict[int, str]:
        """The command lines of the living processes in make's group, by pid."""
        ps = ["ps", "-ww", "-eo", "pid=,pgid=,stat=,args="]
        rows = subprocess.run(ps, capture_output=True, text=True, check=True).stdout
        parts = (row.split(None, 3) for row in rows.splitlines())
        return {int(part[0]): part[3] for part in parts if int(part[1]) == self.make.pid and "Z" not in part[2]}

    def pids(self, name: str) -> list[int]:
        """The processes whose command line in `ps` contains this name, lowest pid first."""
        return sorted(pid for pid, arguments in self.group().items() if name in arguments)
