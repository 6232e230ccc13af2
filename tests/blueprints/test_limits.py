"""Limits on a request's size and on the rate of requests, and how a client is identified."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import PASSWORD, AppMaker, sign_in
from webapp.extensions import db
from webapp.models import Interface, Lead, User

pytestmark = pytest.mark.once

ADA = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+15550100", "message": "Hello"}
JSON = {"Accept": "application/json"}
KB = 1024
FORM = "application/x-www-form-urlencoded"


def multipart(fields: int) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n'
    return b"".join(part % number for number in range(fields)) + b"--x--\r\n"


TOO_MUCH = {
    "a long form": (b"name=" + b"x" * 256 * KB, FORM),
    "long JSON": (b'{"name":"' + b"x" * 256 * KB + b'"}', "application/json"),
    "a long part": (
        multipart(1).replace(b"1\r\n--x--", b"x" * 256 * KB + b"\r\n--x--"),
        "multipart/form-data; boundary=x",
    ),
    "many fields": (b"&".join(b"f%d=1" % number for number in range(501)), FORM),
    "many empty fields": (b"&" * 100_000, FORM),
    "many parts": (multipart(501), "multipart/form-data; boundary=x"),
}


@pytest.mark.parametrize("csrf", [True, False], ids=["as it is", "with no one but ourselves to read the form"])
def test_too_much_is_413_for_people_and_for_programs(
    make_app: AppMaker, owner: User, interface: Interface, csrf: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    client = sign_in(app, owner.email)
    app.config["WTF_CSRF_ENABLED"] = csrf
    edit = f"/interfaces/{interface.public_id}/edit"
    for path in (f"/f/{interface.public_id}", "/login", edit, "/profile/password"):
        for name, (content, kind) in TOO_MUCH.items():
            if kind == "application/json" and not path.startswith("/f/"):
                continue  # nothing else reads JSON
            page = client.post(path, data=content, content_type=kind, headers={"Accept": "text/html"})
            assert page.status_code == 413, f"{path} {name}"
            assert "256 KB" in page.text
            assert "500 fields" in page.text
            answer = client.post(path, data=content, content_type=kind, headers=JSON)
            assert answer.status_code == 413
            assert "256 KB" in str(answer.json)
    assert "unreachable" not in caplog.text, "the limiter took a long form for a Redis that is away"


def test_json_of_too_many_fields_is_413(client: FlaskClient, interface: Interface) -> None:
    answer = client.post(f"/f/{interface.public_id}", json={f"f{number}": 1 for number in range(501)})
    assert answer.status_code == 413
    assert list(answer.json or {}) == ["errors"]


def test_500_fields_are_accepted(client: FlaskClient, interface: Interface) -> None:
    fields = {**ADA, **{f"f{number}": "1" for number in range(496)}}
    address = f"/f/{interface.public_id}"
    assert client.post(address, data=fields).status_code == 303
    assert client.post(address, data=fields, content_type="multipart/form-data").status_code == 303
    assert client.post(address, json=fields).status_code == 201


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_unknown_method_is_405_in_the_format_of_its_route(
    client: FlaskClient, interface: Interface, method: str
) -> None:
    form = client.open(f"/f/{interface.public_id}", method=method, headers=JSON)
    assert (form.status_code, list(form.json or {})) == (405, ["errors"])
    assert list((form.json or {})["errors"]) == ["_form"]
    assert "POST" in form.headers["Allow"]
    assert form.headers["Access-Control-Allow-Origin"] == "*"
    page = client.open(f"/f/{interface.public_id}", method=method)
    assert page.status_code == 405
    assert "frame-ancestors" not in page.headers["Content-Security-Policy"]
    elsewhere = client.open("/login", method=method, headers=JSON)
    assert (elsewhere.status_code, list(elsewhere.json or {})) == (405, ["error"])
    assert "GET" in elsewhere.headers["Allow"]


# The client ----------------------------------------------------------------------------------------------------------


def ips() -> list[str]:
    db.session.rollback()
    return [lead.source["ip"] for lead in db.session.scalars(select(Lead).order_by(Lead.id))]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        ("0", "203.0.113.7", "198.51.100.1"),
        ("1", "203.0.113.7", "203.0.113.7"),
        ("1", "8.8.8.8, 203.0.113.7", "203.0.113.7"),
        ("2", "8.8.8.8, 203.0.113.7, 192.0.2.1", "203.0.113.7"),
        ("2", "203.0.113.7", "198.51.100.1"),
    ],
)
def test_the_clients_address_comes_only_from_the_trusted_proxies(
    make_app: AppMaker, interface: Interface, proxies: str, forwarded: str, seen: str
) -> None:
    client = make_app(TRUSTED_PROXIES=proxies).test_client()
    lies = {"X-Real-IP": "8.8.4.4", "Forwarded": "for=8.8.4.4", "Client-IP": "8.8.4.4", "True-Client-IP": "8.8.4.4"}
    headers = {"X-Forwarded-For": forwarded, **lies}
    address = {"REMOTE_ADDR": "198.51.100.1"}
    assert client.post(f"/f/{interface.public_id}", data=ADA, headers=headers, environ_base=address).status_code == 303
    assert ips() == [seen]


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_a_clients_own_headers_do_not_avoid_the_limits(make_app: AppMaker, interface: Interface, proxies: str) -> None:
    client = make_app(FORM_RATE_LIMIT="3 per minute", TRUSTED_PROXIES=proxies).test_client()
    codes, tries = [], []
    for number in range(12):
        # The client's own entries come first; the proxy adds the address it saw.
        said = f"203.0.113.{number}" + (", 198.51.100.1" if proxies == "1" else "")
        lies = {"X-Forwarded-For": said, "X-Real-IP": said, "Forwarded": f"for={said}"}
        codes.append(client.post(f"/f/{interface.public_id}", data=ADA, headers=lies).status_code)
        tries.append(client.post("/login", data={"email": "a@example.com", "password": "no"}, headers=lies))
    assert codes == [303] * 3 + [429] * 9
    assert [answer.status_code for answer in tries] == [422] * 10 + [429] * 2
    assert int(tries[-1].headers["Retry-After"]) > 0


def test_an_ipv6_network_has_one_limit_for_a_form(make_app: AppMaker, interface: Interface) -> None:
    client = make_app(FORM_RATE_LIMIT="3 per minute").test_client()

    def posted(address: str) -> int:
        answer = client.post(f"/f/{interface.public_id}", data=ADA, environ_base={"REMOTE_ADDR": address})
        return answer.status_code

    assert [posted(f"2001:db8::{number:x}") for number in range(1, 5)] == [303] * 3 + [429]
    assert posted("2001:db8:0:1::1") == 303


@pytest.mark.parametrize(
    ("public_url", "proto", "secure"),
    [
        ("https://leads.example.com", "http", True),
        ("https://leads.example.com", None, True),
        ("http://leads.example.com", "https", False),
    ],
)
def test_cookies_and_hsts_follow_the_scheme_of_public_url(
    make_app: AppMaker, owner: User, public_url: str, proto: str | None, secure: bool
) -> None:
    app = make_app(PUBLIC_URL=public_url, TRUSTED_PROXIES="1")
    headers = {"X-Forwarded-Proto": proto} if proto else {}
    answer = app.test_client().post(
        "/login", data={"email": owner.email, "password": PASSWORD, "remember": "y"}, headers=headers
    )
    assert answer.status_code == 303
    cookies = {cookie.partition("=")[0]: cookie for cookie in answer.headers.getlist("Set-Cookie")}
    prefix = "__Host-" if secure else ""
    assert cookies.keys() == {f"{prefix}leadhook", f"{prefix}leadhook-remember", f"{prefix}leadhook-known"}
    for cookie in cookies.values():
        parts = {part.strip().lower() for part in cookie.split(";")}
        assert {"httponly", "samesite=lax", "path=/"} <= parts
        assert ("secure" in parts) is secure
        assert not any(part.startswith("domain") for part in parts)
    assert ("Strict-Transport-Security" in answer.headers) is secure


def test_a_host_header_never_appears_in_links(make_app: AppMaker, interface: Interface, owner: User) -> None:
    """Links are built from PUBLIC_URL; redirects have only a path."""
    app = make_app(PUBLIC_URL="https://leads.example.com")
    client = app.test_client()
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    answers: list[Any] = [client.get(path, headers=evil) for path in ("/", "/interfaces", "/login", "/docs/webhooks")]
    answers.append(client.post(f"/f/{interface.public_id}", data=ADA, headers=evil))
    client.post("/login", data={"email": owner.email, "password": PASSWORD})
    answers += [client.get(f"/interfaces/{interface.public_id}/edit/embed", headers=evil)]
    for answer in answers:
        assert "evil.example" not in answer.text + answer.headers.get("Location", "")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a b", "[::1", "a..b", "", "evil.example:99999"])
@pytest.mark.parametrize("path", ["/login", "/f/if_x", "/healthz", "/interfaces"])
def test_an_invalid_host_causes_no_error(client: FlaskClient, host: str, path: str) -> None:
    for headers in ({}, JSON):
        answer = client.get(path, headers={**headers, "Host": host})
        assert answer.status_code in (200, 303, 400, 404)
        assert "Traceback" not in answer.text


def test_invalid_bytes_in_a_query_cause_no_error(client: FlaskClient, interface: Interface) -> None:
    query = b"utm_source=Z\xfcrich&utm_medium=caf\xc3\xa9".decode("latin-1")
    answer = client.post(f"/f/{interface.public_id}", data=ADA, environ_overrides={"QUERY_STRING": query})
    assert answer.status_code == 303
    db.session.rollback()
    [lead] = db.session.scalars(select(Lead))
    assert lead.source["utm"]["medium"] == "café"
    assert client.get("/login", environ_overrides={"QUERY_STRING": query}).status_code == 200


@pytest.mark.parametrize("body", ["[" * 9000, "[1, 2]", "null", '{"email": {"a": 1}}'])
def test_forms_are_not_read_from_json(signed_in: FlaskClient, interface: Interface, body: str) -> None:
    for path in ("/login", "/profile", f"/interfaces/{interface.public_id}/edit", "/interfaces/new"):
        answer = signed_in.post(path, data=body, content_type="application/json", headers=JSON)
        assert (answer.status_code, answer.json) == (
            415,
            {"error": "This address does not accept this kind of content."},
        )


def test_broken_json_answers_are_json(client: FlaskClient, interface: Interface) -> None:
    deep = b"[" * 60_000 + b"]" * 60_000
    for body in (deep, json.dumps({"name": {"a": [1]}}).encode(), b'{"a":' * 30_000):
        answer = client.post(f"/f/{interface.public_id}", data=body, content_type="application/json")
        assert answer.status_code in (400, 422)
        assert answer.json
