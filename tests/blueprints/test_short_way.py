"""The short way of the public form and Flask give the same answers, byte for byte, and store the same rows."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import AppMaker
from tests.support.factories import ADA
from tests.support.twins import Case, Settings, Side, differences
from webapp.blueprints.short_way import LONGEST, MOST_KINDS, _pairs
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import FieldType, Interface, User, WebhookState
from webapp.services.interfaces import fields, form_look

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
TYPE = "application/x-www-form-urlencoded"
PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def form(title: str, is_short: bool | None = True, as_type: str = TYPE, **answers: Any) -> Case:
    """`answers`: beside Ada's, by name; one of the name `name_` is for the field "name"."""
    given = {**ADA, "message": "Hello {n}", **{name.removesuffix("_"): value for name, value in answers.items()}}
    body = urlencode(given, doseq=True, safe="{}").encode()
    return Case(title, body=body, headers={"Content-Type": as_type}, is_short=is_short)


def raw(name: str, body: bytes, kind: str, is_short: bool | None = False) -> Case:
    return Case(name, body=body, headers={"Content-Type": kind}, is_short=is_short)


def as_json(name: str, sent: Any, is_short: bool = True, kind: str = "application/json") -> Case:
    return raw(name, json.dumps(sent).encode(), kind, is_short)


