"""Blocked senders over the REST API: what is added counts for the form at once."""

from typing import Any

from sqlalchemy import event

from tests.blueprints.api.test_leads import created, problem_of
from tests.support.api import Caller
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Interface


def path(interface: Interface) -> str:
    return f"/interfaces/{interface.public_id}/blocklist"


def test_senders_are_added_and_taken_away_and_the_form_knows_at_once(program: Caller, interface: Interface) -> None:
    assert program.get(path(interface)).json == {"senders": [], "told": False}
    added = program.patch(path(interface), {"add": ["ADA@Example.com", "203.0.113.9/24", "*.Example.org"]}).json
    assert added["senders"] == ["ada@example.com", "203.0.113.0/24", "example.org"]
    assert program.get(path(interface)).json == added
    assert program.get(f"/leads/{created(program, interface)['id']}").json["spam"] == "blocklist"
    changed = program.patch(
        path(interface),
        {"add": ["b@example.net", "ada@example.com"], "remove": ["Example.org", "203.0.113.0/24", "x.example"]},
    ).json
    assert changed["senders"] == ["ada@example.com", "b@example.net"]
    assert program.patch(path(interface), {"told": True}).json == {**changed, "told": True}
    assert program.patch(path(interface), {"remove": changed["senders"]}).json == {"senders": [], "told": True}
    assert program.get(f"/leads/{created(program, interface)['id']}").json["spam"] is None


def test_an_entry_from_before_the_present_spelling_is_taken_away(program: Caller, interface: Interface) -> None:
    with transaction():
        interface.blocklist = ["OLD@Example.com"]
    assert program.patch(path(interface), {"remove": ["old@example.com"]}).json["senders"] == []


def test_what_is_no_sender_is_said_by_its_place_and_nothing_is_saved(program: Caller, interface: Interface) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"add": ["good@example.com", "not a sender!"]}, "#/add"),
        ({"add": ["a@example.com"], "remove": ["not a sender!"]}, "#/remove"),
        ({"add": [f"a{number}@example.com" for number in range(501)]}, "#/add"),
        ({"add": "a@example.com"}, "#/add"),
        ({"senders": []}, "#/senders"),
    ]
    for body, pointer in wrong:
        assert problem_of(program.patch(path(interface), body), 422)["errors"][0]["pointer"] == pointer, body
    assert program.get(path(interface)).json["senders"] == []


def test_what_somebody_else_added_is_not_overwritten_and_the_log_names_the_key(
    program: Caller, interface: Interface
) -> None:
    first = program.get(path(interface)).headers["ETag"]
    program.patch(path(interface), {"add": ["a@example.com"]}, headers={"If-Match": first})
    problem_of(program.patch(path(interface), {"add": ["b@example.com"]}, headers={"If-Match": first}), 412)
    assert program.get(path(interface)).json["senders"] == ["a@example.com"]
    entry = db.session.query(AuditEntry).order_by(AuditEntry.id.desc()).first()
    assert entry
    assert (entry.action, entry.actor, entry.detail) == ("interface.changed", "API Key “Program”", "Embed")


def test_the_list_is_read_with_few_queries(program: Caller, interface: Interface) -> None:
    program.get(path(interface))
    statements: list[str] = []
    event.listen(db.engine, "after_cursor_execute", lambda *args: statements.append(args[2]))
    program.get(path(interface))
    assert len([text for text in statements if text.startswith("SELECT")]) <= 3
