"""Users: who signs in, and with which password."""

import time
from statistics import median

import pytest
from flask import Flask

from tests.conftest import PASSWORD
from tests.support import once
from tests.support.people import join
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Account, Role, User
from webapp.services.errors import Refused
from webapp.services.people import users


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed as slowly as in the product. Other tests hash faster."""
    monkeypatch.setattr(users, "HASHER", once.HASHER)
    monkeypatch.setattr(users, "_UNKNOWN_USER_HASH", once.UNKNOWN_USER_HASH)


def test_the_first_owner_is_the_operator_and_the_second_is_not(owner: User) -> None:
    with transaction():
        second = users.create_owner("Bob@Example.com", PASSWORD, "Bob's Boats")
    assert owner.is_operator
    assert owner.role == second.role == Role.OWNER
    assert not second.is_operator
    assert second.email == "bob@example.com"
    assert second.account_id != owner.account_id


@pytest.mark.parametrize(
    ("email", "password", "account", "field"),
    [
        ("ALICE@example.com", PASSWORD, "Twice", "email"),
        ("no address", PASSWORD, "No address", "email"),
        ("x@example.com\nBcc: y@example.com", PASSWORD, "Header", "email"),
        ("bob@example.com", "short", "Weak", "password"),
        ("bob@example.com", "x" * 1001, "Endless", "password"),
        ("bob@example.com", "bob@example.com", "Its own address", "password"),
        ("bob@example.com", "aaaaaaaaaaaa", "One character", "password"),
        ("bob@example.com", PASSWORD, "", "account"),
        ("bob@example.com", PASSWORD, "x" * 201, "account"),
        ("bob@example.com", PASSWORD, "a\x00b", "account"),
    ],
)
def test_an_owner_is_refused_with_a_sentence(owner: User, email: str, password: str, account: str, field: str) -> None:
    with pytest.raises(Refused) as refusal, transaction():
        users.create_owner(email, password, account)
    assert refusal.value.field == field
    assert str(refusal.value).endswith(".")
    assert db.session.query(Account).count() == 1, "the transaction leaves nothing behind"


def test_what_is_checked_for_an_unknown_address_costs_what_a_password_costs() -> None:
    assert not once.HASHER.check_needs_rehash(once.UNKNOWN_USER_HASH)


def test_a_password_is_stored_only_as_argon2id(hashing: None, app: Flask) -> None:
    with transaction():
        owner = users.create_owner("bob@example.com", PASSWORD, "Sunnyside")
    assert owner.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in owner.password_hash


def test_only_the_right_password_signs_in(owner: User) -> None:
    assert users.authenticate("alice@example.com", PASSWORD) is owner
    assert users.authenticate(" ALICE@example.com ", PASSWORD) is owner
    for email, password in (
        ("alice@example.com", PASSWORD + " "),
        ("alice@example.com", ""),
        ("alice@example.com", "x" * 100_000),
        ("alice@example.com\x00", "wrong"),
        ("unknown@example.com", PASSWORD),
        ("", ""),
        ("' OR 1=1 --", PASSWORD),
    ):
        assert users.authenticate(email, password) is None


def test_accents_match_however_the_keyboard_composes_them(app: Flask) -> None:
    with transaction():
        users.create_owner("zoe@example.com", "pre\u0301cision suisse", "Zoé")
    assert users.authenticate("zoe@example.com", "pr\u00e9cision suisse")


def test_no_transaction_is_open_while_a_password_is_hashed(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, open_transactions = users.HASHER, []

    class Watched:
        def verify(self, *args: str | bytes) -> bool:
            open_transactions.append(db.session().in_transaction())
            return hasher.verify(*args)

        def hash(self, *args: str | bytes) -> str:
            open_transactions.append(db.session().in_transaction())
            return hasher.hash(*args)

    monkeypatch.setattr(users, "HASHER", Watched())
    with transaction():
        users.authenticate("alice@example.com", PASSWORD)
    with transaction():
        users.change_password(owner.id, PASSWORD, "another good one")
    with transaction():
        users.create_owner("bob@example.com", PASSWORD, "Bob's Boats")
    assert open_transactions == [False] * 4


def test_an_unknown_address_takes_as_long_as_a_wrong_password(hashing: None, app: Flask) -> None:
    """The same Argon2 work is done. The ratio is generous, because the machine is also busy with other things."""
    with transaction():
        users.create_owner("bob@example.com", PASSWORD, "Sunnyside")

    def seconds(email: str) -> float:
        begun = time.process_time()
        users.authenticate(email, "wrong")
        return time.process_time() - begun

    known = median(seconds("bob@example.com") for _ in range(7))
    unknown = median(seconds("unknown@example.com") for _ in range(7))
    assert 0.5 < unknown / known < 2


def test_a_changed_password_ends_sessions_and_replaces_the_old_one(owner: User) -> None:
    before = owner.session_version
    with transaction():
        users.change_password(owner.id, PASSWORD, "another good one")
    assert owner.session_version == before + 1
    assert users.authenticate("alice@example.com", PASSWORD) is None
    assert users.authenticate("alice@example.com", "another good one")


@pytest.mark.parametrize("meanwhile", ["a new password", "removed"])
def test_a_user_who_changes_while_the_password_is_checked_is_not_signed_in(
    owner: User, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    admin = join(owner, Role.ADMIN, "bob@example.com")
    with transaction():
        users.set_password("bob@example.com", PASSWORD)
    matches = users._matches

    def slowly(password_hash: str, password: str) -> bool:
        monkeypatch.setattr(users, "_matches", matches)
        with transaction():
            if meanwhile == "removed":
                users.remove(admin, by=owner)
            else:
                users.set_password("bob@example.com", "another good one")
        return matches(password_hash, password)

    monkeypatch.setattr(users, "_matches", slowly)
    assert users.authenticate("bob@example.com", PASSWORD) is None


@pytest.mark.parametrize(
    ("current", "new", "field"), [("wrong", "another good one", "current"), (PASSWORD, "x", "new")]
)
def test_a_refused_change_of_password_names_the_form_field(owner: User, current: str, new: str, field: str) -> None:
    with pytest.raises(Refused) as refusal, transaction():
        users.change_password(owner.id, current, new)
    assert refusal.value.field == field
    assert users.authenticate("alice@example.com", PASSWORD)
