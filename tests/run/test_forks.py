"""Forks of this program: what they share with their parent, and what they must not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere make run starts programs")

BEGIN = """
import os, sys, types, signal, subprocess, time, fcntl, threading, gc
for name in ("webapp", "webapp.run"):  # only these modules: importing all of webapp takes a second
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [name.replace(".", "/")]
from webapp.run.forks import Forked, share_memory
"""


def said(script: str, *arguments: str) -> str:
    """What a separate interpreter prints that runs the script, errors included."""
    command = [sys.executable, "-c", BEGIN + script, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_ps_shows_its_title_and_of_one_that_is_too_long_the_beginning() -> None:
    script = """
def work():
    for column in ("args=", "comm="):
        subprocess.run(["ps", "-ww", "-o", column, "-p", str(os.getpid())])
    return 0
Forked(work, "worker.py fast").wait()
Forked(work, "gunicorn " + "x" * 100_000).wait()
"""
    short, comm, long, _ = said(script).splitlines()
    assert (short, comm) == ("worker.py fast", "worker.py")
    assert long.startswith("gunicorn xxx")


def test_its_exit_code_is_that_of_its_work(tmp_path: Path) -> None:
    script = """
def fail():
    raise ValueError("no luck")
for work in (lambda: 0, lambda: 7, lambda: sys.exit(3), sys.exit, lambda: sys.exit("words"), fail):
    print(Forked(work, "x").wait(), flush=True)
stuck = Forked(lambda: time.sleep(60), "x")
stuck.terminate()
print(stuck.wait(), stuck.poll())
"""
    printed = said(script)
    assert [line for line in printed.splitlines() if line.lstrip("-").replace(" -", "").isdigit()] == [
        *("0", "7", "3", "0", "1", "1"),
        "-15 -15",
    ]
    assert "ValueError: no luck" in printed


def test_it_keeps_no_file_of_its_parent_open_and_reads_nothing(tmp_path: Path) -> None:
    """Else it would hold the lock of LEADHOOK_HOME after its parent is gone."""
    script = """
def work():
    print(sorted(os.listdir("/proc/self/fd"))[:-1], os.readlink("/proc/self/fd/0"), flush=True)
    return 0
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
Forked(work, "x").wait()
child = Forked(lambda: time.sleep(60), "x")
lock.close()
signal.alarm(20)
with open(sys.argv[1], "w") as again:
    fcntl.flock(again, fcntl.LOCK_EX)
print(child.poll())
child.kill()
child.wait()
"""
    assert said(script, str(tmp_path / "lock")) == "['0', '1', '2'] /dev/null\nNone\n"


def test_it_has_the_default_signals_and_a_working_garbage_collector() -> None:
    script = """
signal.signal(signal.SIGTERM, print)
signal.set_wakeup_fd(os.open("/dev/null", os.O_WRONLY | os.O_NONBLOCK))
gc.disable()
share_memory()
def work():
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, signal.set_wakeup_fd(-1), gc.isenabled(), flush=True)
    print(signal.SIGTERM in blocked, {signal.SIGINT, signal.SIGHUP} <= blocked, flush=True)
    return 0
Forked(work, "x").wait()
print(signal.getsignal(signal.SIGTERM) == print, signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, set()))
"""
    assert said(script).splitlines() == ["True -1 True", "False True", "True False"]


def test_a_process_with_a_thread_does_not_fork() -> None:
    """A fork has no threads: a lock that one of them held would never be released."""
    script = """
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
Forked(lambda: 0, "x")
"""
    assert "RuntimeError: threads run where a process forks" in said(script)


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_it_ends_with_its_parent_and_so_do_its_own_forks(number: str) -> None:
    script = """
def inner():
    print(os.getpid(), flush=True)
    time.sleep(60)
def outer():
    print(os.getpid(), flush=True)
    return Forked(inner, "x").wait()
def parent():
    child = Forked(outer, "x")
    time.sleep(60)
child = Forked(parent, "x")
time.sleep(1)
os.kill(child.pid, signal.Signals[sys.argv[1]])
child.wait()
"""
    pids = said(script, number).split()  # returns once the last of them has closed its output
    assert len(pids) == 2
