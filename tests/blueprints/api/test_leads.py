"""Leads over the REST API: create, list, get, retry, not spam; what each refuses."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, update

from tests.support.api import Caller, caller
from tests.support.factories import ADA, point_at, submit
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Attempt, Delivery, DeliveryState, Interface, Lead, LeadLogEntry, Reason, Scope, User
from webapp.services.interfaces import interfaces

URL = "https://crm.example.com/hooks/s3cret-in-the-path?key=s3cret"


def created(program: Caller, interface: Interface, **more: Any) -> Any:
    answer = program.post("/leads", {"interface": interface.public_id, "fields": ADA, **more})
    assert answer.status_code == 201, answer.text
    return answer.json


def problem_of(answer: Any, status: int) -> dict[str, Any]:
    """The problem that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    found: dict[str, Any] = answer.get_json(force=True)
    assert found["status"] == status
    return found


def add_attempts(lead: Lead, number: int) -> Delivery:
    """A delivery with so many failed attempts, and a secret in its address that the receiver repeats."""
    with transaction():
        delivery = db.session.query(Delivery).filter_by(lead_id=lead.id).one()
        delivery.state, delivery.due_at = DeliveryState.FAILED, None
        for _ in range(number):
            attempt = Attempt(delivery_id=delivery.id, reason=Reason.AUTOMATIC, started_at=utcnow(), url=URL)
            attempt.timestamp, attempt.code, attempt.error, attempt.duration_ms = 1, 500, "status", 12
            attempt.response, attempt.response_headers = f"No: {URL}", []
            db.session.add(attempt)
            db.session.flush()
    return delivery


def test_a_lead_is_created_and_read_with_its_answers(program: Caller, interface: Interface) -> None:
    answer = program.post(
        "/leads",
        {
            "interface": interface.public_id,
            "fields": {**ADA, "budget": "5,000"},
            "source": {"page_url": "https://example.com/contact", "utm": {"source": "news"}, "ip": "203.0.113.9"},
        },
    )
    assert answer.status_code == 201
    assert answer.json == {"id": answer.json["id"], "interface": interface.public_id}
    assert answer.headers["Location"] == f"/api/v1/leads/{answer.json['id']}"
    lead = program.get(answer.headers["Location"]).json
    assert lead["id"] == answer.json["id"]
    assert lead["interface"] == {"id": interface.public_id, "name": "Contact sales"}
    assert lead["fields"] == ADA
    assert lead["undeclared"] == {"budget": "5,000"}
    assert (lead["status"], lead["test"], lead["spam"], lead["deliveries"]) == ("no-webhook", False, None, [])
    assert lead["received_at"].endswith("Z")
    assert lead["source"]["page_url"] == "https://example.com/contact"
    assert lead["source"]["utm"]["source"] == "news"
    assert lead["source"]["ip"] == "203.0.113.9"


def test_a_lead_of_a_program_has_not_the_programs_address(program: Caller, interface: Interface) -> None:
    lead = program.get(f"/leads/{created(program, interface)['id']}").json
    assert lead["source"]["ip"] is None
    assert lead["source"]["user_agent"] is None


def test_numbers_keep_the_digits_that_were_sent(program: Caller, interface: Interface) -> None:
    fields = '{"name": "Ada", "email": "a@b.example", "message": 1.50}'
    sent = f'{{"interface": "{interface.public_id}", "fields": {fields}}}'
    answer = program.call("POST", "/leads", data=sent, content_type="application/json")
    assert program.get(f"/leads/{answer.json['id']}").json["fields"]["message"] == "1.50"


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"fields": {"name": "Ada", "email": "nonsense", "message": "x"}}, "#/fields/email", "it needs an @"),
        ({"fields": {}}, "#/fields/name", ""),
        ({"fields": []}, "#/fields", "must be an object"),
        ({"fields": "x"}, "#/fields", "must be an object"),
        ({"felds": {}}, "#/felds", "There is no field “felds”."),
        ({"interface": None}, "#/interface", "“interface” must be a text, not null."),
        ({"source": {"ip": "x"}}, "#/source/ip", "no IP address"),
        ({"source": {"pages": 1}}, "#/source/pages", "There is no field “pages”."),
        ({"source": {"utm": {"soucre": "x"}}}, "#/source/utm/soucre", "There is no field “soucre”."),
        (
            {"source": {"click_ids": {"gclid": 1}}},
            "#/source/click_ids/…",
            "must be a text or null, not a whole number.",
        ),
    ],
)
def test_what_is_wrong_with_a_new_lead_is_said_by_its_place(
    program: Caller, interface: Interface, change: dict[str, Any], pointer: str, words: str
) -> None:
    answer = program.post("/leads", {"interface": interface.public_id, "fields": ADA, **change})
    problem = problem_of(answer, 422)
    assert problem["errors"][0]["pointer"] == pointer
    assert words in problem["errors"][0]["detail"]
    assert problem["detail"] == problem["errors"][0]["detail"]
    assert problem["type"] == "/docs/api#problem-invalid"
    assert db.session.query(Lead).count() == 0


