"""Ending a transaction before slow work never loses what its caller changed, and a request reads until it writes."""

import pytest
from flask import Flask
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from tests.conftest import ON_POSTGRESQL, PASSWORD
from webapp.db.transactions import end_transaction, read_autocommit, transaction
from webapp.extensions import db
from webapp.models import Account, User
from webapp.services.people import invitations, password_resets, users
from webapp.services.webhooks import webhooks


def name_of(user_id: int) -> str:
    with read_autocommit() as connection:
        return str(connection.execute(text("SELECT name FROM users WHERE id = :id"), {"id": user_id}).scalar_one())


SLOW = {
    "set_password": lambda user: users.set_password(user.email, "another good one"),
    "change_password": lambda user: users.change_password(user.id, PASSWORD, "another good one"),
    "create_owner": lambda user: users.create_owner("new@example.com", PASSWORD, "New"),
    "authenticate": lambda user: users.authenticate(user.email, PASSWORD),
    "accept": lambda user: invitations.accept("token", "Name", PASSWORD),
    "use": lambda user: password_resets.use("token", PASSWORD),
    "check_reachable": lambda user: webhooks.check_reachable("https://192.0.2.1/"),
}


@pytest.mark.parametrize("slow", SLOW)
def test_slow_work_after_a_change_is_refused_and_the_change_is_not_half_kept(owner: User, slow: str) -> None:
    user_id = owner.id

    def rename_first() -> None:
        with transaction():
            users.rename(owner, "Ada")
            SLOW[slow](owner)

    with pytest.raises(RuntimeError, match="changes that ending it would lose"):
        rename_first()
    assert name_of(user_id) == ""


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no server that could close a connection")
def test_a_transaction_that_the_server_ended_can_be_ended(app: Flask) -> None:
    """As at a start: PostgreSQL goes away while a process rehearses, which must not end it."""
    own = db.session.scalar(text("SELECT pg_backend_pid()"))
    with db.engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
    with pytest.raises(DBAPIError):
        db.session.scalar(text("SELECT 1"))
    end_transaction()
    assert db.session.scalar(text("SELECT 1")) == 1


def test_a_change_that_was_flushed_is_a_change(owner: User) -> None:
    with transaction():
        users.rename(owner, "Ada")
        db.session.flush()
        with pytest.raises(RuntimeError):
            end_transaction()


@pytest.mark.parametrize(
    "change",
    [
        lambda: db.session.execute(update(User).values(name="Ada")),
        lambda: db.session.connection().execute(update(User).values(name="Ada")),
        lambda: db.session.add(Account(name="New")),
        lambda: db.session.delete(db.session.scalars(select(User)).one()),
    ],
    ids=["by the session", "by its connection", "a new row", "a deleted row"],
)
def test_every_kind_of_change_is_a_change(owner: User, change: object) -> None:
    assert callable(change)
    with transaction():
        change()
        with pytest.raises(RuntimeError):
            end_transaction()
        db.session.rollback()


def test_what_only_read_is_ended(owner: User) -> None:
    with transaction():
        db.session.scalars(select(User).with_for_update()).one()
        end_transaction()
        assert not db.session().in_transaction()
        users.rename(db.session.scalars(select(User)).one(), "Ada")
    assert name_of(owner.id) == "Ada"
    db.session.rollback()
    end_transaction()  # where there is none, nothing happens


def test_the_slow_work_may_come_first(owner: User) -> None:
    with transaction():
        user = users.set_password(owner.email, "another good one")
        users.rename(user, "Ada")
    assert name_of(user.id) == "Ada"


def test_a_change_outside_of_transaction_is_not_lost_in_a_request_but_refused(app: Flask, owner: User) -> None:
    with app.test_request_context("/", method="POST"):
        user = db.session.scalars(select(User)).one()
        user.name = "Ada"
        with pytest.raises(RuntimeError), transaction():
            pass


def test_rows_read_before_are_read_again_within(app: Flask, owner: User) -> None:
    with app.test_request_context("/", method="POST"):
        user = db.session.scalars(select(User)).one()
        with transaction():
            assert user.name == ""
            user.name = "Ada"
        assert user.name == "Ada"
