"""What opens the REST API: each operation with no key, a wrong one, an ended one, one of another account.

The operations are found by themselves: a new one is walked without being named.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from tests.blueprints.api.test_leads import problem_of
from tests.conftest import PASSWORD, AppMaker
from tests.support.accounts import everything_of, ids_of_everything, make_everything
from tests.support.api import BASE, Caller, caller, key_for
from tests.support.factories import ADA
from tests.support.people import as_user
from webapp.blueprints import api
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import ApiKey, Delivery, Lead, Scope, User
from webapp.services import api_keys
from webapp.services.people import users
from webapp.web.api.operations import OPERATIONS, Operation

WALKED = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
assert api.blueprint  # its import declares the operations
# What an operation that needs one is sent: the example of the document, with ids that exist.
PARTS = {
    "lead_id": "lead",
    "interface_id": "interface",
    "delivery_id": "delivery",
    "webhook_id": "webhook",
    "token_id": "key",
    "field_key": "field key",
    "hook_id": "hook",
}


MAKES = {"ids": make_everything}


@pytest.fixture
def ids(owner: User) -> dict[str, str]:
    """One of everything in the owner's account."""
    return with_delivery(ids_of_everything())


def with_delivery(found: dict[str, str]) -> dict[str, str]:
    lead = db.session.scalars(select(Lead).where(Lead.public_id == found["lead"])).one()
    found["delivery"] = db.session.scalars(select(Delivery.message_id).where(Delivery.lead_id == lead.id)).first() or ""
    return found


def names_a_webhook(operation: Operation) -> bool:
    """In its query: then it finds nothing of others, as with an id in the path."""
    return operation.query is not None and "webhook" in operation.query.__struct_fields__


def names_something(operation: Operation) -> bool:
    """Of an account: in its path, its query or its body."""
    is_sent = bool(operation.sends and "interface" in operation.sends)
    return "<" in operation.path or names_a_webhook(operation) or is_sent


def call(program: Caller, operation: Operation, ids: dict[str, str], **more: Any) -> Any:
    path = re.sub(r"<(\w+)>", lambda part: ids[PARTS[part[1]]], operation.path)
    if names_a_webhook(operation):
        more["query_string"] = {"webhook": ids["webhook"]}
    if operation.body:
        more["json"] = dict(operation.sends or {})
        if "interface" in more["json"]:
            more["json"] |= {"interface": ids["interface"], **({"fields": ADA} if "fields" in more["json"] else {})}
    return program.call(operation.method, path, **more)


def rows() -> dict[str, list[Any]]:
    """The whole database, by table, but when keys were last used."""
    db.session.rollback()
    found = {}
    for table in db.metadata.sorted_tables:
        columns = [column for column in table.columns if column.name != "last_used_at"]
        found[table.name] = [tuple(row) for row in db.session.execute(select(*columns).order_by(*table.primary_key))]
    db.session.rollback()
    return found


