"""Interfaces over the REST API: list, create, get with fields, change."""

from typing import Any

import pytest
from flask import Flask

from tests.blueprints.api.test_leads import problem_of
from tests.support.api import Caller, caller
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, User
from webapp.services.interfaces import interfaces


def test_an_interface_is_created_with_the_fields_of_a_template(program: Caller) -> None:
    answer = program.post("/interfaces", {"name": "Contact sales", "template": "quote"})
    assert answer.status_code == 201
    made = answer.json
    assert answer.headers["Location"] == f"/api/v1/interfaces/{made['id']}"
    assert made["form_url"].endswith(f"/f/{made['id']}")
    assert {"name", "email"} <= {field["key"] for field in made["fields"]}
    read = program.get(answer.headers["Location"])
    assert read.json == made
    assert program.client.get(f"/f/{made['id']}").status_code == 200
    assert len(program.post("/interfaces", {"name": "Plain"}).json["fields"]) == 4


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/name"),
        ({"name": ""}, "#/name"),
        ({"name": "a\0b"}, "#/name"),
        ({"name": "x" * 201}, "#/name"),
        ({"name": 5}, "#/name"),
        ({"name": "A", "template": "nothing"}, "#/template"),
        ({"name": "A", "fields": []}, "#/fields"),
        ([], "#"),
    ],
)
def test_what_is_wrong_with_a_new_interface_is_said_by_its_place(program: Caller, body: Any, pointer: str) -> None:
    assert problem_of(program.post("/interfaces", body), 422)["errors"][0]["pointer"] == pointer
    assert db.session.query(Interface).count() == 0


def test_interfaces_are_listed_to_the_end_without_deleted_ones(program: Caller, owner: User) -> None:
    with transaction():
        made = [interfaces.create(owner.account_id, f"Form {number}") for number in range(5)]
        interfaces.archive(made[2])
    found, cursor = [], ""
    while cursor is not None:
        page = program.get(f"/interfaces?limit=2&cursor={cursor}").json
        found += [each["name"] for each in page["data"]]
        cursor = page["next"]
    assert found == ["Form 4", "Form 3", "Form 1", "Form 0"]


def test_a_key_sees_only_its_interfaces(app: Flask, owner: User, interface: Interface) -> None:
    with transaction():
        interfaces.create(owner.account_id, "Newsletter")
    listed = caller(app, owner.account_id, only=[interface.public_id]).get("/interfaces").json
    assert [each["id"] for each in listed["data"]] == [interface.public_id]


def test_a_change_changes_what_it_names_and_nothing_else(program: Caller, interface: Interface) -> None:
    path = f"/interfaces/{interface.public_id}"
    before = program.get(path).json
    answer = program.patch(path, {"name": "Sales", "country": "DE", "look": {"accent": "#AA0000"}, "closed": True})
    assert answer.status_code == 200
    after = answer.json
    assert after == program.get(path).json
    assert (after["name"], after["country"], after["look"]["accent"]) == ("Sales", "DE", "#aa0000")
    assert after["closed_at"]
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"name", "country", "look", "closed_at", "updated_at"}
    opened = program.patch(path, {"closed": False, "country": None}).json
    assert (opened["closed_at"], opened["country"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": None}, "#/name"),
        ({"name": " "}, "#/name"),
        ({"language": "english, please"}, "#/language"),
        ({"country": "Germany"}, "#/country"),
        ({"redirect_url": "javascript:alert(1)"}, "#/redirect_url"),
        ({"look": {"accent": "red"}}, "#/look/accent"),
        ({"look": {"scheme": "pink"}}, "#/look/scheme"),
        ({"look": {"colour": "#ffffff"}}, "#/look/colour"),
        ({"closed": "yes"}, "#/closed"),
        ({"id": "if_mine"}, "#/id"),
    ],
)
def test_what_is_wrong_with_a_change_is_said_and_nothing_is_saved(
    program: Caller, interface: Interface, body: dict[str, Any], pointer: str
) -> None:
    path = f"/interfaces/{interface.public_id}"
    before = program.get(path).json
    answer = program.patch(path, {**body, **({"introduction": "New"} if "introduction" not in body else {})})
    assert problem_of(answer, 422)["errors"][0]["pointer"] == pointer
    assert program.get(path).json == before


def test_what_somebody_else_changed_is_not_overwritten(program: Caller, interface: Interface) -> None:
    path = f"/interfaces/{interface.public_id}"
    first = program.get(path).headers["ETag"]
    mine = program.patch(path, {"name": "Mine"}, headers={"If-Match": first})
    assert mine.status_code == 200
    problem_of(program.patch(path, {"name": "Late"}, headers={"If-Match": first}), 412)
    assert program.get(path).json["name"] == "Mine"
    second = program.patch(path, {"name": "Second"}, headers={"If-Match": mine.headers["ETag"]})
    assert second.status_code == 200
    assert program.patch(path, {"name": "Any"}, headers={"If-Match": "*"}).status_code == 200


def test_what_did_not_change_is_not_sent_again(program: Caller, interface: Interface) -> None:
    path = f"/interfaces/{interface.public_id}"
    etag = program.get(path).headers["ETag"]
    answer = program.get(path, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.text, answer.headers["ETag"]) == (304, "", etag)
    assert answer.headers["Cache-Control"] == "no-store"
    program.patch(path, {"name": "Changed"})
    assert program.get(path, headers={"If-None-Match": etag}).status_code == 200


def test_an_unknown_interface_is_404(program: Caller, interface: Interface) -> None:
    with transaction():
        interfaces.archive(interface)
    for public_id in (interface.public_id, "if_nothing", "x" * 41, "%0a", "é"):
        problem_of(program.get(f"/interfaces/{public_id}"), 404)
        problem_of(program.patch(f"/interfaces/{public_id}", {"name": "x"}), 404)
