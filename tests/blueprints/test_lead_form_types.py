"""Every field type on the public form: what is sent, stored and answered; and the form's texts, look and logo."""

import gzip
import json
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from webapp.db.plain_reads import PlainSelect
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Corners, Delivery, FieldType, Interface, Lead, Mail, Scheme, User
from webapp.services.interfaces import fields, form_look, interface_templates, interfaces
from webapp.services.leads import lead_export
from webapp.services.leads.lead_list import Filter

JSON = {"Accept": "application/json"}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
ANSWERS: dict[str, Any] = {
    "text": "Ada",
    "email": "ada@example.com",
    "phone": "020 7946 0958",
    "long_text": "One\r\ntwo",
    "select": "Red",
    "radio": "Blue, light",
    "checkboxes": ["Blue, light", "Red"],
    "number": "12.50",
    "date": "2027-03-31",
    "url": "example.com/path",
    "file": "",  # files have tests of their own: tests/blueprints/test_form_files.py
    "hidden": "spring",
    "consent": "v1",
}
KEPT = ANSWERS | {
    "phone": "+442079460958",
    "long_text": "One\ntwo",
    "checkboxes": ["Red", "Blue, light"],
    "number": 12.5,
    "url": "https://example.com/path",
    "file": [],
    "consent": True,
}
EMPTY = {"checkboxes": [], "file": [], "number": None, "consent": False, "hidden": "plain"}


@pytest.fixture
def every(owner: User) -> Interface:
    """An interface with one field of each type. The key is the type."""
    with transaction():
        interface = interfaces.create(owner.account_id, "Every type", interface_templates.BLANK)
        interface.country, interface.webhook.url = "GB", "https://crm.example.com/"
        interface.notification_emails = ["sales@example.com"]
        for kind in FieldType:
            given = {
                "label": f"The {kind}",
                "options": "Red\nBlue, light",
                "statement": "I agree to [this](https://a.b/).",
            }
            given["default"] = "plain" if kind == FieldType.HIDDEN else ""
            fields.add(interface, kind, {**given, "key": kind.value})
    return interface


def require_all(interface: Interface) -> None:
    with transaction():
        for field in interface.fields:
            field.required = True


def test_each_type_is_stored_delivered_mailed_and_exported_in_its_own_way(
    app: Flask, signed_in: FlaskClient, every: Interface
) -> None:
    address = f"/f/{every.public_id}"
    answer = signed_in.post(address, data=ANSWERS, headers={"Referer": "https://brightwater.example/contact"})
    assert answer.status_code == 303
    lead = db.session.scalars(select(Lead)).one()
    assert lead.fields == KEPT
    consent = dict(*lead.consents)
    assert consent.pop("at").startswith(f"{lead.received_at:%Y-%m-%dT%H:%M}")
    page = "https://brightwater.example/contact"
    words = "I agree to [this](https://a.b/)."
    assert consent == {"key": "consent", "text": words, "version": 1, "given": True, "page": page}

    data = json.loads(db.session.scalars(select(Delivery.payload)).one())["data"]
    assert data["lead"]["fields"] == KEPT
    assert list(data["lead"]["fields"]) == [kind for kind in FieldType if kind != "heading"]
    assert data["consents"] == lead.consents

    mail = db.session.scalars(select(Mail)).one()
    assert "The checkboxes:\n  Red, Blue, light" in mail.body_text
    assert "The consent:\n  Yes" in mail.body_text
    assert "heading" not in mail.body_text + mail.body_html
    header, _, row = "".join(lead_export.lines(Filter.of(every.account_id))).partition("\r\n")
    assert ",checkboxes,number," in header
    assert "heading" not in header
    assert '"Red; Blue, light",12.5,2027-03-31,https://example.com/path,,spring,Yes' in row

    page = signed_in.get(f"/leads/{lead.public_id}").text
    for words in ("Red, Blue, light", 'href="https://example.com/path"', "I agree to [this]", "version 1", "Given"):
        assert words in page