NESTED = b'{"interface": "if_x", "fields": {"a": ' + b"[" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"interface"',
        b"\xff",
        b'{"interface": "\\ud800"}',
        b'{"interface": "if_x", "fields": {"a": NaN}}',
        NESTED,
        NESTED + b"]" * 100_000 + b"}}",
    ],
    ids=range(7),
)
def test_a_body_that_is_no_json_is_400(program: Caller, body: bytes) -> None:
    problem_of(program.call("POST", "/leads", data=body, content_type="application/json"), 400)


def test_other_content_types_are_415_and_large_bodies_413(program: Caller, interface: Interface) -> None:
    problem_of(program.call("POST", "/leads", data="a=b", content_type="application/x-www-form-urlencoded"), 415)
    problem_of(program.call("POST", "/leads", data="<a/>", content_type="text/xml"), 415)
    long = {"interface": interface.public_id, "fields": {"message": "x" * 300_000}}
    assert "256 KB" in problem_of(program.post("/leads", long), 413)["detail"]
    many = {"interface": interface.public_id, "fields": {f"a{number}": "" for number in range(501)}}
    problem_of(program.post("/leads", many), 413)


def test_a_closed_form_takes_no_lead(program: Caller, interface: Interface) -> None:
    with transaction():
        interfaces.close(interface)
    problem_of(program.post("/leads", {"interface": interface.public_id, "fields": ADA}), 409)


@pytest.mark.parametrize("key", ["order-1", '"order-1"'])
def test_the_same_key_is_the_same_lead_bare_or_quoted(program: Caller, interface: Interface, key: str) -> None:
    body = {"interface": interface.public_id, "fields": ADA}
    first = program.post("/leads", body, headers={"Idempotency-Key": "order-1"})
    second = program.post("/leads", body, headers={"Idempotency-Key": key})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json == second.json
    other = program.post("/leads", {**body, "fields": {**ADA, "name": "Eve"}}, headers={"Idempotency-Key": key})
    assert problem_of(other, 422)["errors"][0]["header"] == "Idempotency-Key"
    assert db.session.query(Lead).count() == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256])
def test_a_key_that_is_none_is_400(program: Caller, interface: Interface, key: str) -> None:
    answer = program.post(
        "/leads",
        {"interface": interface.public_id, "fields": ADA},
        headers={"Idempotency-Key": key.encode().decode("latin-1")},
    )
    assert problem_of(answer, 400)["errors"][0]["header"] == "Idempotency-Key"


def test_a_page_sends_leads_from_allowed_sites_only(page: Caller, interface: Interface) -> None:
    body = {"interface": interface.public_id, "fields": ADA}
    anywhere = page.post("/leads", body, headers={"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"})
    assert anywhere.status_code == 201
    assert anywhere.headers["Access-Control-Allow-Origin"] == "*"
    with transaction():
        db.session.merge(interface).allowed_sites = ["https://shop.example"]
        db.session.execute(update(Interface).values(updated_at=utcnow()))
    allowed = page.post("/leads", body, headers={"Origin": "https://shop.example"})
    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (201, "*")
    elsewhere = page.post("/leads", body, headers={"Origin": "https://evil.example"})
    problem_of(elsewhere, 403)
    assert "Access-Control-Allow-Origin" not in elsewhere.headers


def test_a_page_says_nothing_of_the_visitors_address(page: Caller, interface: Interface) -> None:
    body = {"interface": interface.public_id, "fields": ADA, "source": {"ip": "203.0.113.9"}}
    assert problem_of(page.post("/leads", body), 422)["errors"][0]["pointer"] == "#/source/ip"


