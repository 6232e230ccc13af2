"""Webhooks over the REST API: add, list, get, change, pause, resume, test, remove."""

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from tests.blueprints.api.test_leads import problem_of
from tests.support.api import Caller, caller
from tests.support.factories import point_at, submit
from tests.support.receiver import Receiver
from tests.support.webhook_pages import add, stored_secrets
from webapp import jobs
from webapp.blueprints.api.webhook_shapes import KINDS, SENT
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Authentication, Delivery, DeliveryState, Interface, Lead, Scope, User, Webhook
from webapp.services import api_keys
from webapp.services.interfaces import interfaces
from webapp.services.webhooks import connections, presets

LOCAL = "http://127.0.0.1:9/hook"
SLACK = "http://127.0.0.1:9/services/T0/B0/x9y8z7w6"
SECRET = "s3cr3t-of-the-crm-0123456789"


@pytest.fixture
def webhook(interface: Interface) -> str:
    """The path of a second webhook."""
    return f"/webhooks/{add(interface, SLACK, 'Slack').public_id}"


def added(program: Caller, interface: Interface, **more: Any) -> Any:
    answer = program.post(f"/interfaces/{interface.public_id}/webhooks", {"name": "CRM", "url": LOCAL, **more})
    assert answer.status_code == 201, answer.text
    return answer.json


def without_news(saved: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in saved.items() if name not in ("secret", "warning", "released")}


def test_a_webhook_is_added_with_all_its_settings_and_read(program: Caller, interface: Interface) -> None:
    sent = {
        **SENT,
        "url": LOCAL,
        "shadow": True,
        "method": "PUT",
        "payload": {"format": "template", "options": {"template": '{"mail": "{{ fields.email }}"}'}},
        "success": {"codes": "200,302", "header": {"name": "location", "text": "thanks"}, "give_up": "404"},
        "parallel_requests": 4,
        "automatic_retries": False,
    }
    answer = program.post(f"/interfaces/{interface.public_id}/webhooks", sent)
    assert answer.status_code == 201, answer.text
    made = answer.json
    assert answer.headers["Location"] == f"/api/v1/webhooks/{made['id']}"
    assert without_news(made) == program.get(answer.headers["Location"]).json
    assert made["authentication"] == {
        "kind": "bearer",
        "shared_token": None,
        "options": {},
        "secrets": ["token"],
        "public_keys": {},
        "previous_signs": False,
    }
    assert made["custom_headers"] == ["X-Team"]
    assert made["payload"] == {"format": "template", "options": {"template": '{"mail": "{{ fields.email }}"}'}}
    assert made["condition"] == {"match": "all", "rules": [{"field": "utm_source", "is": "is", "value": "newsletter"}]}
    assert made["success"]["header"] == {"name": "location", "text": "thanks", "is": "contains"}
    assert (made["interface"], made["url"], made["method"]) == (interface.public_id, LOCAL, "PUT")
    assert (made["shadow"], made["first"], made["state"], made["rate"]) == (True, False, "active", 10)
    assert (made["parallel_requests"], made["automatic_retries"]) == (4, False)
    assert "token-of-the-crm" not in answer.text
    stored = db.session.query(Webhook).filter_by(public_id=made["id"]).one()
    assert connections.secrets_of(stored)["custom_headers"] == "X-Team: sales"
    assert stored_secrets(stored) == {"token": "token-of-the-crm"}