def test_empty_answers_are_stored_too(client: FlaskClient, every: Interface) -> None:
    assert client.post(f"/f/{every.public_id}", json={"text": "x"}).status_code == 201
    lead = db.session.scalars(select(Lead)).one()
    assert lead.fields == dict.fromkeys(ANSWERS, "") | EMPTY | {"text": "x"}
    assert [entry["given"] for entry in lead.consents] == [False]


def test_json_may_use_its_own_types(client: FlaskClient, every: Interface) -> None:
    sent = {"number": 7, "checkboxes": ["Red"], "consent": True, "radio": "Red"}
    assert client.post(f"/f/{every.public_id}", json=sent).status_code == 201
    found = db.session.scalars(select(Lead)).one().fields
    assert {key: found[key] for key in sent} == sent
    assert isinstance(found["number"], int)


WRONG = [
    ("select", "Green"),
    ("radio", "red"),
    ("checkboxes", ["Red", "Green"]),
    ("checkboxes", [{"Red": 1}]),
    ("number", "10.000"),
    ("number", "12 units"),
    ("number", "NaN"),
    ("number", "9" * 16),
    ("date", "03.04.2027"),
    ("date", "2027-02-30"),
    ("url", "javascript:alert(1)"),
    ("url", "ftp://example.com"),
    ("url", "nothing"),
    ("url", "https://a b.example"),
    ("url", "https://[::1"),
    ("consent", {"given": True}),
]


def test_an_answer_that_does_not_fit_its_type_is_an_error(client: FlaskClient, every: Interface) -> None:
    for key, sent in WRONG:
        answer = client.post(f"/f/{every.public_id}", json={key: sent})
        assert (answer.status_code, list(answer.json["errors"])) == (422, [key]), (key, sent)


def test_every_type_can_be_required_except_those_that_visitors_cannot_answer(
    client: FlaskClient, every: Interface
) -> None:
    require_all(every)
    answer = client.post(f"/f/{every.public_id}", data={"hidden": ""}, headers=JSON)
    assert set(answer.json["errors"]) == set(ANSWERS) - {"hidden"}
    page = client.post(f"/f/{every.public_id}", data={**ANSWERS, "checkboxes": []}).text
    assert 'href="#checkboxes-1"' in page
    assert 'value="v1" checked' in page, "valid answers stay"
    assert "<option selected>Red</option>" in page


def test_minimum_and_maximum_are_checked(client: FlaskClient, every: Interface) -> None:
    limits = {"text": ("3", "5"), "number": ("1", "10"), "date": ("2027-01-01", "2027-12-31")}
    with transaction():
        for field in every.fields:
            field.minimum, field.maximum = limits.get(field.key, ("", ""))
    address = f"/f/{every.public_id}"
    outside = {"text": ("ab", "abcdef"), "number": ("0.9", "10.1"), "date": ("2026-12-31", "2028-01-01")}
    for key, answers in outside.items():
        for sent in answers:
            assert list(client.post(address, json={key: sent}).json["errors"]) == [key]
    assert client.post(address, json={"text": "abc", "number": "10", "date": "2027-01-01"}).status_code == 201


def test_consent_is_asked_for_again_if_the_words_have_changed(client: FlaskClient, every: Interface) -> None:
    consent = next(field for field in every.fields if field.key == "consent")
    with transaction():
        fields.change(every, consent, {"label": "Consent", "statement": "Something else."})
    answer = client.post(f"/f/{every.public_id}", data={**ANSWERS, "consent": "v1"})
    assert answer.status_code == 422
    assert "The wording has changed" in answer.text
    assert 'value="v2" checked' not in answer.text
    assert client.post(f"/f/{every.public_id}", data={**ANSWERS, "consent": "v2"}).status_code == 303
    [entry] = db.session.scalars(select(Lead)).one().consents
    assert (entry["text"], entry["version"]) == ("Something else.", 2)


