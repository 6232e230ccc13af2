"""The public form, as a page and as JSON: what visitors and scripts may send, and what they get back."""

import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select
from werkzeug.test import EnvironBuilder, run_wsgi_app

from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Lead
from webapp.services.intake import packed_source
from webapp.services.interfaces import interfaces

ADA = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+15550100", "message": "Hello"}
JSON = {"Accept": "application/json"}


@pytest.fixture
def address(interface: Interface) -> str:
    return f"/f/{interface.public_id}"


def only_lead() -> Lead:
    return db.session.scalars(select(Lead)).one()


def lead_count() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(Lead)) or 0


def test_the_form_asks_the_interfaces_questions(client: FlaskClient, address: str) -> None:
    page = client.get(address)
    assert page.status_code == 200
    assert "Contact sales" in page.text
    assert "Brightwater Solar" in page.text
    for attribute in ('autocomplete="name"', 'autocomplete="email"', 'autocomplete="tel"', 'type="tel"', "<textarea"):
        assert attribute in page.text


def test_a_post_stores_the_lead_and_redirects_to_the_thank_you_page(client: FlaskClient, address: str) -> None:
    answer = client.post(address, data=ADA)
    assert answer.status_code == 303
    assert answer.location == f"{address}/thank-you"
    assert "We will be in touch soon" in client.get(answer.location).text
    assert only_lead().fields == ADA
    assert (only_lead().name, only_lead().email) == ("Ada Lovelace", "ada@example.com")


def test_reloading_the_thank_you_page_does_not_send_the_form_again(client: FlaskClient, address: str) -> None:
    thanks = client.post(address, data=ADA).location
    client.get(thanks)
    client.get(thanks)
    assert lead_count() == 1


def test_a_client_that_accepts_json_gets_the_id(client: FlaskClient, address: str) -> None:
    answer = client.post(address, data=ADA, headers=JSON)
    assert answer.status_code == 201
    assert answer.json == {"id": only_lead().public_id}


def test_json_is_answered_with_json_without_an_accept_header(client: FlaskClient, address: str) -> None:
    answer = client.post(address, json=ADA)
    assert answer.status_code == 201
    assert answer.json == {"id": only_lead().public_id}


def test_json_from_a_client_that_wants_a_page_gets_a_page(client: FlaskClient, address: str) -> None:
    assert client.post(address, json=ADA, headers={"Accept": "text/html"}).status_code == 303


def test_multipart_is_accepted_too(client: FlaskClient, address: str) -> None:
    assert client.post(address, data=ADA, content_type="multipart/form-data").status_code == 303
    assert only_lead().fields == ADA


def test_errors_come_back_as_json_by_field(client: FlaskClient, address: str) -> None:
    answer = client.post(address, json={"name": "Ada", "email": "ada@", "phone": "call me"}, headers=JSON)
    assert answer.status_code == 422
    assert set(answer.json["errors"]) == {"email", "phone", "message"}
    assert all(isinstance(sentence, str) for found in answer.json["errors"].values() for sentence in found)
    assert lead_count() == 0


def test_errors_come_back_in_the_form_with_the_values(client: FlaskClient, address: str) -> None:
    answer = client.post(address, data={**ADA, "email": "ada@example", "message": "<b>Hello</b>\nworld"})
    assert answer.status_code == 422
    assert "<title>Error: Contact sales</title>" in answer.text
    assert 'role="alert"' in answer.text
    assert 'href="#email"' in answer.text
    assert 'aria-invalid="true" aria-describedby="email-error"' in answer.text
    assert 'value="ada@example"' in answer.text
    assert "&lt;b&gt;Hello&lt;/b&gt;\nworld" in answer.text
    assert lead_count() == 0


@pytest.mark.parametrize("headers", [{}, JSON])
def test_an_unknown_or_deleted_form_is_not_found(
    client: FlaskClient, interface: Interface, address: str, headers: dict[str, str]
) -> None:
    assert client.get("/f/if_unknown", headers=headers).status_code == 404
    assert client.post("/f/if_unknown", data=ADA, headers=headers).status_code == 404
    assert client.post("/f/%00", data=ADA, headers=headers).status_code == 404
    with transaction():
        interfaces.archive(interface)
    answer = client.post(address, data=ADA, headers=headers)
    assert answer.status_code == 404
    if headers:
        assert list(answer.json["errors"]) == ["_form"]
    else:
        assert "There is no form" in answer.text
    assert client.get(f"{address}/thank-you").status_code == 404
    assert lead_count() == 0


