"""Accounts. Each account is a tenant."""

from webapp import text
from webapp.extensions import db
from webapp.models import Account
from webapp.services.errors import refusing


def create(name: str) -> Account:
    """Creates an account without users. Raises Refused if the name is not valid."""
    with refusing("account"):
        name = text.line(name, "The account's name", 200)
    account = Account(name=name)
    db.session.add(account)
    db.session.flush()
    return account
