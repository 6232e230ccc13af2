"""A program that sends a lead again with the same Idempotency-Key, also while its first request is under way."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
import time_machine
from flask import Flask
from sqlalchemy import event, text

from tests.blueprints.api.test_leads import problem_of
from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.api import Caller, caller
from tests.support.factories import ADA
from tests.support.waiting import wait_until
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import Interface, Lead, SpentKey, User
from webapp.services.intake import running_keys
from webapp.services.leads import forgetting

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
    codes = [answer.status_code for answer in answers]
    assert codes.count(201) == 1
    assert set(codes) <= {200, 201, 409}
    assert db.session.query(Lead).count() == 1
    again = [send(program, where, "order-1") for program in others]
    assert [answer.status_code for answer in again] == [200] * 8
    assert len({answer.json["id"] for answer in (*again, *answers) if answer.status_code != 409}) == 1


def test_other_content_at_once_with_one_key_is_one_lead_and_422s(
    app: Flask, make_app: AppMaker, owner: User, interface: Interface
) -> None:
    where, others = interface.public_id, two_processes(app, make_app(), owner)
    answers = in_threads(4, lambda mine: send(others[mine], where, KEYS[mine // 2], message=f"Message {mine}"))
    codes = [answer.status_code for answer in answers]
    assert codes.count(201) == 1
    assert set(codes) <= {201, 409, 422}
    assert db.session.query(Lead).count() == 1


class Held(NamedTuple):
    """A first request that has written its lead, and whose commit is held up until `go_on`; a program of another
    process with the same key; what was answered, by the name of the thread."""

    program: Caller
    repeat: Caller
    go_on: threading.Event
    answers: dict[str, Any]


@contextmanager
def held(app: Flask, other: Flask, owner: User, where: str) -> Iterator[Held]:
    secret = caller(app, owner.account_id).secret
    scene = Held(Caller(app.test_client(), secret), Caller(other.test_client(), secret), threading.Event(), {})
    assert scene.repeat.get("/account").status_code == scene.program.get("/account").status_code == 200
    written = threading.Event()

    def hold(connection: Any) -> None:
        if threading.current_thread().name == "first":
            written.set()
            assert scene.go_on.wait(30)

    first = sends(scene, "first", scene.program, where)
    db.session.rollback()
    with app.app_context():
        engine = db.engine
    event.listen(engine, "commit", hold)
    try:
        first.start()
        assert written.wait(30)
        yield scene
    finally:
        scene.go_on.set()
        first.join(60)
        event.remove(engine, "commit", hold)


def sends(scene: Held, name: str, program: Caller, where: str) -> threading.Thread:
    """A thread that sends the lead."""

    def run() -> None:
        scene.answers[name] = send(program, where, "order-1")

    return threading.Thread(target=run, name=name)


def test_a_repeat_is_a_409_while_the_first_request_runs_and_then_its_lead(
    app: Flask, make_app: AppMaker, owner: User, interface: Interface
) -> None:
    where = interface.public_id
    with held(app, make_app(), owner, where) as scene:
        for program, key in ((scene.repeat, KEYS[0]), (scene.repeat, KEYS[1])):
            answer = send(program, where, key)
            problem = problem_of(answer, 409)
            assert "runs just now" in problem["detail"]
            assert problem["errors"][0]["header"] == "Idempotency-Key"
            assert answer.headers["Retry-After"] == "1"
        assert scene.answers == {}
    assert scene.answers["first"].status_code == 201
    again = send(scene.repeat, where, "order-1")
    assert (again.status_code, again.json) == (200, scene.answers["first"].json)


def test_another_key_or_another_interface_does_not_wait(
    app: Flask, make_app: AppMaker, owner: User, interface: Interface
) -> None:
    """The first request of each is let in; on SQLite there is one writer, so only Redis is asked here."""
    with running_keys.running(interface.id, "order-1"):
        with running_keys.running(interface.id, "order-2"), running_keys.running(interface.id + 1, "order-1"):
            pass
        with pytest.raises(running_keys.KeyRuns), running_keys.running(interface.id, "order-1"):
            pass
        with running_keys.running(interface.id, None), running_keys.running(interface.id, None):
            pass
    with running_keys.running(interface.id, "order-1"):
        pass


def test_a_request_that_fails_leaves_its_key_free(interface: Interface) -> None:
    with pytest.raises(ZeroDivisionError), running_keys.running(interface.id, "order-1"):
        raise ZeroDivisionError
    with running_keys.running(interface.id, "order-1"):
        pass


def test_a_key_is_taken_for_a_limited_time_and_unreadable_in_redis(interface: Interface) -> None:
    with running_keys.running(interface.id, "order-1"):
        [name] = queues.redis.keys("leadhook:running:*")
        assert b"order-1" not in name
        assert 0 < queues.redis.ttl(name) <= running_keys.LONGEST
    assert queues.redis.keys("leadhook:running:*") == []


def test_without_redis_a_repeat_waits_for_the_first_request_and_gets_its_lead(
    make_app: AppMaker, owner: User, interface: Interface
) -> None:
    where, nowhere = interface.public_id, {"REDIS_URL": "redis://127.0.0.1:1/0"}
    app = make_app(**nowhere)
    with held(app, make_app(**nowhere), owner, where) as scene:
        second = sends(scene, "second", scene.repeat, where)
        second.start()
        wait_until(lambda: waits(second), "the repeat to wait for the first request")
        assert scene.answers == {}
        scene.go_on.set()
        second.join(60)
    codes = {name: answer.status_code for name, answer in scene.answers.items()}
    assert codes == {"first": 201, "second": 200}
    assert scene.answers["first"].json == scene.answers["second"].json


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
def test_a_key_whose_lead_was_deleted_is_answered_with_a_sentence(
    program: Caller, interface: Interface, key: str
) -> None:
    first = send(program, interface.public_id, "order-1")
    deleted(first.json["id"])
    for more in ({}, {"message": "Something else"}):
        again = send(program, interface.public_id, key, **more)
        problem = problem_of(again, 410)
        assert "was deleted" in problem["detail"]
        assert problem["errors"] == [{"detail": problem["detail"], "header": "Idempotency-Key"}]
        assert problem["type"] == "/docs/api#problem-deleted"
    assert db.session.query(Lead).count() == 0
    problem_of(program.get(f"/leads/{first.json['id']}"), 404)
    assert send(program, interface.public_id, "order-2").status_code == 201


def test_a_lead_that_is_not_valid_says_so_also_with_a_spent_key(program: Caller, interface: Interface) -> None:
    deleted(send(program, interface.public_id, "order-1").json["id"])
    problem_of(send(program, interface.public_id, "order-1", email="nonsense"), 422)


def test_a_spent_key_is_free_after_its_day(program: Caller, interface: Interface) -> None:
    with time_machine.travel(utcnow() - timedelta(hours=24, minutes=1)):
        deleted(send(program, interface.public_id, "order-1").json["id"])
    second = send(program, interface.public_id, "order-1")
    assert second.status_code == 201
    deleted(second.json["id"])
    problem_of(send(program, interface.public_id, "order-1"), 410)
    with time_machine.travel(utcnow() + timedelta(hours=25)):
        db.session.rollback()
        forgetting.forget()
    assert db.session.query(SpentKey).count() == 0


def deleted(lead_id: str) -> None:
    with transaction():
        forgetting.delete_leads([db.session.query(Lead.id).filter_by(public_id=lead_id).scalar()])
