"""Requests that no browser would send, to every route, signed in and signed out: none causes a crash.

`make test` sends 800 of each kind, always the same. LEADHOOK_FUZZ_REQUESTS=10000 sends 10,000, different each time.
"""

import contextvars
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from io import BytesIO
from itertools import count
from math import ceil
from typing import Any
from urllib.parse import quote, quote_from_bytes, urlencode, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.blueprints.test_sealed_accounts import PARAMETERS, QUERIES, SENT
from tests.conftest import PASSWORD, AppMaker
from tests.support.factories import submit
from tests.support.people import as_user, join, last_token
from webapp.blueprints import passwords
from webapp.db.transactions import transaction
from webapp.delivery.rings import FAST, queues
from webapp.extensions import db, limiter
from webapp.models import Field, FieldType, Invitation, Mail, Role, User
from webapp.services import api_keys
from webapp.services.intake.visitor import TOKEN, TRAP
from webapp.services.interfaces import interface_templates, interfaces
from webapp.services.interfaces.field_types import PRESETS
from webapp.services.leads import leads
from webapp.services.people import invitations, password_resets, users
from webapp.webhooks.payload import TRACKED

# A file of an incomplete form is closed only when it is garbage-collected.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning")

ASKED_FOR = os.environ.get("LEADHOOK_FUZZ_REQUESTS", "")
REQUESTS = int(ASKED_FOR or 800)
AT_ONCE = 8  # requests per example: hypothesis takes longer between two examples than a request takes
FRESH_FOR = 50  # signed-in requests until new rows are created to end, remove and revoke

Request = dict[str, Any]
Live = dict[str, str]


def mark(kind: str) -> str:
    """A placeholder in a request for a live id or token, replaced when it is sent: the live ones change meanwhile."""
    return f"live.{kind.replace(' ', '-')}."


