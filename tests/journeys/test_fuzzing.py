"""Requests that no browser would send, to everything that needs no sign-in: whatever comes, nothing crashes.

`make test` sends 800, always the same; LEADHOOK_FUZZ_REQUESTS=10000 sends as many, others each time.
"""

import contextvars
import json
import os
from collections import Counter
from io import BytesIO
from typing import Any
from urllib.parse import quote, quote_from_bytes, urlencode

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.conftest import AppMaker
from webapp.extensions import db
from webapp.models import Interface
from webapp.services.spam import TOKEN, TRAP
from webapp.services.submissions import TRACKED

ASKED_FOR = os.environ.get("LEADHOOK_FUZZ_REQUESTS", "")
REQUESTS = int(ASKED_FOR or 800)
AT_ONCE = 5  # requests of an example: what hypothesis does between two costs more than a request

odd_text = st.text(max_size=30) | st.sampled_from(
    [
        *("\0", "a\0b", "\r\nx: y", "\x1b[2J", "../../etc/passwd", "%00", "%", "%zz", "\ufeff", "\u202e", "𝒳" * 20),
        *("0" * 400, "9" * 5000, "-1", "1e999", "NaN", "nul", "'; DROP TABLE leads; --", "{{7*7}}", "<b>", "x" * 3000),
        *("ada@example.com", "a@" + "b" * 300, "@", "+15550100", "+", "00" * 30, "٣٤٥٦٧", "http://[", "//evil.example"),
    ]
)
odd_bytes = st.binary(max_size=40) | odd_text.map(lambda text: text.encode("utf-8", "surrogatepass"))
# A header as WSGI has it: latin-1, and no line ends, which no server lets through.
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
FIELDS = ["name", "email", "phone", "message", *TRACKED, TOKEN, TRAP, "password", "remember", "csrf_token", "next", "q"]

names = st.sampled_from(FIELDS) | odd_text
pairs = st.lists(st.tuples(names.map(lambda name: quote(name, errors="surrogatepass")), odd_bytes), max_size=8)
encoded = pairs.map(lambda found: "&".join(f"{name}={quote_from_bytes(value)}" for name, value in found).encode())
lead = st.fixed_dictionaries({"name": odd_text, "email": st.just("ada@example.com"), "message": odd_text})
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


contents = st.one_of(
    lead.map(lambda sent: ("application/json", json.dumps(sent).encode())),
    lead.map(lambda sent: ("application/x-www-form-urlencoded", urlencode(sent, errors="surrogatepass").encode())),
    lead.map(
        lambda sent: (
            "multipart/form-data; boundary=x",
            b"".join(
                b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
                % (name.encode(), value.encode("utf-8", "surrogatepass"))
                for name, value in sent.items()
            )
            + b"--x--\r\n",
        )
    ),
)


