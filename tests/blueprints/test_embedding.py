"""Embedding and spam over HTTP: allowed sites, tokens, robots, the blocklist, Not spam, the loader."""

import gzip
import re
import time
from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import AppMaker
from tests.support.factories import ADA, point_at
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Delivery, Interface, Lead, Mail
from webapp.services.intake import visitor

pytestmark = pytest.mark.once

THANKS = "Thank you. We will be in touch soon."


@pytest.fixture
def app(make_app: AppMaker) -> object:
    app = make_app(FORM_RATE_LIMIT="", FORM_MINIMUM_TIME="5")
    with app.app_context():
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def form(interface: Interface) -> str:
    """The address of a form whose leads are sent to a webhook and cause mails."""
    point_at(interface, "http://127.0.0.1:9/")
    with transaction():
        db.session.get_one(Interface, interface.id).notification_emails = ["sales@example.com"]
    return f"/f/{interface.public_id}"


def change(interface: Interface, **settings: object) -> None:
    with transaction():
        found = db.session.get_one(Interface, interface.id)
        found.updated_at = utcnow()
        for name, value in settings.items():
            setattr(found, name, value)


def leads() -> list[Lead]:
    db.session.rollback()
    found = list(db.session.scalars(select(Lead).order_by(Lead.id)))
    db.session.rollback()
    return found


def mails_and_deliveries() -> tuple[int, int]:
    """The number of notifications and the number of deliveries."""
    db.session.rollback()
    mails = select(Mail).where(Mail.kind == "lead_notification")
    found = len(db.session.scalars(mails).all()), len(db.session.scalars(select(Delivery)).all())
    db.session.rollback()
    return found


def old_token(interface: Interface, monkeypatch: pytest.MonkeyPatch, age: float = 60) -> str:
    """The token of a form that was shown `age` seconds ago."""
    now = visitor.time.time()
    with monkeypatch.context() as patch:
        patch.setattr(visitor.time, "time", lambda: now - age)
        return visitor.new_token(interface.public_id)


