"""Wrong passwords of others do not lock an owner out: networks of IPv6, a known browser, a new password."""

import contextvars
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import PASSWORD, AppMaker, sign_in
from tests.support.people import last_token
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import limiter
from webapp.models import User
from webapp.services.people import users
from webapp.web.sign_in_limits import sign_in_limits

pytestmark = pytest.mark.once

NEW = "another good one"
OWNER = "203.0.113.7"
POSTED = 15  # of many tries: the last ten that are accepted, and those that are not


@pytest.fixture(autouse=True)
def patient(app: Flask) -> None:
    """A count that Redis does not take in 0.2 seconds is lost, which a busy machine may need."""
    limiter.storage.storage.connection_pool.connection_kwargs["socket_timeout"] = 10  # type: ignore[attr-defined]


def tried(client: FlaskClient, address: str, password: str = "wrong", email: str = "alice@example.com") -> int:
    sent = {"email": email, "password": password}
    return client.post("/login", data=sent, environ_base={"REMOTE_ADDR": address}).status_code


def counted(client: FlaskClient, address: str, email: str = "alice@example.com") -> bool:
    """Whether a wrong password is taken from there, which is then counted: what a post does with the limits. The page
    of its answer takes three quarters of its time."""

    def ask() -> bool:
        with client.application.test_request_context("/login", environ_base={"REMOTE_ADDR": address}):
            if sign_in_limits.seconds_to_wait(email):
                return False
            sign_in_limits.count(email)
            return True

    return contextvars.Context().run(ask)


def lock(client: FlaskClient) -> None:
    """100 wrong passwords, from networks that have nothing in common."""
    assert all(counted(client, f"2001:db8:{number:x}::1") for number in range(98))
    assert [tried(client, f"2001:db8:{number:x}::1") for number in (98, 99, 100)] == [422, 422, 429]


def test_ten_networks_of_one_home_lock_nobody_out(client: FlaskClient, owner: User) -> None:
    codes = [tried(client, f"2001:db8:0:{number % 10:x}::1") for number in range(100)]
    assert codes == [422] * 40 + [429] * 60
    assert tried(client, OWNER, PASSWORD) == 303
    assert tried(client, "2001:db8:0:100::1", PASSWORD) == 303, "another /56 of the same /48"


@pytest.mark.parametrize(
    ("addresses", "accepted"),
    [
        (["2001:db8::{}"], 10),
        (["2001:db8:0:{}::1"], 40),
        (["2001:db8:0:{}::1", "2001:db8:0:{}:ffff::1"], 40),
        (["2001:db8:0:ff{}::1"], 40),
        (["2001:db8:0:{}00::1"], 100),
        (["2001:db8:{}::1"], 100),
        (["203.0.113.9"], 10),
        (["::ffff:203.0.113.9"], 10),
        (["[2001:db8::{}]:443"], 10),
        (["fe80::{}%eth0", "fe80::{}%eth1"], 10),
    ],
)
def test_an_account_is_tried_as_often_as_the_network_may(
    client: FlaskClient, owner: User, addresses: list[str], accepted: int
) -> None:
    tries = [addresses[n % len(addresses)].format(f"{n % 100:02}") for n in range(accepted + 5)]
    assert all(counted(client, address) for address in tries[:-POSTED])
    assert [tried(client, address) for address in tries[-POSTED:]] == [422] * (POSTED - 5) + [429] * 5


def test_one_home_with_both_kinds_of_address_does_not_lock_an_owner_out_in_an_hour(
    app: Flask, client: FlaskClient, owner: User
) -> None:
    with time_machine.travel(utcnow(), tick=True) as clock:
        for _ in range(4):
            for number in range(60):
                counted(client, f"2001:db8:0:{number:x}::1")
                counted(client, "198.51.100.1")
            assert tried(app.test_client(), OWNER, PASSWORD) == 303
            clock.shift(timedelta(minutes=14, seconds=50))


@pytest.mark.parametrize(
    ("address", "accepted"), [("2001:db8::{:x}", 50), ("2001:db8:0:{:x}::1", 200), ("2001:db8:0:{:x}00::1", 800)]
)
def test_many_accounts_are_tried_as_often_as_the_network_may(
    make_app: AppMaker, owner: User, address: str, accepted: int
) -> None:
    """Without Redis, which is quicker."""
    client = make_app(REDIS_URL="unix:///nonexistent/valkey.sock").test_client()
    tries = [(address.format(n % 256), f"user{n}@example.com" if n % 50 else "") for n in range(accepted + POSTED - 10)]
    assert all(counted(client, network, email) for network, email in tries[:-POSTED])
    assert [tried(client, network, email=email) for network, email in tries[-POSTED:]] == [422] * 10 + [429] * 5


def test_a_browser_that_has_signed_in_before_has_ten_tries_of_its_own(
    app: Flask, client: FlaskClient, owner: User
) -> None:
    known = sign_in(app, owner.email)
    assert known.post("/logout").status_code == 303
    lock(client)
    assert tried(client, OWNER, PASSWORD) == 429, "as the owner in an unknown browser"
    addresses = [f"203.0.113.{number}" for number in range(11)]
    assert [tried(known, address) for address in addresses] == [422] * 10 + [429]
    with time_machine.travel(utcnow() + timedelta(hours=1, minutes=1), tick=True):
        assert tried(known, OWNER, PASSWORD) == 303
    assert tried(known, OWNER) == 422, "a new id begins anew"