def test_a_hidden_field_is_filled_from_the_forms_address(client: FlaskClient, every: Interface) -> None:
    address = f"/f/{every.public_id}"
    assert '<input type="hidden" name="hidden" value="gold&#34;&gt;">' in client.get(f'{address}?hidden=gold">').text
    client.post(f"{address}?hidden=silver", data={"text": "Ada"})
    assert db.session.scalars(select(Lead)).one().fields["hidden"] == "silver"


def test_every_visible_text_can_be_changed(client: FlaskClient, every: Interface) -> None:
    require_all(every)
    ours = {
        "button": "Absenden",
        "errors_many": "{number} Antworten fehlen",
        "needed": "{label} fehlt.",
        "required": "*",
    }
    with transaction():
        interfaces.update_texts(every, {**ours, "fine_print": "", "choose": "  "})
        interfaces.update_general(every, name="Kontakt", introduction="", thank_you="Danke", language="he")
    page = client.post(f"/f/{every.public_id}", data={}).text
    for words in ("Absenden", "12 Antworten fehlen", "The text fehlt.", "Choose…", '<html lang="he" dir="rtl"', ">*<"):
        assert words in page
    assert "Your answers go to" not in page


def test_a_closed_form_says_so_and_accepts_nothing(client: FlaskClient, every: Interface) -> None:
    address = f"/f/{every.public_id}"
    with transaction():
        interfaces.close(every)
        interfaces.update_texts(every, {"closed": "Back in spring."})
    assert client.get(address).status_code == 200
    assert "Back in spring." in client.get(address).text
    assert "<form" not in client.get(address).text
    assert client.post(address, data=ANSWERS).status_code == 403
    answer = client.post(address, json=ANSWERS)
    assert (answer.status_code, answer.json) == (403, {"errors": {"_form": ["Back in spring."]}})
    assert db.session.scalars(select(Lead)).all() == []
    with transaction():
        interfaces.reopen(every)
    assert "<form" in client.get(address).text


def test_after_submit_visitors_can_be_sent_to_another_page(client: FlaskClient, every: Interface) -> None:
    address, frame = f"/f/{every.public_id}", {"Sec-Fetch-Dest": "iframe"}
    with transaction():
        interfaces.update_general(
            every, name="Every", introduction="", thank_you="", redirect_url="https://brightwater.example/thanks?a=b"
        )
    assert "form-action 'self' https://brightwater.example;" in client.get(address).headers["Content-Security-Policy"]
    assert client.post(address, data=ANSWERS).location == "https://brightwater.example/thanks?a=b"
    in_frame = client.post(address, data=ANSWERS, headers=frame).location
    assert in_frame.startswith(f"{address}/thank-you?_frame=1"), "a frame stays a frame"
    assert 'href="https://brightwater.example/thanks?a=b" target="_top"' in client.get(in_frame, headers=frame).text


def test_only_a_plain_https_url_can_be_the_page_after_submit(every: Interface) -> None:
    for url in (
        "http://a.example",
        "javascript:alert(1)",
        "https://a.example; script-src *",
        "https://",
        "https://a b",
    ):
        with pytest.raises(interfaces.Refused) as refusal, transaction():
            interfaces.update_general(every, name="Every", introduction="", thank_you="", redirect_url=url)
        assert refusal.value.field == "redirect_url"


def test_the_look_is_one_stylesheet_and_its_address_names_it(client: FlaskClient, every: Interface) -> None:
    with transaction():
        interfaces.update_look(every, accent="#FFEE00", scheme=Scheme.DARK, corners=Corners.ROUND)
    page = client.get(f"/f/{every.public_id}", headers={"Sec-Fetch-Dest": "iframe"}).text
    assert 'data-theme="dark"' in page
    name = form_look.stylesheet_name(every)
    assert f'href="/f/look/{name}.css"' in page
    css = client.get(f"/f/look/{name}.css")
    assert css.mimetype == "text/css"
    assert "immutable" in css.headers["Cache-Control"]
    assert "--lf-radius: 18px" in css.text
    assert "--lf-accent: #ffee00; --lf-on-accent: #000000" in css.text, "as it is on dark"
    assert "--lf-on-accent: #ffffff" not in css.text.rpartition("--lf-radius")[2]
    for wrong in ("ffee0-soft-1", "ffee00-pointy-1", "ffee00-soft-", "ffee00", "%7D-soft-1", "ffee00-soft-1-2"):
        assert client.get(f"/f/look/{wrong}.css").status_code == 404


