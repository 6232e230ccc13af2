"""Which keys open which tools. The tools are found by themselves: a new one is walked without being named."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from tests.conftest import PASSWORD, AppMaker
from tests.support.accounts import everything_of
from tests.support.api import key_for
from tests.support.factories import submit
from tests.support.mcp import Model, model
from tests.support.people import as_user
from webapp.blueprints.mcp.tools import TOOLS, Tool
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import ApiKey, Interface, Scope, User
from webapp.services import api_keys
from webapp.services.people import users

READS = [name for name, each in TOOLS.items() if each.scope == Scope.READ]


@pytest.fixture
def lead(owner: User) -> str:
    """One of everything in the owner's account; the id of the lead."""
    return everything_of(owner)["lead"]


def arguments(tool: Tool, lead: str) -> dict[str, Any]:
    return {"id": lead} if "id" in tool.arguments.__struct_fields__ else {}


def called(program: Model, tool: Tool, lead: str) -> Any:
    return program.ask("tools/call", {"name": tool.name, "arguments": arguments(tool, lead)})


def test_without_a_key_that_is_valid_nothing_opens(app: Flask, owner: User, lead: str) -> None:
    revoked = key_for(owner.account_id, name="Revoked")
    ended = key_for(owner.account_id, name="Ended", lasts=timedelta(days=1))
    with transaction():
        api_keys.revoke(db.session.query(ApiKey).filter_by(name="Revoked").one())
        db.session.query(ApiKey).filter_by(name="Ended").one().expires_at = utcnow() - timedelta(seconds=1)
        _, token = api_keys.create_shared_token(owner.account_id, owner.id, "Token")
    clients = [(app.test_client(), secret) for secret in (None, "", "lhk_", "lhk_" + "x" * 43, revoked, ended, token)]
    for client, secret in [*clients, (as_user(app, owner), None)]:
        for is_new in (True, False):
            program = Model(client, secret, is_new)
            for answer in (program.ask("tools/list"), called(program, TOOLS["list_leads"], lead), program.post(b"{")):
                assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
                assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
                assert "resource_metadata" not in answer.headers["WWW-Authenticate"]
                assert "Set-Cookie" not in answer.headers
                assert "rightwater" not in answer.text


def test_a_public_key_opens_nothing(app: Flask, owner: User) -> None:
    for is_new in (True, False):
        answer = model(app, owner.account_id, public=True, is_new=is_new, name=str(is_new)).ask("tools/list")
        assert (answer.status_code, answer.json["detail"][:12]) == (403, "A public key")


def test_the_tools_are_those_of_the_scopes(app: Flask, owner: User, lead: str) -> None:
    reader = model(app, owner.account_id, Scope.READ, name="Reader")
    writer = model(app, owner.account_id, Scope.WRITE, name="Writer")
    assert reader.tools() == READS
    assert writer.tools() == ["retry_lead"]
    assert model(app, owner.account_id, Scope.CAPTURE, name="Capturer").tools() == []
    for tool in TOOLS.values():
        program, needs = (writer, "read") if tool.scope == Scope.READ else (reader, "write")
        words = program.failure(tool.name, **arguments(tool, lead))
        assert words.startswith(f"This needs a key with the scope {needs}."), tool.name


def test_a_key_of_another_account_finds_nothing(app: Flask, lead: str) -> None:
    with transaction():
        charlie = users.create_owner("charlie@example.org", PASSWORD, "Charlie's Cars")
    program = model(app, charlie.account_id)
    for tool in TOOLS.values():
        answer = called(program, tool, lead)
        assert "rightwater" not in answer.text
        result = answer.json["result"]
        if "id" in tool.arguments.__struct_fields__:
            assert (result["isError"], result["content"][0]["text"][:26]) == (True, "Nothing of this account ha")
        else:
            assert '":[],"next":null}' in result["content"][0]["text"]


def test_a_key_for_one_interface_reaches_nothing_of_another(
    app: Flask, owner: User, interface: Interface, lead: str
) -> None:
    mine = submit(interface).public_id
    program = model(app, owner.account_id, only=[interface.public_id])
    for tool in TOOLS.values():
        answer = called(program, tool, lead)
        assert "rightwater" not in answer.text
        if "id" in tool.arguments.__struct_fields__:
            assert answer.json["result"]["isError"] is True
    assert [each["id"] for each in program.call("list_leads")["leads"]] == [mine]
    assert [each["id"] for each in program.call("list_interfaces")["interfaces"]] == [interface.public_id]
    assert program.call("explain_failure", id=mine)["lead"] == mine


def test_over_the_limit_a_model_reads_how_long_to_wait(make_app: AppMaker, owner: User) -> None:
    app = make_app(API_RATE_LIMIT="2 per minute")
    old = model(app, owner.account_id, is_new=False)
    new = Model(old.client, old.secret)
    assert old.ask("ping").headers["RateLimit-Policy"] == '"default";q=2;w=60'
    assert old.ask("ping").status_code == 200
    for each in (old, new):
        answer = each.ask("tools/call", {"name": "list_leads"})
        assert (answer.status_code, answer.json["result"]["isError"]) == (200, True)
        assert "This key made too many requests. Wait " in answer.json["result"]["content"][0]["text"]
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        listed = each.ask("tools/list")
        assert (listed.status_code, listed.json["error"]["code"]) == (429 if each.is_new else 200, 429)
    assert model(app, owner.account_id, name="Other").ask("tools/list").status_code == 200


def test_the_use_of_a_key_is_noted(new: Model) -> None:
    new.tools()
    assert db.session.query(ApiKey).one().last_used_at is not None


def test_every_answer_keeps_the_conventions(new: Model, old: Model) -> None:
    for each in (new, old):
        answer = each.ask("tools/list")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["RateLimit"].startswith('"default";r=')
        assert "Set-Cookie" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers
