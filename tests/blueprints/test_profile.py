"""My User Profile."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import PASSWORD, sign_in
from webapp.extensions import db
from webapp.models import User
from webapp.services.people import users

NEW = "another good one"


def change(client: FlaskClient, current: str = PASSWORD, new: str = NEW, again: str | None = None) -> tuple[int, str]:
    sent = {"current": current, "new": new, "again": new if again is None else again}
    answer = client.post("/profile/password", data=sent)
    return answer.status_code, answer.text


def test_it_shows_who_is_signed_in(signed_in: FlaskClient) -> None:
    page = signed_in.get("/profile").text
    for words in ("My User Profile", "alice@example.com", "Owner", "Brightwater Solar", "API Keys", ">Name</label>"):
        assert words in page


@pytest.mark.parametrize("name", ["Alice Ångström", "علي", "👩‍🚀 Alice", "<b>Alice</b>", ""])
def test_any_persons_name_is_accepted(signed_in: FlaskClient, owner: User, name: str) -> None:
    assert signed_in.post("/profile", data={"name": name}).status_code == 303
    db.session.refresh(owner)
    assert owner.name == name
    page = signed_in.get("/profile").text
    assert "Saved." in page
    assert "<b>Alice" not in page


@pytest.mark.parametrize("name", ["x" * 201, "a\x00b", "a\nb"])
def test_an_invalid_name_is_refused_and_shown_again(signed_in: FlaskClient, owner: User, name: str) -> None:
    answer = signed_in.post("/profile", data={"name": name})
    assert answer.status_code == 422
    assert 'id="name-error"' in answer.text
    db.session.refresh(owner)
    assert owner.name == ""


def test_a_new_password_ends_other_sessions_and_not_this_one(app: Flask, signed_in: FlaskClient, owner: User) -> None:
    other, staying = sign_in(app, "alice@example.com"), app.test_client()
    staying.post("/login", data={"email": "alice@example.com", "password": PASSWORD, "remember": "y"})
    assert change(signed_in)[0] == 303
    assert "Other sessions are signed out." in signed_in.get("/profile").text
    assert other.get("/profile").status_code == 303
    assert staying.get("/profile").status_code == 303, "the cookie of Stay signed in must end too"
    assert users.authenticate("alice@example.com", NEW)


def test_stay_signed_in_survives_a_password_change(app: Flask, owner: User) -> None:
    client = app.test_client()
    client.post("/login", data={"email": "alice@example.com", "password": PASSWORD, "remember": "y"})
    assert change(client)[0] == 303
    client.delete_cookie("leadhook")
    assert client.get("/profile").status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "again", "words"),
    [
        ("wrong", NEW, NEW, "This is not your current password."),
        (PASSWORD, NEW, "different", "The two new passwords are not the same."),
        (PASSWORD, "short", "short", "A password needs at least 8 characters."),
        (PASSWORD, "", "", "Enter a new password."),
        ("", NEW, NEW, "Enter your current password."),
    ],
)
def test_a_refused_change_says_why(
    signed_in: FlaskClient, owner: User, current: str, new: str, again: str, words: str
) -> None:
    code, page = change(signed_in, current, new, again)
    assert code == 422
    assert words in page
    assert f'value="{NEW}"' not in page
    assert users.authenticate("alice@example.com", PASSWORD)
    assert signed_in.get("/profile").status_code == 200


def test_guesses_of_the_current_password_are_limited(signed_in: FlaskClient, owner: User) -> None:
    codes = [change(signed_in, "wrong")[0] for _ in range(11)]
    assert codes == [422] * 10 + [429]
    assert "Try again in 15 minutes." in change(signed_in)[1]


def test_the_profile_needs_sign_in(client: FlaskClient) -> None:
    for answer in (client.get("/profile"), client.post("/profile"), client.post("/profile/password")):
        assert answer.status_code == 303
        assert answer.location.startswith("/login")
