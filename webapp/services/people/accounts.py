"""Tenants."""

from webapp import text
from webapp.extensions import db
from webapp.models import Account
from webapp.services.errors import refusing


def create(name: str) -> Account:
    """A new account without users; Refused for a name that cannot be kept."""
    with refusing("account"):
        name = text.line(name, "The account's name", 200)
    account = Account(name=name)
    db.session.add(account)
    db.session.flush()
    return account
