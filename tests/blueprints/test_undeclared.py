"""Answers that no field asks for, from the post to the lead's page, the CSV, the receiver and the Fields tab."""

import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.conftest import make_interface
from tests.support.factories import ADA, point_at
from tests.support.receiver import Receiver
from tests.support.uploads import PDF, multipart, part
from webapp import jobs
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Field, FieldType, Interface, Lead, Mail, User
from webapp.services.intake import packed_source, visitor
from webapp.services.interfaces import fields, interface_templates, interfaces

JSON = {"Accept": "application/json"}
HTMX = {"HX-Request": "true"}


@pytest.fixture
def address(interface: Interface) -> str:
    return f"/f/{interface.public_id}"


@pytest.fixture
def tab(interface: Interface) -> str:
    return f"/interfaces/{interface.public_id}/edit/fields"


def all_leads() -> list[Lead]:
    db.session.rollback()
    return list(db.session.scalars(select(Lead).order_by(Lead.id)))


def undeclared() -> Any:
    return all_leads()[-1].undeclared


# What is kept ---------------------------------------------------------------------------------------------------------

SENT = {"plan": "pro", "company": "Brightwater Solar", "topics[]": ["solar", "wind"], "ref no.": "7", "Größe": "XL"}


@pytest.mark.parametrize("way", ["form-encoded", "multipart", "json"])
def test_what_no_field_asks_for_is_kept_with_the_lead(client: FlaskClient, address: str, way: str) -> None:
    sent: dict[str, Any] = {**ADA, **SENT}
    types = {"form-encoded": "application/x-www-form-urlencoded", "multipart": "multipart/form-data"}
    more = {"json": sent} if way == "json" else {"data": sent, "content_type": types[way]}
    assert client.post(address, headers=JSON, **more).status_code == 201  # type: ignore[arg-type]
    [lead] = all_leads()
    assert lead.fields == ADA
    assert lead.undeclared == SENT
    if way != "json":  # the test client sorts its names
        assert list(lead.undeclared) == list(SENT)


def test_numbers_lists_and_objects_of_json_stay_what_they_are(client: FlaskClient, address: str) -> None:
    sent = {"seats": 12, "price": 1.5, "id": 12345678901234567890, "vip": True, "none": None, "utm": {"a": ["b", 0]}}
    client.post(address, json={**ADA, **sent, "__proto__": {"admin": True}})
    assert undeclared() == {
        "seats": 12,
        "price": 1.5,
        "id": "12345678901234567890",
        "vip": True,
        "utm": {"a": ["b", 0]},
        "proto": {"admin": True},
    }


def test_what_the_form_and_other_software_send_for_themselves_is_no_answer(client: FlaskClient, address: str) -> None:
    client.post(
        address,
        data={
            **ADA,
            "_charset_": "utf-8",
            "csrf_token": "x",
            "_token": "forged",
            "_website": "",
            "utm_source": "news",
            "gclid": "abc",
            "page_title": "Contact",
            "g-recaptcha-response": "03AGdBq2",
            "cf-turnstile-response": "0.zrSn",
            "authenticity_token": "secret",
            "__VIEWSTATE": "dDwtMTA4",
        },
    )
    assert undeclared() is None


def test_an_ordinary_post_has_no_undeclared_answers(client: FlaskClient, address: str) -> None:
    client.post(address, data=ADA)
    assert undeclared() is None


def test_spam_keeps_them_too(client: FlaskClient, address: str) -> None:
    client.post(address, data={**ADA, "plan": "pro", visitor.TRAP: "me"})
    [lead] = all_leads()
    assert (lead.spam, lead.undeclared) == (visitor.HONEYPOT, {"plan": "pro"})


def test_too_much_is_taken_with_a_count_and_never_refused(
    client: FlaskClient, signed_in: FlaskClient, address: str
) -> None:
    many = {f"n{number}": "x" for number in range(60)}
    assert client.post(address, data={**ADA, **many}, headers=JSON).status_code == 201
    assert len(undeclared()) == 51
    page = signed_in.get(f"/leads/{all_leads()[-1].public_id}").text
    assert "10 more answers" in page
    assert client.post(address, data={**ADA, "cv": "long " * 20_000}, headers=JSON).status_code == 201
    assert len(undeclared()["cv"]) > 16_000
    assert '<span class="tag">Cut</span>' in signed_in.get(f"/leads/{all_leads()[-1].public_id}").text


