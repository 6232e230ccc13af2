"""The short way of `POST /api/v1/leads` and Flask give the same answers, byte for byte, and store the same rows."""

import json
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from tests.blueprints.test_short_way import MADE, Settings
from tests.conftest import PASSWORD, AppMaker
from tests.support.api import Caller, key_for
from tests.support.factories import ADA
from tests.support.twins import Case, Side, differences
from tests.support.waiting import wait_until
from webapp.blueprints.short_way import LONGEST
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import ApiKey, Interface, Scope, User
from webapp.services import api_keys
from webapp.services.people import users

JSON = "application/json"
LIMIT = "1000 per minute; 5000 per hour"


def lead(name: str, is_short: bool | None = True, fields: Any = None, kind: str = JSON, **more: Any) -> Case:
    """Ada's lead with these answers beside hers; `more`: of the body."""
    body = {"interface": "{form}", "fields": {**ADA, "message": "Hello {n}", **(fields or {})}, **more}
    return raw(name, json.dumps(body).encode(), is_short, kind)


def raw(name: str, body: bytes, is_short: bool | None = False, kind: str = JSON) -> Case:
    headers = {"Authorization": "Bearer {key}", "Content-Type": kind}
    return Case(name, path="/api/v1/leads", body=body, headers=headers, is_short=is_short)


def sent(name: str, is_short: bool, **headers: str) -> Case:
    """Ada's lead with other headers."""
    plain = lead(name, is_short)
    return replace(plain, headers={**plain.headers, **{key.replace("_", "-"): value for key, value in headers.items()}})


PLAIN = lead("a lead")
SOURCE = {"page_url": "https://a.example/p?utm_source=x", "referrer": "a friend", "utm": {"source": "news {n}"}}
CASES = [
    PLAIN,
    lead("where the visitor came from", source={**SOURCE, "ip": "2001:db8::7", "user_agent": "Firefox"}),
    lead("a charset", kind="application/json; charset=UTF-8"),
    lead("undeclared answers", fields={"colour": ["red", {"a": 1.50}], "n": 5, "more": None}),
    lead("a trap", fields={"_website": "spam {n}"}),
    raw("half a pair", b'{"interface":"{form}","fields":{"name":"\\ud800 {n}","email":"a@b.example","message":"x"}}'),
    lead("a wrong answer", False, fields={"email": "nonsense"}),
    lead("no answer", False, fields={"name": "", "email": "", "phone": "", "message": ""}),
    lead("no address", False, source={"ip": "x"}),
    lead("an unknown field", False, felds={}),
    lead("an unknown part", False, source={"utm": {"soucre": "x"}}),
    lead("no interface", False, interface=None),
    lead("an unknown interface", False, interface="if_000000000000"),
    lead("too many fields", False, fields={f"f{number}": "x" for number in range(501)}),
    lead("too long for the short way", False, fields={"more": "x" * LONGEST}),
    lead("another type", False, kind="text/plain"),
    lead("another kind of JSON", False, kind="application/ld+json"),
    raw("a list", b"[]"),
    raw("no JSON", b"{"),
    raw("no body", b""),
    raw("UTF-16", json.dumps({"interface": "{form}", "fields": ADA}).encode("utf-16")),
    sent("no key", False, Authorization=""),
    sent("a wrong key", False, Authorization="Bearer lhk_" + "x" * 43),
    sent("a key in other letters", True, Authorization=" bearer  {key} "),
    sent("a public key", False, Authorization="Bearer {public}"),
    sent("a key without the scope", False, Authorization="Bearer {reads}"),
    sent("a key of another interface", False, Authorization="Bearer {limited}"),
    sent("a key of another account", False, Authorization="Bearer {strange}"),
    sent("a page", True, Origin="https://a.example", Referer="https://a.example/p", Cookie="leadhook=x"),
    sent("for anything", True, Accept="*/*", User_Agent="program/1"),
    sent("for HTML", True, Accept="text/html"),
    sent("a repeat", False, Idempotency_Key="order-{n}"),
    sent("a wrong repeat", False, Idempotency_Key="a b"),
    replace(lead("a query", False), query="a=b"),
    replace(lead("another method", False), method="PUT"),
    replace(lead("a host in v6", False), environ={"HTTP_HOST": "[::1]:8000"}),
    replace(lead("a body that ends early", False), environ={"CONTENT_LENGTH": "5000"}),
]