def test_every_kind_of_authentication_is_set_and_no_secret_comes_back(
    program: Caller, interface: Interface, owner: User
) -> None:
    with transaction():
        token = api_keys.create_shared_token(owner.account_id, owner.id, "Signs")[0].public_id
    settings: dict[str, dict[str, Any]] = {
        "shared_token": {"shared_token": token},
        "bearer": {"secrets": {"token": SECRET}},
        "basic": {"options": {"user": "leads"}, "secrets": {"password": SECRET}},
        "header": {"options": {"name": "X-Key"}, "secrets": {"value": SECRET}},
        "query": {"options": {"name": "key"}, "secrets": {"value": SECRET}},
        "oauth2": {
            "options": {"token_url": "https://login.example.com/token", "client_id": "leads"},
            "secrets": {"client_secret": SECRET},
        },
    }
    made_by_leadhook = {"v1a": ["private_key"], "metalocator": ["secret"], "signature": ["secret"]}
    for kind in KINDS:
        given = {"kind": kind, **settings.get(kind, {})}
        made = added(program, interface, authentication=given)
        read = program.get(f"/webhooks/{made['id']}")
        found = read.json["authentication"]
        assert (found["kind"], found["shared_token"]) == (kind, given.get("shared_token"))
        assert found["secrets"] == list(given.get("secrets", made_by_leadhook.get(kind, [])))
        assert SECRET not in read.text
        assert bool(made["secret"]) == (kind in ("metalocator", "signature")), "a secret of ours is said once"
        assert not made["secret"] or made["secret"] not in read.text
        assert bool(found["public_keys"]) == (kind == "v1a")


def test_what_is_left_out_of_a_change_stays_and_secrets_do_too(program: Caller, interface: Interface) -> None:
    made = added(program, interface, **{name: SENT[name] for name in ("authentication", "custom_headers", "condition")})
    path = f"/webhooks/{made['id']}"
    changed = program.patch(path, {"rate": 3, "custom_headers": {"X-More": "b", "x-team": "service"}}).json
    differs = {name for name, value in program.get(path).json.items() if value != made[name]}
    assert differs == {"rate", "custom_headers"}
    assert changed["custom_headers"] == ["x-team", "X-More"]
    webhook = db.session.query(Webhook).filter_by(public_id=made["id"]).one()
    assert stored_secrets(webhook) == {"token": "token-of-the-crm"}
    assert connections.secrets_of(webhook)["custom_headers"] == "x-team: service\nX-More: b"
    program.patch(path, {"custom_headers": {"X-TEAM": None}, "authentication": {"secrets": {"token": SECRET}}})
    assert stored_secrets(webhook) == {"token": SECRET}
    assert connections.secrets_of(webhook)["custom_headers"] == "X-More: b"
    gone = program.patch(path, {"condition": None, "rate": None, "authentication": {"kind": "none"}}).json
    assert (gone["condition"], gone["rate"], gone["authentication"]["secrets"]) == (None, None, [])
    db.session.expire_all()
    assert "authentication" not in connections.secrets_of(webhook)


def test_options_are_changed_one_by_one_and_go_with_their_kind(program: Caller, interface: Interface) -> None:
    basic = {"kind": "basic", "options": {"user": "leads"}, "secrets": {"password": SECRET}}
    path = f"/webhooks/{added(program, interface, authentication=basic)['id']}"
    cloud = {"format": "cloudevents", "options": {"source": "https://a.example"}}
    changed = program.patch(path, {"authentication": {"options": {"user": "crm"}}, "payload": cloud}).json
    assert changed["authentication"]["options"] == {"user": "crm"}
    assert changed["authentication"]["secrets"] == ["password"]
    assert changed["payload"] == cloud
    changed = program.patch(path, {"payload": {"options": {"extensions": "tenant: acme"}}}).json
    assert changed["payload"]["options"] == {"source": "https://a.example", "extensions": "tenant: acme"}
    changed = program.patch(path, {"payload": {"format": "flat"}, "authentication": {"kind": "none"}}).json
    assert changed["payload"] == {"format": "flat", "options": {}}
    assert changed["authentication"]["options"] == {}