def paths(form: str) -> dict[str, st.SearchStrategy[str]]:
    """An address of each entry that is open to everyone, by its endpoint; and of what is not."""
    ids = st.sampled_from([form, form.upper(), f"{form}/", ""]) | odd_text
    samples = st.sampled_from(["webhook_failed", "webhook_paused", ""]) | odd_text
    files = st.sampled_from(["app.css", "app.js", "../config.py", "vendor/", "", "vendor/../../log.py", "/etc/passwd"])
    closed = ["/", "/interfaces", "/leads", "/leads.csv", "/profile", "/mailbox/1", "/rq", "/rq/0/data/queues.json"]
    return {
        "auth.sign_in": st.just("/login"),
        "docs.error_report": samples.map("/docs/error-reports/".__add__),
        "docs.error_reports": st.just("/docs/error-reports"),
        "docs.webhooks": st.just("/docs/webhooks"),
        "health.alive": st.just("/healthz"),
        "health.metrics": st.just("/metrics"),
        "health.ready": st.just("/readyz"),
        "invitations.accept": (ids | odd_text).map("/invitations/".__add__),
        "passwords.forgot": st.just("/forgot-password"),
        "passwords.reset": (ids | odd_text).map("/reset-password/".__add__),
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


def requests_to(form: str) -> st.SearchStrategy[dict[str, Any]]:
    """Wild ones to everywhere, and leads that may well be taken but for what stands in them."""
    ways = [st.tuples(st.just(entry), path) for entry, path in paths(form).items()]
    around = {
        "query": encoded | odd_bytes,
        "headers": st.lists(st.sampled_from(sorted(HEADERS)), max_size=5, unique=True).flatmap(
            lambda chosen: st.fixed_dictionaries({name: HEADERS[name] for name in chosen})
        ),
        "client": st.sampled_from(["203.0.113.7", "2001:db8::1", "", "unknown", "::ffff:1.2.3.4"]),
        "csrf": st.booleans(),
    }
    lengths = st.sampled_from([None, None, None, "", "-1", "abc", "99999999999", "1"])
    wild = {"to": st.one_of(*ways), "method": METHODS | st.just("POST"), "content": st.tuples(KINDS, bodies)}
    tame = {"to": st.just(("lead_form.submit", f"/f/{form}")), "method": st.just("POST"), "content": contents}
    return st.fixed_dictionaries({**wild, **around, "length": lengths}) | st.fixed_dictionaries(
        {**tame, **around, "length": st.none()}
    )


def environ_of(request: dict[str, Any]) -> dict[str, Any]:
    """The request as a server hands it on: bytes as latin-1, unchecked."""
    environ = EnvironBuilder().get_environ()
    path = request["to"][1].encode("utf-8", "surrogatepass").decode("latin-1")
    environ |= {"REQUEST_METHOD": request["method"], "PATH_INFO": path, "REMOTE_ADDR": request["client"]}
    kind, content = request["content"]
    environ |= {"QUERY_STRING": request["query"].decode("latin-1"), "CONTENT_TYPE": kind}
    environ |= {f"HTTP_{name}": value for name, value in request["headers"].items()}
    environ["wsgi.input"] = BytesIO(content)
    environ["CONTENT_LENGTH"] = str(len(content)) if request["length"] is None else request["length"]
    return environ


@pytest.fixture
def app(make_app: AppMaker) -> Any:
    app = make_app(FORM_RATE_LIMIT="", TRUSTED_PROXIES="1")
    with app.app_context():
        yield app


def test_every_entry_that_is_open_to_everyone_is_tried(app: Flask) -> None:
    is_open = {name for name, view in app.view_functions.items() if getattr(view, "is_public", False)}
    assert is_open | {"static", "anything else"} == paths("if_x").keys()


def test_nothing_that_can_be_sent_without_signing_in_crashes(app: Flask, interface: Interface) -> None:
    seen: Counter[tuple[str, int]] = Counter()
    form = interface.public_id
    db.session.rollback()  # on SQLite our own transaction would lock everyone out

    @settings(
        max_examples=max(REQUESTS // AT_ONCE, 1),
        deadline=None,
        derandomize=not ASKED_FOR,
        database=None,
        phases=(Phase.generate, Phase.shrink) if not ASKED_FOR else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(requests_to(form), min_size=AT_ONCE, max_size=AT_ONCE))
    def send(requests: list[dict[str, Any]]) -> None:
        for request in requests:
            app.config["WTF_CSRF_ENABLED"] = request["csrf"]
            call = contextvars.Context().run(run_wsgi_app, app.wsgi_app, environ_of(request), True)
            code = int(call[1].split()[0])
            seen[request["to"][0], code] += 1
            assert code < 500, f"{call[1]} to {request}"

    send()
    codes = {code for _, code in seen}
    print(f"{sum(seen.values())} requests:", dict(sorted(Counter(code for _, code in seen.elements()).items())))
    assert sum(seen.values()) >= REQUESTS - AT_ONCE
    assert {entry for entry, _ in seen} == paths("if_x").keys()
    assert codes >= {200, 201, 303, 400, 404, 405, 422}, "none of these would mean that nothing got in at all"
