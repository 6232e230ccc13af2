"""Sign-in and sign-out."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.conftest import PASSWORD, AppMaker
from webapp.db.transactions import transaction
from webapp.extensions import db, limiter
from webapp.models import User
from webapp.services.people import users

RIGHT = {"email": "alice@example.com", "password": PASSWORD}
WRONG = {"email": "alice@example.com", "password": "wrong"}


def test_the_page_asks_for_email_and_password(client: FlaskClient) -> None:
    page = client.get("/login")
    assert page.status_code == 200
    for words in (">Email</label>", ">Password</label>", "Stay signed in", ">Sign in</button>"):
        assert words in page.text


def test_every_other_page_redirects_to_sign_in_and_back(client: FlaskClient, owner: User) -> None:
    away = client.get("/interfaces?q=sales")
    assert away.status_code == 303
    assert away.location == "/login?next=/interfaces?q%3Dsales"
    back = client.post(away.location, data=RIGHT)
    assert (back.status_code, back.location) == (303, "/interfaces?q=sales")
    assert client.get("/interfaces").status_code == 200


def test_email_is_taken_in_any_case_and_with_spaces(client: FlaskClient, owner: User) -> None:
    assert client.post("/login", data={**RIGHT, "email": "  Alice@Example.COM "}).status_code == 303


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)", ""],
)
def test_next_never_redirects_to_another_site(client: FlaskClient, owner: User, elsewhere: str) -> None:
    answer = client.post("/login", query_string={"next": elsewhere}, data=RIGHT)
    assert (answer.status_code, answer.location) == (303, "/")


def test_unknown_address_and_wrong_password_get_the_same_page(client: FlaskClient, owner: User) -> None:
    wrong = client.post("/login", data=WRONG)
    unknown = client.post("/login", data={"email": "unknown@example.com", "password": "wrong"})
    assert wrong.status_code == unknown.status_code == 422
    assert "This email and password do not belong together." in wrong.text
    pages = [
        re.sub(r"[\w-]+\.[\w-]+\.[\w-]{27}", "(CSRF token, which has the second in it)", page.text)
        for page in (wrong, unknown)
    ]
    assert pages[0] == pages[1].replace("unknown@example.com", "alice@example.com")
    assert 'value="wrong"' not in wrong.text


@pytest.mark.parametrize("sent", [{}, {"email": "x"}, {"email": "\x00", "password": "\x00"}, {"email": "🎣" * 5000}])
def test_bad_input_is_answered_with_the_form(client: FlaskClient, owner: User, sent: dict[str, str]) -> None:
    assert client.post("/login", data=sent).status_code == 422


def test_ten_failed_attempts_are_answered_429_with_a_time_to_retry(client: FlaskClient, owner: User) -> None:
    for _ in range(10):
        assert client.post("/login", data=WRONG).status_code == 422
    answer = client.post("/login", data=RIGHT)
    assert answer.status_code == 429
    assert "Too many attempts to sign in. Try again in 15 minutes." in answer.text
    assert ">Sign in</button>" in answer.text
    assert 0 < int(answer.headers["Retry-After"]) <= 900
    elsewhere = client.post("/login", data=RIGHT, environ_base={"REMOTE_ADDR": "198.51.100.7"})
    assert elsewhere.status_code == 303, "the owner is not locked out by others"


def test_another_spelling_of_an_address_has_the_same_limit(client: FlaskClient, owner: User) -> None:
    """Characters that the lookup of the account ignores do not start a new count."""
    ways = ["alice\0@example.com", " ALICE@example.com", "alice@example.com" + "\0" * 3, "\0 alice@example.com\t"]
    codes = [client.post("/login", data={**WRONG, "email": ways[number % 4]}).status_code for number in range(11)]
    assert codes == [422] * 10 + [429]
    asked = [client.post("/forgot-password", data={"email": ways[number % 4]}).status_code for number in range(6)]
    assert asked == [200] * 5 + [429]


@pytest.mark.parametrize("address", ["203.0.113.7:{}", "::ffff:203.0.113.7", "2001:db8::{}", "[2001:db8::{}]:443"])
def test_a_network_has_one_limit_for_every_spelling_of_its_address(
    make_app: AppMaker, owner: User, address: str
) -> None:
    client = make_app(TRUSTED_PROXIES="1").test_client()
    codes = [
        client.post("/login", data=WRONG, headers={"X-Forwarded-For": address.format(number)}).status_code
        for number in range(1, 12)
    ]
    assert codes == [422] * 10 + [429]


def test_ipv4_clients_of_an_ipv6_listener_have_separate_limits(client: FlaskClient, owner: User) -> None:
    def tried(address: str, data: dict[str, str]) -> int:
        return client.post("/login", data=data, environ_base={"REMOTE_ADDR": address}).status_code

    assert [tried("::ffff:203.0.113.7", WRONG) for _ in range(11)] == [422] * 10 + [429]
    assert tried("::ffff:198.51.100.7", RIGHT) == 303


def test_an_unknown_address_is_limited_in_the_same_way(client: FlaskClient, owner: User) -> None:
    unknown = {"email": "unknown@example.com", "password": "wrong"}
    assert [client.post("/login", data=unknown).status_code for _ in range(11)] == [422] * 10 + [429]


def test_one_address_cannot_try_account_after_account(client: FlaskClient, owner: User) -> None:
    codes = [
        client.post("/login", data={"email": f"user{number}@example.com", "password": "wrong"}).status_code
        for number in range(51)
    ]
    assert codes == [422] * 50 + [429]


def test_one_account_cannot_be_tried_from_address_after_address(client: FlaskClient, owner: User) -> None:
    codes = [
        client.post("/login", data=WRONG, environ_base={"REMOTE_ADDR": f"2001:db8:{number:x}::1"}).status_code
        for number in range(101)
    ]
    assert codes == [422] * 100 + [429]


@pytest.mark.parametrize("address", ["unknown", "203.0.113.7:51234", "2001:db8::1", ""])
def test_sign_in_works_for_any_client_address_that_a_proxy_sends(make_app: AppMaker, address: str) -> None:
    client = make_app(TRUSTED_PROXIES="1").test_client()
    assert client.post("/login", data=WRONG, headers={"X-Forwarded-For": address}).status_code == 422


def test_signing_in_often_is_not_limited(client: FlaskClient, owner: User) -> None:
    assert {client.post("/login", data=RIGHT).status_code for _ in range(15)} == {303}


def test_a_redis_failure_during_the_count_causes_no_error_page(
    client: FlaskClient, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> bool:
        raise RedisTimeoutError("Timeout reading from socket")

    with monkeypatch.context() as patch:
        patch.setattr(limiter.storage, "acquire_entry", away)
        assert client.post("/login", data=WRONG).status_code == 422
    assert [client.post("/login", data=WRONG).status_code for _ in range(10)] == [422] * 9 + [429], "counted without it"


def test_attempts_are_counted_without_redis(make_app: AppMaker) -> None:
    app = make_app(REDIS_URL="unix:///nonexistent/valkey.sock")
    codes = [app.test_client().post("/login", data=WRONG).status_code for _ in range(11)]
    assert codes == [422] * 10 + [429]


def test_staying_signed_in_is_a_choice(app: Flask, owner: User) -> None:
    without, staying = app.test_client(), app.test_client()
    without.post("/login", data=RIGHT)
    staying.post("/login", data={**RIGHT, "remember": "y"})
    assert without.get_cookie("leadhook-remember") is None
    cookie = staying.get_cookie("leadhook-remember")
    assert cookie
    assert cookie.http_only
    assert cookie.same_site == "Lax"
    staying.delete_cookie("leadhook")
    assert staying.get("/interfaces").status_code == 200


def test_the_start_page_is_the_interfaces(signed_in: FlaskClient) -> None:
    assert signed_in.get("/").location == "/interfaces"
    assert signed_in.get("/login").location == "/"


def test_signing_out_is_a_post_and_ends_the_session(signed_in: FlaskClient) -> None:
    assert signed_in.get("/logout").status_code == 405
    answer = signed_in.post("/logout")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert signed_in.get("/interfaces").status_code == 303


def test_signing_out_ends_stay_signed_in(app: Flask, owner: User) -> None:
    client = app.test_client()
    client.post("/login", data={**RIGHT, "remember": "y"})
    assert client.post("/logout").status_code == 303
    assert client.get_cookie("leadhook-remember") is None
    assert client.get("/interfaces").status_code == 303


def test_over_https_browsers_accept_the_removal_of_a_cookie(make_app: AppMaker, owner: User) -> None:
    """Browsers ignore a `__Host-` cookie, and its removal, unless it is Secure, has path / and no domain."""
    client = make_app(PUBLIC_URL="https://leads.example.com").test_client()
    https = {"base_url": "https://leads.example.com"}
    assert client.post("/login", data={**RIGHT, "remember": "y"}, **https).status_code == 303
    answer = client.post("/logout", **https)
    removed = answer.headers.getlist("Set-Cookie")
    assert {cookie.partition("=")[0] for cookie in removed} >= {"__Host-leadhook", "__Host-leadhook-remember"}
    for cookie in removed:
        parts = {part.strip().lower() for part in cookie.split(";")}
        assert {"secure", "httponly", "path=/", "samesite=lax"} <= parts, cookie
        assert not any(part.startswith("domain") for part in parts)
    assert client.get("/interfaces", **https).status_code == 303


def test_a_failed_commit_signs_no_user_in(client: FlaskClient, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(db.session, "commit", fails)
        assert client.post("/login", data=RIGHT).status_code == 500
    assert client.get("/interfaces").status_code == 303


def test_a_new_sign_in_starts_with_an_empty_session(app: Flask, owner: User) -> None:
    with transaction():
        users.create_owner("bob@example.com", PASSWORD, "Bob's Boats")
    client = app.test_client()
    client.post("/login", data={**RIGHT, "remember": "y"})
    client.post("/login", data={"email": "bob@example.com", "password": PASSWORD})
    client.delete_cookie("leadhook")
    assert client.get("/interfaces").status_code == 303, "and not as Alice, who stayed signed in before"


def test_a_session_ends_when_the_password_changes(signed_in: FlaskClient, owner: User) -> None:
    with transaction():
        users.change_password(owner.id, PASSWORD, "another good one")
    assert signed_in.get("/interfaces").status_code == 303


def test_the_form_cannot_be_forged(make_app: AppMaker) -> None:
    app = make_app(csrf=True)
    client = app.test_client()
    assert client.post("/login", data=RIGHT).status_code == 400
    evil = {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/login", data=RIGHT, headers=evil).status_code in (400, 403)