def test_a_logo_is_uploaded_shown_replaced_and_removed(signed_in: FlaskClient, every: Interface) -> None:
    edit, svg = (
        f"/interfaces/{every.public_id}/edit",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
    )
    for body, words in ((b"GIF89a", "not a picture"), (PNG + b"\0" * 20_480, "21 KB")):
        answer = signed_in.post(edit, data={"name": "Every", "logo": (BytesIO(body), "logo.png")})
        assert answer.status_code == 422
        assert words in answer.text
    for body, media_type in ((PNG, "image/png"), (svg, "image/svg+xml")):
        assert signed_in.post(edit, data={"name": "Every", "logo": (BytesIO(body), "x")}).status_code == 303
        db.session.refresh(every)
        address = f"/f/{every.public_id}/logo/{every.logo}"
        assert f'src="{address}"' in signed_in.get(f"/f/{every.public_id}").text
        answer = signed_in.get(address)
        assert (answer.data, answer.mimetype) == (body, media_type)
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert signed_in.post(edit, data={"name": "Every", "remove_logo": "y"}).status_code == 303
    assert "<img" not in signed_in.get(f"/f/{every.public_id}").text
    assert signed_in.get(address).status_code == 404


def test_a_first_view_is_three_requests_and_thirty_kilobytes(client: FlaskClient, every: Interface) -> None:
    """With all types, and with the largest allowed logo, which cannot be compressed."""
    with transaction():
        form_look.set_logo(every, PNG + bytes(range(256)) * 79)
    address = f"/f/{every.public_id}"
    page, framed = client.get(address).text, client.get(address, headers={"Sec-Fetch-Dest": "iframe"})
    sizes = [len(gzip.compress(client.get(file).data)) for file in _loaded(page) if "/logo/" not in file]
    assert len(gzip.compress(page.encode())) + sum(sizes) + form_look.MAX_LOGO < 30 * 1024
    assert "<script" not in page
    # A frame has a script, and the logo is inside the page.
    sizes = [len(gzip.compress(client.get(file).data)) for file in _loaded(framed.text)]
    assert len(gzip.compress(framed.data)) + sum(sizes) < 30 * 1024
    assert "data:image/png;base64," in framed.text
    assert "img-src data: 'self'" in framed.headers["Content-Security-Policy"]


def _loaded(page: str) -> set[str]:
    """The files that a page makes a browser load: two."""
    found = {part.split('"')[0] for part in page.replace('href="/', 'src="/').split('src="/')[1:]}
    assert len(found) == 2, found
    return {f"/{address}" for address in found}


def test_a_view_costs_one_small_select_and_sees_every_change(
    app: Flask, client: FlaskClient, signed_in: FlaskClient, every: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"/f/{every.public_id}"
    client.get(address)
    statements: list[str] = []
    plain = PlainSelect.one_or_none  # the driver runs it, without SQLAlchemy's events
    monkeypatch.setattr(
        PlainSelect, "one_or_none", lambda one, **given: statements.append("SELECT, plain") or plain(one, **given)
    )
    for engine in db.engines.values():
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert "The text" in client.get(address).text
    assert len([one for one in statements if one.startswith("SELECT")]) == 1, statements
    text = every.fields[0]
    with transaction():
        fields.change(every, text, {"label": "Another label"})
    assert "Another label" in client.get(address).text
    with transaction():
        every.account.name = "New Sun"
    assert "New Sun" in client.get(address).text
    with transaction():
        interfaces.archive(every)
    assert client.get(address).status_code == 404
