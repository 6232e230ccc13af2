"""An RQ worker on threads: what it writes to Redis about a job, and when it ends."""

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from operator import floordiv as divide
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from redis import Redis
from rq import get_current_job
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from structlog.testing import capture_logs

from tests.support.interrupting import moments_of, told_at
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until
from webapp.delivery import threaded_worker
from webapp.delivery.slots import LONGEST, Slots, StopSign
from webapp.delivery.threaded_worker import OneQueue, ThreadedWorker

performed: list[Any] = []


@pytest.fixture
def queue(valkey_url: str) -> Iterator[OneQueue]:
    performed.clear()
    with Redis.from_url(valkey_url) as connection:
        yield OneQueue("fast", connection=connection, serializer=JSONSerializer)


def note(name: str) -> None:
    performed.append(name)


def look_at_myself() -> None:
    job = get_current_job()
    assert job
    registry = job.started_job_registry
    performed.append((job.id, job.get_status(), registry.get_job_ids()))


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Makes this process one that nothing has asked to stop, with the handlers of worker.py. Undone after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def anew() -> None:
        monkeypatch.setattr(threaded_worker, "_stopping", StopSign())
        for number in before:
            signal.signal(number, threaded_worker.stop)

    anew()
    yield anew
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def told_to_stop(process: Callable[[], None]) -> None:
    """The signal came when only worker.py handled signals."""
    threaded_worker.stop()