def test_a_preset_begins_the_settings_and_what_is_sent_beside_it_counts(program: Caller, interface: Interface) -> None:
    own = {"payload": {"options": {"template": '{"a": 1}'}}}
    slack = added(program, interface, preset="slack", condition=SENT["condition"], **own)
    preset = presets.named("slack")
    assert preset
    assert (slack["preset"], slack["payload"]["options"]["template"]) == ("slack", '{"a": 1}')
    assert slack["condition"]["rules"]
    assert [each["text"] for each in slack["success"]["stops"]] == [
        each["text"] for each in preset.stored["success"]["stops"]
    ]
    path = f"/webhooks/{slack['id']}"
    assert program.patch(path, {"rate": 2}).json["preset"] == "slack"
    assert program.patch(path, {"preset": ""}).json["preset"] is None
    signed, github = added(program, interface, preset="signature:github"), presets.named("signature:github")
    assert github
    assert (signed["authentication"]["kind"], signed["authentication"]["options"]) == ("signature", github.options)
    assert signed["secret"]
    refused = program.post(
        f"/interfaces/{interface.public_id}/webhooks", {"name": "A", "url": LOCAL, "preset": "salesforce_web_to_lead"}
    )
    assert "Still to replace" in problem_of(refused, 422)["detail"]
    assert problem_of(refused, 422)["errors"][0]["pointer"] == "#/preset"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "x" * 101}, "#/name"),
    ({"name": "a\0b"}, "#/name"),
    ({"url": "ftp://crm.example.com"}, "#/url"),
    ({"url": "http://169.254.1.1/"}, "#/url"),
    ({"url": 5}, "#/url"),
    ({"url": None}, "#/url"),
    ({"method": "GET"}, "#/method"),
    ({"authentication": {"kind": "magic"}}, "#/authentication/kind"),
    ({"authentication": {"kind": "shared_token"}}, "#/authentication/shared_token"),
    ({"authentication": {"kind": "shared_token", "shared_token": "key_x"}}, "#/authentication/shared_token"),
    ({"authentication": {"kind": "bearer"}}, "#/authentication/secrets/token"),
    ({"authentication": {"kind": "bearer", "options": {"token": "x"}}}, "#/authentication/options/token"),
    ({"authentication": {"kind": "basic", "options": {"user": "a:b"}}}, "#/authentication/options/user"),
    ({"authentication": {"kind": "none", "secrets": {"a": "b"}}}, "#/authentication/secrets/a"),
    ({"authentication": {"colour": "red"}}, "#/authentication/colour"),
    ({"custom_headers": {"Host": "a"}}, "#/custom_headers"),
    ({"custom_headers": {"X-A": "a\nX-B: b"}}, "#/custom_headers"),
    ({"certificate": "no certificate"}, "#/certificate"),
    ({"payload": {"format": "xml"}}, "#/payload/format"),
    ({"payload": {"options": {"template": "{}"}}}, "#/payload/options/template"),
    ({"payload": {"format": "template", "options": {"template": "{"}}}, "#/payload/options/template"),
    ({"preset": "nothing"}, "#/preset"),
    ({"condition": {"rules": []}}, "#/condition"),
    ({"condition": {"rules": [{"field": "nothing", "is": "is", "value": "a"}]}}, "#/condition"),
    ({"success": {"codes": "99"}}, "#/success/codes"),
    ({"success": {"header": {"name": "a b", "text": "x"}}}, "#/success/header"),
    ({"success": {"stops": [{"then": "cry", "code": 410}]}}, "#/success/stops"),
    ({"parallel_requests": 17}, "#/parallel_requests"),
    ({"rate": 0}, "#/rate"),
    ({"automatic_retries": "yes"}, "#/automatic_retries"),
    ({"state": "paused"}, "#/state"),
]


def test_what_is_wrong_with_a_change_is_said_by_its_place_and_nothing_is_saved(program: Caller, webhook: str) -> None:
    before = program.get(webhook).json
    for body, pointer in WRONG:
        answer = program.patch(webhook, {**body, **({"rate": 7} if "rate" not in body else {})})
        assert problem_of(answer, 422)["errors"][0]["pointer"] == pointer, body
        assert program.get(webhook).json == before, body


