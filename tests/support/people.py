"""Users of an account, signed in without the work of a password."""

import re
from contextvars import Context

from flask import Flask
from flask.testing import FlaskClient

from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Mail, Role, User
from webapp.services.people.users import NO_PASSWORD


def join(owner: User, role: Role, email: str | None = None, name: str = "") -> User:
    """Another user of the owner's account. Nobody can sign in as them by a password."""
    email = email or f"{role.value}@example.com"
    with transaction():
        user = User(account_id=owner.account_id, email=email, name=name, role=role, password_hash=NO_PASSWORD)
        db.session.add(user)
    return user


def as_user(app: Flask, user: User) -> FlaskClient:
    """A browser in which that user has signed in."""
    key = user.get_id()
    client = app.test_client()

    def put() -> None:
        with client.session_transaction() as session:
            session["_user_id"], session["_fresh"] = key, True

    Context().run(put)  # not in the test's own: its request would take the test's database session with it
    return client


def token_in(mail: Mail) -> str:
    """The token of the link in a mail."""
    [token] = re.findall(r"/(?:invitations|reset-password)/([\w-]+)", mail.body_text)
    return str(token)


def last_mail() -> Mail:
    db.session.rollback()
    return db.session.query(Mail).order_by(Mail.id.desc()).first()


def last_token() -> str:
    """The token of the link in the last mail; no transaction is left open, which on SQLite locks out a site."""
    token = token_in(last_mail())
    db.session.rollback()
    return token
