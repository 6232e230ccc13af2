"""Slots: how many jobs a process begins while other jobs compute, wait or hang."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.no_threads import refused
from tests.support.waiting import wait_until
from webapp.delivery import slots
from webapp.delivery.slots import ACTIVE, Slots, waiting


class Jobs:
    """Jobs that run until they are let end, and a thread that begins one after another."""

    def __init__(self) -> None:
        self.begun = 0
        self.over = threading.Event()
        self._changed = threading.Condition()

    def computing(self) -> None:
        self._count()
        self.over.wait()

    def waiting(self) -> None:
        with waiting():
            self._count()
            self.over.wait()

    def _count(self) -> None:
        with self._changed:
            self.begun += 1
            self._changed.notify_all()

    def wait_for(self, number: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.begun >= number, timeout=10)


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs()
    yield jobs
    jobs.over.set()


def begin(pool: Slots, jobs: Jobs, job: str, number: int) -> threading.Thread:
    """Begins `number` jobs from a thread, which is blocked as the worker's main thread would be."""

    def run() -> None:
        for _ in range(number):
            pool.begin(getattr(jobs, job))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_few_jobs_compute_at_a_time(jobs: Jobs) -> None:
    pool = Slots(128)
    thread = begin(pool, jobs, "computing", ACTIVE + 1)
    assert jobs.wait_for(ACTIVE)
    thread.join(timeout=0.3)
    assert thread.is_alive()  # blocked: no job waits, so no slot is free
    assert jobs.begun == ACTIVE
    jobs.over.set()
    thread.join(timeout=10)
    assert jobs.wait_for(ACTIVE + 1)
    assert pool.drained(within=10)


def test_jobs_that_wait_let_others_begin_up_to_the_number_of_slots(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "HANGS_AFTER", 1000.0)
    pool = Slots(20)
    thread = begin(pool, jobs, "waiting", 21)
    assert jobs.wait_for(20)
    thread.join(timeout=0.3)
    assert jobs.begun == 20
    jobs.over.set()
    thread.join(timeout=10)
    assert pool.drained(within=10)


def test_jobs_that_hang_occupy_no_slots(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "HANGS_AFTER", 0.05)
    pool = Slots(10)
    thread = begin(pool, jobs, "waiting", 40)
    assert jobs.wait_for(40)
    jobs.over.set()
    thread.join(timeout=10)
    assert pool.drained(within=10)


def test_a_pace_delays_the_next_job_unless_the_process_stops(jobs: Jobs) -> None:
    began = time.monotonic()
    Slots(4, pace=0.2).begin(lambda: None)
    assert time.monotonic() - began >= 0.2
    Slots(4, stopping=lambda: True, pace=3600).begin(lambda: None)


def test_running_jobs_are_not_waited_for_longer_than_allowed(jobs: Jobs) -> None:
    pool = Slots(4)
    pool.begin(jobs.computing)
    assert not pool.drained(within=0.05)
    jobs.over.set()
    assert pool.drained(within=10)


def test_what_another_job_hands_over_finds_a_slot_while_many_compute(jobs: Jobs) -> None:
    pool = Slots(ACTIVE + 1)
    for _ in range(ACTIVE):
        pool.add(jobs.computing)
    assert pool.has_room()
    pool.add(jobs.computing)
    assert not pool.has_room()
    jobs.over.set()
    assert pool.drained(within=10)
    assert pool.has_room()


def test_what_another_job_hands_over_finds_a_slot_while_others_hang(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "HANGS_AFTER", 0.0)
    pool = Slots(10)
    for number in range(1, 41):
        wait_until(pool.has_room, f"room for job {number}", every=0.005)
        pool.add(jobs.waiting)
    assert jobs.wait_for(40)
    assert not pool.has_room()  # a process has four threads for each slot
    for _ in range(slots.LEAST_MORE):
        pool.add(jobs.waiting)
    assert jobs.wait_for(40 + slots.LEAST_MORE), "what has begun waits behind those that hang"
    jobs.over.set()
    assert pool.drained(within=10)


def test_what_another_job_hands_over_finds_no_slot_while_others_wait_for_a_moment(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "HANGS_AFTER", 1000.0)
    pool = Slots(10)
    for _ in range(10):
        assert pool.has_room()
        pool.add(jobs.waiting)
    assert jobs.wait_for(10)
    assert not pool.has_room()


def test_a_system_without_threads_performs_a_job_once_on_a_thread_that_gets_free(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, done = Slots(4), list[int]()
    pool.begin(jobs.computing)
    with monkeypatch.context() as patch:
        patch.setattr(ThreadPoolExecutor, "_adjust_thread_count", refused)
        pool.add(lambda: done.append(1))
    assert not done
    jobs.over.set()
    assert pool.drained(within=10)
    assert done == [1]


def test_without_any_thread_a_job_is_refused_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreadPoolExecutor, "_adjust_thread_count", refused)
    pool = Slots(4)
    with pytest.raises(RuntimeError, match="new thread"):
        pool.add(lambda: None)
    assert pool.drained(within=0)