def test_a_new_webhook_needs_a_name_and_an_interface_has_twenty_at_most(
    program: Caller, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/interfaces/{interface.public_id}/webhooks"
    assert problem_of(program.post(path, {"url": LOCAL}), 422)["errors"][0]["pointer"] == "#/name"
    assert problem_of(program.post(path, {"name": "CRM"}), 422)["errors"][0]["pointer"] == "#/url"
    assert problem_of(program.post(path, {"name": "", "url": LOCAL}), 422)["errors"][0]["pointer"] == "#/name"
    monkeypatch.setattr("webapp.services.webhooks.editing.MOST", 1)
    assert "1 webhooks at most" in problem_of(program.post(path, {"name": "CRM", "url": LOCAL}), 409)["detail"]
    assert len(program.get(path).json["data"]) == 1


def test_webhooks_are_listed_of_all_interfaces_and_of_one(program: Caller, interface: Interface, owner: User) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Other")
        gone = interfaces.create(owner.account_id, "Gone")
        interfaces.archive(gone)
    made = [added(program, each)["id"] for each in (interface, other, interface)]
    firsts = [interface.webhook.public_id, other.webhook.public_id]
    found, cursor = [], ""
    while cursor is not None:
        page = program.get(f"/webhooks?limit=2&cursor={cursor}").json
        found += [each["id"] for each in page["data"]]
        cursor = page["next"]
    assert found == [*reversed(made), *reversed(firsts)]
    of_one = program.get(f"/interfaces/{interface.public_id}/webhooks").json
    assert [each["id"] for each in of_one["data"]] == [made[2], made[0], firsts[0]]
    assert of_one["next"] is None


def test_a_webhook_is_read_with_few_queries(program: Caller, interface: Interface, webhook: str, owner: User) -> None:
    with transaction():
        token = api_keys.create_shared_token(owner.account_id, owner.id, "Signs")[0].public_id
    program.patch(webhook, {"authentication": {"kind": "shared_token", "shared_token": token}})
    for path in (webhook, "/webhooks", f"/interfaces/{interface.public_id}/webhooks"):
        statements: list[str] = []
        event.listen(db.engine, "after_cursor_execute", lambda *args, found=statements: found.append(args[2]))
        assert program.get(path).status_code == 200
        asked = [text for text in statements if text.startswith(("SELECT", "WITH"))]
        assert len(asked) <= 3, (path, asked)


def test_only_a_key_that_may_write_sees_the_whole_address(app: Flask, owner: User, webhook: str) -> None:
    reads = caller(app, owner.account_id, Scope.READ)
    changes = caller(app, owner.account_id, Scope.READ, Scope.WRITE, name="Changes")
    for program, url in ((reads, "http://127.0.0.1:9/…"), (changes, SLACK)):
        answer = program.get(webhook)
        assert answer.json["url"] == url
        assert next(each for each in program.get("/webhooks").json["data"] if each["name"] == "Slack")["url"] == url
        assert ("x9y8z7w6" in answer.text) == (url == SLACK)


def test_what_somebody_else_changed_is_not_overwritten(program: Caller, interface: Interface) -> None:
    made = program.post(f"/interfaces/{interface.public_id}/webhooks", {"name": "CRM", "url": LOCAL})
    path, first = f"/webhooks/{made.json['id']}", made.headers["ETag"]
    assert program.get(path).headers["ETag"] == first
    mine = program.patch(path, {"authentication": {"kind": "metalocator"}}, headers={"If-Match": first})
    assert mine.json["secret"]
    problem_of(program.patch(path, {"rate": 2}, headers={"If-Match": first}), 412)
    assert program.patch(path, {"rate": 3}, headers={"If-Match": mine.headers["ETag"]}).status_code == 200


def test_a_webhooks_own_secret_is_rotated_and_the_old_one_ended(program: Caller, interface: Interface) -> None:
    made = added(program, interface, authentication={"kind": "metalocator"})
    path = f"/webhooks/{made['id']}"
    rotated = program.post(f"{path}/secret").json
    assert rotated["secret"] not in (None, made["secret"])
    assert rotated["authentication"]["previous_signs"] is False
    given = program.post(f"{path}/secret", {"secret": f" {SECRET}\n"})
    assert (given.status_code, given.json["secret"]) == (200, None)
    assert stored_secrets(db.session.query(Webhook).filter_by(public_id=made["id"]).one())["secret"] == SECRET
    short = problem_of(program.post(f"{path}/secret", {"secret": "x"}), 422)
    assert short["errors"][0]["pointer"] == "#/secret"

    before = program.patch(path, {"authentication": {"kind": "v1a"}}).json["authentication"]["public_keys"]
    both = program.post(f"{path}/secret").json
    assert both["secret"] is None
    assert both["authentication"]["previous_signs"]
    assert next(iter(before.values())) in both["authentication"]["public_keys"].values()
    for _ in range(2):
        ended = program.post(f"{path}/secret/end-previous").json["authentication"]
        assert ended["previous_signs"] is False
        assert not set(before.values()) & set(ended["public_keys"].values())

    program.patch(path, {"authentication": {"kind": "none"}})
    assert "no secret" in problem_of(program.post(f"{path}/secret"), 409)["detail"]


def test_a_webhook_is_paused_and_resumed_and_leads_wait_meanwhile(
    program: Caller, interface: Interface, receiver: Receiver
) -> None:
    point_at(interface, receiver.url)
    path, webhook_id = f"/webhooks/{interface.webhook.public_id}", interface.webhook.id
    paused = program.post(f"{path}/pause").json
    assert (paused["state"], paused["reason"]) == ("paused", "Paused by the API Key “Program”.")
    assert program.post(f"{path}/pause").json["state"] == "paused"
    lead = submit(interface).public_id
    assert program.get(f"/leads/{lead}").json["status"] == "held"
    assert "paused" in problem_of(program.post(f"{path}/test"), 409)["detail"]
    resumed = program.post(f"{path}/resume").json
    assert (resumed["state"], resumed["reason"]) == ("active", "")
    assert program.post(f"{path}/resume").status_code == 200
    db.session.rollback()
    jobs.drain(webhook_id)
    assert len(receiver.wait_for(1)) == 1
    assert program.get(f"/leads/{lead}").json["status"] == "delivered"


def test_a_test_lead_is_sent_and_its_outcome_is_read(program: Caller, interface: Interface, receiver: Receiver) -> None:
    made = added(program, interface, url=receiver.url)
    answer = program.post(f"/webhooks/{made['id']}/test")
    assert answer.status_code == 202, answer.text
    lead = answer.json
    assert answer.headers["Location"] == f"/api/v1/leads/{lead['id']}"
    assert (lead["test"], lead["status"]) == (True, "queued")
    assert [each["webhook"]["id"] for each in lead["deliveries"]] == [made["id"]]
    webhook_id = db.session.query(Webhook.id).filter_by(public_id=made["id"]).scalar()
    db.session.rollback()
    jobs.drain(webhook_id)
    assert json.loads(receiver.wait_for(1)[0].body)["data"]["lead"]["test"] is True
    [delivery] = program.get(answer.headers["Location"]).json["deliveries"]
    assert (delivery["status"], delivery["attempts"][0]["code"]) == ("delivered", 200)
    assert program.get(f"/deliveries/{delivery['id']}").json["status"] == "delivered"


def test_without_a_url_there_is_no_test(program: Caller, interface: Interface) -> None:
    answer = program.post(f"/webhooks/{interface.webhook.public_id}/test")
    assert "nowhere to send" in problem_of(answer, 409)["detail"]
    assert db.session.query(Lead).count() == 0


def test_a_webhook_is_removed_for_ever_but_not_the_first(program: Caller, interface: Interface, webhook: str) -> None:
    point_at(interface, LOCAL)
    lead = submit(interface).public_id
    answer = program.call("DELETE", webhook)
    assert answer.json == {"id": webhook.rpartition("/")[2], "cancelled": 1}
    for method in ("GET", "DELETE"):
        problem_of(program.call(method, webhook), 404)
    sent = program.get(f"/leads/{lead}").json["deliveries"]
    assert {each["webhook"]["name"]: each["status"] for each in sent}["Slack"] == "cancelled"
    first = program.call("DELETE", f"/webhooks/{interface.webhook.public_id}")
    assert "first webhook" in problem_of(first, 409)["detail"]


def test_leads_on_hold_are_sent_once_what_held_them_is_changed(program: Caller, interface: Interface) -> None:
    point_at(interface, LOCAL)
    submit(interface)
    path = f"/webhooks/{interface.webhook.public_id}"
    program.patch(path, {"url": None})
    with transaction():
        db.session.query(Delivery).update({"state": DeliveryState.ON_HOLD, "due_at": None})
    assert program.patch(path, {"url": LOCAL}).json["released"] == 1


def test_the_audit_log_names_the_key_for_each_change(program: Caller, interface: Interface) -> None:
    path = f"/webhooks/{added(program, interface)['id']}"
    program.patch(path, {"rate": 5})
    for what in ("pause", "resume", "test"):
        program.post(f"{path}/{what}")
    program.call("DELETE", path)
    found = db.session.query(AuditEntry).order_by(AuditEntry.id.desc()).limit(6).all()
    assert [entry.action for entry in reversed(found)] == [
        "webhook.added",
        "webhook.changed",
        "interface.paused",
        "interface.resumed",
        "interface.tested",
        "webhook.removed",
    ]
    assert {entry.actor for entry in found} == {"API Key “Program”"}


def test_a_key_for_one_interface_has_only_its_webhooks(app: Flask, owner: User, interface: Interface) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Other")
    program = caller(app, owner.account_id, only=[interface.public_id])
    mine = [each["id"] for each in program.get("/webhooks").json["data"]]
    assert mine == [interface.webhook.public_id]
    problem_of(program.patch(f"/webhooks/{other.webhook.public_id}", {"rate": 1}), 404)
    problem_of(program.post(f"/interfaces/{other.public_id}/webhooks", {"name": "Mine", "url": LOCAL}), 404)
    assert program.patch(f"/webhooks/{mine[0]}", {"rate": 1}).status_code == 200
    assert Authentication(program.get(f"/webhooks/{mine[0]}").json["authentication"]["kind"]) == Authentication.NONE


def test_a_key_for_some_interfaces_signs_only_as_these_do(app: Flask, owner: User, interface: Interface) -> None:
    """Not with a token that only other interfaces use, nor with one that none uses: it would sign as others do."""
    with transaction():
        mine = add(interface, LOCAL, "CRM").public_id
        other = interfaces.create(owner.account_id, "Other").webhook
        tokens = [api_keys.create_shared_token(owner.account_id, owner.id, name)[0] for name in ("A", "B", "C")]
        ours, theirs, unused = (token.public_id for token in tokens)
        other.url, other.authentication, other.shared_token = LOCAL, Authentication.SHARED_TOKEN, tokens[1]
    everything = caller(app, owner.account_id, name="Everything")
    limited = caller(app, owner.account_id, only=[interface.public_id], name="Limited")
    new = {"name": "New", "url": LOCAL}
    for token in (ours, theirs, unused, "key_x", "\0"):
        signs = {"authentication": {"kind": "shared_token", "shared_token": token}}
        for answer in (
            limited.patch(f"/webhooks/{mine}", signs),
            limited.post(f"/interfaces/{interface.public_id}/webhooks", {**new, **signs}),
        ):
            problem = problem_of(answer, 422)
            assert "limited to some interfaces" in problem["detail"]
            assert problem["errors"][0]["pointer"] == "#/authentication/shared_token"
    signs = {"authentication": {"kind": "shared_token", "shared_token": ours}}
    assert everything.patch(f"/webhooks/{mine}", signs).status_code == 200
    assert limited.patch(f"/webhooks/{mine}", {**signs, "rate": 5}).json["rate"] == 5
    answer = limited.post(f"/interfaces/{interface.public_id}/webhooks", {**new, **signs})
    assert answer.json["authentication"]["shared_token"] == ours


def test_a_token_with_a_nul_does_not_exist(program: Caller, webhook: str) -> None:
    signs = {"authentication": {"kind": "shared_token", "shared_token": "key_\0"}}
    assert "does not exist" in problem_of(program.patch(webhook, signs), 422)["detail"]


def test_a_webhook_is_removed_and_paused_with_the_etag_that_was_read(program: Caller, webhook: str) -> None:
    first = program.get(webhook).headers["ETag"]
    paused = program.post(f"{webhook}/pause", headers={"If-Match": first})
    assert paused.status_code == 200
    problem_of(program.call("DELETE", webhook, headers={"If-Match": first}), 412)
    assert program.get(webhook).status_code == 200
    assert program.call("DELETE", webhook, headers={"If-Match": paused.headers["ETag"]}).status_code == 200
