"""Leadhook's programs as forks of one process that has imported them, for tests that are not about their start.

Importing takes each program a second of processor time. `make run` forks its parts in the same way, see
webapp/run/forks.py. A fork has the arguments, environment, directory and outputs that it is given, and goes on as
Python's main program.
"""

import array
import atexit
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from tests.support.site import ROOT, Site
from tests.support.waiting import wait_until

OUTPUTS = 1, 2
WEB_PROCESSES = 2  # as in gunicorn.conf.py


class Program:
    """A program that runs, used like a subprocess.Popen."""

    def __init__(self, pid: int, ended: int) -> None:
        """`ended`: the reading end of a pipe, for its exit code."""
        self.pid, self._ended = pid, ended
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ends_within(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ends_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def _ends_within(self, seconds: float | None) -> int | None:
        if self.returncode is None and self._is_told(seconds):
            self.returncode = int(os.read(self._ended, 16) or b"-9")  # nothing: the process that forks is gone
            os.close(self._ended)
        return self.returncode

    def _is_told(self, seconds: float | None) -> bool:
        waiting = select.poll()  # select() knows descriptors below 1024 only
        waiting.register(self._ended, select.POLLIN)
        return bool(waiting.poll(None if seconds is None else seconds * 1000))

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Forking:
    """The process that forks, and the socket to it. It ends, with its forks, when this process does."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forking", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self._end)

    def start(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdout: int = 1, stderr: int = 2
    ) -> Program:
        """`arguments`: those of the interpreter, a file or `-m` and a module first."""
        reading, writing = os.pipe()
        os.set_inheritable(reading, False)
        ours = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env), "umask": umask()}
        said = json.dumps(ours).encode()
        with self._lock:
            descriptors = array.array("i", [stdout, stderr, writing]).tobytes()
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
            self._socket.sendmsg([len(said).to_bytes(4, "big")], rights)
            self._socket.sendall(said)
            pid = int.from_bytes(self._socket.recv(4), "big")
        os.close(writing)
        assert pid, "the process that forks is gone"
        return Program(pid, reading)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait(timeout=60)


def umask() -> int:
    """The umask of this process, which a child inherits."""
    found = os.umask(0o077)
    os.umask(found)
    return found


@cache
def forking() -> Forking:
    """One for all tests that this process runs."""
    return Forking()


class ForkedSite(Site):
    """A site whose programs are forks."""

    def _start(self, *arguments: str) -> Program:  # type: ignore[override]
        outputs = (self.log.fileno(), self.log.fileno()) if self.log else OUTPUTS
        return forking().start(arguments, self.code, self.environ, *outputs)

    def start_web(self, *options: str) -> None:
        super().start_web(*options)
        count = int(options[options.index("--workers") + 1]) if "--workers" in options else WEB_PROCESSES
        wait_until(lambda: self._that_can_be_stopped() in (count, None), f"{count} web processes")

    def _that_can_be_stopped(self) -> int | None:
        """How many web processes there are, once a SIGTERM would end each; None where the system does not say.

        gunicorn's have its arbiter's handlers when they begin. A SIGTERM that comes then is lost, and the stop lasts as
        long as it may. Only the processes catch SIGABRT, the arbiter does not.
        """
        assert self.web
        try:
            pids = Path(f"/proc/{self.web.pid}/task/{self.web.pid}/children").read_text().split()
            caught = [re.search(r"SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text()) for pid in pids]
        except OSError:
            return None
        return sum(bool(each and int(each[1], 16) & 1 << signal.SIGABRT - 1) for each in caught)


@contextmanager
def running_site(environ: Mapping[str, str], log: IO[bytes] | None = None) -> Iterator[Site]:
    """A site of forks that has started."""
    site = ForkedSite(environ, log)
    try:
        site.start()
        yield site
    finally:
        site.stop()
