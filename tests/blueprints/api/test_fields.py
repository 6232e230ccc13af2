"""Fields of an interface, and its words, over the REST API."""

from typing import Any

import pytest

from tests.blueprints.api.test_leads import created, problem_of
from tests.support.api import Caller
from tests.support.factories import ADA
from webapp.extensions import db
from webapp.models import AuditEntry, FieldType, Interface
from webapp.services.interfaces.field_types import KINDS


@pytest.fixture
def path(interface: Interface) -> str:
    return f"/interfaces/{interface.public_id}"


def keys_of(answer: Any) -> list[str]:
    assert answer.status_code in (200, 201), answer.text
    return [field["key"] for field in answer.json["fields"]]


def test_a_field_is_added_and_the_form_asks_it_at_once(program: Caller, interface: Interface, path: str) -> None:
    before = keys_of(program.get(path))
    sent = {"type": "select", "label": "Budget", "options": ["Up to 5,000", "More"], "required": True, "half": True}
    answer = program.post(f"{path}/fields", sent)
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1{path}"
    assert keys_of(answer) == [*before, "budget"]
    assert answer.json == program.get(path).json
    added = answer.json["fields"][-1]
    assert {name: added[name] for name in sent} == sent
    missing = program.post("/leads", {"interface": interface.public_id, "fields": ADA})
    assert problem_of(missing, 422)["errors"][0]["pointer"] == "#/fields/budget"
    assert created(program, interface, fields={**ADA, "budget": "More"})["id"]
    first = program.post(f"{path}/fields", {"type": "heading", "label": "About you", "position": 1})
    assert keys_of(first) == ["_heading", *before, "budget"]


def test_every_type_of_field_is_added_with_its_usual_settings(program: Caller, path: str) -> None:
    needed = {"options": ["A", "B"], "statement": "I agree."}
    for kind in FieldType:
        more = {name: value for name, value in needed.items() if name in KINDS[kind].settings}
        answer = program.post(f"{path}/fields", {"type": kind.value, "label": f"A {kind}", **more})
        assert answer.status_code == 201, answer.text
        added = answer.json["fields"][-1]
        assert added["type"] == kind
        same = program.patch(f"{path}/fields/{added['key']}", {"label": added["label"]})
        assert same.json["fields"][-1] == added
    assert (added["type"], answer.json["fields"][-4]["file_count"]) == ("heading", 1)


def test_what_is_left_out_of_a_change_stays(program: Caller, path: str) -> None:
    program.patch(path, {"language": "de"})
    number = {"type": "number", "label": "Roof", "minimum": "1,5", "maximum": "900", "help": "In m²", "default": "20"}
    added = program.post(f"{path}/fields", number).json["fields"][-1]
    assert (added["minimum"], added["maximum"], added["default"]) == ("1.5", "900", "20")
    changed = program.patch(f"{path}/fields/roof", {"label": "Your roof", "required": True}).json["fields"][-1]
    assert {name for name, value in changed.items() if value != added[name]} == {"label", "required"}
    renamed = program.patch(f"{path}/fields/roof", {"key": "roof_area", "position": 1})
    assert keys_of(renamed)[0] == "roof_area"
    assert keys_of(program.patch(f"{path}/fields/roof_area", {"position": 99}))[-1] == "roof_area"