@pytest.mark.parametrize("age", [60, 86_400 * 400])
def test_a_form_sent_twice_is_one_lead_at_any_age(
    client: FlaskClient, interface: Interface, form: str, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    sent = {**ADA, visitor.TOKEN: old_token(interface, monkeypatch, age)}
    answers = [client.post(form, data=sent, headers={"Accept": "application/json"}) for _ in range(3)]
    [lead] = leads()
    assert [(answer.status_code, answer.json["id"]) for answer in answers] == [(201, lead.public_id)] * 3
    assert lead.spam is None
    assert mails_and_deliveries() == (1, 1)


def test_going_back_and_changing_the_answers_sends_another_lead(
    client: FlaskClient, interface: Interface, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = old_token(interface, monkeypatch)
    for message in ("Hello", "And another thing"):
        client.post(form, data={**ADA, "message": message, visitor.TOKEN: token})
    assert [lead.fields["message"] for lead in leads()] == ["Hello", "And another thing"]


def test_a_form_with_an_error_keeps_its_token(client: FlaskClient, interface: Interface, form: str) -> None:
    page = client.get(form).text
    [token] = re.findall(rf'name="{visitor.TOKEN}" value="([^"]+)"', page)
    again = client.post(form, data={visitor.TOKEN: token})
    assert again.status_code == 422
    assert token in again.text
    assert client.get(form).text.count(token) == 0, "each view has its own"


@pytest.mark.parametrize("token", ["", "rubbish", "WyJpZl94IiwgIngiLCAwXQ.AAAA"])
def test_a_submission_without_a_valid_token_is_accepted(client: FlaskClient, form: str, token: str) -> None:
    for _ in range(2):
        assert client.post(form, data={**ADA, visitor.TOKEN: token}).status_code == 303
    assert [lead.spam for lead in leads()] == [None, None]


def robot(interface: Interface, why: str) -> dict[str, str]:
    if why == visitor.HONEYPOT:
        return {**ADA, visitor.TRAP: "https://pills.example"}
    if why == visitor.TOO_FAST:
        return {**ADA, visitor.TOKEN: visitor.new_token(interface.public_id)}
    change(interface, blocklist=["example.com"])
    return dict(ADA)


@pytest.mark.parametrize("why", visitor.SPAM_REASONS)
def test_spam_is_stored_but_not_sent_until_it_is_marked_not_spam(
    client: FlaskClient,
    signed_in: FlaskClient,
    interface: Interface,
    form: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Frozen: on a busy machine, the post could take longer than a person does. In hundredths, as in a token.
    now = round(time.time(), 2)
    monkeypatch.setattr(visitor, "time", SimpleNamespace(time=lambda: now))
    answer = client.post(form, data=robot(interface, why), follow_redirects=True)
    assert (answer.status_code, THANKS in answer.text) == (200, True)
    [lead] = leads()
    assert lead.spam == why
    assert mails_and_deliveries() == (0, 0)
    assert lead.public_id not in signed_in.get("/leads").text
    assert lead.public_id not in signed_in.get("/leads?status=no-webhook").text
    spam_page = signed_in.get("/leads?status=spam").text
    assert f'id="{lead.public_id}"' in spam_page
    assert "Not spam" in spam_page
    page = signed_in.get(f"/leads/{lead.public_id}").text
    assert visitor.SPAM_REASONS[why] in page
    assert "Retry Webhook" not in page
    assert "Spam" in signed_in.get("/leads.csv?status=spam", buffered=True).text
    assert lead.public_id not in signed_in.get("/leads.csv", buffered=True).text

    signed_in.post(f"/leads/{lead.public_id}/retry")
    assert mails_and_deliveries() == (0, 0), "a retry is no way around it"
    for _ in range(2):
        assert signed_in.post(f"/leads/{lead.public_id}/not-spam").status_code == 303
    assert mails_and_deliveries() == (1, 1)
    assert [lead.spam for lead in leads()] == [None]
    assert lead.public_id in signed_in.get("/leads").text
    assert db.session.scalars(select(AuditEntry.action).where(AuditEntry.action == "lead.not_spam")).all() == [
        "lead.not_spam"
    ]


def test_not_spam_is_refused_once_the_interface_is_deleted(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface, form: str
) -> None:
    client.post(form, data=robot(interface, visitor.HONEYPOT))
    signed_in.post(f"/interfaces/{interface.public_id}/delete")
    [lead] = leads()
    assert "so it stays in Spam" in signed_in.post(f"/leads/{lead.public_id}/not-spam", follow_redirects=True).text
    assert mails_and_deliveries() == (0, 0)


def test_a_sender_on_a_published_blocklist_sees_the_message(
    client: FlaskClient, interface: Interface, form: str
) -> None:
    change(interface, blocklist=["127.0.0.0/8"], blocklist_published=True)
    answer = client.post(form, data=ADA)
    assert answer.status_code == 403
    assert "You cannot send answers here." in answer.text
    as_json = client.post(form, json=ADA)
    assert (as_json.status_code, as_json.json) == (403, {"errors": {"_form": ["You cannot send answers here."]}})
    assert {lead.spam for lead in leads()} == {visitor.BLOCKED}


@pytest.mark.parametrize(
    ("entry", "is_listed"),
    [
        ("ada@example.com", True),
        ("example.com", True),
        ("ample.com", False),
        ("bob@example.com", False),
        ("127.0.0.1", True),
        ("127.0.0.0/8", True),
        ("10.0.0.0/8", False),
        ("::1", False),
    ],
)
def test_a_blocklist_matches_address_network_email_and_domain(
    client: FlaskClient, interface: Interface, form: str, entry: str, is_listed: bool
) -> None:
    change(interface, blocklist=[entry])
    client.post(form, data={**ADA, "email": "Ada@Example.com"})
    assert [lead.spam is not None for lead in leads()] == [is_listed]


def test_the_list_of_sites_says_who_may_frame_and_who_may_post(
    client: FlaskClient, interface: Interface, form: str
) -> None:
    assert "frame-ancestors" not in client.get(form).headers["Content-Security-Policy"]
    change(interface, allowed_sites=["https://a.example", "https://*.b.example:8443"])
    policy = client.get(form).headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors 'self' https://a.example https://*.b.example:8443")
    own = "http://localhost"
    for origin in ("https://a.example", "https://x.b.example:8443", own, None):
        headers = {"Origin": origin} if origin else {}
        answer = client.post(form, json=ADA, headers=headers)
        assert answer.status_code == 201, origin
        assert answer.headers["Access-Control-Allow-Origin"] == (origin or "*")
        assert "Origin" in answer.headers["Vary"]
    taken = len(leads())
    strangers = ("https://b.example:8443", "http://a.example", "https://a.example.evil", "https://xb.example:8443")
    for origin in (*strangers, "null"):
        answer = client.post(form, json=ADA, headers={"Origin": origin})
        assert answer.status_code == 403, origin
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert len(leads()) == taken


def test_the_embed_tab_keeps_sites_and_senders(signed_in: FlaskClient, interface: Interface) -> None:
    path = f"/interfaces/{interface.public_id}/edit/embed"
    page = signed_in.get(path).text
    for words in (f"data-interface=&#34;{interface.public_id}&#34;", "/embed.js", "&lt;iframe", "fetch(", "curl "):
        assert words in page or words.replace("&#34;", "&amp;#34;") in page, words
    typed = {
        "allowed_sites": "Example.com\nhttps://*.b.example/x?y\nhttps://bücher.example:443",
        "blocklist": "Ada@Example.com\n@spam.example\n10.1.2.3/8\n2001:DB8::1",
        "blocklist_published": "y",
    }
    assert signed_in.post(path, data=typed).status_code == 303
    db.session.rollback()
    found = db.session.get_one(Interface, interface.id)
    sites = ["https://example.com", "https://*.b.example", "https://xn--bcher-kva.example"]
    assert (found.allowed_sites, found.blocklist_published) == (sites, True)
    assert found.blocklist == ["ada@example.com", "spam.example", "10.0.0.0/8", "2001:db8::1"]
    db.session.rollback()


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("allowed_sites", "javascript://x"),
        ("allowed_sites", "https://a.example;script-src"),
        ("allowed_sites", "https://a'self'"),
        ("allowed_sites", "*"),
        ("allowed_sites", "\n".join(f"https://a{number}.example" for number in range(51))),
        ("blocklist", "no such thing"),
        ("blocklist", "10.0.0.0/99"),
        ("blocklist", "\n".join(f"a{number}.example" for number in range(501))),
    ],
)
def test_invalid_sites_and_senders_are_refused_with_a_sentence(
    signed_in: FlaskClient, interface: Interface, name: str, typed: str
) -> None:
    answer = signed_in.post(f"/interfaces/{interface.public_id}/edit/embed", data={name: typed})
    assert answer.status_code == 422
    assert f'id="{name}-error"' in answer.text


def test_the_loader_is_small_and_its_version_is_cached_for_ever(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface
) -> None:
    loader = client.get("/embed.js")
    assert loader.mimetype == "text/javascript"
    assert loader.headers["Cache-Control"] == "public, max-age=3600"
    assert len(gzip.compress(loader.data)) <= 2560
    assert "localhost" in loader.text or "127.0.0.1" in loader.text, "its own address, for modules"
    assert "leadhook.invalid" not in loader.text
    page = signed_in.get(f"/interfaces/{interface.public_id}/edit/embed").text
    [version] = re.findall(r"/embed\.\w+\.js", page)
    kept = client.get(version)
    assert (kept.data, kept.headers["Cache-Control"]) == (loader.data, "public, max-age=31536000, immutable")
    assert client.get("/embed.0000000000.js").headers["Cache-Control"] == "public, max-age=3600"


def test_only_a_framed_form_has_a_script(client: FlaskClient, form: str) -> None:
    plain = client.get(form)
    assert "<script" not in plain.text
    assert "script-src" not in plain.headers["Content-Security-Policy"]
    framed = client.get(form, headers={"Sec-Fetch-Dest": "iframe"})
    assert "script-src 'self'" in framed.headers["Content-Security-Policy"]
    [address] = re.findall(r'<script src="(/f/script/\w+\.js)" defer>', framed.text)
    script = client.get(address)
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_public_pages_never_set_a_cookie(client: FlaskClient, signed_in: FlaskClient, form: str) -> None:
    files = ("/embed.js", "/embed.x.js", "/f/script/x.js", "/f/look/2f54d0-soft-0.css")
    gets = (form, f"{form}/thank-you", "/f/nobody", *files)
    for browser in (client, signed_in):
        answers = [browser.get(path, headers={"Sec-Fetch-Dest": "iframe"}) for path in gets]
        answers += [browser.post(form, data=sent) for sent in (ADA, {}, {**ADA, visitor.TRAP: "x"})]
        answers += [browser.post(form, json=ADA), browser.options(form), browser.put(form)]
        assert [answer.headers.getlist("Set-Cookie") for answer in answers] == [[]] * len(answers)
