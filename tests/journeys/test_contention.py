"""SQLite with several writers: the error `database is locked` never happens."""

import threading

from flask import Flask

from tests.conftest import sign_in
from tests.support.factories import ADA, captured, point_at
from tests.support.receiver import Receiver
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Interface

ROUNDS = 6  # of pages and forms, while the writers loop


def test_two_writers_in_a_loop_beside_pages_and_forms_never_get_a_lock_error(
    app: Flask, interface: Interface, receiver: Receiver
) -> None:
    point_at(interface, receiver.url)
    public_id, webhook_id = interface.public_id, interface.webhook.id
    db.session.rollback()
    over = threading.Event()
    errors: list[BaseException] = []
    rounds = {"capture": 0, "drain": 0, "pages": 0}

    def loop(name: str, action: object) -> None:
        try:
            with app.app_context():
                while not over.is_set():
                    action()  # type: ignore[operator]
                    rounds[name] += 1
        except BaseException as error:  # a thread's error must fail the test
            errors.append(error)
            over.set()

    def capture() -> None:
        with transaction():
            captured(public_id, ADA)
        db.session.remove()

    def drain() -> None:
        lanes.drain(webhook_id)

    browser = sign_in(app, "alice@example.com")

    def pages() -> None:
        for path in ("/interfaces", "/leads", f"/interfaces/{public_id}/edit/lead-generation", f"/f/{public_id}"):
            assert browser.get(path).status_code == 200
        assert browser.post(f"/f/{public_id}", data=ADA).status_code in (200, 303, 429)
        settings = {"webhook_url": receiver.url, "authentication": "none", "parallel_requests": "1"}
        assert browser.post(f"/interfaces/{public_id}/edit/lead-generation", data=settings).status_code in (303, 422)
        if rounds["pages"] == ROUNDS:
            over.set()

    threads = [
        threading.Thread(target=loop, args=(name, action))
        for name, action in (("capture", capture), ("drain", drain), ("capture", capture), ("pages", pages))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert rounds["capture"] > 3, rounds
    assert rounds["pages"] > 3, rounds
    assert len(receiver.requests) > 20, "drained all the while, in slices of two seconds"