def test_what_is_wrong_with_a_field_is_said_by_its_place_and_nothing_is_saved(
    program: Caller, interface: Interface, path: str
) -> None:
    before = program.get(path).json
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"label": "A"}, "#/type"),
        ({"type": "colour", "label": "A"}, "#/type"),
        ({"type": "text"}, "#/label"),
        ({"type": "text", "label": " "}, "#/label"),
        ({"type": "text", "label": "A", "options": ["B"]}, "#/options"),
        ({"type": "select", "label": "A"}, "#/options"),
        ({"type": "select", "label": "A", "options": ["B", "B"]}, "#/options"),
        ({"type": "radio", "label": "A", "options": ["B"], "default": "C"}, "#/default"),
        ({"type": "text", "label": "A", "key": "utm_source"}, "#/key"),
        ({"type": "text", "label": "A", "key": "email"}, "#/key"),
        ({"type": "text", "label": "A", "autocomplete": "shoe-size"}, "#/autocomplete"),
        ({"type": "number", "label": "A", "minimum": "9", "maximum": "3"}, "#/maximum"),
        ({"type": "consent", "label": "A"}, "#/statement"),
        ({"type": "file", "label": "A", "file_count": 99}, "#/file_count"),
        ({"type": "text", "label": "A", "position": 0}, "#/position"),
        ({"type": "text", "label": "A", "colour": "red"}, "#/colour"),
    ]
    for body, pointer in wrong:
        answer = program.post(f"{path}/fields", body)
        assert problem_of(answer, 422)["errors"][0]["pointer"] == pointer, body
    problem_of(program.patch(f"{path}/fields/email", {"type": "text"}), 422)
    problem_of(program.patch(f"/interfaces/{interface.public_id}/fields/nothing", {"label": "A"}), 404)
    problem_of(program.call("DELETE", f"{path}/fields/{'x' * 65}"), 404)
    assert program.get(path).json == before


def test_a_field_that_leads_have_keeps_its_key_and_comes_back(program: Caller, interface: Interface, path: str) -> None:
    created(program, interface)
    refused = program.patch(f"{path}/fields/message", {"key": "text"})
    assert problem_of(refused, 422)["errors"][0]["pointer"] == "#/key"
    assert "message" not in keys_of(program.call("DELETE", f"{path}/fields/message"))
    problem_of(program.call("DELETE", f"{path}/fields/message"), 404)
    taken = program.post(f"{path}/fields", {"type": "text", "label": "A", "key": "message"})
    assert "Bring that one back" in problem_of(taken, 422)["detail"]
    for _ in range(2):
        assert keys_of(program.post(f"{path}/fields/message/bring-back"))[-1] == "message"
    problem_of(program.post(f"{path}/fields/nothing/bring-back"), 404)


def test_what_somebody_else_changed_on_the_form_is_not_overwritten(program: Caller, path: str) -> None:
    first = program.get(path).headers["ETag"]
    changed = program.patch(f"{path}/fields/name", {"label": "Your name"}, headers={"If-Match": first})
    for method, end, body in (
        ("PATCH", "/fields/name", {"label": "Late"}),
        ("POST", "/fields", {"type": "text", "label": "Late"}),
        ("DELETE", "/fields/name", None),
        ("PATCH", "", {"texts": {"button": "Late"}}),
    ):
        problem_of(program.call(method, path + end, json=body, headers={"If-Match": first}), 412)
    assert program.get(path).headers["ETag"] == changed.headers["ETag"]


def test_the_words_of_a_form_are_changed_by_their_name(program: Caller, interface: Interface, path: str) -> None:
    assert program.get(path).json["texts"] == {}
    changed = program.patch(path, {"texts": {"button": "Send it", "fine_print": ""}}).json
    assert changed["texts"] == {"button": "Send it", "fine_print": ""}
    assert ">Send it<" in program.client.get(f"/f/{interface.public_id}").text.replace("\n", "")
    assert program.patch(path, {"texts": {"button": None, "closed": "Closed for the winter."}}).json["texts"] == {
        "fine_print": "",
        "closed": "Closed for the winter.",
    }
    for texts, pointer in (
        ({"colour": "red"}, "#/texts/colour"),
        ({"button": "x" * 301}, "#/texts/button"),
        ({"button": 5}, "#/texts/…"),
    ):
        assert problem_of(program.patch(path, {"texts": texts}), 422)["errors"][0]["pointer"] == pointer


def test_the_audit_log_names_the_key_and_the_field(program: Caller, path: str) -> None:
    program.post(f"{path}/fields", {"type": "text", "label": "Town"})
    program.patch(f"{path}/fields/town", {"position": 1})
    program.call("DELETE", f"{path}/fields/town")
    found = db.session.query(AuditEntry).order_by(AuditEntry.id.desc()).limit(3).all()
    assert [entry.detail for entry in reversed(found)] == [
        f"Fields: town {what}" for what in ("added", "moved", "removed")
    ]
    assert {entry.actor for entry in found} == {"API Key “Program”"}
