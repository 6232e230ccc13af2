"""The pull feed: the same bytes as the webhook sends, in order, without a gap; what it refuses."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import delete, select
from standardwebhooks import Webhook as Verifier

from tests.blueprints.api.test_leads import problem_of
from tests.conftest import ON_POSTGRESQL, PASSWORD
from tests.support.api import Caller, caller
from tests.support.factories import ADA, delivery_of, point_at, submit
from tests.support.no_threads import refused
from tests.support.postgres import Postgres
from tests.support.waiting import wait_until
from webapp.clock import utcnow
from webapp.db.transactions import disconnect, transaction
from webapp.extensions import db
from webapp.ids import message_id
from webapp.models import ApiKey, Authentication, Delivery, Interface, Lead, Scope, User, Webhook
from webapp.services import api_keys
from webapp.services.interfaces import interfaces
from webapp.services.people import users
from webapp.services.webhooks import connections, editing, feed, webhooks
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan
from webapp.services.webhooks.feed_horizon import Horizon, horizon
from webapp.services.webhooks.feed_watch import FeedWatch, Waiter

URL = "http://127.0.0.1:9/"


@pytest.fixture
def fed(interface: Interface) -> Interface:
    """An interface whose webhook has a URL, so that its leads get deliveries."""
    point_at(interface, URL)
    return interface


def read(program: Caller, after: str = "", **query: Any) -> Any:
    answer = program.get("/events", query_string={"after": after, "wait": 0, **query})
    assert answer.status_code == 200, answer.text
    return answer.json


def ids_in(page: Any) -> list[str]:
    return [each["webhook_id"] for each in page["data"]]


def message_of(lead: Lead) -> str:
    found = delivery_of(lead).message_id
    db.session.rollback()
    return found


def test_the_feed_has_the_bytes_and_ids_of_the_webhook_oldest_first(program: Caller, fed: Interface) -> None:
    found = [delivery_of(submit(fed, {**ADA, "name": f"Ada {number} Zoë"})) for number in range(3)]
    expected = [(each.message_id, each.payload) for each in found]
    page = read(program)
    assert [(each["webhook_id"], each["body"].encode()) for each in page["data"]] == expected
    first = page["data"][0]
    assert first["type"] == "lead.created"
    assert first["headers"] == {
        "content-type": "application/json",
        "webhook-id": first["webhook_id"],
        "webhook-timestamp": str(first["timestamp"]),
    }
    assert abs(first["timestamp"] - time.time()) < 60
    assert read(program, page["next"])["data"] == []


def test_pages_go_on_where_the_one_before_ended(program: Caller, fed: Interface) -> None:
    expected, after, seen = [message_of(submit(fed)) for _ in range(5)], "", list[str]()
    for size in (2, 2, 1, 0):
        answer = program.get("/events", query_string={"after": after, "limit": 2, "wait": 0})
        assert len(answer.json["data"]) == size
        seen, after = seen + ids_in(answer.json), answer.json["next"]
        assert f"after={after}" in answer.headers["Link"]
    assert seen == expected


def test_now_is_after_all_that_is_there(program: Caller, fed: Interface) -> None:
    submit(fed)
    start = read(program, "now")
    assert start["data"] == []
    later = message_of(submit(fed))
    assert ids_in(read(program, start["next"])) == [later]


def test_it_begins_before_the_first_lead_of_all(program: Caller, fed: Interface) -> None:
    start = read(program, "now")
    assert ids_in(read(program, start["next"])) == []
    first = message_of(submit(fed))
    assert ids_in(read(program, start["next"])) == [first]


def test_a_signed_webhook_signs_each_reading(program: Caller, fed: Interface, owner: User) -> None:
    with transaction():
        token, secret = api_keys.create_shared_token(owner.account_id, owner.id, "CRM")
        fed.webhook.authentication, fed.webhook.shared_token_id = Authentication.SHARED_TOKEN, token.id
    message = message_of(submit(fed))
    event = read(program)["data"][0]
    assert Verifier(secret).verify(event["body"], event["headers"]) == json.loads(event["body"])
    assert event["webhook_id"] == message
    with transaction():
        renewed = api_keys.rotate(db.session.get_one(ApiKey, token.id), timedelta(hours=1))
    event = read(program)["data"][0]
    for each in (secret, renewed):
        Verifier(each).verify(event["body"], event["headers"])
    assert secret not in json.dumps(event)


def test_a_signature_by_template_is_there_and_a_credential_is_not(program: Caller, fed: Interface) -> None:
    def settle(**wanted: Any) -> None:
        with transaction():
            webhook = db.session.get_one(Webhook, webhook_id)
            connections.apply(webhook, connections.settle(webhook.interface, Wanted(**wanted), webhook))

    webhook_id = fed.webhook.id
    submit(fed)
    settle(authentication=Authentication.METALOCATOR, secrets={"secret": "a-secret-of-32-characters-or-more"})
    assert "x-metalocator-webhook-signature" in read(program)["data"][0]["headers"]
    settle(
        authentication=Authentication.BEARER,
        secrets={"token": "not-for-readers-not-for-readers"},
        custom_headers="X-Key: not-for-readers",
    )
    event = read(program)["data"][0]
    assert set(event["headers"]) == {"content-type", "webhook-id", "webhook-timestamp"}
    assert "not-for-readers" not in json.dumps(event)


def test_what_must_be_signed_is_never_given_out_unsigned(program: Caller, fed: Interface, owner: User) -> None:
    submit(fed)
    with transaction():
        token, _ = api_keys.create_shared_token(owner.account_id, owner.id, "CRM")
        fed.webhook.authentication, fed.webhook.shared_token_id = Authentication.SHARED_TOKEN, token.id
        token.revoked_at = utcnow()
    answer = program.get("/events", query_string={"wait": 0})
    assert "was revoked" in problem_of(answer, 409)["detail"]


def test_a_payload_that_could_not_be_made_is_no_gap(program: Caller, fed: Interface) -> None:
    first, second = submit(fed), submit(fed)
    delivery = delivery_of(first)
    with transaction():
        db.session.get_one(Delivery, delivery.id).payload = b""
    page = read(program)
    assert [each["body"] is None for each in page["data"]] == [True, False]
    assert ids_in(page) == [message_of(first), message_of(second)]


def test_one_of_several_webhooks_must_be_named(program: Caller, fed: Interface) -> None:
    first = fed.webhook.public_id
    with transaction():
        other = editing.add(fed, Plan(URL, "Second")).public_id
    submit(fed)
    answer = program.get("/events", query_string={"wait": 0})
    fault = problem_of(answer, 422)["errors"][0]
    assert fault["parameter"] == "webhook"
    assert f"{first} (Contact sales, Lead Webhook), {other} (Contact sales, Second)" in fault["detail"]
    one, two = read(program, webhook=first), read(program, webhook=other)
    assert len(one["data"]) == len(two["data"]) == 1
    assert ids_in(one) != ids_in(two)
    with transaction():
        editing.remove(db.session.scalars(select(Webhook).where(Webhook.public_id == other)).one())
    assert len(read(program)["data"]) == 1
    assert "no webhook" in problem_of(program.get("/events", query_string={"webhook": other}), 404)["detail"]


def test_a_paused_webhook_has_a_feed(program: Caller, fed: Interface) -> None:
    with transaction():
        webhooks.pause(fed.webhook, "It is read by its feed.")
    message = message_of(submit(fed))
    assert ids_in(read(program)) == [message]


def test_what_is_not_the_keys_is_not_found(app: Flask, program: Caller, fed: Interface, owner: User) -> None:
    webhook = fed.webhook.public_id
    with transaction():
        charlie = users.create_owner("charlie@example.org", PASSWORD, "Charlie's Cars")
        other = interfaces.create(owner.account_id, "Other").public_id
    stranger = caller(app, charlie.account_id)
    assert read(stranger)["data"] == []
    for program_, named in (
        (stranger, webhook),
        (caller(app, owner.account_id, only=[other], name="Limited"), webhook),
        (program, "wh_unknown"),
        (program, "\0"),
    ):
        problem_of(program_.get("/events", query_string={"webhook": named}), 404)
    with transaction():
        interfaces.archive(db.session.get_one(Interface, fed.id))
    problem_of(program.get("/events", query_string={"webhook": webhook}), 404)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("after", value) for value in ("x", "!", "é", "cm93IDQy", "MS4yLjM=x", "MQ", "LS4tLi0", "x" * 101)),
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "all"),
        ("wait", "-1"),
        ("wait", "31"),
        ("wait", "1.5"),
        ("webhook", "w" * 41),
        ("cursor", "x"),
    ],
)
def test_wrong_values_are_refused_by_their_name(program: Caller, fed: Interface, name: str, value: str) -> None:
    answer = program.get("/events", query_string={name: value})
    assert problem_of(answer, 422)["errors"][0]["parameter"] == name


def test_a_server_that_cannot_wait_says_when_to_ask_again(program: Caller, fed: Interface) -> None:
    start = read(program, "now")["next"]
    answer = program.get("/events", query_string={"after": start})
    assert (answer.json["data"], answer.headers["Retry-After"]) == ([], "2")
    assert "Retry-After" not in program.get("/events").headers


# Nothing is skipped ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has one writer at a time")
def test_two_transactions_that_commit_in_reverse_are_both_read(
    app: Flask, program: Caller, fed: Interface, postgres: Postgres
) -> None:
    before = delivery_of(submit(fed))
    template = db.session.execute(select(Delivery.__table__).where(Delivery.id == before.id)).one()._mapping
    start = read(program)["next"]
    leads = [submit(fed).id for _ in range(2)]
    with transaction():
        db.session.execute(delete(Delivery).where(Delivery.lead_id.in_(leads)))

    def insert(connection: Any, lead: int) -> str:
        values = {name: value for name, value in template.items() if name != "id"}
        values |= {"lead_id": lead, "message_id": message_id()}
        connection.execute(Delivery.__table__.insert().values(values))
        return str(values["message_id"])

    with db.engine.connect() as early, db.engine.connect() as late:
        first, second = insert(early, leads[0]), insert(late, leads[1])
        late.commit()
        page = read(program, start)
        assert page["data"] == [], "the smaller number may still come"
        early.commit()
    assert ids_in(read(program, page["next"])) == [first, second]
    assert ids_in(read(program, start)) == [first, second]


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has one writer at a time")
def test_a_writer_that_goes_on_holds_up_only_what_comes_after_it_began(app: Flask, fed: Interface) -> None:
    mine = Horizon()
    first = delivery_of(submit(fed)).id
    assert mine.look() == (first, first)
    with db.engine.connect() as writer:
        writer.execute(delete(Delivery).where(Delivery.id < 0))
        second = delivery_of(submit(fed)).id
        db.session.rollback()
        assert mine.look() == (first, second)
        assert mine.look() == (first, second)
        with db.engine.connect() as next_writer:
            next_writer.execute(delete(Delivery).where(Delivery.id < 0))
            writer.rollback()
            third = delivery_of(submit(fed)).id
            db.session.rollback()
            assert mine.look() == (second, third), "the writer of that time has ended"
    assert mine.look() == (third, third)


def test_many_writers_and_a_reader_that_misses_none_and_sees_none_twice(
    app: Flask, program: Caller, fed: Interface
) -> None:
    interface_id, writers, each = fed.id, 6, 12
    start = read(program, "now")["next"]
    db.session.rollback()
    errors: list[BaseException] = []

    def write() -> None:
        try:
            with app.app_context():
                for _ in range(each):
                    submit(db.session.get_one(Interface, interface_id))
                    db.session.remove()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(writers)]
    seen: list[str] = []
    for thread in threads:
        thread.start()

    def goes_on() -> bool:
        nonlocal start
        is_over = not any(thread.is_alive() for thread in threads)
        page = read(program, start, limit=7)
        seen.extend(ids_in(page))
        start = page["next"]
        return is_over and not page["data"]

    wait_until(goes_on, "the reader to reach the end", timeout=120, every=0.005)
    assert errors == []
    assert len(seen) == len(set(seen)) == writers * each
    assert set(seen) == set(db.session.scalars(select(Delivery.message_id)))
    db.session.rollback()


def test_a_gap_and_deliveries_of_others_are_passed_over(
    program: Caller, fed: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "STEP", 2)
    monkeypatch.setattr(feed, "STEPS", 2)
    monkeypatch.setattr(feed, "ROWS", 2)
    with transaction():
        other = editing.add(fed, Plan(URL, "Second")).public_id
    first, *gone = [submit(fed).id for _ in range(5)]
    with transaction():
        db.session.execute(delete(Delivery).where(Delivery.lead_id.in_(gone)))
    last = submit(fed).id
    of_other = select(Delivery.message_id).join(Webhook).where(Webhook.public_id == other).order_by(Delivery.id)
    wanted = db.session.scalars(of_other.where(Delivery.lead_id.in_([first, last]))).all()
    db.session.rollback()
    seen, after = list[str](), ""
    for _ in range(4):
        page = read(program, after, webhook=other, limit=2)
        seen, after = seen + ids_in(page), page["next"]
    assert seen == wanted


def test_a_page_ends_when_it_has_many_bytes(program: Caller, fed: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_BYTES", 10)
    monkeypatch.setattr(feed, "ROWS", 2)
    expected = [message_of(submit(fed)) for _ in range(3)]
    page = read(program)
    assert ids_in(page) == expected[:2]
    assert ids_in(read(program, page["next"])) == expected[2:]


def delete_lead(lead: Lead) -> None:
    with transaction():
        db.session.execute(delete(Delivery).where(Delivery.lead_id == lead.id))
        db.session.execute(delete(Lead).where(Lead.id == lead.id))


def test_a_lead_that_gets_the_number_of_a_deleted_one_is_read(program: Caller, fed: Interface) -> None:
    """SQLite gives it out again, if it was the last one."""
    with time_machine.travel(utcnow() - timedelta(hours=2)):
        kept = message_of(submit(fed))
    with time_machine.travel(utcnow() - timedelta(hours=1)):
        gone = [submit(fed) for _ in range(3)]
        page = read(program)
        assert len(page["data"]) == 4
    for lead in gone:
        delete_lead(lead)
    expected = [message_of(submit(fed)) for _ in range(2)]
    page = read(program, page["next"])
    assert ids_in(page) == expected
    assert kept not in ids_in(page)
    assert ids_in(read(program, page["next"])) == []


def test_a_feed_goes_on_when_all_leads_are_deleted(program: Caller, fed: Interface) -> None:
    lead = submit(fed)
    page = read(program)
    delete_lead(lead)
    page = read(program, page["next"])
    assert page["data"] == []
    later = message_of(submit(fed))
    assert ids_in(read(program, page["next"])) == [later]


# Waiting --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(app: Flask) -> Iterator[Callable[..., list[int]]]:
    """Adds a waiter of a webhook to a watch; what it is woken with is in the list."""
    watch, waiters = FeedWatch(), list[Waiter]()

    def add(webhook_id: int, after: int = 0) -> list[int]:
        woken: list[int] = []
        waiters.append(Waiter(webhook_id, after, lambda: woken.append(webhook_id)))
        watch.add(waiters[-1], app)
        return woken

    yield add
    for waiter in waiters:
        watch.remove(waiter)
    wait_until(lambda: not [each for each in threading.enumerate() if each.name == "feed watch"], "the watch to end")
    disconnect()


def test_a_new_lead_wakes_those_who_wait_for_its_webhook_once(fed: Interface, watched: Any) -> None:
    with transaction():
        other = interfaces.create(fed.account_id, "Other").webhook.id
    submit(fed)
    webhook_id, after = fed.webhook.id, horizon.settled()
    db.session.rollback()
    one, another, stranger = watched(webhook_id, after), watched(webhook_id, after), watched(other, after)
    submit(fed)
    wait_until(lambda: one and another, "both feeds to be woken")
    submit(fed)
    late = watched(webhook_id, after)
    wait_until(lambda: late, "a feed that began to wait too late to be woken")
    assert (one, another, stranger) == ([webhook_id], [webhook_id], [])


def test_feeds_are_watched_once_the_system_has_a_thread_again(
    fed: Interface, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_id, after = fed.webhook.id, horizon.settled()
    db.session.rollback()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", refused)
        with pytest.raises(RuntimeError, match="new thread"):
            watched(webhook_id, after)
    woken = watched(webhook_id, after)
    submit(fed)
    wait_until(lambda: woken, "the next feed to be woken")


def test_a_key_without_read_and_an_ended_one_open_no_feed(app: Flask, owner: User, fed: Interface) -> None:
    problem_of(caller(app, owner.account_id, Scope.WRITE, Scope.CAPTURE).get("/events"), 403)
    ending = caller(app, owner.account_id, Scope.READ, name="Ending", lasts=timedelta(days=1))
    read(ending)
    with time_machine.travel(utcnow() + timedelta(days=2)):
        problem_of(ending.get("/events"), 401)
