"""Idempotency-Key: a program that sends a lead again gets the answer for the first one."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from tests.support.factories import ADA, point_at
from tests.support.receiver import Receiver
from tests.support.uploads import PDF, multipart, part
from webapp import jobs
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, Field, FieldType, Interface, Lead
from webapp.services.intake import packed_source, visitor
from webapp.services.intake.idempotency import key_of
from webapp.services.interfaces import fields, interfaces
from webapp.services.leads import forgetting

JSON = {"Accept": "application/json"}
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


@pytest.fixture
def address(interface: Interface) -> str:
    return f"/f/{interface.public_id}"


def send(client: FlaskClient, address: str, key: str | None = KEY, **sent: Any) -> Any:
    headers = {**JSON, **({"Idempotency-Key": key} if key is not None else {})}
    return client.post(address, data={**ADA, **sent}, headers=headers)


def lead_count() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(Lead)) or 0


def age(hours: float) -> None:
    """Makes all leads older."""
    with transaction():
        db.session.execute(update(Lead).values(received_at=utcnow() - timedelta(hours=hours)))


def test_the_same_key_with_the_same_answers_is_one_lead(
    client: FlaskClient, interface: Interface, address: str, receiver: Receiver
) -> None:
    point_at(interface, receiver.url)
    answers = [send(client, address, plan="pro") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.json["id"] for answer in answers}) == 1
    assert lead_count() == 1
    webhook_id = interface.webhook.id
    db.session.rollback()
    jobs.drain(webhook_id)
    assert len(receiver.wait_for(1)) == 1
    assert db.session.scalar(select(func.count()).select_from(Delivery)) == 1


@pytest.mark.parametrize(
    "change",
    [{"message": "Something else"}, {"phone": ""}, {"plan": "free"}, {"more": "x"}, {"plan": ["pro", "free"]}],
)
def test_the_same_key_with_other_answers_is_422_in_words(
    client: FlaskClient, address: str, change: dict[str, Any]
) -> None:
    assert send(client, address, plan="pro").status_code == 201
    answer = send(client, address, **{"plan": "pro", **change})
    assert answer.status_code == 422
    assert "was used in the last 24 hours" in answer.json["errors"]["_form"][0]
    page = client.post(address, data={**ADA, **change}, headers={"Idempotency-Key": KEY})
    assert (page.status_code, "That was sent before" in page.text) == (422, True)
    assert lead_count() == 1


def test_what_says_where_the_visitor_came_from_is_no_content(client: FlaskClient, address: str) -> None:
    first = send(client, address, utm_source="news", _token="a", page_url="https://example.com/1")
    second = send(client, address, utm_source="ads", _token="b", gclid="x")
    assert (first.status_code, first.json) == (201, second.json)


def test_json_counts_by_its_values_not_by_its_order_or_spaces(client: FlaskClient, address: str) -> None:
    headers = {**JSON, "Idempotency-Key": KEY, "Content-Type": "application/json"}
    bodies = ('{"name":"Ada","email":"ada@example.com","message":"Hi"}',)
    bodies += ('{ "message": "Hi",\n "email": "ada@example.com", "name": "Ada" }',)
    assert len({client.post(address, data=body, headers=headers).json["id"] for body in bodies}) == 1
    form = {"name": "Ada", "email": "ada@example.com", "message": "Hi"}
    assert client.post(address, data=form, headers={**JSON, "Idempotency-Key": KEY}).status_code == 201
    assert lead_count() == 1


def test_after_24_hours_the_key_is_free_again(client: FlaskClient, address: str) -> None:
    first = send(client, address).json["id"]
    age(hours=23.9)
    assert send(client, address).json["id"] == first
    age(hours=24.1)
    assert send(client, address, message="Something else").json["id"] != first
    assert send(client, address).status_code == 422
    assert lead_count() == 2
    old, new = db.session.scalars(select(Lead).order_by(Lead.id))
    assert (old.nonce, old.content_digest) == (None, None)
    assert new.nonce
    assert KEY not in f"{new.nonce}{new.content_digest}"


def test_another_key_another_form_or_no_key_is_another_lead(
    client: FlaskClient, interface: Interface, address: str
) -> None:
    with transaction():
        other = interfaces.create(interface.account_id, "Other").public_id
    for where, key in ((address, KEY), (address, "another"), (f"/f/{other}", KEY), (address, None), (address, None)):
        assert send(client, where, key).status_code == 201
    assert lead_count() == 5


def test_simultaneous_posts_with_one_key_are_one_lead(app: Flask, address: str) -> None:
    client, start, answers = app.test_client(), threading.Barrier(8), []
    client.get(address)

    def post() -> None:
        start.wait(30)
        answers.append(send(app.test_client(), address))

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [answer.status_code for answer in answers] == [201] * 8
    assert len({answer.json["id"] for answer in answers}) == 1
    assert lead_count() == 1


def test_simultaneous_posts_with_one_key_and_other_answers_are_one_lead_and_422s(app: Flask, address: str) -> None:
    start, codes = threading.Barrier(6), []
    app.test_client().get(address)

    def post(number: int) -> None:
        start.wait(30)
        codes.append(send(app.test_client(), address, message=f"Message {number}").status_code)

    threads = [threading.Thread(target=post, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(codes) == [201, *[422] * 5]
    assert lead_count() == 1


def test_simultaneous_posts_with_a_key_whose_day_is_over_are_one_new_lead(app: Flask, address: str) -> None:
    first = send(app.test_client(), address).json["id"]
    age(hours=25)
    start, ids = threading.Barrier(6), []

    def post() -> None:
        start.wait(30)
        ids.append(send(app.test_client(), address).json["id"])

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(ids)) == 1
    assert first not in ids
    assert lead_count() == 2


def test_a_declined_post_leaves_its_key_free(client: FlaskClient, address: str) -> None:
    assert send(client, address, email="ada@").status_code == 422
    assert send(client, address).status_code == 201


def test_a_lead_that_was_taken_is_still_answered_when_the_form_would_decline_it_now(
    client: FlaskClient, interface: Interface, address: str
) -> None:
    first = send(client, address).json
    with transaction():
        fields.add(interface, FieldType.TEXT, {"label": "Company", "key": "company", "required": True})
    assert send(client, address).json == first
    assert send(client, address, message="Something else").status_code == 422
    assert "company" in send(client, address, "new").json["errors"]
    with transaction():
        interfaces.close(interface)
    assert (send(client, address).status_code, send(client, address).json) == (201, first)
    assert send(client, address, "new").status_code == 403
    with transaction():
        db.session.get_one(Interface, interface.id).allowed_sites = ["https://example.com"]
        interfaces.reopen(interface)
    foreign = {**JSON, "Idempotency-Key": KEY, "Origin": "https://elsewhere.example"}
    assert client.post(address, data=ADA, headers=foreign).status_code == 403
    assert lead_count() == 1


def test_a_field_that_is_added_meanwhile_does_not_change_what_was_sent(
    client: FlaskClient, interface: Interface, address: str
) -> None:
    first = send(client, address, company="Brightwater").json
    with transaction():
        fields.add(interface, FieldType.TEXT, {"label": "Company", "key": "company"})
    assert send(client, address, company="Brightwater").json == first
    assert db.session.scalar(select(func.count()).select_from(Field)) == 5


def test_the_key_counts_before_the_forms_token(client: FlaskClient, interface: Interface, address: str) -> None:
    token = visitor.new_token(interface.public_id)
    first = send(client, address, "one", _token=token).json
    assert send(client, address, "two", _token=token).json != first
    assert send(client, address, "one", _token=token).json == first
    assert lead_count() == 2


def test_spam_has_keys_too(client: FlaskClient, address: str) -> None:
    first = send(client, address, **{visitor.TRAP: "me"}).json
    assert send(client, address, **{visitor.TRAP: "me"}).json == first
    assert lead_count() == 1


def test_the_key_of_a_deleted_lead_is_answered_with_a_sentence(client: FlaskClient, address: str) -> None:
    send(client, address)
    with transaction():
        forgetting.delete_leads(db.session.scalars(select(Lead.id)).all())
    answer = send(client, address)
    assert answer.status_code == 410
    assert "was deleted" in answer.json["errors"]["_form"][0]
    page = client.post(address, data=ADA, headers={"Idempotency-Key": KEY})
    assert (page.status_code, "was deleted" in page.text) == (410, True)
    files = with_file(client, address)
    assert (files.status_code, "was deleted" in files.text) == (410, True)
    assert lead_count() == 0
    assert send(client, address, "another").status_code == 201


def test_a_page_is_answered_with_the_same_page(client: FlaskClient, address: str) -> None:
    for _ in range(2):
        answer = client.post(address, data=ADA, headers={"Idempotency-Key": KEY})
        assert (answer.status_code, answer.location) == (303, f"{address}/thank-you")
    assert lead_count() == 1


def test_quotes_around_a_key_are_no_part_of_it(client: FlaskClient, address: str) -> None:
    assert send(client, address, f'"{KEY}"').json == send(client, address, KEY).json
    assert key_of(r'"a\"b\\c"') == r"a\"b\c".replace(r"\"", '"')
    assert key_of('"') == '"'
    assert key_of(" key ") == "key"


@pytest.mark.parametrize("key", ["", " ", '""', "two words", "k" * 256, "schlüssel", "\x7f", "a\tb"])
def test_a_key_that_is_none_is_400_in_words(client: FlaskClient, address: str, key: str) -> None:
    headers = {**JSON, "Idempotency-Key": key.encode().decode("latin-1")}
    answer = client.post(address, data=ADA, headers=headers)
    assert answer.status_code == 400
    assert answer.json == {
        "errors": {"_form": ["Idempotency-Key must be 1 to 255 visible ASCII characters without spaces."]}
    }
    assert lead_count() == 0


def test_a_key_of_255_characters_is_one(client: FlaskClient, address: str) -> None:
    assert send(client, address, "~" * 255).status_code == 201


def test_scripts_of_other_sites_may_send_the_header(client: FlaskClient, address: str) -> None:
    asked = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "idempotency-key"
    answer = client.options(address, headers=asked)
    assert answer.headers["Access-Control-Allow-Headers"] == "*"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


# Hidden values from the query -----------------------------------------------------------------------------------------


@pytest.fixture
def hidden(interface: Interface) -> Interface:
    with transaction():
        fields.add(interface, FieldType.HIDDEN, {"label": "Plan", "key": "plan", "default": "free"})
        fields.add(interface, FieldType.HIDDEN, {"label": "Size", "key": "size"})
    return interface


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("?plan=x", "?plan=y"),
        ("?plan=x", ""),
        ("", "?plan=x"),
        ("?plan=x", "?size=x"),
        ("?plan=x&size=1", "?plan=x&size=2"),
        ("?plan=x", "?plan=x&plan=y"),
        ("?plan=x", "?plan="),
    ],
)
def test_another_hidden_value_in_the_query_is_other_content(
    client: FlaskClient, hidden: Interface, address: str, first: str, second: str
) -> None:
    assert send(client, address + first).status_code == 201
    assert send(client, address + first).status_code == 201
    answer = send(client, address + second)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["_form"])
    assert send(client, address + second, "new").status_code == 201
    assert lead_count() == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("?plan=x&size=1", "?size=1&plan=x"),
        ("?plan=x", "?plan=x&utm_source=news"),
        ("?plan=x", "?plan=x&nonsense=1"),
        ("?plan=x", "?plan=y&plan=x"),
        ("?name=Ada", "?name=Bob"),
    ],
)
def test_the_rest_of_the_query_is_no_content(
    client: FlaskClient, hidden: Interface, address: str, first: str, second: str
) -> None:
    assert send(client, address + first).json == send(client, address + second).json
    assert lead_count() == 1


def test_a_hidden_value_is_the_same_in_the_query_and_in_the_body_which_comes_first(
    client: FlaskClient, hidden: Interface, address: str
) -> None:
    first = send(client, f"{address}?plan=x").json
    assert send(client, address, plan="x").json == first
    assert send(client, f"{address}?plan=y", plan="x").json == first
    assert send(client, f"{address}?plan=x", plan="").status_code == 422
    assert lead_count() == 1


# The answer is the first one's ----------------------------------------------------------------------------------------


def with_file(client: FlaskClient, address: str) -> Any:
    sent = multipart({**ADA, "resume": part(PDF, "cv.pdf")})
    return client.post(address, **sent, headers={**JSON, "Idempotency-Key": KEY})


def test_a_replay_names_the_files_that_no_field_asks_for_also_when_the_form_is_closed(
    client: FlaskClient, interface: Interface, address: str
) -> None:
    first = with_file(client, address)
    assert first.json["undeclared_files"] == [{"field": "resume", "name": "cv.pdf", "size": len(PDF)}]
    assert with_file(client, address).json == first.json
    with transaction():
        interfaces.close(interface)
    client.get(address)  # the cached form is the one of now
    again = with_file(client, address)
    assert (again.status_code, again.json) == (201, first.json)
    assert lead_count() == 1


def block(interface: Interface, entries: list[str]) -> None:
    with transaction():
        found = db.session.get_one(Interface, interface.id)
        found.blocklist, found.blocklist_published, found.updated_at = entries, True, utcnow()


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("blocked_first", [False, True])
def test_a_replay_is_answered_like_the_stored_lead_also_after_the_blocklist_changed(
    client: FlaskClient, interface: Interface, address: str, blocked_first: bool, closes: bool
) -> None:
    block(interface, ["ada@example.com"] if blocked_first else [])
    first = send(client, address)
    assert first.status_code == (403 if blocked_first else 201)
    block(interface, [] if blocked_first else ["ada@example.com"])
    if closes:
        with transaction():
            interfaces.close(db.session.get_one(Interface, interface.id))
    client.get(address)  # the cached form is the one of now
    again = send(client, address)
    assert (again.status_code, again.json) == (first.status_code, first.json)
    assert lead_count() == 1


def test_a_form_that_is_sent_twice_is_answered_like_the_stored_lead_too(
    client: FlaskClient, interface: Interface, address: str
) -> None:
    """Without a key: the form's token makes it the same lead."""
    token = visitor.new_token(interface.public_id)
    first = send(client, address, None, _token=token)
    block(interface, ["ada@example.com"])
    client.get(address)
    again = send(client, address, None, _token=token)
    assert (first.status_code, again.status_code, again.json) == (201, 201, first.json)
    assert lead_count() == 1


def test_what_a_form_carries_is_content(client: FlaskClient, address: str) -> None:
    carried = [packed_source.packed({"company": company}) for company in ("Acme", "Brightwater")]
    assert send(client, address, _undeclared=carried[0]).json == send(client, address, _undeclared=carried[0]).json
    assert send(client, address, _undeclared=carried[1]).status_code == 422
