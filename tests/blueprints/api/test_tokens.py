"""Shared Tokens over the REST API: create, list, rotate with an overlap, revoke."""

from typing import Any

from flask import Flask
from sqlalchemy import event, update

from tests.blueprints.api.test_leads import problem_of
from tests.support.api import Caller, caller, key_for
from tests.support.factories import point_at
from webapp.db.transactions import transaction
from webapp.encryption import decrypt
from webapp.extensions import db
from webapp.models import ApiKey, AuditEntry, Interface, PreviousSecret, User
from webapp.services import api_keys
from webapp.webhooks.signing import generate_secret


def created(program: Caller, name: str = "CRM receiver", **more: Any) -> Any:
    answer = program.post("/shared-tokens", {"name": name, **more})
    assert answer.status_code == 201, answer.text
    return answer.json


def stored_secret(token_id: str) -> str:
    db.session.rollback()
    key = db.session.query(ApiKey).filter_by(public_id=token_id).one()
    return decrypt(key.secret_encrypted or b"")


def test_a_token_is_created_and_its_secret_is_answered_once(program: Caller) -> None:
    made = created(program)
    path = f"/shared-tokens/{made['id']}"
    assert made["secret"].startswith("whsec_")
    assert stored_secret(made["id"]) == made["secret"]
    read = program.get(path)
    assert read.json == {name: value for name, value in made.items() if name != "secret"}
    assert made["secret"] not in read.text + program.get("/shared-tokens").text
    assert program.post("/shared-tokens", {"name": "B"}).headers["Location"].startswith("/api/v1/shared-tokens/key_")


def test_a_secret_that_receivers_have_is_taken_over_and_not_answered(program: Caller) -> None:
    secret = generate_secret()
    answer = program.post("/shared-tokens", {"name": "Imported", "existing": f" {secret}\n"})
    assert (answer.status_code, answer.json["secret"]) == (201, None)
    assert secret not in answer.text
    assert stored_secret(answer.json["id"]) == secret


def test_what_is_wrong_with_a_token_is_said_by_its_place(program: Caller) -> None:
    created(program)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "#/name"),
        ({"name": ""}, "#/name"),
        ({"name": "CRM receiver"}, "#/name"),
        ({"name": "B", "existing": "too short"}, "#/existing"),
        ({"name": "B", "secret": "x"}, "#/secret"),
    ]
    for body, pointer in wrong:
        assert problem_of(program.post("/shared-tokens", body), 422)["errors"][0]["pointer"] == pointer, body
    assert len(program.get("/shared-tokens").json["data"]) == 1


def test_a_rotated_token_signs_with_both_secrets_for_a_time(program: Caller) -> None:
    made = created(program)
    path = f"/shared-tokens/{made['id']}"
    rotated = program.post(f"{path}/rotate", {"overlap_hours": 2}).json
    assert rotated["secret"] not in (None, made["secret"])
    assert stored_secret(made["id"]) == rotated["secret"]
    assert rotated["previous"]["hint"] == made["hint"]
    assert rotated["previous"]["until"].endswith("Z")
    assert program.get(path).json["previous"] == rotated["previous"]
    assert program.get("/shared-tokens").json["data"][0]["previous"] == rotated["previous"]
    again = problem_of(program.post(f"{path}/rotate"), 409)["detail"]
    assert made["hint"] in again
    assert "force" in again
    forced = program.post(f"{path}/rotate", {"force": True}).json
    assert forced["previous"]["hint"] == rotated["hint"]
    assert program.post(f"{path}/end-previous").json["previous"] is None
    assert program.post(f"{path}/end-previous").status_code == 200
    assert program.get(path).json["previous"] is None
    assert program.post(f"{path}/rotate", {"overlap_hours": 0}).json["previous"] is None
    problem_of(program.post(f"{path}/rotate", {"overlap_hours": 169}), 422)


