"""An RQ worker on threads: when it ends."""

import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from webapp.delivery import worker
from webapp.delivery.slots import Slots
from webapp.delivery.worker import ThreadedWorker


@pytest.fixture
def told_to_stop() -> Iterator[None]:
    """By a signal that came while nobody listened but worker.py."""
    worker.stop()
    yield
    worker._stopping.clear()


@pytest.mark.usefixtures("told_to_stop")
def test_a_process_that_is_told_to_stop_before_rq_listens_ends_at_once(
    app: Flask, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ looks for signals of its own only, and would dequeue for ever."""
    monkeypatch.setattr(ThreadedWorker, "_install_signal_handlers", lambda self: None)
    with Redis.from_url(valkey_url) as connection:
        queue = Queue("fast", connection=connection, serializer=JSONSerializer)
        ours = ThreadedWorker(app, queue, Slots(1))
        working = threading.Thread(target=ours.work, kwargs={"logging_level": "WARNING"}, daemon=True)
        working.start()
        working.join(10)
        ended = not working.is_alive()
        ours._stop_requested = True  # or it would outlive the test
    assert ended
