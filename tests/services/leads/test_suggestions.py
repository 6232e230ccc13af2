"""Fields that undeclared answers suggest: which leads are looked at, and what is moved."""

import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from tests.conftest import ON_POSTGRESQL
from tests.support.factories import ADA, captured
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import FieldType, Interface, Lead
from webapp.services.interfaces import fields
from webapp.services.leads import forgetting, suggestions


def sent(interface: Interface, **undeclared: Any) -> int:
    with transaction():
        lead = captured(interface.public_id, ADA)
        lead.undeclared = undeclared
        return lead.id


def accept(interface: Interface, name: str) -> int:
    """One click; returns how many leads were filled."""
    with transaction():
        field, ids = suggestions.accept(interface, name)
        return suggestions.fill(interface, field, name, ids)


def test_the_most_frequent_names_come_first(interface: Interface) -> None:
    for number in range(3):
        sent(interface, b=number, **({"a": 1} if number else {}), **({"c": 1} if number else {}))
    found = [(each.name, each.times) for each in suggestions.of(interface)]
    assert found == [("b", 3), ("a", 2), ("c", 2)]


def test_notes_about_what_was_cut_suggest_nothing(interface: Interface) -> None:
    sent(interface, plan="p", _left_out=2, _cut=["plan"])
    assert [each.name for each in suggestions.of(interface)] == ["plan"]


def test_only_the_newest_leads_are_looked_at(interface: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestions, "LOOKED_AT", 2)
    old = sent(interface, company="old")
    for _ in range(2):
        sent(interface, company="new")
    assert [each.times for each in suggestions.of(interface)] == [2]
    assert accept(interface, "company") == 2
    [left] = suggestions.of(interface)
    assert (left.name, left.times, left.is_new) == ("company", 1, False)
    assert accept(interface, "company") == 1
    assert db.session.get_one(Lead, old).fields["company"] == "old"
    assert suggestions.of(interface) == []


def test_the_newest_leads_are_found_by_an_index(app: Flask, interface: Interface) -> None:
    wanted = "SELECT id FROM leads WHERE interface_id = 1 AND undeclared IS NOT NULL ORDER BY id DESC LIMIT 1000"
    db.session.rollback()
    with db.engine.connect() as connection:
        if ON_POSTGRESQL:
            connection.execute(text("SET enable_seqscan = off"))
        ask = "EXPLAIN" if ON_POSTGRESQL else "EXPLAIN QUERY PLAN"
        plan = "\n".join(str(row) for row in connection.execute(text(f"{ask} {wanted}")))
    assert "ix_leads_undeclared" in plan


def test_an_answer_that_was_cut_stays_marked(interface: Interface) -> None:
    lead = sent(interface, text="long", _cut=["text"], _left_out=1)
    accept(interface, "text")
    found = db.session.get_one(Lead, lead)
    assert (found.fields["text"], found.marks, found.undeclared) == ("long", {"text": "cut"}, {"_left_out": 1})


def test_what_was_typed_is_kept_where_the_field_stores_another_value(interface: Interface) -> None:
    lead = sent(interface, mobile="+44 20 7946 0958")
    with transaction():
        fields.add(interface, FieldType.PHONE, {"label": "Mobile", "key": "mobile"})
    accept(interface, "mobile")
    found = db.session.get_one(Lead, lead)
    assert found.fields["mobile"] == "+442079460958"
    assert found.typed == {"mobile": "+44 20 7946 0958"}


def test_an_answer_is_never_written_over(interface: Interface) -> None:
    lead = sent(interface, company="undeclared")
    with transaction():
        fields.add(interface, FieldType.TEXT, {"label": "Company", "key": "company"})
        found = db.session.get_one(Lead, lead)
        found.fields = {**found.fields, "company": "declared"}
    assert accept(interface, "company") == 0
    assert db.session.get_one(Lead, lead).fields["company"] == "declared"


def test_leads_of_another_interface_and_anonymised_ones_are_left_alone(interface: Interface) -> None:
    lead = sent(interface, company="Brightwater")
    with transaction():
        field, ids = suggestions.accept(interface, "company")
    with transaction():
        forgetting._anonymise([lead])
    with transaction():
        assert suggestions.fill(interface, field, "company", ids) == 0
    found = db.session.get_one(Lead, lead)
    assert found.undeclared is None
    assert "company" not in found.fields


def test_an_anonymised_lead_is_sent_without_its_undeclared_answers(interface: Interface) -> None:
    with transaction():
        interface.sends_undeclared = True
        interface.webhook.url = "https://crm.example/hook"
    lead = sent(interface, company="Brightwater")
    with transaction():
        forgetting._anonymise([lead])
    [delivery] = db.session.get_one(Lead, lead).deliveries
    assert b'"undeclared":{}' in delivery.payload


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("company", "company"),
        ("utm[source]", "utm_source_2"),
        ("page-url", "page_url_2"),
        ("name ", "name_2"),
        ("x" * 200, "x" * 56),
        ("!!!", "answer"),
        ("__a__", "a"),
        ("CSRF token", "csrf_token_2"),
    ],
)
def test_a_key_is_made_that_the_form_can_have(interface: Interface, name: str, key: str) -> None:
    sent(interface, **{name: "x"})
    assert accept(interface, name) == 1
    db.session.expire_all()
    assert interface.fields[-1].key == key


def test_objects_fit_no_field_and_lists_do(interface: Interface) -> None:
    many = [str(number) for number in range(51)]
    sent(interface, many=many, long=["x" * 201], empty=["a", ""], deep={"a": 1})
    fits = {each.name: (each.fits, each.field.type) for each in suggestions.of(interface)}
    assert fits == {
        "many": (True, FieldType.TEXT),
        "long": (True, FieldType.LONG_TEXT),
        "empty": (True, FieldType.TEXT),
        "deep": (False, FieldType.TEXT),
    }


def test_a_look_at_the_suggestions_reads_no_answer_as_a_number_or_an_address(
    interface: Interface,
) -> None:
    """A thousand leads with eight phone numbers each took more than a second, at each view."""
    walked = {"contact_details.py", "other_values.py", "pasted.py"}
    sent(interface, phone2="+44 20 7946 0958", when="2027-03-31", mail="ada@example.com", seats=12)
    seen: set[str] = set()
    sys.setprofile(lambda frame, event, _: seen.add(Path(frame.f_code.co_filename).name))
    try:
        found = suggestions.of(interface)
    finally:
        sys.setprofile(None)
    assert len(found) == 4
    assert "suggestions.py" in seen
    assert not seen & walked