def test_an_overlap_that_is_over_is_not_shown(program: Caller) -> None:
    path = f"/shared-tokens/{created(program)['id']}"
    program.post(f"{path}/rotate")
    with transaction():
        db.session.execute(update(PreviousSecret).values(until=1.0))
    assert program.get(path).json["previous"] is None
    assert program.post(f"{path}/rotate").status_code == 200


def test_a_token_is_revoked_once_no_webhook_signs_with_it(program: Caller, interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    made, webhook = created(program), f"/webhooks/{interface.webhook.public_id}"
    path, signs = f"/shared-tokens/{made['id']}", {"kind": "shared_token", "shared_token": made["id"]}
    assert program.patch(webhook, {"authentication": signs}).json["authentication"]["shared_token"] == made["id"]
    assert "Contact sales" in problem_of(program.post(f"{path}/revoke"), 409)["detail"]
    assert program.patch(webhook, {"authentication": {"kind": "none"}}).json["authentication"]["shared_token"] is None
    revoked = program.post(f"{path}/revoke").json
    assert revoked["revoked_at"].endswith("Z")
    assert program.get(path).json == program.post(f"{path}/revoke").json == revoked
    assert program.get("/shared-tokens").json["data"] == []
    problem_of(program.post(f"{path}/rotate"), 409)
    refused = program.patch(webhook, {"authentication": signs})
    assert problem_of(refused, 422)["errors"][0]["pointer"] == "#/authentication/shared_token"


def test_tokens_are_listed_to_the_end_with_few_queries(program: Caller) -> None:
    made = [created(program, f"Token {number}")["id"] for number in range(3)]
    found, cursor = [], ""
    while cursor is not None:
        page = program.get(f"/shared-tokens?limit=2&cursor={cursor}").json
        found += [each["id"] for each in page["data"]]
        cursor = page["next"]
    assert found == made[::-1]
    for path in ("/shared-tokens", f"/shared-tokens/{made[0]}"):
        statements: list[str] = []
        event.listen(db.engine, "after_cursor_execute", lambda *args, found=statements: found.append(args[2]))
        program.get(path)
        assert len([text for text in statements if text.startswith(("SELECT", "WITH"))]) <= 3, path


def test_an_api_key_is_no_shared_token(app: Flask, program: Caller, owner: User) -> None:
    key_for(owner.account_id, name="Another")
    key = db.session.query(ApiKey).filter_by(name="Another").one().public_id
    problem_of(program.get(f"/shared-tokens/{key}"), 404)
    problem_of(program.post(f"/shared-tokens/{key}/rotate"), 404)
    problem_of(program.post(f"/shared-tokens/{key}/revoke"), 404)
    assert program.get("/shared-tokens").json["data"] == []


def test_a_key_for_some_interfaces_has_no_tokens(app: Flask, owner: User, interface: Interface) -> None:
    with transaction():
        token = api_keys.create_shared_token(owner.account_id, owner.id, "Of the account")[0].public_id
    program = caller(app, owner.account_id, only=[interface.public_id])
    for answer in (
        program.get("/shared-tokens"),
        program.post("/shared-tokens", {"name": "Mine"}),
        program.get(f"/shared-tokens/{token}"),
        program.post(f"/shared-tokens/{token}/revoke"),
    ):
        assert "whole account" in problem_of(answer, 403)["detail"]


def test_the_audit_log_names_the_key_for_each_change(program: Caller) -> None:
    path = f"/shared-tokens/{created(program)['id']}"
    program.post(f"{path}/rotate")
    program.post(f"{path}/end-previous")
    program.post(f"{path}/revoke")
    found = db.session.query(AuditEntry).order_by(AuditEntry.id.desc()).limit(4).all()
    actions = ["key.created", "key.rotated", "key.previous_revoked", "key.revoked"]
    assert [entry.action for entry in reversed(found)] == actions
    assert {(entry.actor, entry.target) for entry in found} == {("API Key “Program”", "CRM receiver")}