@pytest.fixture
def twins(make_app: AppMaker, owner: User, interface: Interface) -> Any:
    """Two apps, each with a form and with keys of its own."""
    account_id, other = owner.account_id, interface.public_id
    with transaction():
        strange = users.create_owner("charlie@example.org", PASSWORD, "Charlie's Cars").account_id
    db.session.rollback()  # on SQLite the other apps could not write

    def side(app: Flask, settings: Settings, name: str) -> Side:
        found = Side(app, account_id, settings)
        with app.app_context():
            found.names = {
                "key": key_for(account_id, name=f"{name} key"),
                "public": key_for(account_id, public=True, name=f"{name} public"),
                "reads": key_for(account_id, Scope.READ, name=f"{name} reads"),
                "limited": key_for(account_id, only=[other], name=f"{name} limited"),
                "strange": key_for(strange, name=f"{name} strange"),
            }
            db.session.rollback()
        for number in range(3):  # notes the use of the key, and sees that it is noted
            found.ask(PLAIN, 100 + number)
        return found

    def pair(settings: Settings = lambda _: None, **environ: str) -> tuple[Side, Side]:
        given = {"FORM_RATE_LIMIT": "", "API_RATE_LIMIT": LIMIT, **environ}
        short, flask = make_app(**given), make_app(short_way=False, **given)
        return side(short, settings, "Short"), side(flask, settings, "Flask")

    return pair


@pytest.fixture(autouse=True)
def no_second_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds that the headers of the limit have are the same on both sides."""
    monkeypatch.setattr("webapp.web.api.rates.math.ceil", lambda _: 60)


def test_each_request_gets_flasks_answer_and_makes_the_same_rows(twins: Any) -> None:
    assert not differences(*twins(), CASES)


@pytest.mark.parametrize("settings", [settings for settings, _ in MADE], ids=lambda settings: settings.__name__)
def test_each_kind_of_form_answers_as_flask_does(twins: Any, settings: Settings) -> None:
    cases = [replace(case, is_short=None) for case in CASES if case.name in ("a lead", "a page", "a trap", "a repeat")]
    assert not differences(*twins(settings), cases)


def test_behind_a_proxy_and_without_a_limit_nothing_is_different(twins: Any) -> None:
    secure = {"TRUSTED_PROXIES": "1", "PUBLIC_URL": "https://forms.example", "API_RATE_LIMIT": ""}
    short, flask = twins(**secure)
    assert not differences(short, flask, CASES[:6])
    headers = dict(short.ask(PLAIN, 5)["headers"])
    assert headers["Strict-Transport-Security"]
    assert "RateLimit" not in headers


def test_each_request_is_counted_once_whichever_way_it_takes(twins: Any) -> None:
    short, flask = twins(API_RATE_LIMIT="9 per minute")
    refused = lead("a wrong answer", False, fields={"email": "nonsense"})
    assert not differences(short, flask, [PLAIN, refused])
    for side in (short, flask):
        left = [dict(side.ask(PLAIN, number)["headers"])["RateLimit"] for number in range(2)]
        assert left == ['"default";r=1;t=60', '"default";r=0;t=60'], "three to warm up, four above"
    assert not differences(short, flask, [replace(PLAIN, is_short=False)])
    assert short.ask(PLAIN, 9)["status"].startswith("429")


def test_what_goes_wrong_is_told_as_flask_tells_it(twins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    short, flask = twins()
    assert not differences(short, flask, [PLAIN])

    def crash(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("webapp.services.intake.capture.submit", crash)
    for side in (short, flask):
        side.app.config.update(TESTING=False, PROPAGATE_EXCEPTIONS=False)
    answers = [side.ask(PLAIN, 1) for side in (short, flask)]
    assert [answer["status"] for answer in answers] == ["500 INTERNAL SERVER ERROR"] * 2
    assert not any(answer["rows"] for answer in answers)


def test_a_revoked_key_creates_no_lead_a_second_later(app: Flask, owner: User, interface: Interface) -> None:
    program = Caller(app.test_client(), key_for(owner.account_id))
    body = {"interface": interface.public_id, "fields": ADA}
    assert [program.post("/leads", body).status_code for _ in range(4)] == [201] * 4
    with transaction():
        api_keys.revoke(db.session.query(ApiKey).one())
    db.session.rollback()
    assert program.get("/account").status_code == 401, "all but a new lead asks each time"
    wait_until(lambda: program.post("/leads", body).status_code == 401, "the key to be refused", timeout=5)