@pytest.mark.parametrize(
    "kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_body_over_256_kb_is_refused(client: FlaskClient, address: str, kind: str) -> None:
    answer = client.post(address, data=b"x" * (256 * 1024 + 1), content_type=kind, headers=JSON)
    assert answer.status_code == 413
    assert list(answer.json["errors"]) == ["_form"]
    page = client.post(address, data=b"x" * (256 * 1024 + 1), content_type=kind, headers={"Accept": "text/html"})
    assert page.status_code == 413
    assert "256 KB" in page.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", 400),
        (b"", 400),
        (b"\xff\xfe\xfd", 400),
        (b'{"name": NaN}', 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b"null", 422),
        (b"{}", 422),
    ],
)
def test_json_that_is_broken_or_not_an_object_is_an_error(
    client: FlaskClient, address: str, body: bytes, code: int
) -> None:
    answer = client.post(address, data=body, content_type="application/json")
    assert answer.status_code == code
    assert answer.json["errors"]
    assert lead_count() == 0


@pytest.mark.parametrize("wrong", [["Ada"], {"first": "Ada"}, []])
def test_lists_and_objects_are_not_valid_answers(client: FlaskClient, address: str, wrong: object) -> None:
    answer = client.post(address, json={**ADA, "name": wrong})
    assert answer.status_code == 422
    assert answer.json == {"errors": {"name": ["Name must be text, not a list or an object."]}}


def test_numbers_and_booleans_become_text_as_they_were_written(client: FlaskClient, address: str) -> None:
    body = '{"name": 1e2, "email": "ada@example.com", "phone": 004, "message": true}'.replace("004", "15550100")
    assert client.post(address, data=body, content_type="application/json").status_code == 201
    assert only_lead().fields == {**ADA, "name": "1e2", "phone": "15550100", "message": "true"}


def test_a_number_with_thousands_of_digits_is_only_too_long(client: FlaskClient, address: str) -> None:
    body = json.dumps(ADA).replace('"Ada Lovelace"', "9" * 10_000)
    answer = client.post(address, data=body, content_type="application/json")
    assert answer.status_code == 422
    assert "too long" in answer.json["errors"]["name"][0]


def test_null_and_missing_values_are_empty_answers(client: FlaskClient, address: str) -> None:
    sent: dict[str, Any] = {**ADA, "phone": None}
    assert client.post(address, json=sent).status_code == 201
    assert only_lead().fields["phone"] == ""
    del sent["phone"]
    assert client.post(address, json=sent).status_code == 201


def test_if_a_name_is_sent_twice_the_last_value_counts(client: FlaskClient, address: str) -> None:
    body = json.dumps(ADA)[:-1] + ', "name": "Grace"}'
    client.post(address, data=body, content_type="application/json")
    client.post(address, data={**ADA, "name": ["Ada", "Grace"]})
    assert [lead.name for lead in db.session.scalars(select(Lead))] == ["Grace", "Grace"]


def test_values_without_a_field_are_dropped(client: FlaskClient, address: str) -> None:
    client.post(address, json={**ADA, "is_admin": "yes", "__proto__": {"a": 1}})
    assert only_lead().fields == ADA


def test_a_message_of_10_000_characters_is_stored_completely(client: FlaskClient, address: str) -> None:
    message = "🌞é" * 5_000
    assert client.post(address, data={**ADA, "message": message}).status_code == 303
    assert only_lead().fields["message"] == message


def test_a_message_of_20_001_characters_is_refused_and_not_cut(client: FlaskClient, address: str) -> None:
    answer = client.post(address, data={**ADA, "message": "m" * 20_001})
    assert answer.status_code == 422
    assert "m" * 20_001 in answer.text


