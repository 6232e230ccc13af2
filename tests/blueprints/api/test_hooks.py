"""REST hooks: a program subscribes to new leads, gets them signed, and unsubscribes; what is refused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from standardwebhooks import Webhook as Verifier

from tests.blueprints.api.test_leads import problem_of
from tests.support.api import Caller, caller
from tests.support.factories import ADA, submit
from tests.support.receiver import Receiver
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import (
    ApiKey,
    AuditEntry,
    Authentication,
    Delivery,
    DeliveryState,
    Interface,
    KeyType,
    Lead,
    Scope,
    User,
    Webhook,
)
from webapp.services import api_keys
from webapp.services.interfaces import interfaces
from webapp.services.webhooks import editing, hooks
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan

TARGET = "http://127.0.0.1:9/hooks/s3cret"


def made(program: Caller, interface: Interface, target: str = TARGET) -> Any:
    answer = program.post("/hooks", {"target": target, "interface": interface.public_id, "events": ["lead.created"]})
    assert answer.status_code == 201, answer.text
    return answer.json


@contextmanager
def counting() -> Iterator[list[str]]:
    """The statements that read, of a block."""
    asked: list[str] = []

    def note(*args: Any) -> None:
        asked.extend([args[2]] if args[2].startswith(("SELECT", "WITH")) else [])

    event.listen(db.engine, "after_cursor_execute", note)
    yield asked
    event.remove(db.engine, "after_cursor_execute", note)


def drain(hook_id: str) -> None:
    row = db.session.query(Webhook.id).filter_by(public_id=hook_id).scalar()
    db.session.rollback()
    lanes.drain(row)


def test_a_program_subscribes_gets_signed_leads_and_unsubscribes(
    program: Caller, interface: Interface, receiver: Receiver
) -> None:
    public_id = interface.public_id
    answer = program.post("/hooks", {"target": receiver.url, "interface": public_id})
    hook = answer.json
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/hooks/{hook['id']}"
    secret = hook.pop("secret")
    assert (hook["interface"], hook["events"], hook["state"]) == (public_id, ["lead.created"], "active")
    assert program.get(answer.headers["Location"]).json == hook
    assert program.get("/hooks").json == {"data": [hook], "next": None}
    assert secret not in program.get("/hooks").text

    sent = program.post("/leads", {"interface": public_id, "fields": ADA}).json
    drain(hook["id"])
    [request] = receiver.requests
    body = Verifier(secret).verify(request.body, {name.lower(): value for name, value in request.headers.items()})
    assert (body["type"], body["data"]["lead"]["id"]) == ("lead.created", sent["id"])

    ended = program.call("DELETE", f"/hooks/{hook['id']}")
    assert (ended.status_code, ended.json) == (200, {"id": hook["id"], "cancelled": 0})
    for method in ("GET", "DELETE"):
        problem_of(program.call(method, f"/hooks/{hook['id']}"), 404)
    assert program.get("/hooks").json["data"] == []
    later = program.post("/leads", {"interface": public_id, "fields": ADA}).json
    assert program.get(f"/leads/{later['id']}").json["deliveries"] == []
    assert program.get(f"/leads/{sent['id']}").json["status"] == "delivered"


def test_a_hook_is_a_webhook_on_the_page_named_by_its_host_with_a_token_of_its_own(
    program: Caller, interface: Interface, signed_in: FlaskClient
) -> None:
    public_id = interface.public_id
    hook, other = made(program, interface), made(program, interface)
    page = signed_in.get(f"/interfaces/{public_id}/edit/lead-generation").text
    assert hook["id"] in page
    row = db.session.query(Webhook).filter_by(public_id=hook["id"]).one()
    assert (row.name, row.url, row.connection) == ("127.0.0.1", TARGET, None)
    names = [token.name for token in db.session.query(ApiKey).filter(ApiKey.name.startswith("Hook "))]
    assert sorted(names) == sorted([f"Hook {hook['id']}", f"Hook {other['id']}"])
    assert hook["secret"] != other["secret"]
    assert hook["target"] == "http://127.0.0.1:9/…"
    log = signed_in.get("/profile/audit-log").text
    assert "API Key “Program”" in log
    actions = {entry.action for entry in db.session.query(AuditEntry)}
    assert {"webhook.added", "key.created"} <= actions
    program.call("DELETE", f"/hooks/{hook['id']}")
    db.session.rollback()
    assert {entry.action for entry in db.session.query(AuditEntry)} - actions == {"webhook.removed", "key.revoked"}
    live = db.session.query(ApiKey.name).filter(ApiKey.name.startswith("Hook "), ApiKey.revoked_at.is_(None))
    assert [name for (name,) in live] == [f"Hook {other['id']}"]


def test_what_waits_is_cancelled_when_a_hook_ends(program: Caller, interface: Interface) -> None:
    hook = made(program, interface)
    submit(interface)
    assert program.call("DELETE", f"/hooks/{hook['id']}").json["cancelled"] == 1
    db.session.rollback()
    assert db.session.query(Delivery).one().state == DeliveryState.CANCELLED


def test_a_target_that_is_gone_pauses_its_hook(program: Caller, interface: Interface, receiver: Receiver) -> None:
    hook = made(program, interface, receiver.url)
    receiver.answer(status=410)
    submit(interface)
    drain(hook["id"])
    found = program.get(f"/hooks/{hook['id']}").json
    assert (found["state"], "410 Gone" in found["reason"]) == ("paused", True)
    assert program.call("DELETE", f"/hooks/{hook['id']}").status_code == 200


def test_a_token_that_a_person_uses_elsewhere_outlives_its_hook(
    program: Caller, interface: Interface, owner: User
) -> None:
    hook = made(program, interface)
    with transaction():
        token = db.session.query(ApiKey).filter_by(name=f"Hook {hook['id']}").one()
        other = interfaces.create(owner.account_id, "Newsletter")
        other.webhook.url, other.webhook.shared_token = TARGET, token
    assert program.call("DELETE", f"/hooks/{hook['id']}").status_code == 200
    db.session.rollback()
    assert db.session.query(ApiKey).filter_by(name=f"Hook {hook['id']}").one().revoked_at is None


@pytest.mark.parametrize("way", ["api", "page"])
def test_removing_the_webhook_of_a_hook_ends_its_token_but_no_other(
    program: Caller, interface: Interface, owner: User, signed_in: FlaskClient, way: str
) -> None:
    hook = made(program, interface)["id"]
    with transaction():
        token, _ = api_keys.create_shared_token(owner.account_id, owner.id, "CRM")
        signs = Wanted(Authentication.SHARED_TOKEN)
        plan = Plan(TARGET, "CRM", token.public_id, wanted=signs)
        other = editing.add(db.session.merge(interface), plan).public_id
    for webhook in (hook, other):
        if way == "api":
            assert program.call("DELETE", f"/webhooks/{webhook}").status_code == 200
        else:
            assert signed_in.post(f"/webhooks/{webhook}/remove").status_code == 303
    db.session.rollback()
    revoked = {key.name: key.revoked_at is not None for key in api_keys_of(owner)}
    assert revoked == {f"Hook {hook}": True, "CRM": False}


def api_keys_of(owner: User) -> list[ApiKey]:
    """The Shared Tokens of the account."""
    found = db.session.query(ApiKey).filter_by(account_id=owner.account_id, type=KeyType.SHARED_TOKEN)
    return list(found)


def test_other_webhooks_are_no_hooks_and_stay(program: Caller, interface: Interface) -> None:
    with transaction():
        webhook = editing.add(db.session.merge(interface), Plan(TARGET)).public_id
        first = interface.webhook.public_id
    assert program.get("/hooks").json["data"] == []
    for public_id in (webhook, first, "wh_x", "x" * 41, "%20"):
        problem_of(program.get(f"/hooks/{public_id}"), 404)
        problem_of(program.call("DELETE", f"/hooks/{public_id}"), 404)
    db.session.rollback()
    assert db.session.query(Webhook).filter(Webhook.removed_at.is_(None)).count() == 2


def test_hooks_are_listed_to_the_end_without_those_of_deleted_interfaces(
    program: Caller, interface: Interface, owner: User
) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Newsletter")
        ids = [hooks.create(form, TARGET)[0].public_id for form in (interface, other, interface, interface)]
        interfaces.archive(other)
    found, path = [], "/hooks?limit=2"
    while path:
        answer = program.get(path)
        found += [hook["id"] for hook in answer.json["data"]]
        following = answer.headers.get("Link", "")
        path = following.split(">")[0].removeprefix("<").partition("/api/v1")[2]
    assert found == [ids[3], ids[2], ids[0]]


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"target": "http://10.0.0.1/"}, "#/target", "is not public"),
        ({"target": "http://169.254.169.254/latest"}, "#/target", "not"),
        ({"target": "https://example.com:22/"}, "#/target", "port"),
        ({"target": "ftp://example.com/"}, "#/target", "http"),
        ({"target": "https://user:password@example.com/"}, "#/target", ""),
        ({"target": "/hook"}, "#/target", ""),
        ({"target": "https://example.com/\0"}, "#/target", ""),
        ({"target": ""}, "#/target", ""),
        ({"target": "https://example.com/" + "x" * 2048}, "#/target", ""),
        ({"events": ["lead.deleted"]}, "#/events/0", "lead.deleted"),
        ({"events": []}, "#/events", ""),
        ({"events": "lead.created"}, "#/events", ""),
        ({"targetUrl": "https://example.com/"}, "#/targetUrl", "There is no field “targetUrl”."),
        ({"interface": 5}, "#/interface", ""),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_what_is_wrong_with_a_new_hook_is_said_by_its_place(
    program: Caller, interface: Interface, change: dict[str, Any], pointer: str, words: str
) -> None:
    answer = program.post("/hooks", {"target": TARGET, "interface": interface.public_id, **change})
    fault = problem_of(answer, 422)["errors"][0]
    assert fault["pointer"] == pointer
    assert words in fault["detail"]
    assert program.get("/hooks").json["data"] == []


def test_the_address_of_a_form_of_ours_is_no_target(program: Caller, interface: Interface) -> None:
    own = interfaces.form_url(interface)
    answer = program.post("/hooks", {"target": own, "interface": interface.public_id})
    assert "each lead would make another one" in problem_of(answer, 422)["detail"]
    problem_of(program.post("/hooks", {"target": TARGET, "interface": "if_nothing"}), 404)
    problem_of(program.post("/hooks", {"target": TARGET, "interface": "if_\0"}), 404)


def test_an_interface_with_as_many_webhooks_as_it_can_have_takes_no_hook(program: Caller, interface: Interface) -> None:
    with transaction():
        for _ in range(editing.MOST - 1):
            editing.add(db.session.merge(interface), Plan(TARGET))
    answer = program.post("/hooks", {"target": TARGET, "interface": interface.public_id})
    assert problem_of(answer, 409)["detail"] == "An interface has 20 webhooks at most."
    db.session.rollback()
    assert db.session.query(ApiKey).filter(ApiKey.name.startswith("Hook ")).count() == 0


def test_a_sample_is_the_body_that_a_hook_gets(program: Caller, interface: Interface, receiver: Receiver) -> None:
    public_id, hook = interface.public_id, made(program, interface, receiver.url)
    path = f"/hooks/sample?interface={public_id}"
    [sample] = program.get(path).json
    assert (sample["type"], sample["data"]["lead"]["test"]) == ("lead.test", True)
    assert set(sample["data"]["lead"]["fields"]) == set(ADA)
    assert all(sample["data"]["lead"]["fields"].values())
    assert db.session.query(Lead).count() == 0
    lead = submit(interface)
    lead_id = lead.public_id
    drain(hook["id"])
    [request] = receiver.requests
    samples = program.get(path)
    assert samples.json == [json.loads(request.body)]
    assert samples.json[0]["data"]["lead"]["id"] == lead_id
    assert shape(samples.json[0]) == shape(sample)
    assert program.get("/hooks/sample").json == samples.json


def shape(value: Any) -> Any:
    """The names in it, at every depth; of consents and the first touch only whether they are there."""
    return {name: shape(each) for name, each in value.items()} if isinstance(value, dict) else None


def test_samples_are_of_few_leads_the_newest_first_without_spam_and_anonymised_ones(
    program: Caller, interface: Interface
) -> None:
    ids = [submit(interface, {**ADA, "name": f"Ada {number}"}).public_id for number in range(6)]
    with transaction():
        leads = {lead.public_id: lead for lead in db.session.query(Lead)}
        leads[ids[5]].spam = "honeypot"
        leads[ids[4]].anonymised_at = leads[ids[4]].received_at
    found = program.get(f"/hooks/sample?interface={interface.public_id}").json
    assert [each["data"]["lead"]["id"] for each in found] == [ids[3], ids[2], ids[1]]


@pytest.mark.parametrize("query", ["interface=if_nothing", "interface=%00", "interface=" + "x" * 41])
def test_a_sample_of_no_interface_is_refused(program: Caller, interface: Interface, query: str) -> None:
    assert problem_of(program.get(f"/hooks/sample?{query}"), 422)["errors"][0]["parameter"] == "interface"


def test_an_account_without_an_interface_has_no_sample(program: Caller) -> None:
    assert program.get("/hooks/sample").json == []


def test_a_key_for_one_interface_makes_and_sees_hooks_of_that_one_only(
    app: Flask, program: Caller, owner: User, interface: Interface
) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Newsletter")
    mine, theirs = made(program, other), made(program, interface)
    limited = caller(app, owner.account_id, only=[other.public_id], name="Limited")
    assert [hook["id"] for hook in limited.get("/hooks").json["data"]] == [mine["id"]]
    problem_of(limited.get(f"/hooks/{theirs['id']}"), 404)
    problem_of(limited.call("DELETE", f"/hooks/{theirs['id']}"), 404)
    problem_of(limited.post("/hooks", {"target": TARGET, "interface": interface.public_id}), 404)
    problem_of(limited.get(f"/hooks/sample?interface={interface.public_id}"), 422)
    assert limited.get("/hooks/sample").json[0]["data"]["interface"]["name"] == "Newsletter"
    assert limited.call("DELETE", f"/hooks/{mine['id']}").status_code == 200
    reader = caller(app, owner.account_id, Scope.READ, name="Reader")
    assert problem_of(reader.call("DELETE", f"/hooks/{theirs['id']}"), 403)["scope"] == "write"


def test_reading_hooks_takes_three_statements(app: Flask, program: Caller, interface: Interface) -> None:
    hook = made(program, interface)
    made(program, interface)
    sample = f"/hooks/sample?interface={interface.public_id}"
    submit(interface)
    for path in ("/hooks", f"/hooks/{hook['id']}", sample):
        with counting() as asked:
            assert program.get(path).status_code == 200
        assert len(asked) <= 3 + (path == sample), (path, asked)