def usually(usual: st.SearchStrategy[Any], otherwise: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Chooses `usual` about three times out of four."""
    return st.sampled_from([usual, usual, usual, otherwise]).flatmap(lambda chosen: chosen)


odd_text = st.text(max_size=30) | st.sampled_from(
    [
        *("\0", "a\0b", "\r\nx: y", "\x1b[2J", "../../etc/passwd", "%00", "%", "%zz", "\ufeff", "\u202e", "𝒳" * 20),
        *("0" * 400, "9" * 5000, "-1", "1e999", "NaN", "nul", "'; DROP TABLE leads; --", "{{7*7}}", "<b>", "x" * 3000),
        *("ada@example.com", "a@" + "b" * 300, "@", "+15550100", "+", "00" * 30, "٣٤٥٦٧", "http://[", "//evil.example"),
    ]
)
odd_bytes = st.binary(max_size=40) | odd_text.map(lambda text: text.encode("utf-8", "surrogatepass"))
odd_query = odd_bytes.map(lambda raw: raw.translate(None, b"\r\n"))
# A header as in WSGI: latin-1, without line ends, because no server accepts them.
odd_value = odd_bytes.map(lambda raw: raw.decode("latin-1").replace("\r", "").replace("\n", ""))


def one_of(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values) | odd_value


HEADERS = {
    "ACCEPT": one_of("application/json", "text/html", "*/*;q=0", "a/b;q=x, ,;", "application/json;q=2"),
    "ACCEPT_LANGUAGE": odd_value,
    "ACCEPT_ENCODING": one_of("gzip", "*;q=0"),
    "ACCEPT_CHARSET": odd_value,
    "AUTHORIZATION": one_of("Basic", "Basic !!!", "Bearer lhk_x", "Digest username=", "Basic " + "YTpi" * 9),
    "COOKIE": one_of("leadhook=x", "leadhook=eyJfdXNlcl9pZCI6IjEuMCJ9.x.y", "leadhook-remember=1.0|abc", "a=b; ;=;;"),
    "HOST": one_of("localhost", "evil.example:99999", "[::1", "a b", "", "xn--a"),
    "ORIGIN": one_of("null", "https://evil.example"),
    "REFERER": one_of("https://a.example/?utm_source=x", "http://[", "https://a.example/?" + "a&" * 500),
    "USER_AGENT": odd_value,
    "RANGE": one_of("bytes=0-", "bytes=-1", "bytes=9-1", "bytes=0-0,1-1,2-2", "x=1"),
    "IF_NONE_MATCH": one_of("*", '"', 'W/"x"'),
    "IF_MODIFIED_SINCE": one_of("Fri, 31 Dec 9999 23:59:59 GMT", "0", "Mon, 99 Foo 2026"),
    "IF_RANGE": one_of('"x"', "Fri, 31 Dec 1 23:59:59 GMT"),
    "X_FORWARDED_FOR": one_of("unknown", "1.2.3.4, 5.6.7.8", "[::1]:99", ",,,"),
    "X_FORWARDED_HOST": one_of("evil.example", ","),
    "X_FORWARDED_PROTO": one_of("https", "javascript"),
    "X_HTTP_METHOD_OVERRIDE": one_of("DELETE"),
    "HX_REQUEST": one_of("true", "false"),
    "HX_TARGET": one_of("tr#lead-1"),
    "SEC_FETCH_SITE": one_of("cross-site", "same-origin", "none"),
    "SEC_FETCH_DEST": one_of("iframe", "document"),
    "TRANSFER_ENCODING": one_of("chunked", "gzip, chunked"),
    "CONTENT_ENCODING": one_of("gzip", "br"),
    "EXPECT": one_of("100-continue"),
    "X_CSRFTOKEN": odd_value,
}
KINDS = one_of(
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-16",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary="x; charset=bogus',
    "application/json",
    "application/json; charset=bogus",
    "application/vnd.api+json",
    "text/plain",
    "/",
    "",
)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "post", "Ü"])
FIELDS = ["name", "email", "phone", "message", *FieldType, *TRACKED, TOKEN, TRAP, "csrf_token", "next", "q", "key"]
FIELDS += ["password", "remember", "new", "again"]

names = st.sampled_from(FIELDS) | odd_text
pairs = st.lists(st.tuples(names.map(lambda name: quote(name, errors="surrogatepass")), odd_bytes), max_size=8)
encoded = pairs.map(lambda found: "&".join(f"{name}={quote_from_bytes(value)}" for name, value in found).encode())
lead = st.fixed_dictionaries(
    {"text": odd_text, "email": st.just("ada@example.com"), "long_text": odd_text},
    optional={
        "phone": one_of("+15550100", "020 7946 0958", "+44 20 7946 0958 ext 5", "0" * 50, "tel:+1"),
        "select": st.sampled_from(["Red", "Blue, light", "red"]),
        "radio": st.sampled_from(["Red", "Blue, light", "red"]),
        "checkboxes": st.sampled_from(["Red", "Blue, light", "red"]),
        "number": one_of("12", "-1.5", "1" * 15, "1" * 16, "+.5", ".", "1_0", "١٢", "NaN", "-0", "1e5"),
        "date": one_of("2027-03-31", "0001-01-01", "9999-12-31", "2027-W01-1", "20270331", "2027-02-30"),
        "url": one_of("example.com", "https://[::1]/", "http://a.b:99999/", "https://a@b.c", "//a.b", "https://xn--/"),
        "hidden": odd_text,
        "consent": one_of("v1", "v2", "v" + "9" * 5000, "true", "off"),
    },
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
as_json = (lead | any_json).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
parts = st.lists(st.tuples(odd_bytes, odd_bytes, odd_bytes), max_size=4).map(
    lambda found: (
        b"".join(
            b'--x\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\nContent-Type: text/plain\r\n\r\n%b\r\n'
            % part
            for part in found
        )
        + b"--x--\r\n"
    )
)
bodies = st.one_of(st.just(b""), odd_bytes, encoded, as_json, parts, st.just(b"[" * 9000), st.just(b"a&" * 9000))


def as_form(sent: Mapping[str, str]) -> st.SearchStrategy[tuple[str, bytes]]:
    """A form in both encodings that browsers use; in a multipart form, the logo is a file."""
    parts = (
        b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        % (name.encode(), b'; filename="a"' * (name == "logo"), value.encode("utf-8", "surrogatepass"))
        for name, value in sent.items()
    )
    encoded = urlencode(sent, errors="surrogatepass").encode()
    multipart = b"".join(parts) + b"--x--\r\n"
    kinds = ("application/x-www-form-urlencoded", encoded), ("multipart/form-data; boundary=x", multipart)
    return st.sampled_from(kinds)


contents = lead.map(lambda sent: ("application/json", json.dumps(sent).encode())) | lead.flatmap(as_form)
weak = st.sampled_from(["short", "1" * 2000, "alice@example.com", "x" * 12])
passwords_typed = usually(st.just(PASSWORD), weak | odd_text)
doubled = passwords_typed.map(lambda typed: {"new": typed, "again": typed})
# Sensible requests without a session, by endpoint: the path and the form.
PEOPLE: dict[str, tuple[str, st.SearchStrategy[dict[str, str]]]] = {
    "auth.sign_in": (
        "/login",
        st.fixed_dictionaries(
            {"email": usually(st.just("alice@example.com"), odd_text), "password": passwords_typed},
            optional={"remember": st.just("y")},
        ),
    ),
    "passwords.forgot": ("/forgot-password", st.fixed_dictionaries({"email": odd_text | st.just("bob@example.com")})),
    "passwords.reset": (
        f"/reset-password/{mark('reset')}",
        usually(doubled, st.fixed_dictionaries({"new": passwords_typed, "again": passwords_typed})),
    ),
    "invitations.accept": (
        f"/invitations/{mark('invitation')}",
        st.fixed_dictionaries({"name": usually(st.just("Dora"), odd_text), "password": passwords_typed}),
    ),
}
# All of these must be seen; otherwise the requests were refused too early.
REACHED = {
    *((entry, "GET", 200) for entry in PEOPLE),
    *((entry, "POST", 422) for entry in PEOPLE),
    *((entry, "POST", 303) for entry in PEOPLE if entry != "passwords.forgot"),
    ("passwords.forgot", "POST", 200),
    ("lead_form.submit", "POST", 201),
    ("lead_form.submit", "POST", 303),
    ("lead_form.submit", "POST", 422),
}


def paths(form: str) -> dict[str, st.SearchStrategy[str]]:
    """An address of each public route, by endpoint; and addresses that are not public."""
    ids = st.sampled_from([form, form.upper(), f"{form}/", ""]) | odd_text
    samples = st.sampled_from(["webhook_failed", "webhook_paused", ""]) | odd_text
    files = st.sampled_from(["app.css", "app.js", "../config.py", "vendor/", "", "vendor/../../log.py", "/etc/passwd"])
    closed = ["/", "/interfaces", "/leads", "/leads.csv", "/profile", "/mailbox/1", "/rq", "/rq/0/data/queues.json"]
    return {
        "auth.sign_in": st.just("/login"),
        "api.openapi": st.just("/api/v1/openapi.json"),
        "docs.api": st.just("/docs/api"),
        "docs.error_report": samples.map("/docs/error-reports/".__add__),
        "docs.error_reports": st.just("/docs/error-reports"),
        "docs.webhooks": st.just("/docs/webhooks"),
        "files.download": (st.sampled_from(["sample", "file_01k.x"]) | odd_text).map("/files/".__add__),
        "public_keys.show": samples.map("/.well-known/leadhook/{}.json".format),
        "health.alive": st.just("/healthz"),
        "health.metrics": st.just("/metrics"),
        "health.ready": st.just("/readyz"),
        "invitations.accept": (st.just(mark("invitation")) | ids).map("/invitations/".__add__),
        "mcp.discovery": st.just("/.well-known/oauth-protected-resource/mcp"),
        "mcp.registration": st.just("/register"),
        "passwords.forgot": st.just("/forgot-password"),
        "passwords.reset": (st.just(mark("reset")) | ids).map("/reset-password/".__add__),
        "lead_form.logo": st.tuples(ids, odd_text).map(lambda found: "/f/{}/logo/{}".format(*found)),
        "lead_form.stylesheet": (st.just("2f54d0-soft-0") | odd_text).map("/f/look/{}.css".format),
        "lead_form.show": ids.map("/f/".__add__),
        "lead_form.submit": st.just(f"/f/{form}"),
        "lead_form.thank_you": ids.map("/f/{}/thank-you".format),
        "loader.embed": st.just("/embed.js"),
        "loader.embed_version": odd_text.map("/embed.{}.js".format),
        "loader.frame": odd_text.map("/f/script/{}.js".format),
        "static": (files | odd_text).map("/static/".__add__),
        "anything else": odd_text.map("/".__add__)
        | st.sampled_from([*closed, "", "*", "//", "/f", "/f//", "http://a"]),
    }


LENGTHS = st.sampled_from([None, None, None, "", "-1", "abc", "99999999999", "1"])


def around(headers: st.SearchStrategy[dict[str, str]]) -> dict[str, st.SearchStrategy[Any]]:
    """The parts of every request. Most requests need no token and are not limited."""
    return {
        "query": encoded | odd_query,
        "headers": headers,
        "client": st.sampled_from(["203.0.113.7", "2001:db8::1", "", "unknown", "::ffff:1.2.3.4"]),
        "csrf": st.sampled_from([False, False, False, True]),
        "limited": st.sampled_from([False] * 9 + [True]),
        "length": st.none(),
    }


def headers_of(*names: str) -> st.SearchStrategy[dict[str, str]]:
    """Some of these headers, with sensible or odd values."""
    return st.lists(st.sampled_from(names), max_size=5, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({name: HEADERS[name] for name in chosen})
    )


def requests_to(form: str) -> list[st.SearchStrategy[Request]]:
    """Odd requests to each route, leads with odd content, and sensible requests for sign-in, resets and invitations."""
    usual = around(headers_of(*sorted(HEADERS)))
    wild = {**usual, "method": METHODS | st.just("POST"), "content": st.tuples(KINDS, bodies), "length": LENGTHS}
    to_form = {"to": st.just(("lead_form.submit", f"/f/{form}")), "method": st.just("POST"), "content": contents}
    ways = [{**wild, "to": st.tuples(st.just(entry), path)} for entry, path in paths(form).items()]
    ways += [usual | to_form] * 10
    for entry, (path, sent) in PEOPLE.items():
        posted = {"method": usually(st.just("POST"), st.just("GET")), "content": sent.flatmap(as_form)}
        ways += [{**usual, **posted, "to": st.just((entry, path))}] * 3
    return [st.fixed_dictionaries(way) for way in ways]


def alive(raw: bytes, live: Live) -> bytes:
    """Replaces the marks with the current ids and tokens."""
    for kind, now in live.items():
        raw = raw.replace(mark(kind).encode(), now.encode())
    return raw


def environ_of(request: Request, live: Live) -> dict[str, Any]:
    """The request as a server passes it on: bytes as latin-1, unchecked."""
    environ = EnvironBuilder().get_environ()
    path = alive(request["to"][1].encode("utf-8", "surrogatepass"), live).decode("latin-1")
    environ |= {"REQUEST_METHOD": request["method"], "PATH_INFO": path, "REMOTE_ADDR": request["client"]}
    kind, content = request["content"][0], alive(request["content"][1], live)
    environ |= {"QUERY_STRING": alive(request["query"], live).decode("latin-1"), "CONTENT_TYPE": kind}
    for name, value in request["headers"].items():
        environ[f"HTTP_{name}"] = alive(value.encode("latin-1"), live).decode("latin-1")
    environ["wsgi.input"] = BytesIO(content)
    environ["CONTENT_LENGTH"] = str(len(content)) if request["length"] is None else request["length"]
    return environ


def fuzz(
    app: Flask, ways: list[st.SearchStrategy[Request]], live: Live, answered: Callable[[str, int, str], None]
) -> Counter[tuple[str, str, int]]:
    """Sends REQUESTS, the same number in each way; returns the counts by entry, method and code. Fails at a 500.

    `answered` is called with the entry, the code and the redirect's location; it can change `live`.
    """
    seen: Counter[tuple[str, str, int]] = Counter()
    db.session.rollback()  # on SQLite the test's own transaction would block all others

    def send(chosen: tuple[Request, ...]) -> None:
        for request in chosen:
            app.config["WTF_CSRF_ENABLED"], limiter.enabled = request["csrf"], request["limited"]
            call = contextvars.Context().run(run_wsgi_app, app.wsgi_app, environ_of(request, live), True)
            entry, code = request["to"][0], int(call[1].split()[0])
            seen[entry, request["method"], code] += 1
            assert code < 500, f"{call[1]} to {request} with {live}"
            answered(entry, code, call[2].get("Location") or call[2].get("HX-Redirect") or "")

    rounds = settings(
        max_examples=ceil(REQUESTS / len(ways)),
        deadline=None,
        derandomize=not ASKED_FOR,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    # In turns, because from a list of twenty hypothesis takes the first ten times as often as the last.
    turns = ceil(len(ways) / AT_ONCE)
    for turn in range(turns):
        rounds(given(st.tuples(*ways[turn::turns]))(send))()
    codes = Counter(code for _, _, code in seen.elements())
    print(f"{codes.total()} requests:", dict(sorted(codes.items())))
    assert codes.total() >= REQUESTS
    return seen


@pytest.fixture
def app(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """An app that answers at once: the test is not about time."""
    app = make_app(FORM_RATE_LIMIT="", TRUSTED_PROXIES="1")
    monkeypatch.setattr(passwords, "ANSWER_AFTER", 0)
    monkeypatch.setattr(limiter, "enabled", True)  # switched for each request, and restored at the end
    with app.app_context():
        yield app


def one_of_each_type() -> list[Field]:
    """Fields whose keys are their types."""
    words: dict[str, Any] = {"options": ["Red", "Blue, light"], "statement": "I agree to [this](https://a.b/)."}
    kinds = enumerate(FieldType, start=1)
    return [Field(position=place, type=kind, key=kind.value, label=f"The {kind}", **words) for place, kind in kinds]


EVERY_TYPE = interface_templates.BLANK._replace(fields=one_of_each_type)
numbers = count(1)


def links(owner_id: int) -> Live:
    """Tokens of a new invitation and of a new password link for Bob."""
    with transaction():
        owner = db.session.get_one(User, owner_id)
        db.session.execute(delete(Invitation))
        invitations.invite(owner, f"guest-{next(numbers)}@example.com", Role.EDITOR)
        reset = str(password_resets.create_link("bob@example.com")["link"]).rpartition("/")[2]
    return {"invitation": last_token(), "reset": reset}


def test_every_public_route_is_tried(app: Flask) -> None:
    is_open = {name for name, view in app.view_functions.items() if getattr(view, "is_public", False)}
    assert is_open | {"static", "anything else"} == paths("if_x").keys()


@pytest.mark.long
def test_no_request_without_sign_in_crashes(app: Flask, owner: User) -> None:
    owner_id = owner.id
    join(owner, Role.EDITOR, "bob@example.com")
    with transaction():
        form = interfaces.create(owner.account_id, "Anything", EVERY_TYPE).public_id
    live = links(owner_id)

    def answered(entry: str, code: int, location: str) -> None:
        if code == 303 and entry in ("passwords.reset", "invitations.accept"):
            live.update(links(owner_id))

    seen = fuzz(app, requests_to(form), live, answered)
    assert {entry for entry, _, _ in seen} == paths("if_x").keys()
    assert REACHED - seen.keys() == set(), "these would mean that nothing got in at all"
    assert {code for _, _, code in seen} >= {200, 201, 303, 400, 404, 405, 422}


# Signed in, the test requests every rule of the URL map with live ids or other ids, and with the data that the form of
# its page would send, partly changed.

# The parts of addresses that PARAMETERS does not have, because they belong to no account.
PLAIN = {"token": mark("token"), "queue_name": FAST, "registry_name": "queued", "instance_number": "0", "order": "asc"}
PLAIN |= {"page": "1", "per_page": "8", "job_id": mark("job"), "filename": "app.css", "name": "2f54d0-soft-0"}
PLAIN |= {"public_id": mark("interface"), "kind": "webhook_failed"}
HUGE = [*f"0 1 -1 {2**31} {2**63 - 1} {2**63} 1.5 1e9 +1 0x1 ٣".split(), " 1", "9" * 30, "9" * 5000]
WORDS = ["radio", "held", "spam", "24h", "session", "user", "sent", "1s", "up", "shared", "page", "none", "y"]
WORDS += ["https://example.com/", "a@example.com, b@example.com", "{{ interface }}", "#ff0000", "<svg", "RIFF0000WEBP"]
QUERY = ["q", "status", "interface", "received", "kind", "person", "state", "before", "after", "of", "pace", "announce"]
IDS = ["interface", "field", "test", "lead", "key", "user", "invitation", "mail", "token", "job"]
anything = st.sampled_from([*HUGE, *WORDS, *map(mark, IDS)]) | odd_text
# Values for form controls that are empty, or whose value is gone when the form is sent; and controls left unchanged.
TYPED = {name: mark(kind) for name, kind in SENT.items()} | {"name": "A name", "label": "A label"}
TYPED |= {"email": "dora@example.com", "password": PASSWORD, "current": PASSWORD, "new": PASSWORD, "again": PASSWORD}
UNTYPED = ("csrf_token", "key")  # a field's key stays
# These delete rows that the other requests need.
ENDS = ["interfaces.delete", "fields.remove", "api_keys.revoke", "users.remove", "users.transfer"]
ENDS += ["invitations.withdraw"]


class Forms(HTMLParser):
    """The forms of a page: the addresses each can be posted to, and what it would send with every box ticked."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[set[str], dict[str, str]]] = []
        self._name = ""  # of the open <select> or <textarea>
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.found.append((set(), {}))
        if not self.found:
            return
        targets, sent = self.found[-1]
        targets.update(given[name] for name in ("action", "formaction", "hx-post") if given.get(name))
        if tag in ("select", "textarea"):
            self._name = given.get("name", "")
        name, value = (self._name if tag == "option" else given.get("name", "")), given.get("value", "")
        if name and ("checked" in given or "selected" in given):
            sent[name] = value
        elif name:
            sent.setdefault(name, value)

    def handle_endtag(self, tag: str) -> None:
        self._name = "" if tag in ("select", "textarea") else self._name

    def handle_data(self, data: str) -> None:
        if self._name and self.lasttag == "textarea":
            self.found[-1][1][self._name] = data.removeprefix("\n")


def forms_of(app: Flask, client: FlaskClient, pages: list[str]) -> dict[str, list[dict[str, str]]]:
    """The data that the forms of these pages would send, by the endpoint they post to."""
    found: dict[str, list[dict[str, str]]] = {}
    match = app.url_map.bind("localhost").match
    for page in pages:
        for targets, sent in Forms(client.get(page, buffered=True).text).found:
            for target in targets or {page}:
                try:
                    endpoint, _ = match(urlsplit(target).path, "POST")
                except HTTPException:  # a form that is sent with GET
                    continue
                typed = {name: TYPED[name] for name in sent.keys() & TYPED.keys()}
                named = {name: value for name, value in {**sent, **typed}.items() if name not in UNTYPED}
                if named not in found.setdefault(endpoint, []):
                    found[endpoint].append(named)
    return found


def usual_parts(rule: Rule) -> dict[str, str]:
    """The parts of the rule's address in a valid request, by name."""
    known = PARAMETERS.get(rule.endpoint.partition(".")[0], {})
    return {name: mark(known[name]) if name in known else PLAIN.get(name, "x") for name in sorted(rule.arguments)}


def filled(rule: Rule, parts: Mapping[str, str]) -> str:
    return re.sub(r"<(?:[^<>]*:)?(\w+)>", lambda found: parts[found[1]], str(rule))


def address(rule: Rule) -> st.SearchStrategy[str]:
    """The rule's address, with live ids, or with any text in place of one of them."""
    usual = usual_parts(rule)
    varied = sorted(usual)
    if not varied:
        return st.just(filled(rule, usual))
    one = st.dictionaries(st.sampled_from(varied), anything, min_size=1, max_size=1)
    return usually(st.just({}), one).map(lambda other: filled(rule, {**usual, **other}))


def pages_of(app: Flask, live: Live) -> list[str]:
    """The address of every page of Leadhook with live ids, and of each field."""
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    pages = [filled(rule, usual_parts(rule)) for rule in rules if "rq" not in rule.endpoint]
    ids = [str(field_id) for field_id in db.session.scalars(select(Field.id))]
    each = {page.replace(mark("field"), field_id) for page in pages for field_id in ids}
    return sorted(alive(page.encode(), live).decode() for page in each)


def requests_of_a_session(app: Flask, forms: dict[str, list[dict[str, str]]]) -> list[st.SearchStrategy[Request]]:
    """Requests to every rule, in equal numbers."""
    session = {"COOKIE": f"leadhook={mark('session')}", "SEC_FETCH_SITE": "same-origin"}
    htmx = st.sampled_from([{}, {"HX_REQUEST": "true", "HX_TARGET": "tr#lead"}])
    headers = st.tuples(usually(st.just({}), headers_of(*sorted(HEADERS.keys() - {"COOKIE", "HOST"}))), htmx).map(
        lambda some: {**session, **some[1], **some[0]}
    )
    every_name = sorted({name for found in forms.values() for sent in found for name in sent} | {*FIELDS, *SENT})
    values = anything | st.none()

    def changed(sent: dict[str, str]) -> st.SearchStrategy[dict[str, str]]:
        own = st.sampled_from(sorted(sent) or every_name)
        changes = st.dictionaries(usually(own, st.sampled_from(every_name)), values, max_size=3)
        return changes.map(lambda now: {name: value for name, value in {**sent, **now}.items() if value is not None})

    def to(rule: Rule) -> st.SearchStrategy[Request]:
        sent = st.sampled_from(forms.get(rule.endpoint, [{}])).flatmap(changed).flatmap(as_form)
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}, reverse=True)
        methods += methods[:1]  # POST twice, if the rule has it
        types = {"type": st.sampled_from([*FieldType, *PRESETS])} if rule.endpoint in QUERIES else {}
        asked = st.dictionaries(st.sampled_from(QUERY), anything, max_size=3)
        query = st.tuples(asked, st.fixed_dictionaries(types)).map(
            lambda both: urlencode({**both[0], **both[1]}, errors="surrogatepass").encode()
        )
        return st.fixed_dictionaries(
            {
                **around(headers),
                "to": st.tuples(st.just(rule.endpoint), address(rule)),
                "method": usually(st.sampled_from(methods), METHODS),
                "content": usually(sent, st.tuples(KINDS, bodies)),
                "query": usually(query, encoded | odd_query),
            }
        )

    return [to(rule) for rule in app.url_map.iter_rules()]