def test_control_characters_are_removed_and_all_alphabets_are_kept(client: FlaskClient, address: str) -> None:
    sent = {**ADA, "name": "\x00محمد\x07  👩‍🚀\x85", "message": "one\r\ntwo\rthree\x00\x1b[31m\ud83d"}
    assert client.post(address, data=json.dumps(sent), content_type="application/json").status_code == 201
    assert only_lead().fields["name"] == "محمد 👩‍🚀"
    assert only_lead().fields["message"] == "one\ntwo\nthree[31m\ufffd"


def test_other_kinds_of_body_are_refused_with_an_explanation(client: FlaskClient, address: str) -> None:
    answer = client.post(address, data=b"<lead/>", content_type="application/xml", headers=JSON)
    assert answer.status_code == 415
    assert "JSON" in answer.json["errors"]["_form"][0]


def test_posts_are_limited_per_form(make_app: Any, interface: Interface) -> None:
    client = make_app(FORM_RATE_LIMIT="2 per minute").test_client()
    address = f"/f/{interface.public_id}"
    assert [client.post(address, data=ADA, headers=JSON).status_code for _ in range(3)] == [201, 201, 429]
    answer = client.post(address, data=ADA, headers=JSON)
    assert list(answer.json["errors"]) == ["_form"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert client.post(address, data=ADA).status_code == 429
    assert "One moment" in client.post(address, data=ADA).text
    assert client.get(address).status_code == 200
    assert client.post("/f/if_another", data=ADA).status_code == 404  # counted separately
    assert lead_count() == 2


def test_without_redis_the_limit_counts_in_the_process(make_app: Any, interface: Interface) -> None:
    client = make_app(FORM_RATE_LIMIT="1 per minute", REDIS_URL="redis://127.0.0.1:1").test_client()
    address = f"/f/{interface.public_id}"
    assert [client.post(address, data=ADA, headers=JSON).status_code for _ in range(2)] == [201, 429]


def test_an_empty_limit_means_no_limit(make_app: Any, interface: Interface) -> None:
    client = make_app(FORM_RATE_LIMIT="").test_client()
    codes = {client.post(f"/f/{interface.public_id}", data=ADA).status_code for _ in range(40)}
    assert codes == {303}


def test_no_response_sets_a_cookie_even_for_a_signed_in_user(
    make_app: Any, signed_in: FlaskClient, interface: Interface
) -> None:
    address = f"/f/{interface.public_id}"
    limited = make_app(FORM_RATE_LIMIT="1 per minute").test_client()
    for client in (signed_in, limited):
        answers = [
            client.get(address),
            client.get(f"{address}/thank-you"),
            client.post(address, data=ADA),
            client.post(address, data={}),
            client.post(address, data=b"{", content_type="application/json"),
            client.post(address, data=b"x" * 300_000),
            client.post("/f/if_unknown", data=ADA),
            client.options(address),
        ]
        assert all("Set-Cookie" not in answer.headers for answer in answers)
    assert answers[3].status_code == 429


def test_no_csrf_token_is_needed_and_other_sites_may_post(make_app: Any, interface: Interface) -> None:
    client = make_app(csrf=True).test_client()
    headers = {"Origin": "https://brightwater.example", "Sec-Fetch-Site": "cross-site", "Accept": "text/html"}
    assert client.post(f"/f/{interface.public_id}", data=ADA, headers=headers).status_code == 303


def test_scripts_of_other_sites_may_read_every_response(client: FlaskClient, address: str) -> None:
    preflight = client.options(
        address, headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Headers"] == "*"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    for answer in (
        preflight,
        client.post(address, json=ADA),
        client.post(address, json={}),
        client.post("/f/x", json={}),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_any_site_may_frame_the_form(client: FlaskClient, address: str) -> None:
    framed = client.get(address, headers={"Sec-Fetch-Dest": "iframe"})
    assert "frame-ancestors" not in framed.headers["Content-Security-Policy"]
    assert "form-action 'self'" in framed.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in framed.headers
    assert 'data-theme="light"' in framed.text
    assert "lf-hosted" not in framed.text
    hosted = client.get(address)
    assert 'data-theme="auto"' in hosted.text
    assert "lf-hosted" in hosted.text


def test_the_source_comes_from_hidden_fields_query_and_page(client: FlaskClient, address: str) -> None:
    page = "https://brightwater.example/pricing?utm_source=page&utm_medium=email&gclid=Cj0"
    client.post(
        f"{address}?utm_campaign=autumn&utm_source=query",
        data={
            **ADA,
            "page_url": page,
            "page_title": "Pricing\x00",
            "utm_source": "field",
            "referrer": "javascript:alert(1)",
        },
        headers={"User-Agent": "Probe/1.0"},
    )
    assert only_lead().source == {
        "page_url": page,
        "page_title": "Pricing",
        "referrer": None,
        "utm": {"source": "field", "medium": "email", "campaign": "autumn", "term": None, "content": None},
        "click_ids": {"gclid": "Cj0"},
        "ip": "127.0.0.1",
        "user_agent": "Probe/1.0",
    }


def test_a_framed_form_sends_the_page_around_it(client: FlaskClient, address: str) -> None:
    headers = {"Sec-Fetch-Dest": "iframe", "Referer": "https://brightwater.example/"}
    form = client.get(f"{address}?utm_source=news", headers=headers).text
    [packed] = re.findall(r'<input type="hidden" name="_source" value="([\w-]+)">', form)
    assert packed_source.unpacked(packed) == {"page_url": "https://brightwater.example/", "utm_source": "news"}
    assert "https://" not in form


def test_the_page_of_a_plain_form_is_taken_from_the_referrer(client: FlaskClient, address: str) -> None:
    client.post(address, data=ADA, headers={"Referer": "https://shop.example/contact"})
    assert only_lead().source["page_url"] == "https://shop.example/contact"


def test_of_long_sources_only_what_people_read_is_cut(client: FlaskClient, address: str) -> None:
    sent = {**ADA, "page_url": "https://a.example/" + "x" * 5000, "page_title": "t" * 5000, "utm_term": "u" * 5000}
    client.post(address, json=sent, headers={"User-Agent": "U" * 5000})
    source = only_lead().source
    assert [len(source[name]) for name in ("page_title", "user_agent")] == [300, 2048]
    assert (source["page_url"], source["utm"]["term"]) == (None, None)


def test_nothing_is_read_from_the_database_before_a_lead_is_stored(
    app: Flask, client: FlaskClient, address: str
) -> None:
    client.post(address, data=ADA)
    statements: list[str] = []
    for engine in db.engines.values():
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    client.post(address, data=ADA)
    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert not selects


def test_a_crash_is_answered_in_the_shape_of_the_form_and_stores_nothing(
    client: FlaskClient, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("webapp.services.leads.leads.after_commit", crash)
    monkeypatch.setattr("webapp.services.intake.visitor._first_answer", crash)
    answer = client.post(address, json=ADA)
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert list(answer.json["errors"]) == ["_form"]
    assert lead_count() == 0


def test_after_a_crash_only_the_allowed_sites_may_read_the_response(
    client: FlaskClient, address: str, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction():
        db.session.get_one(Interface, interface.id).allowed_sites = ["https://shop.example"]
    headers = {"Origin": "https://shop.example", "Accept": "application/json"}
    assert client.post(address, data=ADA, headers=headers).headers["Access-Control-Allow-Origin"] == headers["Origin"]

    def crash(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("webapp.services.intake.visitor._first_answer", crash)
    answer = client.post(address, data=ADA, headers=headers)
    assert answer.status_code == 500
    assert answer.headers["Access-Control-Allow-Origin"] == headers["Origin"]


def test_a_lead_with_an_invalid_host_header_is_not_lost(app: Flask, address: str) -> None:
    """Calls the WSGI app, because the test client refuses such a host itself."""
    environ = EnvironBuilder(path=address, method="POST", json=dict(ADA)).get_environ()
    environ["HTTP_HOST"] = "xn--a"
    db.session.rollback()  # as the test client does: the test's own transaction would block the post
    _, status, _ = run_wsgi_app(app, environ)
    assert status.startswith(("201", "303")), status
    assert only_lead()
