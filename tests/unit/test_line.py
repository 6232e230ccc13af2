"""First come, first served; who waits too long goes without."""

import threading

from tests.support.waiting import wait_until
from webapp.line import Line


def test_it_is_handed_over_in_order() -> None:
    line, served = Line(), []
    assert line.enter(1)

    def wait(number: int) -> None:
        assert line.enter(60)
        served.append(number)
        line.leave()

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        wait_until(lambda number=number: len(line._waiting) > number, "it to wait")
    line.leave()
    for thread in threads:
        thread.join(60)
    assert served == [0, 1, 2]
    assert line.enter(0)


def test_who_waits_too_long_goes_without_and_is_forgotten() -> None:
    line = Line()
    assert line.enter(0)
    assert not line.enter(0.01)
    line.leave()
    assert line.enter(0)
