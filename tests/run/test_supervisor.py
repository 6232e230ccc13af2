"""Child processes: they are started again when they die, and end when their parent ends, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.tree import ROOT
from tests.support.waiting import wait_until
from webapp.run.supervisor import FIRST_WAIT, Part, Stopped, Supervisor

# A parent that starts one child, prints its pid, and then only tends it.
PARENT = """
import os, sys, types
from pathlib import Path
for name in ("webapp", "webapp.run"):  # only these modules: importing all of webapp takes two seconds
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [name.replace(".", "/")]
from webapp.run import forks, supervisor
if "portable" in sys.argv:
    forks.LIBC = None
parent = supervisor.Supervisor(dict(os.environ), Path("/"), say=print)
parent.listen()
part = supervisor.Part("sleep", ["sleep", "1000"])
parent.start(part)
print(part.process.pid, flush=True)
try:
    while True:
        parent.tend()
except supervisor.Stopped:
    parent.stop(["sleep"], 5)
"""


def start(*arguments: str) -> tuple["subprocess.Popen[str]", int]:
    """Starts a parent; returns it and the pid of its child."""
    command = [*arguments[:1], sys.executable, "-c", PARENT, *arguments[1:]]
    parent = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # The tests may run under nohup, and children inherit ignored signals.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert parent.stdout
    return parent, int(parent.stdout.readline())


def is_gone(pid: int) -> bool:
    """Whether a process has ended; also if its parent has not waited for it yet."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def ended(parent: "subprocess.Popen[str]", child: int) -> None:
    parent.wait(timeout=20)
    assert parent.stdout
    parent.stdout.close()
    wait_until(lambda: is_gone(child), "the child to end")


@pytest.mark.parametrize("arguments", [(), ("env", "portable")], ids=["on Linux", "elsewhere"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_child_ends_with_its_parent(arguments: tuple[str, ...], number: signal.Signals) -> None:
    parent, child = start(*arguments)
    parent.send_signal(number)
    ended(parent, child)


def test_the_child_ignores_signals_from_the_terminal() -> None:
    parent, child = start()
    os.kill(child, signal.SIGINT)
    os.kill(child, signal.SIGHUP)
    time.sleep(0.3)  # long enough to die
    assert not is_gone(child)
    parent.terminate()
    ended(parent, child)


def test_the_parent_runs_on_under_nohup() -> None:
    parent, child = start("nohup")
    parent.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert parent.poll() is None
    parent.terminate()
    ended(parent, child)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str], tmp_path: Path) -> Supervisor:
    return Supervisor(dict(os.environ), tmp_path, say=said.append)


def test_a_child_that_keeps_dying_is_started_again_at_growing_intervals(
    supervisor: Supervisor, said: list[str]
) -> None:
    part = Part("false", ["false"])
    supervisor.start(part)
    assert supervisor.wait_for(lambda: len(said) == 3, 10)
    assert part.wait == FIRST_WAIT * 8
    assert said[0] == "false ended with code 1; it is started again."


def test_the_message_says_how_a_child_died(supervisor: Supervisor, said: list[str]) -> None:
    part = Part("sleep", ["sleep", "1000"])
    supervisor.start(part)
    assert part.process
    first = part.process.pid
    part.process.kill()
    assert supervisor.wait_for(lambda: part.process is not None and part.process.pid != first, 10)
    assert said == ["sleep ended by SIGKILL; it is started again."]
    supervisor.stop(["sleep"], 5)
    assert part.process.returncode == -signal.SIGTERM


def test_what_is_done_once_is_not_started_again(supervisor: Supervisor, said: list[str]) -> None:
    part = Part("true", ["true"], once=True)
    supervisor.start(part)
    assert supervisor.wait_for(lambda: part not in supervisor.parts, 10)
    assert said == []


def test_a_child_that_does_not_end_in_time_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    part = Part("deaf", ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"], output=tmp_path / "out")
    supervisor.start(part)
    assert supervisor.wait_for(lambda: (tmp_path / "out").read_text() == "deaf\n", 10)
    supervisor.stop(["deaf"], 0.2)
    assert part.process
    assert part.process.returncode == -signal.SIGKILL


def test_waiting_ends_when_the_parent_is_asked_to_end(supervisor: Supervisor) -> None:
    supervisor.asked_to_stop = 1
    with pytest.raises(Stopped):
        supervisor.wait_for(lambda: False, 60)
    supervisor.asked_to_stop = 0
    assert not supervisor.wait_for(lambda: False, 0.1)


def test_a_child_that_ends_at_the_same_moment_is_not_said_to_have_died(
    supervisor: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.start(part := Part("true", ["true"]))
    assert part.process
    part.process.wait()

    def told_just_now() -> int:
        supervisor.asked_to_stop = 1
        return 0

    monkeypatch.setattr(part.process, "poll", told_just_now)
    with pytest.raises(Stopped):
        supervisor.tend()
    assert said == []
