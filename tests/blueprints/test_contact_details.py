"""What visitors type as name, address, e-mail and phone, from the post to the receiver, the lead's page and the CSV."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import AppMaker
from tests.services.intake.test_phone_corpus import CLEANED, EXTENDED, REMARKED, texts
from tests.support.factories import ADA, point_at
from tests.support.receiver import Receiver
from tests.support.shapes import MAIL, NAMES, POSTAL
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import FieldType, Interface, Lead, Mail, User
from webapp.services.interfaces import fields, interface_templates, interfaces
from webapp.services.leads import lead_export
from webapp.services.leads.lead_list import Filter

JSON = {"Accept": "application/json"}


@pytest.fixture
def app(make_app: AppMaker) -> Iterator[Flask]:
    app = make_app(FORM_RATE_LIMIT="")
    with app.app_context():
        yield app


@pytest.fixture
def hooked(interface: Interface, receiver: Receiver) -> Interface:
    point_at(interface, receiver.url)
    with transaction():
        interface.notification_emails = ["sales@example.com"]
    return interface


def post(client: FlaskClient, interface: Interface, **answers: str) -> None:
    answer = client.post(f"/f/{interface.public_id}", data={**ADA, **answers}, headers=JSON)
    assert answer.status_code == 201, (answers, answer.json)


def received(interface: Interface, receiver: Receiver, number: int) -> list[dict[str, Any]]:
    """`data.lead` of each delivery, in the order of the leads."""
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    return [json.loads(request.body)["data"]["lead"] for request in receiver.wait_for(number)]


def only_lead() -> Lead:
    db.session.rollback()
    return db.session.scalars(select(Lead)).one()


@pytest.fixture
def wide(owner: User, receiver: Receiver) -> Interface:
    """An interface with ten fields of each of four types, text0 to phone9, so that a post can carry many answers."""
    with transaction():
        wide = interfaces.create(owner.account_id, "Ten of each", interface_templates.BLANK)
        for kind in (FieldType.TEXT, FieldType.LONG_TEXT, FieldType.EMAIL, FieldType.PHONE):
            for place in range(10):
                fields.add(wide, kind, {"label": kind.value, "key": f"{kind}{place}"})
    point_at(wide, receiver.url)
    return wide


def in_tens(kind: FieldType, values: list[str]) -> list[dict[str, str]]:
    """The values as the answers of several posts."""
    tens = [values[place : place + 10] for place in range(0, len(values), 10)]
    return [{f"{kind}{place}": value for place, value in enumerate(ten)} for ten in tens]


def sent(client: FlaskClient, interface: Interface, posts: list[dict[str, str]]) -> None:
    for answers in posts:
        answer = client.post(f"/f/{interface.public_id}", data=answers, headers=JSON)
        assert answer.status_code == 201, (answers, answer.json)


def test_names_and_addresses_of_all_shapes_arrive_byte_for_byte(
    client: FlaskClient, wide: Interface, receiver: Receiver
) -> None:
    assert len({*NAMES, *POSTAL, *MAIL}) > 200
    posts = [
        *in_tens(FieldType.TEXT, [*NAMES, *(address.partition("\n")[0] for address in POSTAL)]),
        *in_tens(FieldType.LONG_TEXT, [*NAMES, *POSTAL]),
        *in_tens(FieldType.EMAIL, MAIL),
    ]
    sent(client, wide, posts)
    for answers, lead in zip(posts, received(wide, receiver, len(posts)), strict=True):
        assert {key: value for key, value in lead["fields"].items() if value} == answers
        assert (lead["typed"], lead["marks"]) == ({}, {})


def test_a_sample_of_the_phone_corpus_arrives_exactly_or_as_typed(
    client: FlaskClient, wide: Interface, receiver: Receiver
) -> None:
    decorations = {**CLEANED, **EXTENDED, **REMARKED}
    names = itertools.cycle(decorations)
    sample = [(exact, name := next(names), decorations[name](text)) for exact, _, text in texts("international")[::17]]
    assert len(sample) >= 50
    posts = in_tens(FieldType.PHONE, [typed for _, _, typed in sample])
    sent(client, wide, posts)
    leads = received(wide, receiver, len(posts))
    arrived = [(lead, key) for lead, answers in zip(leads, posts, strict=True) for key in answers]
    for (exact, name, typed), (lead, key) in zip(sample, arrived, strict=True):
        kept = typed if name in REMARKED else exact + (";ext=412" if name in EXTENDED else "")
        assert lead["fields"][key] == kept
        assert lead["marks"].get(key) == ("unparsed" if name in REMARKED else None)
        assert lead["typed"].get(key) == (typed if kept != typed else None)


@pytest.mark.parametrize(
    ("phone", "kept", "mark", "link", "words"),
    [
        (
            "+1 (212) 736-5000 x4",
            "+12127365000;ext=4",
            {},
            "tel:+12127365000;ext=4",
            "As typed: <bdi>+1 (212) 736-5000 x4",
        ),
        ("+49 30 123456 (ab 18h)", "+49 30 123456 (ab 18h)", {"phone": "unparsed"}, None, "Not read as a phone number"),
        ("030-12345", "+493012345", {}, "tel:+493012345", "As typed: <bdi>030-12345</bdi>"),
        ("030-12", "030-12", {"phone": "unparsed"}, "tel:030-12;phone-context=+49", "delivered as typed"),
        ("001 65 6223 4567 abends", "001 65 6223 4567 abends", {"phone": "unparsed"}, None, "delivered as typed"),
    ],
)
def test_a_phone_number_from_the_post_to_the_receiver_the_page_the_mail_and_the_csv(
    signed_in: FlaskClient,
    hooked: Interface,
    receiver: Receiver,
    phone: str,
    kept: str,
    mark: dict[str, str],
    link: str | None,
    words: str,
) -> None:
    with transaction():
        hooked.country = "DE"
    post(signed_in, hooked, phone=phone, email="Ada <ada\u200b@example.com>")
    [lead] = received(hooked, receiver, 1)
    assert lead["fields"] == {**ADA, "phone": kept}
    assert lead["typed"] == {"email": "Ada <ada\u200b@example.com>", **({"phone": phone} if phone != kept else {})}
    assert lead["marks"] == mark

    page = signed_in.get(f"/leads/{only_lead().public_id}").text
    assert words in page
    assert "As typed: <bdi>Ada &lt;ada\u200b@example.com&gt;</bdi>" in page
    assert (f'href="{link}"' in page) if link else ('href="tel:' not in page)

    mail = db.session.scalars(select(Mail)).one()
    assert f"Phone:\n  {kept}\n" in mail.body_text
    row = "".join(lead_export.lines(Filter.of(hooked.account_id)))
    assert (f",{kept}," in row) == (mark == {} or not kept.startswith("+")), "a remark after a + might be a formula"
    assert only_lead().email == "ada@example.com"


def test_a_number_with_an_extension_finds_the_same_person_again(signed_in: FlaskClient, hooked: Interface) -> None:
    with transaction():
        next(field for field in hooked.fields if field.key == "email").required = False
    for phone in ("+1 212-736-5000 ext. 4", "(+1) 212 736 5000 #4", "+12127365000"):
        post(signed_in, hooked, email="", phone=phone)
    db.session.rollback()
    newest = db.session.scalars(select(Lead).order_by(Lead.id)).all()
    assert [lead.visitor for lead in newest] == ["+12127365000;ext=4"] * 2 + ["+12127365000"]
    assert "1 earlier submission" in signed_in.get(f"/leads/{newest[1].public_id}").text


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        ({"phone": "call me"}, ["phone"]),
        ({"phone": "<script>"}, ["phone"]),
        ({"phone": "12"}, ["phone"]),
        ({"phone": "1" * 40}, ["phone"]),
        ({"phone": "030 12345 " + "x" * 200}, ["phone"]),
        ({"email": "ada@example.com, bob@example.com"}, ["email"]),
        ({"email": "\u200b"}, ["email"]),
        ({"email": "mailto:", "phone": "+"}, ["email", "phone"]),
    ],
)
def test_bad_contact_details_are_refused_with_words_for_each(
    client: FlaskClient, interface: Interface, answers: dict[str, str], wrong: list[str]
) -> None:
    answer = client.post(f"/f/{interface.public_id}", data={**ADA, **answers}, headers=JSON)
    assert (answer.status_code, sorted(answer.json["errors"])) == (422, wrong)
    page = client.post(f"/f/{interface.public_id}", data={**ADA, **answers})
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text


def test_spaces_inside_a_name_stay_and_the_search_finds_it(signed_in: FlaskClient, hooked: Interface) -> None:
    post(signed_in, hooked, name=" 山田　太郎\r\n")
    lead = only_lead()
    assert (lead.fields["name"], lead.name) == ("山田　太郎", "山田 太郎")
    assert lead.public_id in signed_in.get("/leads?q=山田　太郎").text


@pytest.mark.parametrize(("word", "token"), [("phone", "tel"), ("email", "email"), ("text", ""), ("url", "")])
def test_a_field_that_is_added_by_its_type_says_what_browsers_fill_in(
    signed_in: FlaskClient, interface: Interface, word: str, token: str
) -> None:
    address = f"/interfaces/{interface.public_id}/edit/fields/new?type={word}"
    drawn = signed_in.get(address).text
    assert f'<option selected value="{token}">' in drawn
    assert signed_in.post(address, data={"label": "Added", "key": "added", "autocomplete": token}).status_code == 303
    for page in (f"/f/{interface.public_id}", f"/interfaces/{interface.public_id}/edit/embed"):
        part = signed_in.get(page).text.replace("&#34;", '"').rpartition('name="added"')[2][:200]
        assert (f'autocomplete="{token}"' in part) == bool(token), part


def test_an_owner_may_want_nothing_to_be_filled_in(signed_in: FlaskClient, interface: Interface) -> None:
    address = f"/interfaces/{interface.public_id}/edit/fields/new?type=phone"
    assert signed_in.post(address, data={"label": "Added", "key": "added", "autocomplete": ""}).status_code == 303
    db.session.rollback()
    db.session.expire_all()
    assert db.session.get_one(Interface, interface.id).fields[-1].autocomplete == ""


@pytest.mark.parametrize(
    ("kind", "token"), [(FieldType.PHONE, "tel"), (FieldType.EMAIL, "email"), (FieldType.TEXT, "")]
)
def test_a_field_that_a_program_adds_says_it_too_and_existing_ones_stay(
    interface: Interface, kind: FieldType, token: str
) -> None:
    with transaction():
        field = fields.add(interface, kind, {"label": "Added"})
        assert field.autocomplete == token
        fields.change(interface, field, {"label": "Added", "autocomplete": ""})
        assert field.autocomplete == ""
