"""A program that sends a lead again with the same Idempotency-Key, also while its first request is under way."""

import sys
import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text

from tests.blueprints.api.test_leads import problem_of
from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.api import Caller, caller
from tests.support.factories import ADA
from tests.support.waiting import wait_until
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Lead, User

KEYS = ("order-1", '"order-1"')  # as clients send it, and as the IETF's draft has it: the same


def send(program: Caller, interface: str, key: str, **fields: Any) -> Any:
    return program.post(
        "/leads", {"interface": interface, "fields": {**ADA, **fields}}, headers={"Idempotency-Key": key}
    )


def two_processes(one: Flask, other: Flask, owner: User) -> list[Caller]:
    """Eight clients with one key, of two apps in turns: these share nothing but the database, as web processes do."""
    secret = caller(one, owner.account_id).secret
    clients = [Caller(each.test_client(), secret) for _ in range(4) for each in (one, other)]
    for client in clients[:2]:  # an app builds its routes with the first request
        assert client.get("/account").status_code == 200
    return clients


def in_threads(number: int, call: Any) -> list[Any]:
    """What `call` answers when so many threads begin it at the same moment with their number."""
    db.session.rollback()  # the test's own transaction must not block them
    start, answers = threading.Barrier(number), []

    def run(mine: int) -> None:
        start.wait(30)
        answers.append(call(mine))

    threads = [threading.Thread(target=run, args=(mine,)) for mine in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def test_the_same_lead_from_two_web_processes_at_once_is_one_lead(
    app: Flask, make_app: AppMaker, owner: User, interface: Interface
) -> None:
    where, others = interface.public_id, two_processes(app, make_app(), owner)
    answers = in_threads(8, lambda mine: send(others[mine], where, KEYS[mine // 2 % 2]))
    assert sorted(answer.status_code for answer in answers) == [*[200] * 7, 201]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert db.session.query(Lead).count() == 1


def test_other_content_at_once_with_one_key_is_one_lead_and_422s(
    app: Flask, make_app: AppMaker, owner: User, interface: Interface
) -> None:
    where, others = interface.public_id, two_processes(app, make_app(), owner)
    answers = in_threads(4, lambda mine: send(others[mine], where, KEYS[mine // 2], message=f"Message {mine}"))
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422]
    assert db.session.query(Lead).count() == 1


def test_a_repeat_waits_for_the_first_request_and_gets_its_lead(
    app: Flask, make_app: AppMaker, owner: User, interface: Interface
) -> None:
    """The first one has written its lead, and its commit is held up. So there is no 409."""
    where, program = interface.public_id, caller(app, owner.account_id)
    other = make_app()
    repeat = Caller(other.test_client(), program.secret)
    assert repeat.get("/account").status_code == program.get("/account").status_code == 200
    written, go_on, answers = threading.Event(), threading.Event(), {}

    def hold(connection: Any) -> None:
        if threading.current_thread().name == "first":
            written.set()
            assert go_on.wait(30)

    def run(name: str, who: Caller) -> None:
        answers[name] = send(who, where, "order-1")

    first = threading.Thread(target=run, args=("first", program), name="first")
    second = threading.Thread(target=run, args=("second", repeat), name="second")
    db.session.rollback()
    event.listen(db.engine, "commit", hold)
    try:
        first.start()
        assert written.wait(30)
        second.start()
        wait_until(lambda: waits(second), "the repeat to wait for the first request")
        assert answers == {}
    finally:
        go_on.set()
        first.join(60)
        second.join(60)
        event.remove(db.engine, "commit", hold)
    assert (answers["first"].status_code, answers["second"].status_code) == (201, 200)
    assert answers["first"].json == answers["second"].json


def waits(thread: threading.Thread) -> bool:
    """Whether a thread is waiting for another one's transaction: on PostgreSQL for its row, on SQLite to write."""
    if ON_POSTGRESQL:
        with db.engine.connect() as connection:
            return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))
    frame = sys._current_frames().get(thread.ident or 0)
    names = []
    while frame:
        names.append(frame.f_code.co_filename.rpartition("/webapp/")[2])
        frame = frame.f_back
    return "db/write_turns.py" in names


@pytest.mark.parametrize("key", KEYS)
def test_a_key_whose_lead_was_deleted_makes_a_new_one(program: Caller, interface: Interface, key: str) -> None:
    first = send(program, interface.public_id, "order-1")
    with transaction():
        db.session.query(Lead).delete()
    again = send(program, interface.public_id, key)
    assert again.status_code == 201
    assert again.json["id"] != first.json["id"]
    problem_of(program.get(f"/leads/{first.json['id']}"), 404)
