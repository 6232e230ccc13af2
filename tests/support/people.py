"""Users of an account, signed in without a password, because hashing is slow."""

import re
from contextvars import Context

from flask import Flask
from flask.testing import FlaskClient

from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Mail, Role, User
from webapp.services.mail import sealed
from webapp.services.people.users import NO_PASSWORD


def join(owner: User, role: Role, email: str | None = None, name: str = "") -> User:
    """Adds a user to the owner's account. No password signs in this user."""
    email = email or f"{role.value}@example.com"
    with transaction():
        user = User(account_id=owner.account_id, email=email, name=name, role=role, password_hash=NO_PASSWORD)
        db.session.add(user)
    return user


def as_user(app: Flask, user: User) -> FlaskClient:
    """A test client in which the user is signed in."""
    key = user.get_id()
    client = app.test_client()

    def put() -> None:
        with client.session_transaction() as session:
            session["_user_id"], session["_fresh"] = key, True

    Context().run(put)  # not in the test's context: the request would end the test's database session
    return client


def token_in(mail: Mail) -> str:
    """The token of the link in a mail."""
    [token] = re.findall(r"/(?:invitations|reset-password)/([\w-]+)", sealed.bodies(mail).body_text)
    return str(token)


def last_mail() -> Mail:
    db.session.rollback()
    return db.session.query(Mail).order_by(Mail.id.desc()).first()


def last_token() -> str:
    """The token of the link in the last mail. Leaves no transaction open: on SQLite that would lock out a site."""
    token = token_in(last_mail())
    db.session.rollback()
    return token