def multipart(name: str, *parts: str, is_short: bool | None = False) -> Case:
    body = "".join(f"--edge\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--edge--\r\n"
    return raw(name, body.encode(), "multipart/form-data; boundary=edge", is_short)


BODIES = [
    form("a form"),
    form("a form of a script", as_type=f"{TYPE};charset=UTF-8"),
    form("a form with a token", _token="{old}", _website=""),
    as_json("JSON", {**ADA, "message": "Hello {n}"}),
    as_json("wrong JSON answers", {"email": "ada"}, is_short=False),
    form("a wrong answer", is_short=False, email="ada", _token="{old}"),
]
# What is sent with a post, and whether the short way takes it.
SENT = [
    Case("no header", is_short=True),
    Case(
        "a browser", headers={"Accept": PAGE, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, is_short=True
    ),
    Case("for JSON", headers={"Accept": "application/json"}, is_short=True),
    Case("for anything", headers={"Accept": "*/*"}, is_short=True),
    Case("a script", headers={"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Origin": "https://a.example"}, is_short=True),
    Case("an old script", headers={"X-Requested-With": "XMLHttpRequest"}, is_short=True),
    Case("an old script of another site", headers={"Origin": "https://a.example"}, is_short=True),
    Case("in a frame", query="_frame=1", headers={"Accept": PAGE, "Sec-Fetch-Dest": "iframe"}, is_short=True),
    Case("in a frame by http", query="_frame=1", is_short=True),
    Case("a frame's address opened", query="_frame=1", headers={"Sec-Fetch-Dest": "document"}, is_short=True),
    Case("a page before", headers={"Referer": "https://a.example/p?utm_source=x&gclid=1"}, is_short=True),
    Case("our own page before", headers={"Referer": "http://localhost/f/x?_source=e30&a=b"}, is_short=True),
    Case("a campaign", query="utm_source=x&utm_medium=&page_title=T", is_short=True),
    Case("a query twice", query="utm_source=x&utm_source=y;z&&=", is_short=True),
    Case("a query with a percent sign", query="utm_source=50%25", is_short=False),
    Case("a query in another encoding", query="utm_source=caf%E9", is_short=False),
    Case("a query as bytes", environ={"QUERY_STRING": "utm_source=caf\xe9"}, is_short=False),
    Case("a query that is empty", query="&", is_short=False),
    Case("a cookie", headers={"Cookie": "leadhook=x; leadhook-remember=y"}, is_short=True),
    Case("htmx", headers={"HX-Request": "true"}, is_short=True),
    Case("an agent", headers={"User-Agent": "A" * 3000}, is_short=True),
    Case("a key", headers={"Idempotency-Key": '"{n}"'}, is_short=False),
    Case("a wrong key", headers={"Idempotency-Key": "\x01"}, is_short=False),
    Case("a webhook", headers={"webhook-id": "msg_x", "leadhook-hops": "2"}, is_short=False),
    Case("a webhook in a circle", headers={"leadhook-hops": "999"}, is_short=False),
    Case("an upgrade", headers={"Connection": "upgrade", "Upgrade": "websocket"}, is_short=False),
    Case("no host", environ={"HTTP_HOST": ""}, is_short=False),
    Case("a wrong host", environ={"HTTP_HOST": "a..b"}, is_short=False),
    Case("a host in v6", environ={"HTTP_HOST": "[::1]:8000"}, is_short=False),
    Case("another host", environ={"HTTP_HOST": "forms.example:8443"}, is_short=True),
    Case("below a path", environ={"SCRIPT_NAME": "/leads"}, is_short=False),
    Case("an address in v6", environ={"REMOTE_ADDR": "[2001:db8::1]:4711"}, is_short=True),
    Case("no address", environ={"REMOTE_ADDR": ""}, is_short=True),
    Case(
        "another site by a proxy",
        headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"},
        is_short=True,
    ),
    Case("chunks", environ={"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}, is_short=False),
    Case("a body that ends early", environ={"CONTENT_LENGTH": "5000"}, is_short=False),
    Case("a wrong length", environ={"CONTENT_LENGTH": "many"}, is_short=False),
]
ODD_BODIES = [
    raw("nothing", b"", TYPE),
    raw("no type", b"a=b", ""),
    raw("a text", b"Hello", "text/plain"),
    raw("only ampersands", b"&&&", TYPE),
    raw("bytes", "name=Jos\xe9&email=ada@example.com".encode("latin-1"), TYPE),
    raw("another encoding", b"name=Jos%E9&email=ada@example.com", TYPE),
    raw("another charset", b"name=Jos%E9&email=ada@example.com", f"{TYPE}; charset=iso-8859-1"),
    raw("a Japanese one", b"name=%1B%24B&email=ada@example.com", TYPE),
    raw("two parameters", b"name=Ada", f"{TYPE}; charset=utf-8; x=y"),
    form("a form in capitals", as_type=TYPE.upper()),
    form("its charset", is_short=False, _charset__="windows-1252"),
    form("a percent sign", is_short=False, message="50% {n}"),
    form("an accent", name="Jos\xe9 \u5c71\u7530 \U0001f600", message="a\r\nb\x00\x0b {n}"),
    form("a name twice", message=["one", "two {n}"]),
    form("undeclared answers", colour=["red", "blue {n}"], **{"list[]": "a"}),
    form("what was tracked", page_url="https://a.example/x", utm_source="s {n}", referrer="a friend", _source="e30"),
    form("a trap", _website="spam {n}"),
    form("too fast", _token="{token}", message="Hello {n}"),
    form("a repeat", _token="{old}", message="Twice"),
    form("a token of another form", _token="x.y"),
    form("nothing but its own", is_short=False, name="", email="", phone="", message="", _token="{old}"),
    form("500 fields", **{f"f{number}": "x" for number in range(496)}),
    form("too many fields", is_short=False, **{f"f{number}": "x" for number in range(497)}),
    form("a long text", message=f"{{n}}{'x' * 15_000}"),
    form("as long as may be read", is_short=None, message="x" * (LONGEST - 100)),
    form("too long for the short way", is_short=False, more="x" * LONGEST),
    form("too long", is_short=False, message="x" * 300_000),
    as_json("JSON with a charset", {**ADA, "message": "Hello {n}"}, kind="application/json; charset=UTF-8"),
    as_json("JSON of another kind", ADA, is_short=False, kind="application/ld+json"),
    as_json("JSON in another charset", ADA, is_short=False, kind="application/json; charset=latin-1"),
    as_json("a list", [ADA], is_short=False),
    as_json("numbers", {**ADA, "phone": 442079460958, "more": {"a": [1, 2.50, None, True]}, "n": "{n}"}),
    as_json("an object as an answer", {**ADA, "name": {"a": 1}}, is_short=False),
    as_json("too many names", {f"f{number}": "x" for number in range(501)}, is_short=False),
    raw("no JSON", b"{", "application/json"),
    raw("NaN", b'{"name": NaN}', "application/json"),
    raw("no UTF-8 in JSON", b'{"name": "Jos\xe9"}', "application/json"),
    raw(
        "half a pair in JSON",
        b'{"name": "\\ud800 {n}", "email": "ada@example.com", "message": "Hello"}',
        "application/json",
        True,
    ),
    raw("deep JSON", b"[" * 20_000, "application/json"),
    raw("JSON in UTF-16", json.dumps(ADA).encode("utf-16"), "application/json", True),
    multipart("parts", *(f'name="{name}"\r\n\r\n{value}\r\n' for name, value in ADA.items()), is_short=None),
    multipart("a file", 'name="cv"; filename="cv.pdf"\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.4\r\n'),
    multipart("no file chosen", 'name="name"\r\n\r\nAda {n}\r\n', 'name="cv"; filename=""\r\n\r\n\r\n', is_short=None),
    multipart("no parts"),
]
PAGES = [
    Case("a page", method="GET", is_short=True),
    Case("a page for JSON", method="GET", headers={"Accept": "application/json"}, is_short=True),
    Case(
        "a page with a page before",
        method="GET",
        headers={"Referer": "https://a.example/p?utm_source=x"},
        is_short=True,
    ),
    Case("a frame", method="GET", query="_frame=1&_source=eyJwYWdlX3RpdGxlIjoiVCJ9", is_short=True),
    Case("a frame that the browser names", method="GET", headers={"Sec-Fetch-Dest": "iframe"}, is_short=True),
    Case(
        "a frame and its page",
        method="GET",
        query="_frame=1",
        headers={"Referer": "https://a.example/p"},
        is_short=True,
    ),
    Case("a campaign", method="GET", query="utm_source=a&utm_campaign=b%20c&fbclid=1", is_short=True),
    Case("a cookie", method="GET", headers={"Cookie": "leadhook=x"}, is_short=True),
    Case("an old version", method="GET", headers={"If-None-Match": '"x"', "Range": "bytes=0-1"}, is_short=True),
    Case("a query that fills", method="GET", query="name=Ada&email=a", is_short=False),
    Case("a query in another encoding", method="GET", query="utm_source=caf%E9", is_short=False),
    Case("a page with a body", method="GET", body=b"a=b", headers={"Content-Type": TYPE}, is_short=False),
    Case("a head", method="HEAD", is_short=False),
    Case("a preflight", method="OPTIONS", headers={"Origin": "https://a.example"}, is_short=False),
    Case("another method", method="PUT", body=b"a=b", is_short=False),
    Case("thanks", method="GET", path="/f/{form}/thank-you", is_short=False),
    Case("an unknown form", method="GET", path="/f/if_000000000000", is_short=False),
    Case(
        "an unknown form's post", path="/f/if_000000000000", body=b"a=b", headers={"Content-Type": TYPE}, is_short=False
    ),
    Case("a long id", method="GET", path=f"/f/{'x' * 41}", is_short=False),
    Case("an id with a NUL", method="GET", path="/f/{form}%00", is_short=False),
]
SOME = [*(body.joined(sent) for body, sent in product(BODIES[1:4], SENT[:9])), *BODIES, *PAGES]


def closed(interface: Interface) -> None:
    interface.closed_at = utcnow()


def for_sites(interface: Interface) -> None:
    interface.allowed_sites = ["https://a.example"]


def elsewhere(interface: Interface) -> None:
    interface.redirect_url = "https://a.example/thanks?a=b"


def blocks(interface: Interface) -> None:
    interface.blocklist = ["ada@example.com"]


def tells_blocked(interface: Interface) -> None:
    interface.blocklist, interface.blocklist_published = ["ada@example.com"], True


def dressed(interface: Interface) -> None:
    interface.language, interface.introduction, interface.accent = "ar", "<b>&amp;", "#ff0000"
    form_look.set_logo(interface, SVG)


def prefills(interface: Interface) -> None:
    interface.prefills = True


def with_fields(interface: Interface) -> None:
    for kind in FieldType:
        if kind is not FieldType.FILE:
            options = "red\nblue" if kind in (FieldType.SELECT, FieldType.RADIO, FieldType.CHECKBOXES) else ""
            fields.add(
                interface,
                kind,
                {"label": f"Of {kind}", "key": f"of_{kind.value}", "options": options, "statement": "I agree"},
            )


def mails(interface: Interface) -> None:
    interface.notification_emails, interface.autoresponds = ["sales@example.com"], True
    interface.autoresponse_subject, interface.autoresponse_body = "Thanks", "Hello {name}"


def delivers(interface: Interface) -> None:
    interface.webhook.url = "https://a.example/hook"


def paused(interface: Interface) -> None:
    interface.webhook.url, interface.webhook.state = "https://a.example/hook", WebhookState.PAUSED


MADE: list[tuple[Settings, bool | None]] = [
    (delivers, True),
    (paused, True),
    (elsewhere, True),
    (blocks, True),
    (dressed, True),
    (mails, True),
    (prefills, None),
    (with_fields, None),
    (closed, False),
    (for_sites, False),
    (tells_blocked, None),
]

Pair = Callable[..., tuple[Side, Side]]


@pytest.fixture
def twins(make_app: AppMaker, owner: User) -> Pair:
    account_id = owner.account_id
    db.session.rollback()  # on SQLite the other apps could not write

    def pair(settings: Settings = lambda _: None, **environ: str) -> tuple[Side, Side]:
        given = {"FORM_RATE_LIMIT": "", **environ}
        short, flask = make_app(**given), make_app(short_way=False, **given)
        return Side(short, account_id, settings), Side(flask, account_id, settings)

    return pair


def test_each_post_gets_flasks_answer_and_makes_the_same_rows(twins: Pair) -> None:
    cases = [body.joined(sent) for body, sent in product(BODIES, SENT)]
    assert not differences(*twins(), cases)
    assert sum(case.is_short is True for case in cases) > 80


def test_each_body_gets_flasks_answer_and_makes_the_same_rows(twins: Pair) -> None:
    assert not differences(*twins(), ODD_BODIES)


def test_each_page_is_flasks(twins: Pair) -> None:
    assert not differences(*twins(), PAGES)


@pytest.mark.parametrize(("settings", "is_short"), MADE, ids=[settings.__name__ for settings, _ in MADE])
def test_each_kind_of_form_answers_as_flask_does(twins: Pair, settings: Settings, is_short: bool | None) -> None:
    cases = SOME if is_short else [replace(case, is_short=is_short) for case in SOME]
    filled = form(
        "every field", None, of_number="1,5", of_date="2027-03-31", of_checkboxes=["red", "blue"], of_consent="v1"
    )
    hidden = replace(PAGES[0], name="a hidden value", query="of_hidden=x{n}&of_text=y", is_short=None)
    assert not differences(*twins(settings), [*cases, filled, hidden, filled.joined(hidden)])


def test_behind_proxies_and_with_https_both_see_the_same_client(twins: Pair) -> None:
    secure = {"TRUSTED_PROXIES": "1", "PUBLIC_URL": "https://forms.example", "FORM_MINIMUM_TIME": "0"}
    short, flask = twins(**secure)
    assert not differences(short, flask, SOME)
    [proxied] = [case for case in SENT if "X-Forwarded-For" in case.headers]
    headers = dict(short.ask(BODIES[0].joined(proxied), 2)["headers"])
    assert headers["Strict-Transport-Security"]


def test_each_counts_a_post_once_where_there_is_a_limit(twins: Pair) -> None:
    short, flask = twins(FORM_RATE_LIMIT="3 per minute")
    many = [replace(BODIES[0].joined(sent), is_short=None) for sent in SENT[:2]]
    assert not differences(short, flask, many)  # four posts, of which one is over the limit
    assert short.ask(BODIES[0], 5)["status"].startswith("429")
    before = short.asked_flask
    assert short.ask(PAGES[0], 0)["status"].startswith("200"), "pages have no limit"
    assert short.asked_flask == before + 1, "the first page is made by Flask"


def test_what_goes_wrong_is_told_as_flask_tells_it(twins: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    short, flask = twins()
    assert not differences(short, flask, SOME[:3])

    def crash(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("webapp.services.intake.capture.submit", crash)
    assert not differences(short, flask, [replace(BODIES[0].joined(sent), is_short=False) for sent in SENT[:9]])
    monkeypatch.setattr("webapp.db.plain_reads.PlainSelect.one_or_none", crash)
    assert not differences(short, flask, [replace(case, is_short=False) for case in PAGES[:6]])


def test_a_change_of_the_form_is_seen_by_the_next_visitor(twins: Pair) -> None:
    short, flask = twins()
    assert not differences(short, flask, SOME)
    for side in (short, flask):
        with side.app.app_context(), transaction():
            interface = db.session.get_one(Interface, side.row)
            interface.name, interface.updated_at = "Ask us", utcnow()
            elsewhere(interface)
    assert not differences(short, flask, SOME, rounds=1, checks_way=False)
    assert "Ask us" in short.ask(PAGES[0], 3)["body"]


def test_a_form_keeps_few_kinds_of_answers(twins: Pair) -> None:
    short, _ = twins()
    for number in range(2 * MOST_KINDS):
        short.ask(BODIES[0].joined(Case("", headers={"Accept": f"text/html, x/{number}"})), number)
    kept = short.app.extensions["leadhook_published_forms"][short.form].answers
    assert 0 < len(kept) <= MOST_KINDS


def test_posts_are_counted_whichever_way_they_take(twins: Pair) -> None:
    short, flask = twins()
    cases = [*BODIES, form("a trap", _website="spam {n}")]
    assert not differences(short, flask, cases)
    ours, theirs = (side.app.extensions["leadhook_post_counters"].totals() for side in (short, flask))
    assert ours == theirs
    assert (ours["accepted"], ours["spam"]) == (8, 2), ours


# A body's pairs ------------------------------------------------------------------------------------------------------

PIECES = [
    "a",
    "name",
    "=",
    "=",
    "&",
    "&",
    "+",
    "%",
    "%2",
    "%20",
    "%2B",
    "%26",
    "%3D",
    "%00",
    "%C3%A9",
    "%c3",
    "%F0%9F%98%80",
]
PIECES += ["%F0%9F%98%80", "%ed%a0%80", ";", "[]", " ", "\n", "\x7f", "\0"]
BODY_TEXTS = st.lists(st.sampled_from(PIECES) | st.text(st.characters(max_codepoint=127)), max_size=30).map("".join)


@settings(max_examples=1000, deadline=None)
@given(BODY_TEXTS)
def test_pairs_are_read_as_the_standard_library_reads_them(text: str) -> None:
    assert _pairs(text) == parse_qsl(text, keep_blank_values=True, errors="werkzeug.url_quote")
