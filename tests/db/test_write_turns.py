"""First come, first served; who waits too long goes without."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until
from webapp.db.write_turns import Gate, Line


def test_it_is_handed_over_in_order_but_what_is_short_goes_first() -> None:
    line, served = Line(), []
    assert line.enter(1)

    def wait(name: str, short: bool) -> None:
        assert line.enter(60, short)
        served.append(name)
        line.leave()

    threads = []
    for number, name in enumerate(("first", "second", "short", "shorter")):
        threads.append(threading.Thread(target=wait, args=(name, name.startswith("short"))))
        threads[-1].start()
        wait_until(lambda number=number: len(line._long) + len(line._short) > number, "it to wait")
    line.leave()
    for thread in threads:
        thread.join(60)
    assert served == ["short", "shorter", "first", "second"]
    assert line.enter(0)


def test_who_waits_too_long_goes_without_and_is_forgotten() -> None:
    line = Line()
    assert line.enter(0)
    assert not line.enter(0.01)
    line.leave()
    assert line.enter(0)


# Among processes -----------------------------------------------------------------------------------------------------

HOLD = """
import sys
from webapp.db.write_turns import Gate
gate = Gate(sys.argv[1])
assert gate.enter(60)
print("held", flush=True)
for line in sys.stdin:
    gate.leave()
    assert gate.enter(60)  # at once again, which must let others in between
    print("held", flush=True)
"""


@contextmanager
def held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the gate, and enters it again after each line it reads."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_one_process_at_a_time_is_let_in_and_a_killed_one_holds_nobody_up(tmp_path: Path) -> None:
    gate = Gate(str(tmp_path / "gate"))
    with held_by_another(tmp_path / "gate") as process:
        assert not gate.enter(0.05)
        process.kill()
        assert gate.enter(60)
    gate.leave()


def test_who_waits_comes_before_who_has_just_left(tmp_path: Path) -> None:
    gate = Gate(str(tmp_path / "gate"))
    with held_by_another(tmp_path / "gate") as process:
        assert process.stdin
        assert process.stdout
        entered: list[bool] = []
        waits = threading.Thread(target=lambda: entered.append(gate.enter(60)))
        waits.start()
        wait_until(lambda: _next_is_taken(tmp_path / "gate"), "this process to be the next")
        process.stdin.write("again\n")
        process.stdin.flush()
        waits.join(60)
        assert entered == [True]
        gate.leave()
        assert process.stdout.readline() == "held\n"


def _next_is_taken(path: Path) -> bool:
    """Asks as a third process would: locks of this process are no obstacle to itself."""
    asks = f"import fcntl; fcntl.lockf(open({str(path)!r}, 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1)"
    return subprocess.run([sys.executable, "-c", asks], capture_output=True).returncode != 0


def test_a_fork_does_not_think_its_parents_lock_its_own(tmp_path: Path) -> None:
    gate = Gate(str(tmp_path / "gate"))
    assert gate.enter(60)
    child = os.fork()
    if not child:
        os._exit(7 if gate.enter(0.05) else 0)
    assert os.waitpid(child, 0)[1] == 0
    gate.leave()


def test_where_the_file_cannot_be_used_nobody_waits(tmp_path: Path) -> None:
    gate = Gate(str(tmp_path / "missing" / "gate"))
    assert not gate.enter(60)
