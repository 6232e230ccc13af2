"""Language models that speak MCP with a key of the owner's account."""

import pytest
from flask import Flask

from tests.support.mcp import Model, model
from webapp.models import User


@pytest.fixture
def new(app: Flask, owner: User) -> Model:
    """A client of revision 2026-07-28, with a key that may do everything."""
    return model(app, owner.account_id, name="New")


@pytest.fixture
def old(new: Model) -> Model:
    """The same key, as clients before that speak."""
    return Model(new.client, new.secret, is_new=False)