def test_a_page_may_ask_before_it_sends(app: Flask, program: Caller, interface: Interface) -> None:
    asked = app.test_client().options("/api/v1/leads", headers={"Origin": "https://shop.example"})
    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Origin"] == "*"
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    body = {"interface": interface.public_id, "fields": ADA}
    sent = program.post("/leads", body, headers={"Origin": "https://shop.example"})
    assert "Access-Control-Allow-Origin" not in sent.headers, "a private key does not belong into a page"


def test_a_page_sends_as_many_leads_as_a_form(make_app: Any, owner: User, interface: Interface) -> None:
    page = caller(make_app(FORM_RATE_LIMIT="2 per minute"), owner.account_id, public=True)
    body = {"interface": interface.public_id, "fields": ADA}
    answers = [page.post("/leads", body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert int(answers[2].headers["Retry-After"]) > 0


def test_leads_are_listed_page_by_page_to_the_end(program: Caller, interface: Interface) -> None:
    made = [submit(interface, {**ADA, "name": f"Ada {number}"}).public_id for number in range(5)]
    found, path = [], "/leads?limit=2"
    pages = 0
    while path:
        answer = program.get(path)
        found += [lead["id"] for lead in answer.json["data"]]
        following = answer.headers.get("Link")
        assert (answer.json["next"] is None) == (following is None)
        path = following.split(">")[0].removeprefix("<").partition("/api/v1")[2] if following else ""
        assert not following or following.endswith('rel="next"')
        pages += 1
    assert (found, pages) == (made[::-1], 3)


def test_a_lead_that_comes_meanwhile_moves_no_page(program: Caller, interface: Interface) -> None:
    made = [submit(interface).public_id for _ in range(4)]
    first = program.get("/leads?limit=2").json
    submit(interface)
    second = program.get(f"/leads?limit=2&cursor={first['next']}").json
    assert [lead["id"] for lead in [*first["data"], *second["data"]]] == made[::-1]


def test_leads_are_filtered_like_the_page(program: Caller, interface: Interface, owner: User) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Newsletter")
    ada, eve = submit(interface), submit(other, {**ADA, "name": "Eve"})
    with transaction():
        db.session.execute(update(Lead).where(Lead.id == eve.id).values(spam="honeypot"))

    def ids(query: str) -> list[str]:
        return [lead["id"] for lead in program.get(f"/leads?{query}").json["data"]]

    ada_id, eve_id = ada.public_id, eve.public_id
    assert ids("") == [ada_id]
    assert ids("status=spam") == [eve_id]
    assert ids("status=no-webhook") == [ada_id]
    assert ids("status=failed") == []
    assert ids("q=lovelace") == [ada_id]
    assert ids(f"interface={other.public_id}") == []
    assert ids(f"interface={interface.public_id}&received=24h") == [ada_id]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("stauts=failed", "stauts"),
        ("status=Failed", "status"),
        ("status=", "status"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=5&limit=6", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=cm93IDA", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=cm93IDk5OTk5OTk5OTk5OTk5OTk5OTk", "cursor"),
        ("received=1y", "received"),
        ("interface=if_nothing", "interface"),
        ("interface=%00", "interface"),
        ("q=" + "x" * 201, "q"),
    ],
)
def test_a_query_that_is_wrong_is_said_by_its_parameter(
    program: Caller, interface: Interface, query: str, parameter: str
) -> None:
    assert problem_of(program.get(f"/leads?{query}"), 422)["errors"][0]["parameter"] == parameter


def test_a_page_of_leads_takes_three_queries(app: Flask, program: Caller, interface: Interface) -> None:
    point_at(interface, URL)
    for _ in range(3):
        add_attempts(submit(interface), 2)
    program.get("/leads")  # notes the use of the key
    lead = program.get("/leads?limit=1").json["data"][0]
    for path in (
        "/leads",
        "/leads?status=failed",
        f"/leads/{lead['id']}",
        f"/deliveries/{lead['deliveries'][0]['id']}",
    ):
        statements: list[str] = []
        event.listen(db.engine, "after_cursor_execute", lambda *args, found=statements: found.append(args[2]))
        assert program.get(path).status_code == 200
        asked = [text for text in statements if text.startswith(("SELECT", "WITH"))]
        assert len(asked) <= 3 + ("status" in path), (path, asked)


def test_a_lead_shows_its_attempts_without_the_secrets_of_addresses(program: Caller, interface: Interface) -> None:
    point_at(interface, URL)
    lead = submit(interface)
    add_attempts(lead, 30)
    answer = program.get(f"/leads/{lead.public_id}")
    assert "s3cret" not in answer.text
    [delivery] = answer.json["deliveries"]
    assert (answer.json["status"], delivery["status"]) == ("failed", "failed")
    assert [attempt["number"] for attempt in delivery["attempts"]] == list(range(6, 31))
    attempt = delivery["attempts"][0]
    assert (attempt["url"], attempt["code"], attempt["reason"]) == ("https://crm.example.com/…", 500, "automatic")
    whole = program.get(f"/deliveries/{delivery['id']}").json
    assert {name: whole[name] for name in delivery} == delivery
    assert whole["lead"] == lead.public_id
    assert '"lead.created"' in whole["payload"]


def test_a_lead_is_sent_again_and_the_audit_log_names_the_key(
    app: Flask, program: Caller, interface: Interface, signed_in: Any
) -> None:
    point_at(interface, URL)
    lead = submit(interface)
    delivery = add_attempts(lead, 1)
    answer = program.post(f"/leads/{lead.public_id}/retry")
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    db.session.refresh(delivery)
    assert delivery.retry_at is not None
    assert delivery.retried_by_id is None
    assert db.session.query(LeadLogEntry).filter_by(action="resentwebhook").one().user_id is None
    assert "API Key “Program”" in signed_in.get("/profile/audit-log").text
    assert signed_in.get(f"/leads/{lead.public_id}").status_code == 200
    again = program.post(f"/leads/{lead.public_id}/retry")
    assert problem_of(again, 409)["detail"] == "It is being sent right now."


def test_what_cannot_be_sent_again_says_why(program: Caller, interface: Interface) -> None:
    lead = submit(interface)
    path = f"/leads/{lead.public_id}/retry"
    assert problem_of(program.post(path), 409)["detail"] == "Its interface has no Lead Webhook URL."
    assert "not sent to this webhook" in problem_of(program.post(path, {"webhooks": ["wh_x\0"]}), 409)["detail"]
    assert problem_of(program.post(path, {"webhook": "x"}), 422)["errors"][0]["pointer"] == "#/webhook"


def test_a_lead_is_taken_out_of_spam_once(program: Caller, interface: Interface) -> None:
    point_at(interface, URL)
    lead = submit(interface)
    with transaction():
        db.session.query(Delivery).delete()
        db.session.execute(update(Lead).values(spam="honeypot"))
    path = f"/leads/{lead.public_id}/not-spam"
    for _ in range(2):
        answer = program.post(path)
        assert (answer.status_code, answer.json["spam"], answer.json["status"]) == (200, None, "queued")
    assert db.session.query(Delivery).count() == 1
    assert problem_of(program.post(path, {"spam": False}), 422)["errors"][0]["pointer"] == "#/spam"
    with transaction():
        db.session.execute(update(Lead).values(spam="honeypot"))
        interfaces.archive(db.session.get_one(Interface, interface.id))
    assert "stays in Spam" in problem_of(program.post(path), 409)["detail"]


@pytest.mark.parametrize("lead_id", ["lead_nothing", "x" * 41, "%20", "é", "lead_%0a"])
def test_an_unknown_lead_is_404(program: Caller, lead_id: str) -> None:
    problem_of(program.get(f"/leads/{lead_id}"), 404)
    problem_of(program.post(f"/leads/{lead_id}/retry"), 404)
    problem_of(program.post(f"/leads/{lead_id}/not-spam"), 404)
    problem_of(program.get(f"/deliveries/{lead_id}"), 404)


def test_a_key_for_one_interface_reaches_nothing_of_another(app: Flask, owner: User, interface: Interface) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Newsletter")
    point_at(interface, URL)
    mine, theirs = submit(other), submit(interface)
    delivery_id = db.session.query(Delivery).filter_by(lead_id=theirs.id).one().message_id
    program = caller(app, owner.account_id, only=[other.public_id])
    assert [lead["id"] for lead in program.get("/leads").json["data"]] == [mine.public_id]
    assert program.get(f"/leads/{mine.public_id}").status_code == 200
    problem_of(program.get(f"/leads?interface={interface.public_id}"), 422)
    problem_of(program.get(f"/leads/{theirs.public_id}"), 404)
    problem_of(program.get(f"/deliveries/{delivery_id}"), 404)
    problem_of(program.post(f"/leads/{theirs.public_id}/retry"), 404)
    problem_of(program.post(f"/leads/{theirs.public_id}/not-spam"), 404)
    problem_of(program.post("/leads", {"interface": interface.public_id, "fields": ADA}), 404)
    assert created(program, other)["interface"] == other.public_id


def test_one_scope_does_not_give_another(app: Flask, owner: User, interface: Interface) -> None:
    lead = submit(interface)
    reader = caller(app, owner.account_id, Scope.READ, name="Reader")
    writer = caller(app, owner.account_id, Scope.WRITE, name="Writer")
    assert reader.get(f"/leads/{lead.public_id}").status_code == 200
    assert problem_of(reader.post(f"/leads/{lead.public_id}/retry"), 403)["scope"] == "write"
    assert problem_of(writer.get(f"/leads/{lead.public_id}"), 403)["scope"] == "read"
    assert problem_of(writer.post("/leads", {}), 403)["scope"] == "capture"


def test_posts_of_programs_are_counted_like_those_of_forms(
    app: Flask, program: Caller, page: Caller, interface: Interface
) -> None:
    body = {"interface": interface.public_id, "fields": ADA}
    for _ in range(4):  # also by the short way, once the key and the form are known
        program.post("/leads", body)
    page.post("/leads", body)
    program.post("/leads", {**body, "fields": {"email": "no"}})
    program.post("/leads", {"fields": ADA})
    program.patch(f"/interfaces/{body['interface']}/blocklist", {"add": ["ada@example.com"]})
    for _ in range(3):
        program.post("/leads", body)
    program.patch(f"/interfaces/{body['interface']}", {"closed": True})
    program.post("/leads", body)
    program.call("OPTIONS", "/leads")
    program.get("/leads")
    program.post("/leads", {**body, "interface": "if_nothing"})
    counts = app.extensions["leadhook_post_counters"].totals()
    found = {name: count for name, count in counts.items() if count}
    assert found == {"accepted": 5, "invalid": 2, "spam": 3, "closed": 1, "other": 1}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:DB8:0::9", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        (f"fe80::1%<b>\0{'x' * 5000}", "fe80::1"),
    ],
)
def test_a_visitors_address_is_kept_in_one_form_and_without_a_zone(
    program: Caller, interface: Interface, sent: str, kept: str
) -> None:
    lead = created(program, interface, source={"ip": sent})
    assert program.get(f"/leads/{lead['id']}").json["source"]["ip"] == kept