def test_the_answer_to_a_removed_field_is_kept(client: FlaskClient, interface: Interface, address: str) -> None:
    """A page that was open while the field was removed still asks for it."""
    client.post(address, data=ADA)
    with transaction():
        phone = next(field for field in interface.fields if field.key == "phone")
        fields.remove(interface, phone)
    client.post(address, data=ADA)
    assert undeclared() == {"phone": "+15550100"}


def test_a_form_sent_again_with_another_undeclared_answer_is_another_lead(
    client: FlaskClient, interface: Interface, address: str
) -> None:
    token = visitor.new_token(interface.public_id)
    for plan in ("free", "free", "pro"):
        assert client.post(address, data={**ADA, "_token": token, "plan": plan}).status_code == 303
    assert [lead.undeclared for lead in all_leads()] == [{"plan": "free"}, {"plan": "pro"}]


# A form that is shown again -------------------------------------------------------------------------------------------


def hidden_controls(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))


def test_they_come_with_the_corrected_form(
    client: FlaskClient, interface: Interface, address: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice, because the form is shown again twice. No control of ours but one holds them."""
    now = visitor.time.time()
    monkeypatch.setattr(visitor.time, "time", lambda: now - 60)  # when the form is shown
    point_at(interface, receiver.url)
    with transaction():
        interface.sends_undeclared, interface.updated_at = True, utcnow()
    first = {**ADA, "email": "bad", **SENT, "a[b]": "<b>", "resume": part(PDF, "cv.pdf")}
    answer = client.post(address, **multipart(first))
    for wrong in ("bad", "ada@"):
        assert answer.status_code == 422
        carried = hidden_controls(answer.text)
        assert set(carried) >= {"_token", "_undeclared"}
        assert not {"company", "plan", "resume"} & set(re.findall(r'name="([^"]*)"', answer.text))
        answer = client.post(address, data={**ADA, "email": wrong, **carried})
    monkeypatch.undo()
    assert client.post(address, data={**ADA, **carried}).status_code == 303
    assert client.post(address, data={**ADA, **carried}).status_code == 303, "the same form again is the same lead"
    [lead] = all_leads()
    assert lead.undeclared == {**SENT, "a[b]": "<b>", "resume": {"file": "cv.pdf", "size": len(PDF)}}
    assert lead.fields == ADA
    assert received(receiver, interface, 1)["undeclared"] == lead.undeclared


def test_a_form_without_undeclared_answers_carries_none(client: FlaskClient, address: str) -> None:
    assert "_undeclared" not in client.get(f"{address}?company=Acme").text
    assert "_undeclared" not in client.post(address, data={**ADA, "email": "bad"}).text


def test_they_also_come_with_the_form_in_a_frame_and_with_a_consent_that_is_missing(
    client: FlaskClient, interface: Interface, address: str
) -> None:
    with transaction():
        given = {"label": "Terms", "key": "terms", "statement": "I agree.", "required": True}
        fields.add(interface, FieldType.CONSENT, given)
    page = client.post(f"{address}?_frame=1", data={**ADA, "company": "Acme", "referrer": "A friend told me"})
    assert page.status_code == 422
    client.post(f"{address}?_frame=1", data={**ADA, "terms": "on", **hidden_controls(page.text)})
    assert undeclared() == {"company": "Acme", "referrer": "A friend told me"}


@pytest.mark.parametrize("sent", ["x", "", "W10", "bnVsbA", "e30", "A" * 50_000, "eyJhIjoiXHVkODAwIn0"])
def test_a_carried_value_of_another_kind_does_no_harm(client: FlaskClient, address: str, sent: str) -> None:
    assert client.post(address, data={**ADA, "_undeclared": sent}, headers=JSON).status_code == 201
    assert undeclared() in (None, {"a": "\ufffd"})


def test_more_than_a_lead_keeps_is_carried_within_the_same_limits(client: FlaskClient, address: str) -> None:
    packed = packed_source.packed({f"n{number}": "x" * 2_000 for number in range(80)})
    page = client.post(address, data={**ADA, "email": "bad", "_undeclared": packed})
    assert len(hidden_controls(page.text)["_undeclared"]) < 25_000
    client.post(address, data={**ADA, **hidden_controls(page.text)})
    assert len(json.dumps(undeclared())) < 17_000
    assert undeclared()["_left_out"] == 71


# What says where the visitor came from, and cannot be used ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("referrer", "A friend told me"),
        ("referrer", "google"),
        ("page_url", "/contact"),
        ("page_url", "www.example.com"),
        ("utm_campaign", "c" * 5_000),
        ("gclid", "g" * 5_000),
        ("li_fat_id", "é" * 4_001),
    ],
)
@pytest.mark.parametrize("way", ["data", "json"])
def test_it_is_kept_as_an_undeclared_answer(client: FlaskClient, address: str, name: str, value: str, way: str) -> None:
    sent: dict[str, Any] = {way: {**ADA, "utm_source": "news", name: value}}
    assert client.post(address, **sent, headers=JSON).status_code == 201
    [lead] = all_leads()
    assert lead.undeclared == {name: value}
    assert (lead.source["utm"]["source"], value in json.dumps(lead.source)) == ("news", False)


def test_json_of_another_type_is_kept_too(client: FlaskClient, address: str) -> None:
    client.post(address, json={**ADA, "page_title": ["a", "b"], "utm_term": {"a": 1}, "gclid": None, "utm_source": 7})
    assert undeclared() == {"page_title": ["a", "b"], "utm_term": {"a": 1}}
    assert all_leads()[0].source["utm"]["source"] == "7"


def test_the_query_of_a_post_fills_only_hidden_fields_and_what_is_tracked(
    client: FlaskClient, interface: Interface, address: str
) -> None:
    with transaction():
        fields.add(interface, FieldType.HIDDEN, {"label": "Plan", "key": "plan"})
    client.post(f"{address}?plan=pro&utm_source=news&company=Acme&name=Bob&referrer=Bob", data=ADA)
    [lead] = all_leads()
    assert (lead.fields, lead.source["utm"]["source"]) == ({**ADA, "plan": "pro"}, "news")
    assert lead.undeclared is None


# An empty post --------------------------------------------------------------------------------------------------------


def _make_optional() -> None:
    interface = make_interface()
    with transaction():
        for field in interface.fields:
            field.required = False
        fields.add(interface, FieldType.HIDDEN, {"label": "Plan", "key": "plan", "default": "free"})
        fields.add(interface, FieldType.CONSENT, {"label": "News", "key": "news", "statement": "Send me news."})
        fields.add(interface, FieldType.NUMBER, {"label": "Seats", "key": "seats"})
        fields.add(interface, FieldType.CHECKBOXES, {"label": "Topics", "key": "topics", "options": "Sun\nWind"})


MAKES = {"optional": _make_optional}


@pytest.fixture
def optional(interface: Interface) -> Interface:
    """The interface, with no field that must be filled in, and with a hidden one and a consent."""
    return interface


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"name": "", "email": "  ", "message": "\r\n"},
        {"name": "\x00"},
        {"plan": "free"},
        {"news": "false"},
        {"topics": ""},
        {"utm_source": "news", "page_url": "https://example.com/"},
        {"other": ""},
        {"_website": ""},
    ],
)
@pytest.mark.parametrize("headers", [{}, JSON])
def test_a_post_that_answers_nothing_is_422(
    client: FlaskClient, optional: Interface, address: str, sent: dict[str, str], headers: dict[str, str]
) -> None:
    answer = client.post(address, data=sent, headers=headers)
    assert answer.status_code == 422
    if headers:
        assert answer.json == {"errors": {"_form": ["Nothing is filled in yet. Please answer a question."]}}
    else:
        assert "Nothing is filled in yet." in answer.text
        assert 'role="alert"' in answer.text
        assert 'name="message"' in answer.text
    assert all_leads() == []


EMPTY = ['{"x": [""]}', '{"x": [null]}', '{"x": {"a": null}}', '{"x": [[], {}]}', '{"x": {"a": {"b": [" "]}}, "y": ""}']
EMPTY += ['{"topics": [""], "x": [[[""]]]}', '{"referrer": [""]}', '{"_undeclared": "eyJhIjpbIiJdfQ"}']


@pytest.mark.parametrize("body", ["{}", '{"name": null}', '{"name": "", "topics": []}', '{"other": {}}', *EMPTY])
def test_json_that_answers_nothing_is_422(client: FlaskClient, optional: Interface, address: str, body: str) -> None:
    answer = client.post(address, data=body, content_type="application/json")
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["_form"])


@pytest.mark.parametrize(
    "sent",
    [
        {"phone": "+15550100"},
        {"plan": "pro"},
        {"news": "on"},
        {"seats": "0"},
        {"topics": "Sun"},
        {"other": "x"},
    ],
)
def test_one_answer_of_any_kind_is_enough(
    client: FlaskClient, optional: Interface, address: str, sent: dict[str, str]
) -> None:
    assert client.post(address, data=sent, headers=JSON).status_code == 201


def test_a_form_without_a_question_takes_a_press_of_its_button(client: FlaskClient, owner: User) -> None:
    with transaction():
        blank = interfaces.create(owner.account_id, "Call me", interface_templates.ALL["blank"])
        address, token = f"/f/{blank.public_id}", visitor.new_token(blank.public_id)
    assert client.post(address, data={"_token": token}, headers=JSON).status_code == 201
    assert client.post(address, data={}, headers=JSON).status_code == 422
    assert client.post(address, json={"company": "Brightwater"}).status_code == 201


def test_the_sentence_is_the_owners(client: FlaskClient, optional: Interface, address: str) -> None:
    with transaction():
        interfaces.update_texts(optional, {"nothing": "Bitte füllen Sie etwas aus."})
    assert "Bitte füllen Sie etwas aus." in client.post(address, data={}).text


# Who sees them --------------------------------------------------------------------------------------------------------


def test_the_page_of_a_lead_shows_them_without_believing_them(
    client: FlaskClient, signed_in: FlaskClient, address: str
) -> None:
    sent = {"<b>company</b>": "<script>alert(1)</script>", "items": ["a", True, {"b": 1}], "file": {"file": "cv.pdf"}}
    client.post(address, json={**ADA, **sent, "cv": {"file": "cv.pdf", "size": 12345}})
    page = signed_in.get(f"/leads/{all_leads()[0].public_id}").text
    assert "Undeclared answers" in page
    assert "&lt;b&gt;company&lt;/b&gt;" in page
    assert "<script>alert" not in page
    assert "a, Yes, {&#34;b&#34;: 1}" in page
    assert "cv.pdf (12,345 bytes, the file was not kept)" in page
    client.post(address, json={**ADA, "cv": {"file": "dot.txt", "size": 1}})
    assert "dot.txt (1 byte, the file was not kept)" in signed_in.get(f"/leads/{all_leads()[1].public_id}").text
    client.post(address, data=ADA)
    assert "Undeclared answers" not in signed_in.get(f"/leads/{all_leads()[2].public_id}").text


def test_the_csv_has_them_in_one_column_as_json(client: FlaskClient, signed_in: FlaskClient, address: str) -> None:
    client.post(address, json={**ADA, "plan": "pro", "sizes": ["Größe", "XL"]})
    client.post(address, data=ADA)
    rows = list(csv.DictReader(io.StringIO(signed_in.get("/leads.csv", buffered=True).text.removeprefix("\ufeff"))))
    assert list(rows[0])[-2:] == ["Undeclared answers", "Answer left out"]
    assert [row["Undeclared answers"] for row in rows] == ["", '{"plan": "pro", "sizes": ["Größe", "XL"]}']


@pytest.mark.parametrize("hostile", ["=1+1", ";=cmd|'/c calc'!A0", "\t=1", "+SUM(A1)", "@SUM(A1)", "－2", "x;\n=1"])
def test_no_undeclared_answer_becomes_a_formula(
    client: FlaskClient, signed_in: FlaskClient, address: str, hostile: str
) -> None:
    client.post(address, data={**ADA, "plan": hostile, hostile: "plan"})
    [row] = csv.DictReader(io.StringIO(signed_in.get("/leads.csv", buffered=True).text.removeprefix("\ufeff")))
    cell = row["Undeclared answers"]
    assert cell.startswith('{"')
    for piece in cell.split(";"):
        assert not piece.lstrip('" ').startswith(("=", "@", "+SUM", "－2"))


def test_people_who_read_leads_get_them_by_mail(client: FlaskClient, interface: Interface, address: str) -> None:
    with transaction():
        interface.notification_emails = ["sales@example.com"]
    client.post(address, data={**ADA, "plan": "<b>pro</b>", "text": "long " * 500, **dict.fromkeys("abc", "")})
    mail = db.session.scalars(select(Mail)).one()
    assert "plan (undeclared):\n  <b>pro</b>\n" in mail.body_text
    assert "&lt;b&gt;pro&lt;/b&gt;" in mail.body_html
    assert len(mail.body_text) < 2500


def received(receiver: Receiver, interface: Interface, number: int) -> dict[str, Any]:
    webhook_id = interface.webhook.id
    db.session.rollback()
    jobs.drain(webhook_id)
    lead: dict[str, Any] = json.loads(receiver.wait_for(number)[-1].body)["data"]["lead"]
    return lead


def test_the_receiver_gets_them_only_where_the_operator_asks(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface, address: str, receiver: Receiver
) -> None:
    point_at(interface, receiver.url)
    client.post(address, data={**ADA, **SENT})
    assert "undeclared" not in received(receiver, interface, 1)
    settings = f"/interfaces/{interface.public_id}/edit/lead-generation"
    sent = {"webhook_url": receiver.url, "authentication": "none", "parallel_requests": "1", "sends_undeclared": "y"}
    assert signed_in.post(settings, data=sent).status_code == 303
    switch = re.search(r'<input[^>]*id="sends_undeclared"[^>]*>', signed_in.get(settings).text)
    assert switch
    assert " checked" in switch[0]
    client.post(address, data={**ADA, **SENT})
    assert received(receiver, interface, 2)["undeclared"] == SENT
    client.post(address, data=ADA)
    assert received(receiver, interface, 3)["undeclared"] == {}
    signed_in.post(f"/interfaces/{interface.public_id}/tests")
    test = received(receiver, interface, 4)
    assert (test["test"], test["undeclared"]) == (True, {})


# The Fields tab -------------------------------------------------------------------------------------------------------


@pytest.fixture
def post(client: FlaskClient, address: str) -> Callable[..., None]:
    def send(**more: Any) -> None:
        assert client.post(address, json={**ADA, **more}).status_code == 201

    return send


def field_of(interface: Interface, key: str) -> Field:
    db.session.expire_all()
    return next(field for field in interface.fields if field.key == key)


def test_the_fields_tab_says_how_often_a_name_came_and_one_click_adds_it(
    signed_in: FlaskClient, interface: Interface, tab: str, post: Callable[..., None], receiver: Receiver
) -> None:
    point_at(interface, receiver.url)
    assert "Undeclared answers" not in signed_in.get(tab).text
    for number in range(14):
        post(company=f"Company {number}", plan="pro" if number else "")
    receiver_got = received(receiver, interface, 14)
    page = signed_in.get(tab).text
    assert re.findall(r">(\w+)</code>\s*<small[^>]*>came (\w+ times)", page) == [
        ("company", "14 times"),
        ("plan", "13 times"),
    ]
    answer = signed_in.post(f"{tab}/undeclared", data={"name": "company"}, follow_redirects=True)
    assert "Company is on the form, filled from 14 of 14 leads." in answer.text
    assert "came 14 times" not in answer.text
    company = field_of(interface, "company")
    assert (company.label, company.type, company.autocomplete) == ("Company", FieldType.TEXT, "organization")
    found = all_leads()
    assert [lead.fields["company"] for lead in found] == [f"Company {number}" for number in range(14)]
    assert [lead.undeclared for lead in found] == [None, *[{"plan": "pro"}] * 13]
    assert json.loads(found[-1].deliveries[0].payload)["data"]["lead"]["fields"] == receiver_got["fields"] == ADA
    post(company="Fifteen")
    assert received(receiver, interface, 15)["fields"]["company"] == "Fifteen"
    details = list(db.session.scalars(select(AuditEntry.detail).where(AuditEntry.kind == "interface")))
    assert "Fields: company filled from undeclared answers of 14 leads" in details


def test_a_field_that_was_filled_counts_as_one_that_leads_carry(
    signed_in: FlaskClient, interface: Interface, tab: str, post: Callable[..., None]
) -> None:
    post(company="Brightwater")
    signed_in.post(f"{tab}/undeclared", data={"name": "company"})
    company = field_of(interface, "company")
    assert company.id in fields.carried(interface)
    renamed = signed_in.post(f"{tab}/{company.id}", data={"label": "Firm", "key": "firm"})
    assert (renamed.status_code, field_of(interface, "company").label) == (422, "Company")
    signed_in.post(f"{tab}/{company.id}/remove")
    db.session.expire_all()
    assert [field.key for field in interface.removed_fields] == ["company"]


@pytest.mark.parametrize(
    ("name", "key", "label"),
    [
        ("Company", "company_2", "Company"),
        ("Job-Title", "job_title", "Job Title"),
        ("firstName", "first_name", "First Name"),
        ("fields[budget]", "fields_budget", "Fields budget"),
        ("2nd choice", "answer", "2nd choice"),
        ("Größe", "answer", "Größe"),
        ("EMAIL", "email_2", "EMAIL"),
    ],
)
def test_a_name_that_is_no_key_gets_one_and_later_posts_find_their_field(
    signed_in: FlaskClient,
    interface: Interface,
    tab: str,
    post: Callable[..., None],
    name: str,
    key: str,
    label: str,
) -> None:
    with transaction():
        fields.add(interface, FieldType.TEXT, {"label": "Company", "key": "company"})
    post(**{name: "one"})
    assert signed_in.post(f"{tab}/undeclared", data={"name": name}, headers=HTMX).status_code == 200
    field = field_of(interface, key)
    assert (field.label, field.sent_as) == (label, name)
    post(**{name: "two"})
    assert [(lead.fields[key], lead.undeclared) for lead in all_leads()] == [("one", None), ("two", None)]
    assert f'also sent as <span class="mono">{name}</span>' in signed_in.get(tab).text


@pytest.mark.parametrize(
    ("values", "kind", "kept"),
    [
        (["grace@example.org", "ada@example.com"], FieldType.TEXT, ["grace@example.org", "ada@example.com"]),
        (["https://example.com/a", "example.org"], FieldType.TEXT, ["https://example.com/a", "example.org"]),
        (["2027-03-31"], FieldType.TEXT, ["2027-03-31"]),
        (["+44 20 7946 0958"], FieldType.TEXT, ["+44 20 7946 0958"]),
        (["12345", "10115"], FieldType.TEXT, ["12345", "10115"]),
        ([12, 1.5, 0], FieldType.TEXT, ["12", "1.5", "0"]),
        (["one\ntwo"], FieldType.LONG_TEXT, ["one\ntwo"]),
        (["x" * 12_000], FieldType.LONG_TEXT, ["x" * 12_000]),
        ([["sun", "wind"], "sun"], FieldType.TEXT, ["sun, wind", "sun"]),
        ([["one\ntwo", "three"]], FieldType.LONG_TEXT, ["one\ntwo, three"]),
        ([[1, 2.5, True]], FieldType.TEXT, ["1, 2.5, true"]),
        ([["a", ["b", {"c": 1}]]], FieldType.TEXT, ['["a", ["b", {"c": 1}]]']),
        ([True, "maybe", False], FieldType.TEXT, ["true", "maybe", "false"]),
    ],
)
def test_the_field_is_text_and_is_filled_from_every_lead(
    signed_in: FlaskClient,
    interface: Interface,
    tab: str,
    post: Callable[..., None],
    values: list[Any],
    kind: FieldType,
    kept: list[str],
) -> None:
    for value in values:
        post(it=value)
    answer = signed_in.post(f"{tab}/undeclared", data={"name": "it"}, follow_redirects=True)
    assert f"filled from {len(values)} of" in answer.text
    assert "did not fit" not in answer.text
    assert field_of(interface, "it").type == kind
    assert [(lead.fields["it"], lead.undeclared) for lead in all_leads()] == [(each, None) for each in kept]


AFTERWARDS: list[tuple[str, Any, Any, str]] = [
    ("topics[]", ["solar", "wind"], ["q", "solar"], "q, solar"),
    ("topics[]", ["solar", "wind"], "q", "q"),
    ("when", "2027-03-31", "next week", "next week"),
    ("mail", "ada@example.com", "no address", "no address"),
    ("site", "https://example.com", "none yet", "none yet"),
    ("tel", "+442079460958", "call me", "call me"),
    ("seats", 12, "a dozen", "a dozen"),
    ("vip", True, "maybe", "maybe"),
    ("company", "Brightwater", "x" * 5000, "x" * 5000),
    ("topics", "solar", ["solar", "wind"], "solar, wind"),
    ("Note", "short", "one\ntwo", "one two"),
]


@pytest.mark.parametrize(("name", "before", "after", "kept"), AFTERWARDS)
@pytest.mark.parametrize("way", ["form", "json"])
def test_what_the_page_goes_on_sending_is_never_refused(
    client: FlaskClient,
    signed_in: FlaskClient,
    interface: Interface,
    tab: str,
    address: str,
    way: str,
    name: str,
    before: Any,
    after: Any,
    kept: str,
) -> None:
    def send(value: Any) -> int:
        sent: dict[str, Any] = {**ADA, name: value}
        return client.post(address, headers=JSON, **({"json": sent} if way == "json" else {"data": sent})).status_code  # type: ignore[arg-type]

    assert send(before) == 201
    page = signed_in.get(tab).text
    assert "nothing is refused because of it" in page
    signed_in.post(f"{tab}/undeclared", data={"name": name})
    assert [send(after), send(before), send("")] == [201, 201, 201]
    key = interface.fields[-1].key
    found = all_leads()
    assert found[1].fields[key] == kept
    assert found[0].fields[key] == found[2].fields[key] != ""
    assert [lead.undeclared for lead in found] == [None] * 4
    assert not any(key in (lead.marks or {}) for lead in found)


def test_json_of_every_kind_and_of_any_length_is_taken_by_a_field_that_was_added(
    signed_in: FlaskClient, interface: Interface, tab: str, post: Callable[..., None]
) -> None:
    post(it="text")
    signed_in.post(f"{tab}/undeclared", data={"name": "it"})
    for value in ({"a": [1, "b"]}, [], {}, None, [[]], "x" * 30_000):
        post(it=value)
    *found, long = all_leads()
    assert [lead.fields["it"] for lead in found] == ["text", '{"a": [1, "b"]}', "", "{}", "", "[[]]"]
    assert (len(long.fields["it"]), long.fields["it"][-7:], long.marks["it"]) == (20_000, "… (cut)", "cut")


def test_what_the_owner_asks_of_such_a_field_afterwards_counts(
    client: FlaskClient,
    signed_in: FlaskClient,
    interface: Interface,
    tab: str,
    address: str,
    post: Callable[..., None],
) -> None:
    post(it="text")
    signed_in.post(f"{tab}/undeclared", data={"name": "it"})
    settings = {"label": "It", "key": "it", "required": "y", "minimum": "3", "maximum": "5"}
    signed_in.post(f"{tab}/{field_of(interface, 'it').id}", data=settings)
    for value in ("", "no", "longer"):
        assert client.post(address, data={**ADA, "it": value}, headers=JSON).status_code == 422
    assert client.post(address, data={**ADA, "it": "four"}, headers=JSON).status_code == 201


@pytest.mark.parametrize("name", ["name", "full_name", "Full Name", "fullName", "your-name", "Größe"])
def test_leads_are_found_by_the_name_that_was_added(
    client: FlaskClient, signed_in: FlaskClient, owner: User, name: str
) -> None:
    with transaction():
        public_id = interfaces.create(owner.account_id, "Blank", interface_templates.ALL["blank"]).public_id
    client.post(f"/f/{public_id}", json={name: "Grace  Hopper"})
    assert "Grace Hopper" not in signed_in.get("/leads").text
    signed_in.post(f"/interfaces/{public_id}/edit/fields/undeclared", data={"name": name})
    client.post(f"/f/{public_id}", json={name: "Grace  Hopper"})
    assert [(lead.name, lead.undeclared) for lead in all_leads()] == [("Grace Hopper", None)] * 2
    assert signed_in.get("/leads?q=Grace+Hopper").text.count("Grace Hopper</") == 2


@pytest.mark.parametrize(
    ("kind", "key", "value", "of_lead"),
    [
        (FieldType.EMAIL, "mail", "Ada@example.com", ("", "Ada@example.com", "ada@example.com")),
        (FieldType.PHONE, "mobile", "+44 20 7946 0958", ("", "", "+442079460958")),
        (FieldType.TEXT, "who", "Ada  Lovelace", ("Ada Lovelace", "", None)),
        (FieldType.LONG_TEXT, "story", "Once", ("", "", None)),
        (FieldType.URL, "site", "example.com", ("", "", None)),
        (FieldType.HIDDEN, "plan", "pro", ("", "", None)),
    ],
)
def test_a_lead_that_is_filled_is_found_as_a_new_one_would_be(
    client: FlaskClient,
    signed_in: FlaskClient,
    owner: User,
    kind: FieldType,
    key: str,
    value: str,
    of_lead: tuple[str, str, str | None],
) -> None:
    """Into a field that the owner added by hand, of the type that the owner wants."""
    with transaction():
        blank = interfaces.create(owner.account_id, "Blank", interface_templates.ALL["blank"])
        public_id = blank.public_id
    client.post(f"/f/{public_id}", json={key: value})
    with transaction():
        fields.add(interfaces.get(owner.account_id, public_id), kind, {"label": key, "key": key})
    signed_in.post(f"/interfaces/{public_id}/edit/fields/undeclared", data={"name": key})
    client.post(f"/f/{public_id}", json={key: value})
    filled, new = all_leads()
    assert (filled.name, filled.email, filled.visitor) == (new.name, new.email, new.visitor) == of_lead
    assert (filled.fields, filled.typed) == (new.fields, new.typed)


def test_a_lead_keeps_the_name_and_the_address_that_it_came_with(
    signed_in: FlaskClient, interface: Interface, tab: str, post: Callable[..., None]
) -> None:
    post(company="Brightwater")
    with transaction():
        for field in list(interface.fields)[:3]:
            fields.remove(interface, field)
    signed_in.post(f"{tab}/undeclared", data={"name": "company"})
    [lead] = all_leads()
    assert (lead.name, lead.email, lead.visitor) == ("Ada Lovelace", "ada@example.com", "ada@example.com")
    assert lead.fields["company"] == "Brightwater"


def test_a_removed_field_is_brought_back_and_filled(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface, tab: str, address: str
) -> None:
    client.post(address, data=ADA)
    phone = field_of(interface, "phone").id
    signed_in.post(f"{tab}/{phone}/remove")
    client.post(address, data=ADA)
    assert "a removed field" in signed_in.get(tab).text
    signed_in.post(f"{tab}/undeclared", data={"name": "phone"})
    assert field_of(interface, "phone").id == phone
    assert [lead.fields["phone"] for lead in all_leads()] == ["+15550100", "+15550100"]


def test_answers_that_do_not_fit_stay_undeclared_and_are_counted(
    signed_in: FlaskClient, interface: Interface, tab: str, post: Callable[..., None]
) -> None:
    for value in ("fits", "x" * 9000, {"an": "object"}):
        post(phone2=value)
    page = signed_in.get(tab).text
    assert "No type of field takes these answers" in page
    refused = signed_in.post(f"{tab}/undeclared", data={"name": "phone2"}, follow_redirects=True)
    assert "No type of field" in refused.text
    with transaction():
        fields.add(interface, FieldType.TEXT, {"label": "Second phone", "key": "phone2"})
    assert "from before the field was added" in signed_in.get(tab).text
    answer = signed_in.post(f"{tab}/undeclared", data={"name": "phone2"}, follow_redirects=True)
    assert "filled from 1 of 3 leads. 2 did not fit and stay undeclared." in answer.text


@pytest.mark.parametrize("name", ["", "nothing", "name", "utm_source", "__proto__", "x" * 5000, "\x00"])
def test_a_name_that_no_lead_sent_adds_nothing(
    signed_in: FlaskClient, interface: Interface, tab: str, post: Callable[..., None], name: str
) -> None:
    post(company="Brightwater")
    answer = signed_in.post(f"{tab}/undeclared", data={"name": name}, follow_redirects=True)
    assert answer.status_code == 200
    assert "No lead has such an answer any more." in answer.text
    assert len(interface.fields) == 4


def test_a_second_click_adds_no_second_field(
    signed_in: FlaskClient, interface: Interface, tab: str, post: Callable[..., None]
) -> None:
    post(company="Brightwater")
    for _ in range(2):
        signed_in.post(f"{tab}/undeclared", data={"name": "company"}, follow_redirects=True)
    db.session.expire_all()
    assert [field.key for field in interface.fields][4:] == ["company"]


def test_a_full_form_says_so(signed_in: FlaskClient, interface: Interface, tab: str, post: Callable[..., None]) -> None:
    post(company="Brightwater")
    with transaction():
        for number in range(fields.MAX_FIELDS - 4):
            fields.add(interface, FieldType.HIDDEN, {"label": f"H{number}"})
    answer = signed_in.post(f"{tab}/undeclared", data={"name": "company"}, follow_redirects=True)
    assert "at most 60 fields" in answer.text
    assert all_leads()[0].undeclared == {"company": "Brightwater"}


def test_spam_and_tests_suggest_nothing(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface, tab: str, address: str
) -> None:
    client.post(address, data={**ADA, "casino": "win", visitor.TRAP: "me"})
    assert "casino" not in signed_in.get(tab).text


def test_another_account_cannot_add_a_field(
    stranger: FlaskClient, interface: Interface, tab: str, post: Callable[..., None]
) -> None:
    post(company="Brightwater")
    assert stranger.post(f"{tab}/undeclared", data={"name": "company"}).status_code == 404
    assert db.session.scalar(select(func.count()).select_from(Field)) == 4
