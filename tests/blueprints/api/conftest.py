"""Programs that call the API of the owner's account."""

import pytest
from flask import Flask

from tests.support.api import Caller, caller
from webapp.models import User


@pytest.fixture
def program(app: Flask, owner: User) -> Caller:
    """With a private key that may do everything."""
    return caller(app, owner.account_id)


@pytest.fixture
def page(app: Flask, owner: User) -> Caller:
    """A page with a public key."""
    return caller(app, owner.account_id, public=True, name="Web page")