@pytest.mark.usefixtures("told_to_stop")
def test_a_process_that_is_told_to_stop_before_rq_listens_ends_at_once(
    app: Flask, queue: OneQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ notices only signals that it handled itself, and would dequeue for ever."""
    monkeypatch.setattr(ThreadedWorker, "_install_signal_handlers", lambda self: None)
    worker = ThreadedWorker(app, queue, Slots(1))
    working = threading.Thread(target=worker.work, kwargs={"logging_level": "WARNING"}, daemon=True)
    working.start()
    working.join(10)
    ended = not working.is_alive()
    worker._stop_requested = True  # otherwise it would outlive the test
    assert ended


# A signal may come when a socket is made and no object has it yet: the process ends, and so does the socket.
abandons_sockets = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.mark.once
@abandons_sockets
def test_a_worker_that_is_told_to_stop_at_any_moment_while_redis_is_away_stops(
    app: Flask, queue: OneQueue, process: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While it connects, while it logs why it cannot, while it waits to try again."""
    monkeypatch.setattr(threaded_worker, "RECONNECT", 0.001)
    worker = ThreadedWorker(app, queue, Slots(1))
    worker.last_cleaned_at = datetime.now(UTC)

    def begin() -> None:
        process()
        worker._install_signal_handlers()
        worker.connection = Redis.from_url(f"unix://{tmp_path}/away")
        worker._beat_at = 0.0
        threaded_worker.trouble.reason = ""  # so that it logs

    def dequeue() -> None:
        with pytest.raises(StopRequested):
            worker.dequeue_job_and_maintain_ttl(5)

    with monkeypatch.context() as patch:
        looks = itertools.count()
        patch.setattr(threaded_worker, "is_stopping", lambda: next(looks) > 3)
        begin()
        moments = moments_of(dequeue)
    for moment in range(1, moments):
        begin()
        assert told_at(moment, dequeue)
    assert moments > 300


@pytest.mark.once
def test_redis_that_goes_away_between_two_jobs_is_logged_in_one_line(
    app: Flask,
    queue: OneQueue,
    process: Callable[[], None],
    valkey: Valkey,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threaded_worker, "BEAT", 0.0)

    def go_away(*arguments: Any) -> None:
        valkey.stop()
        threaded_worker.stop()

    monkeypatch.setattr(ThreadedWorker, "execute_job", go_away)
    mail = OneQueue("mail", connection=queue.connection, serializer=JSONSerializer)
    mail.enqueue(note, "x", job_id="1-x", job_timeout=-1, result_ttl=0)
    assert threaded_worker.serve(app, "mail", 1)
    [record] = [each for each in caplog.records if "unhandled" in each.message]
    assert "Traceback" not in caplog.text
    assert "connecting to" in record.message


@pytest.mark.once
@abandons_sockets
def test_a_process_that_is_told_to_stop_at_any_moment_ends(app: Flask, process: Callable[[], None]) -> None:
    """While it begins, at every 61st moment, and while it waits for a job."""
    main = threading.main_thread().ident
    assert main
    ended = threading.Event()

    def work() -> None:
        assert threaded_worker.serve(app, "mail", 1)

    def tell_it_once_it_waits() -> None:
        wait_until(lambda: ended.is_set() or threaded_worker._stopping._breaks, "it to wait for a job", every=0.005)
        if not ended.is_set():
            signal.pthread_kill(main, signal.SIGTERM)

    for moment in itertools.count(1, 61):
        process()
        ended.clear()
        later = threading.Thread(target=tell_it_once_it_waits)
        later.start()
        began = time.monotonic()
        was_there = told_at(moment, work)
        assert time.monotonic() - began < 4, "it waits for a job for five seconds"
        ended.set()
        later.join()
        if not was_there:
            break
    assert moment > 500


def perform_all(app: Flask, queue: OneQueue) -> None:
    """Performs the jobs of the queue, as a worker process does."""
    slots = Slots(2)
    ThreadedWorker(app, queue, slots).work(burst=True, logging_level="CRITICAL")
    assert slots.drained(within=10)


def test_a_job_that_begins_ends_the_trouble_with_redis_so_that_the_next_one_is_logged_at_once(
    app: Flask, queue: OneQueue
) -> None:
    with capture_logs() as logged:
        for number in range(2):
            threaded_worker.trouble.report("Connection refused")
            queue.enqueue(note, "x", job_id=f"{number}-x", job_timeout=-1, result_ttl=0)
            perform_all(app, queue)
    events = [entry["event"] for entry in logged if "Redis" in entry["event"]]
    assert events == ["Redis cannot be used, trying again", "Redis can be used again"] * 2


def test_a_job_that_was_deleted_while_it_waited_leaves_nothing_behind(app: Flask, queue: OneQueue) -> None:
    queue.connection.set("leadhook:rung:7", 1)
    for name in ("7-deleted", "8-kept"):
        queue.enqueue(note, name, job_id=name, job_timeout=-1, result_ttl=0)
    queue.connection.delete("rq:job:7-deleted")
    perform_all(app, queue)
    assert performed == ["8-kept"]
    assert not queue.connection.exists("rq:job:7-deleted", "leadhook:rung:7", queue.intermediate_queue_key)
    assert queue.started_job_registry.get_job_count() == 0


def test_a_job_is_listed_while_it_runs_and_deleted_after_it(app: Flask, queue: OneQueue) -> None:
    queue.enqueue(look_at_myself, job_id="9-looks", job_timeout=-1, result_ttl=0)
    perform_all(app, queue)
    assert performed == [("9-looks", "started", ["9-looks"])]
    assert not queue.connection.exists("rq:job:9-looks", queue.started_job_registry.key)


def test_a_job_that_lasts_as_long_as_ours_may_is_not_taken_for_lost(app: Flask, queue: OneQueue) -> None:
    """It sends until LONGEST is over, and then waits for the last answer: 15 s, if nobody set WEBHOOK_DEADLINE."""
    job = queue.enqueue(note, "one", job_timeout=-1)
    ttl = ThreadedWorker(app, queue, Slots(1)).get_heartbeat_ttl(job)
    assert ttl > LONGEST + 15


def test_a_job_that_raises_is_kept_as_failed(app: Flask, queue: OneQueue) -> None:
    queue.enqueue(divide, 1, 0, job_id="9-raises", job_timeout=-1, result_ttl=0)
    perform_all(app, queue)
    assert queue.failed_job_registry.get_job_ids() == ["9-raises"]
    failed = queue.fetch_job("9-raises")
    assert failed
    assert failed.get_status() == "failed"
    result = failed.latest_result()
    assert result
    assert "ZeroDivisionError" in (result.exc_string or "")
    assert queue.started_job_registry.get_job_count() == 0


def test_a_job_whose_worker_died_is_found_and_kept_as_failed(
    app: Flask, queue: OneQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.enqueue(note, "never", job_id="9-left", job_timeout=-1, result_ttl=0)
    monkeypatch.setattr(ThreadedWorker, "_perform", lambda *a: None)  # as if the worker was killed just then
    perform_all(app, queue)
    assert queue.started_job_registry.get_job_ids(cleanup=False) == ["9-left"]
    queue.started_job_registry.cleanup(timestamp=time.time() + 3600)
    assert queue.failed_job_registry.get_job_ids() == ["9-left"]
    assert queue.started_job_registry.get_job_count(cleanup=False) == 0
