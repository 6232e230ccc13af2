"""Child processes: they are started again when they die, and end when their parent ends, however it ends.

A child is a program, or a fork that goes on with what this process has imported and built: so all share that memory.
Nothing is polled while all is well: a signal wakes the parent.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

from webapp.run import forks
from webapp.run.forks import FROM_TERMINAL, Forked

POLL = 0.1  # seconds between two looks at what is waited for, other than children
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0  # seconds before a dead child is started again; doubles while it keeps dying
SETTLED = 30.0  # seconds after which the next death of a child counts as its first one again
LOOK = 1.0  # seconds between two looks at the parent, on systems without a parent-death signal


class Stopped(Exception):
    """This process was asked to end."""


@dataclass(eq=False)
class Part:
    """One child: its name, its command and its state. `output`: the file for its stdout and stderr.

    `work`: what a fork does instead of the command, on Linux, where `ps` can show the fork as `title`; everywhere if
    there is no command.
    """

    name: str
    command: list[str]
    output: Path | None = None
    work: Callable[[], int] | None = None
    title: str = ""
    once: bool = False  # it is not started again once it has ended
    process: "subprocess.Popen[bytes] | Forked | None" = None
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
    _make: int | None = None  # the make that started this process
    _woken_by: int | None = None  # a pipe: each signal writes a byte into it

    def listen(self, with_make: bool = False) -> None:
        """From now on SIGTERM, SIGHUP and Ctrl-C ask this process to end; a second Ctrl-C makes it end at once.

        `with_make`: so does the end of the make that started it, if one did.
        """
        self._woken_by, wakes = _pipe()
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, *FROM_TERMINAL):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # ignored under nohup
                signal.signal(number, self._ask_to_stop)
        if with_make and "MAKELEVEL" in os.environ:
            self._make = os.getppid()
            forks.end_with_parent()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        # make forwards a SIGTERM that the whole group got, so it comes twice. Only Ctrl-C counts a second time.
        if number == signal.SIGINT or not self.asked_to_stop:
            self.asked_to_stop += 1

    def check(self) -> None:
        """Raises Stopped if this process was asked to end, or if the make that started it is gone."""
        if self.asked_to_stop or self._make not in (None, os.getppid()):
            raise Stopped

    def start(self, part: Part) -> None:
        if part not in self.parts:
            self.parts.append(part)
        if part.work and (forks.LIBC or not part.command):
            part.process = Forked(part.work, part.title or part.name)
        else:
            part.process = self._run(part)
        part.started_at, part.start_at = time.monotonic(), None
        if forks.LIBC is None:
            _end_with_parent(part.process.pid)

    def _run(self, part: Part) -> "subprocess.Popen[bytes]":
        output: IO[bytes] | None = open(part.output, "wb") if part.output else None  # noqa: SIM115 - closed below
        try:
            return subprocess.Popen(  # noqa: S603 - our own programs
                part.command,
                cwd=self.directory,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=partial(forks.begin, os.getpid()),
            )
        finally:
            if output:
                output.close()

    def wait_for(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Waits for `ready()` and tends the parts meanwhile; returns whether it was true in time. May raise Stopped."""
        ends_at = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > ends_at:
                return False
            self.tend(POLL)
        return True

    def tend(self, at_most: float | None = None) -> None:
        """Checks all parts once, starts again what died, then waits `at_most` seconds for something to do. May raise
        Stopped."""
        self.check()
        now = time.monotonic()
        for part in [*self.parts]:
            if part.start_at is not None and now >= part.start_at:
                self.start(part)
            elif part.start_at is None and part.process and (code := part.process.poll()) is not None:
                self._ended(part, code, now)
        self._rest(at_most)

    def _rest(self, at_most: float | None) -> None:
        """Waits for a signal, but not longer than until a part is to be started again."""
        waits = [part.start_at - time.monotonic() for part in self.parts if part.start_at is not None]
        waits += [] if at_most is None else [at_most]
        waits += [LOOK] if forks.LIBC is None or self._woken_by is None else []
        signals = [] if self._woken_by is None else [self._woken_by]
        if select.select(signals, [], [], max(0.0, min(waits)) if waits else None)[0]:
            os.read(signals[0], 4096)

    def _ended(self, part: Part, code: int, now: float) -> None:
        if part.once:
            self.parts.remove(part)
            return
        self.check()  # it may have been asked to end at the same moment as this process
        if now - part.started_at > SETTLED:
            part.wait = FIRST_WAIT
        self.tell(part, code)
        part.start_at = now + part.wait
        part.wait = min(part.wait * 2, LONGEST_WAIT)

    def tell(self, part: Part, code: int) -> None:
        """Says that a part died, and how: its exit code, negative for a signal."""
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        self.say(f"{part.name} ended {how}; it is started again.")

    def stop(self, names: Iterable[str], seconds: float) -> None:
        """Asks the named parts to end and waits for them. Kills those that still run after `seconds`."""
        wanted = set(names)
        processes = [part.process for part in self.parts if part.name in wanted and part.process]
        for process in processes:
            process.terminate()
        ends_at = time.monotonic() + seconds
        while processes := [process for process in processes if process.poll() is None]:
            if time.monotonic() > ends_at or self.asked_to_stop > 1:
                for process in processes:
                    process.kill()
            time.sleep(0.02)


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def _end_with_parent(child: int) -> None:
    """For systems without a parent-death signal: a background shell that ends the child when this process is gone."""
    watch = '(while kill -0 "$0" && kill -0 "$1"; do sleep 1; done; kill "$1") 2>/dev/null &'
    subprocess.run(["/bin/sh", "-c", watch, str(os.getpid()), str(child)], check=False)  # noqa: S603