def everything_of(app: Flask, owner_id: int) -> Live:
    """Creates everything an account can have, and makes its owner the owner again; returns the ids and a session."""
    number = next(numbers)
    with transaction():
        owner = db.session.get_one(User, owner_id)
        others = update(User).where(User.account_id == owner.account_id, User.id != owner_id, User.role == Role.OWNER)
        db.session.execute(others.values(role=Role.ADMIN))
        owner.role, owner.password_hash = Role.OWNER, users.HASHER.hash(PASSWORD)
        db.session.execute(delete(Invitation))
        invitation = invitations.invite(owner, f"guest-{number}@example.com", Role.EDITOR)
        interface = interfaces.create(owner.account_id, f"Form {number}", EVERY_TYPE)
        interface.webhook.url, interface.notification_emails = "http://127.0.0.1:9/", ["sales@example.com"]
        key, _ = api_keys.create_shared_token(owner.account_id, owner_id, f"Token {number}")
    token, lead = last_token(), submit(interface)
    with transaction():
        test = leads.send_test(interface, owner_id)
    found = {
        "interface": interface.public_id,
        "field": str(interface.fields[number % len(interface.fields)].id),
        "test": test.message_id,
        "lead": lead.public_id,
        "key": key.public_id,
        "user": str(join(owner, Role.EDITOR, f"editor-{number}@example.com", f"Emil {number}").id),
        "invitation": str(invitation.id),
        "token": token,
        "mail": str(db.session.scalar(select(func.max(Mail.id)).where(Mail.lead_id == lead.id))),
        "kind of mail": "answer",
        "job": next(iter(queues.get(FAST).job_ids), "none"),
        "session": as_user(app, owner).get_cookie("leadhook").value,
    }
    db.session.rollback()
    return found


@pytest.mark.long
def test_no_request_after_sign_in_crashes(app: Flask, owner: User) -> None:
    owner_id, sent = owner.id, count(1)
    live = everything_of(app, owner_id)
    signed_out: list[str] = []

    def answered(entry: str, code: int, location: str) -> None:
        if location.startswith("/login"):
            signed_out.append(entry)
        if location.startswith("/login") or (code == 303 and entry in ENDS) or next(sent) % FRESH_FOR == 0:
            live.update(everything_of(app, owner_id))

    forms = forms_of(app, as_user(app, owner), pages_of(app, live))
    seen = fuzz(app, requests_of_a_session(app, forms), live, answered)
    assert {entry for entry, _, _ in seen} == app.view_functions.keys()
    taken = {entry for entry, method, code in seen if method == "POST" and code in (200, 204, 303)}
    assert len(taken) > 40, "fewer would mean that most forms were refused for any content"
    assert len(signed_out) < REQUESTS / 10, "these were refused, and not tried"
