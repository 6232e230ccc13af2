"""A reader who follows one lead opens few modules: they are counted by running the code, not by reading it."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis

import webapp
import webapp.jobs  # a worker has it before the first job: what runs in its import is no part of the walk
from tests.support.factories import ADA, point_at, sign
from tests.support.receiver import Receiver
from tests.support.waiting import wait_until
from webapp.blueprints.short_way import ShortWay
from webapp.delivery.rings import FAST, queues
from webapp.delivery.slots import Slots
from webapp.delivery.threaded_worker import OneQueue, ThreadedWorker, is_stopping
from webapp.extensions import db
from webapp.models import Interface

FROM_POST_TO_ROW = 15
FROM_ROW_TO_RECEIVER = 20
PACKAGE = str(Path(webapp.__file__).parent)


class Walk:
    """The modules of webapp/ whose functions run, in the order of their first call."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}

    def note(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and code.co_name != "<module>":
            self.modules.setdefault(code.co_filename[len(PACKAGE) + 1 : -3], code.co_name)

    @contextmanager
    def watching(self) -> Iterator[None]:
        sys.setprofile(self.note)
        try:
            yield
        finally:
            sys.setprofile(None)


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    point_at(interface, receiver.url)
    sign(interface)
    return interface


def test_few_modules_lie_between_a_post_and_its_row(
    app: Flask, client: FlaskClient, pointed: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the short way until the transaction is committed, once the form and the answer are kept."""
    address, walk = f"/f/{pointed.public_id}", Walk()
    assert client.post(address, data=ADA).status_code == 303
    take = ShortWay.__call__

    def watched(*given: Any) -> Iterable[bytes]:
        sys.setprofile(walk.note)
        return take(*given)

    monkeypatch.setattr(ShortWay, "__call__", watched)
    monkeypatch.setattr("webapp.delivery.rings.Bell.ring", lambda *_: sys.setprofile(None))
    monkeypatch.delitem(app.view_functions, "lead_form.submit")
    assert client.post(address, data=ADA).status_code == 303
    sys.setprofile(None)
    assert {"blueprints/short_way", "services/intake/capture", "db/transactions"} <= set(walk.modules)
    assert len(walk.modules) <= FROM_POST_TO_ROW, walk.modules


def test_few_modules_lie_between_a_row_and_its_receiver(
    app: Flask, client: FlaskClient, pointed: Interface, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ring after the commit, the job in a worker, until the answer is recorded and the lane let go: of a lead that
    is not the first one of its webhook."""
    walk, webhook_id = Walk(), pointed.webhook.id
    assert client.post(f"/f/{pointed.public_id}", data=ADA).status_code == 303
    db.session.rollback()
    webapp.jobs.drain(webhook_id)  # the first contact: from now on a connection is kept
    queues.redis.flushall()
    monkeypatch.setattr("webapp.delivery.serving.PATIENCE", 30.0)  # a slot would go on with an answer that is late
    ring = webapp.delivery.rings.Bell.ring

    def watched(bell: webapp.delivery.rings.Bell, lane: int) -> None:
        with walk.watching():
            ring(bell, lane)

    monkeypatch.setattr("webapp.delivery.rings.Bell.ring", watched)
    assert client.post(f"/f/{pointed.public_id}", data=ADA).status_code == 303
    config = app.extensions["leadhook_config"]
    with Redis.from_url(config.redis_url) as connection:
        queue = OneQueue(FAST, connection=connection, serializer=webapp.delivery.rings.JSONSerializer)
        worker = ThreadedWorker(app, queue, Slots(1, is_stopping))
        found = OneQueue.dequeue_any([queue], None, connection)
        assert found
        monkeypatch.setattr(worker.slots, "begin", lambda job: job())
        with walk.watching():
            worker.execute_job(*found)
    wait_until(lambda: len(receiver.requests) == 2, f"webhook {webhook_id} to be sent")
    assert {"delivery/rings", "delivery/serving", "webhooks/sender", "delivery/record"} <= set(walk.modules)
    assert len(walk.modules) <= FROM_ROW_TO_RECEIVER, walk.modules