def test_what_the_body_names_and_does_not_exist_is_404_at_its_place(program: Caller, interface: Interface) -> None:
    """A 404 without a place says that the id in the address is wrong."""
    for path, more, name in (
        ("/leads", {"fields": ADA}, "interface"),
        ("/hooks", {"target": "https://hooks.example.com/a"}, "interface"),
        ("/reconcile", {"ids": []}, "interface"),
        ("/reconcile", {"ids": []}, "webhook"),
    ):
        problem = problem_of(program.post(path, {**more, name: "x_nothing"}), 404)
        assert problem["detail"] == f"There is no {name} with this id, or the key does not reach it."
        assert problem["errors"] == [{"detail": problem["detail"], "pointer": f"#/{name}"}]
    assert problem_of(program.get("/leads/lead_nothing"), 404)["detail"].startswith(
        "Nothing of yours is at this address"
    )


def test_a_delivered_lead_is_sent_again_too_and_the_document_says_so(program: Caller, interface: Interface) -> None:
    point_at(interface, URL)
    lead = submit(interface)
    delivery = add_attempts(lead, 1)
    with transaction():
        delivery.state = DeliveryState.DELIVERED
    assert program.post(f"/leads/{lead.public_id}/retry").status_code == 202
    db.session.refresh(delivery)
    assert delivery.retry_at is not None
    document = program.get("/openapi.json").json["components"]["schemas"]["Retry"]
    assert document["properties"]["webhooks"]["description"].endswith("those that did not take it, or else all.")