@contextmanager
def at(operation: Operation) -> Iterator[None]:
    """A failure in the block says of which operation it is. One test walks over all: that is ten times as quick."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"at {operation.method} {operation.path}")
        raise


def test_without_a_key_that_is_valid_nothing_opens(app: Flask, owner: User, ids: dict[str, str]) -> None:
    revoked, ended = (
        key_for(owner.account_id, name="Revoked"),
        key_for(owner.account_id, name="Ended", lasts=timedelta(days=1)),
    )
    with transaction():
        api_keys.revoke(db.session.query(ApiKey).filter_by(name="Revoked").one())
        db.session.query(ApiKey).filter_by(name="Ended").one().expires_at = utcnow() - timedelta(seconds=1)
        _, token = api_keys.create_shared_token(owner.account_id, owner.id, "Token")
    before = rows()
    client = app.test_client()
    for operation in OPERATIONS:
        with at(operation):
            for secret in (
                None,
                "",
                "lhk_",
                "lhk_" + "x" * 43,
                "lhp_" + "x" * 43,
                revoked,
                ended,
                token,
                revoked + "\0",
            ):
                answer = call(Caller(client, secret), operation, ids)
                problem_of(answer, 401)
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert "rightwater" not in answer.text
            path = re.sub("<.*?>", "x", operation.path)
            answer = Caller(client, None).call(operation.method, path, headers={"Authorization": "Basic eDp5"})
            problem_of(answer, 401)
    assert rows() == before


def test_a_person_who_is_signed_in_opens_nothing_with_a_cookie(app: Flask, owner: User, ids: dict[str, str]) -> None:
    browser = as_user(app, owner)
    before = rows()
    for operation in OPERATIONS:
        with at(operation):
            answer = call(Caller(browser, None), operation, ids)
            problem_of(answer, 401)
            assert "Set-Cookie" not in answer.headers
    assert rows() == before


def test_a_key_of_another_account_finds_nothing(app: Flask, ids: dict[str, str]) -> None:
    with transaction():
        charlie = users.create_owner("charlie@example.org", PASSWORD, "Charlie's Cars")
    program = caller(app, charlie.account_id)
    for operation in OPERATIONS:
        with at(operation):
            before = rows()
            answer = call(program, operation, ids)
            assert "rightwater" not in answer.text
            if names_something(operation):
                problem_of(answer, 404)
                assert rows() == before
            else:
                assert answer.status_code == operation.status


def test_a_key_needs_the_scope_of_the_operation(app: Flask, owner: User, ids: dict[str, str]) -> None:
    """That the scope is enough is shown where every answer is looked at."""
    lacking = {
        scope: caller(app, owner.account_id, *(set(Scope) - {scope}), name=f"All but {scope}") for scope in Scope
    }
    before = rows()
    for operation in OPERATIONS:
        with at(operation):
            assert problem_of(call(lacking[operation.scope], operation, ids), 403)["scope"] == operation.scope
    assert rows() == before


def test_a_public_key_can_do_nothing_but_capture(app: Flask, owner: User, ids: dict[str, str]) -> None:
    program = caller(app, owner.account_id, public=True)
    for operation in OPERATIONS:
        with at(operation):
            answer = call(program, operation, ids)
            assert answer.status_code == (201 if operation.scope == Scope.CAPTURE else 403)
            assert (operation.name == "create_lead") == (operation.scope == Scope.CAPTURE)


def test_a_key_for_another_interface_finds_nothing(app: Flask, owner: User, interface: Any) -> None:
    ids = with_delivery(everything_of(owner))
    program = caller(app, owner.account_id, only=[interface.public_id])
    before = rows()
    for operation in OPERATIONS:
        with at(operation):
            answer = call(program, operation, ids)
            assert "rightwater " not in answer.text.replace("Brightwater Solar", "")
            if operation.of_account:
                problem_of(answer, 403)
            elif names_something(operation):
                problem_of(answer, 404)
            else:
                assert answer.status_code == 200
    assert rows() == before


def test_no_change_is_made_where_if_match_names_another_state(app: Flask, owner: User, ids: dict[str, str]) -> None:
    program = caller(app, owner.account_id)
    before = rows()
    creating = {
        "create_interface",
        "add_webhook",
        "create_shared_token",
        "create_lead",
        "reconcile_leads",
        "create_hook",
    }
    for operation in OPERATIONS:
        if operation.method != "GET" and operation.name not in creating:
            with at(operation):
                assert "If-Match" in operation.all_headers
                answer = call(program, operation, ids, headers={"If-Match": '"another"'})
                assert "Read it again" in problem_of(answer, 412)["detail"]
                assert rows() == before


@WALKED
def test_every_answer_keeps_the_conventions(app: Flask, owner: User, ids: dict[str, str], operation: Operation) -> None:
    """With a key that has the scope of the operation and no other."""
    answer = call(caller(app, owner.account_id, operation.scope), operation, ids)
    assert answer.status_code in (operation.status, 409), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["RateLimit-Policy"] == '"default";q=600;w=60'
    assert re.fullmatch(r'"default";r=599;t=(60|59)', answer.headers["RateLimit"])
    assert answer.content_type in ("application/json", "application/problem+json")
    for moment in re.findall(r'"(20\d\d-[^"]*)"', answer.text):
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\\?", moment)


def test_what_an_operation_does_not_know_is_refused_by_its_name(app: Flask, owner: User, ids: dict[str, str]) -> None:
    program = caller(app, owner.account_id)
    before = rows()
    parameter = {"detail": "There is no parameter “colour”.", "parameter": "colour"}
    field = {"detail": "There is no field “colour”.", "pointer": "#/colour"}
    for operation in OPERATIONS:
        with at(operation):
            path = re.sub(r"<\w+>", "x", operation.path)
            answer = program.call(operation.method, f"{path}?colour=red")
            assert problem_of(answer, 422)["errors"][0] == parameter
            if operation.body:
                answer = program.call(operation.method, path, json={**(operation.sends or {}), "colour": "red"})
                assert problem_of(answer, 422)["errors"][0] == field
                problem_of(program.call(operation.method, path, data=b"{", content_type="application/json"), 400)
                for content_type in (
                    "text/plain",
                    "multipart/form-data; boundary=b",
                    "application/x-www-form-urlencoded",
                ):
                    problem_of(program.call(operation.method, path, data=b"a=b", content_type=content_type), 415)
                packed = program.call(operation.method, path, json={}, headers={"Content-Encoding": "gzip"})
                assert "without Content-Encoding" in problem_of(packed, 415)["detail"]
    assert rows() == before


def test_the_key_in_any_spelling_of_the_scheme_opens(app: Flask, owner: User) -> None:
    secret = key_for(owner.account_id)
    for header in (f"Bearer {secret}", f"bearer  {secret}", f" BEARER {secret} "):
        answer = Caller(app.test_client(), None).get("/account", headers={"Authorization": header})
        assert answer.status_code == 200


def test_an_ended_key_says_when_it_ended(app: Flask, owner: User) -> None:
    program = caller(app, owner.account_id, lasts=timedelta(days=30))
    assert program.get("/account").json["key"]["expires_at"].endswith("Z")
    with time_machine.travel(utcnow() + timedelta(days=31)):
        answer = program.get("/account")
    assert "expired on" in problem_of(answer, 401)["detail"]
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_the_account_says_which_key_this_is(app: Flask, owner: User, interface: Any) -> None:
    program = caller(app, owner.account_id, Scope.READ, only=[interface.public_id], name="CRM sync")
    found = program.get("/account").json
    assert found["name"] == "Brightwater Solar"
    key = db.session.query(ApiKey).one()
    assert found["key"] == {
        "id": key.public_id,
        "name": "CRM sync",
        "access": "private",
        "scopes": ["read"],
        "interfaces": [interface.public_id],
        "expires_at": None,
    }


def test_last_used_is_written_at_most_once_a_minute(app: Flask, owner: User) -> None:
    program, key = caller(app, owner.account_id), db.session.query(ApiKey).one()
    assert key.last_used_at is None
    noted = []
    begin = utcnow().replace(microsecond=0)
    for seconds in (0, 59, 61, 119):
        with time_machine.travel(begin + timedelta(seconds=seconds), tick=False):
            program.get("/account")
        db.session.refresh(key)
        noted.append(key.last_used_at)
        db.session.rollback()
    assert noted == [begin, begin, begin + timedelta(seconds=61), begin + timedelta(seconds=61)]


def test_a_key_that_existed_before_scopes_keeps_all(app: Flask, owner: User) -> None:
    program = caller(app, owner.account_id)
    key = db.session.query(ApiKey).one()
    assert (key.scopes, key.expires_at, key.only_interfaces) == (None, None, None)
    assert program.get("/account").json["key"]["scopes"] == ["read", "write", "capture"]


def test_over_the_limit_a_key_waits_and_another_does_not(make_app: AppMaker, owner: User) -> None:
    app = make_app(API_RATE_LIMIT="2 per minute; 3 per hour")
    program, other = caller(app, owner.account_id), caller(app, owner.account_id, name="Other")
    answers = [program.get("/account") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=2;w=60, "default-2";q=3;w=3600'
    assert answers[1].headers["RateLimit"].startswith('"default";r=0;t=')
    problem = problem_of(answers[2], 429)
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem["violated-policies"] == ["default"]
    assert 0 < int(answers[2].headers["Retry-After"]) <= 60
    assert other.get("/account").status_code == 200


def test_without_a_limit_no_header_speaks_of_one(make_app: AppMaker, owner: User) -> None:
    answer = caller(make_app(API_RATE_LIMIT=""), owner.account_id).get("/account")
    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("DELETE", "/leads", 405), ("PUT", "/account", 405), ("GET", "/api/v2/leads", 404)],
)
def test_errors_below_the_api_are_problems(program: Caller, method: str, path: str, status: int) -> None:
    answer = program.call(method, path, headers={"Accept": "text/html"})
    found = problem_of(answer, status)
    if status == 404:
        assert found["detail"] == "The API has no such address. See /docs/api."
    if status == 405:
        assert answer.headers["Allow"]


def test_our_own_fault_is_a_problem_with_the_id_in_the_log(program: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.blueprints.api.account.moment", None)
    program.client.application.config.update(TESTING=False, PROPAGATE_EXCEPTIONS=False)
    assert problem_of(program.get("/account"), 500)["request_id"].startswith("req_")
    assert BASE == "/api/v1"
