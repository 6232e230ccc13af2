"""Locks that serve their waiters in order, among threads and among processes."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until
from webapp.db.write_turns import FairLock, ProcessLock


def test_waiters_get_the_lock_in_order_and_those_with_priority_first() -> None:
    lock, served = FairLock(), []
    assert lock.acquire(1)

    def wait(name: str, priority: bool) -> None:
        assert lock.acquire(60, priority)
        served.append(name)
        lock.release()

    threads = []
    for number, name in enumerate(("first", "second", "priority", "priority too")):
        threads.append(threading.Thread(target=wait, args=(name, name.startswith("priority"))))
        threads[-1].start()
        wait_until(lambda number=number: len(lock._others) + len(lock._priority) > number, "it to wait")
    lock.release()
    for thread in threads:
        thread.join(60)
    assert served == ["priority", "priority too", "first", "second"]
    assert lock.acquire(0)


def test_a_waiter_that_times_out_is_forgotten() -> None:
    lock = FairLock()
    assert lock.acquire(0)
    assert not lock.acquire(0.01)
    lock.release()
    assert lock.acquire(0)


# Among processes -----------------------------------------------------------------------------------------------------

HOLD = """
import sys
from webapp.db.write_turns import ProcessLock
lock = ProcessLock(sys.argv[1])
assert lock.acquire(60)
print("held", flush=True)
for line in sys.stdin:
    lock.release()
    assert lock.acquire(60)  # again at once: other processes must get it first
    print("held", flush=True)
"""


@contextmanager
def held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock. For each line it reads, it releases the lock and acquires it again."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_one_process_at_a_time_has_the_lock_and_a_killed_one_loses_it(tmp_path: Path) -> None:
    lock = ProcessLock(str(tmp_path / "gate"))
    with held_by_another(tmp_path / "gate") as process:
        assert not lock.acquire(0.05)
        process.kill()
        assert lock.acquire(60)
    lock.release()


def test_a_process_that_waits_comes_before_the_one_that_released(tmp_path: Path) -> None:
    lock = ProcessLock(str(tmp_path / "gate"))
    with held_by_another(tmp_path / "gate") as process:
        assert process.stdin
        assert process.stdout
        entered: list[bool] = []
        waits = threading.Thread(target=lambda: entered.append(lock.acquire(60)))
        waits.start()
        wait_until(lambda: _next_is_taken(tmp_path / "gate"), "this process to be the next")
        process.stdin.write("again\n")
        process.stdin.flush()
        waits.join(60)
        assert entered == [True]
        lock.release()
        assert process.stdout.readline() == "held\n"


def _next_is_taken(path: Path) -> bool:
    """Asks from a third process, because a process is not blocked by its own locks."""
    asks = f"import fcntl; fcntl.lockf(open({str(path)!r}, 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1)"
    return subprocess.run([sys.executable, "-c", asks], capture_output=True).returncode != 0


def test_a_forked_process_does_not_own_its_parents_lock(tmp_path: Path) -> None:
    lock = ProcessLock(str(tmp_path / "gate"))
    assert lock.acquire(60)
    child = os.fork()
    if not child:
        os._exit(7 if lock.acquire(0.05) else 0)
    assert os.waitpid(child, 0)[1] == 0
    lock.release()


def test_a_lock_whose_file_was_closed_meanwhile_is_released(tmp_path: Path) -> None:
    lock = ProcessLock(str(tmp_path / "gate"))
    assert lock.acquire(60)
    lock.close()
    lock.release()
    assert lock.acquire(60)
    lock.release()


def test_without_a_usable_file_no_process_waits(tmp_path: Path) -> None:
    lock = ProcessLock(str(tmp_path / "missing" / "gate"))
    assert not lock.acquire(60)