def test_the_limits_by_network_stay_for_a_known_browser(app: Flask, owner: User) -> None:
    known = sign_in(app, owner.email)
    known.post("/logout")
    assert [tried(known, OWNER) for _ in range(11)] == [422] * 10 + [429]


def cookie_of(client: FlaskClient) -> str:
    cookie = client.get_cookie("leadhook-known")
    assert cookie
    return str(cookie.value)


def test_the_cookie_is_for_this_user_and_is_void_after_a_change(app: Flask, client: FlaskClient, owner: User) -> None:
    with transaction():
        users.create_owner("bob@example.com", PASSWORD, "Bob's Boats")
    known, other = sign_in(app, owner.email), sign_in(app, "bob@example.com")
    right, of_bob = cookie_of(known), cookie_of(other)
    other.post("/logout")
    lock(client)
    signed = right.split(".")
    for value in (
        of_bob,
        "",
        "x",
        right[:-1],
        right + "A",
        ".".join(reversed(signed)),
        right[1:],
        "é" * 50,
        "." * 3000,
    ):
        client.set_cookie("leadhook-known", value)
        assert tried(client, OWNER, PASSWORD) == 429, value
    client.set_cookie("leadhook-known", right)
    assert tried(client, OWNER) == 422
    for days, code in ((89, 422), (91, 429)):
        with time_machine.travel(utcnow() + timedelta(days=days), tick=True):
            lock(app.test_client())
            assert tried(client, OWNER) == code
    known.post("/profile/sign-out-everywhere")
    assert tried(client, OWNER, PASSWORD) == 429


def test_a_new_password_makes_it_void_but_for_the_browser_that_chose_it(
    app: Flask, client: FlaskClient, owner: User
) -> None:
    known, other = sign_in(app, owner.email), sign_in(app, owner.email)
    changed = known.post("/profile/password", data={"current": PASSWORD, "new": NEW, "again": NEW})
    assert changed.status_code == 303
    known.post("/logout")
    lock(client)
    assert tried(other, OWNER, NEW) == 429
    assert tried(known, OWNER, NEW) == 303


@pytest.mark.parametrize(("public_url", "secure"), [("https://leads.example.com", True), ("http://x.example", False)])
def test_the_cookie_is_closed_to_scripts_and_to_other_sites(
    make_app: AppMaker, owner: User, public_url: str, secure: bool
) -> None:
    client = make_app(PUBLIC_URL=public_url).test_client()
    answer = client.post("/login", data={"email": owner.email, "password": PASSWORD}, base_url=public_url)
    name = "__Host-leadhook-known" if secure else "leadhook-known"
    [cookie] = [each for each in answer.headers.getlist("Set-Cookie") if each.startswith(f"{name}=")]
    parts = {part.strip().lower() for part in cookie.split(";")}
    assert {"httponly", "path=/", "samesite=lax", f"max-age={90 * 24 * 3600}"} <= parts
    assert ("secure" in parts) is secure
    assert owner.email not in cookie


def test_a_completed_reset_clears_the_count_and_asking_for_one_does_not(client: FlaskClient, owner: User) -> None:
    lock(client)
    assert [tried(client, OWNER) for _ in range(11)] == [429] * 11
    client.post("/forgot-password", data={"email": owner.email})
    address = f"/reset-password/{last_token()}"
    assert client.get(address).status_code == 200
    assert client.post(address, data={"new": "short", "again": "short"}).status_code == 422
    assert tried(client, OWNER, PASSWORD) == 429
    assert client.post(address, data={"new": NEW, "again": NEW}).status_code == 303
    assert tried(client, OWNER, NEW) == 303
    assert tried(client, OWNER) == 422


def test_a_person_who_chose_a_new_password_may_sign_in_from_the_same_network(client: FlaskClient, owner: User) -> None:
    assert [tried(client, "127.0.0.1") for _ in range(11)] == [422] * 10 + [429]
    client.post("/forgot-password", data={"email": owner.email})
    assert client.post(f"/reset-password/{last_token()}", data={"new": NEW, "again": NEW}).status_code == 303
    assert tried(client, "127.0.0.1", NEW) == 303


def test_a_password_that_the_operator_sets_clears_the_count(app: Flask, client: FlaskClient, owner: User) -> None:
    lock(client)
    ran = app.test_cli_runner().invoke(args=["reset-password", "--email", "ALICE@example.com ", "--password", NEW])
    assert ran.exit_code == 0, ran.output
    assert tried(client, OWNER, NEW) == 303


def test_resets_are_asked_for_as_often_as_the_network_may(
    client: FlaskClient, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.blueprints.passwords.ANSWER_AFTER", 0)

    def asked(number: int, address: str) -> int:
        sent = {"email": f"user{number}@example.com"}
        return client.post("/forgot-password", data=sent, environ_base={"REMOTE_ADDR": address}).status_code

    assert [asked(n, f"2001:db8:0:{n % 90:x}::1") for n in range(82)] == [200] * 80 + [429] * 2
    assert asked(100, "2001:db8:0:100::1") == 200
