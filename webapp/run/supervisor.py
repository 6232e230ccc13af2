"""Child processes: they are started again when they die, and end when their parent ends, however it ends."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

POLL = 0.1  # seconds between two checks of the children
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0  # seconds before a dead child is started again; doubles while it keeps dying
SETTLED = 30.0  # seconds after which the next death of a child counts as its first one again
PR_SET_PDEATHSIG = 1
# A terminal sends these to all processes of the group at once. The children block them, and are stopped in order.
FROM_TERMINAL = {signal.SIGINT, signal.SIGHUP}

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Stopped(Exception):
    """This process was asked to end."""


@dataclass(eq=False)
class Part:
    """One child: its name, its command and its state. `output`: the file for its stdout and stderr."""

    name: str
    command: list[str]
    output: Path | None = None
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    wait: float = FIRST_WAIT
    start_at: float | None = None  # when to start it again; None while it runs


@dataclass(eq=False)
class Supervisor:
    """Starts parts, starts them again when they die, and stops them. `say`: prints a message for people."""

    environ: Mapping[str, str]
    directory: Path
    say: Callable[[str], None]
    parts: list[Part] = field(default_factory=list)
    asked_to_stop: int = 0
    _parent: int = field(default_factory=os.getppid)

    def listen(self) -> None:
        """From now on SIGTERM, SIGHUP and Ctrl-C ask this process to end; a second Ctrl-C makes it end at once."""
        for number in (signal.SIGTERM, *FROM_TERMINAL):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # ignored under nohup
                signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        # make forwards a SIGTERM that the whole group got, so it comes twice. Only Ctrl-C counts a second time.
        if number == signal.SIGINT or not self.asked_to_stop:
            self.asked_to_stop += 1

    def check(self) -> None:
        """Raises Stopped if this process was asked to end, or if the make that started it is gone."""
        orphaned = "MAKELEVEL" in os.environ and os.getppid() != self._parent
        if self.asked_to_stop or orphaned:
            raise Stopped

    def start(self, part: Part) -> None:
        if part not in self.parts:
            self.parts.append(part)
        output: IO[bytes] | None = open(part.output, "wb") if part.output else None  # noqa: SIM115 - closed below
        try:
            part.process = subprocess.Popen(  # noqa: S603 - our own programs
                part.command,
                cwd=self.directory,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_before_exec(os.getpid()),
            )
        finally:
            if output:
                output.close()
        part.started_at, part.start_at = time.monotonic(), None
        if _libc is None:
            _end_with_parent(part.process.pid)

    def wait_for(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Waits for `ready()` and tends the parts meanwhile; returns whether it was true in time. May raise Stopped."""
        ends_at = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > ends_at:
                return False
            self.tend()
        return True

    def tend(self) -> None:
        """Checks all parts once, starts again what died, then waits a moment. May raise Stopped."""
        self.check()
        now = time.monotonic()
        for part in self.parts:
            if part.start_at is not None and now >= part.start_at:
                self.start(part)
            elif part.start_at is None and part.process and part.process.poll() is not None:
                self._died(part, part.process.returncode, now)
        time.sleep(POLL)

    def _died(self, part: Part, code: int, now: float) -> None:
        if now - part.started_at > SETTLED:
            part.wait = FIRST_WAIT
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        self.say(f"{part.name} ended {how}; it is started again.")
        part.start_at = now + part.wait
        part.wait = min(part.wait * 2, LONGEST_WAIT)

    def stop(self, names: Iterable[str], seconds: float) -> None:
        """Asks the named parts to end and waits for them. Kills those that still run after `seconds`."""
        wanted = set(names)
        processes = [part.process for part in self.parts if part.name in wanted and part.process]
        for process in processes:
            process.terminate()
        ends_at = time.monotonic() + seconds
        while any(process.poll() is None for process in processes):
            if time.monotonic() > ends_at or self.asked_to_stop > 1:
                for process in processes:
                    process.kill()
            time.sleep(0.02)


def _before_exec(parent: int) -> Callable[[], None]:
    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, FROM_TERMINAL)
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # the parent died before the line above
                os._exit(1)

    return prepare


def _end_with_parent(child: int) -> None:
    """For systems without a parent-death signal: a background shell that ends the child when this process is gone."""
    watch = '(while kill -0 "$0" && kill -0 "$1"; do sleep 1; done; kill "$1") 2>/dev/null &'
    subprocess.run(["/bin/sh", "-c", watch, str(os.getpid()), str(child)], check=False)  # noqa: S603
