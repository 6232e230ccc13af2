"""A program that calls the REST API with a key."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from webapp.db.transactions import transaction
from webapp.models import KeyAccess, Scope
from webapp.services import api_keys
from webapp.services.key_access import Grant

BASE = "/api/v1"


class Caller:
    """Calls addresses below /api/v1 with one key; without a cookie."""

    def __init__(self, client: FlaskClient, secret: str | None) -> None:
        self.client, self.secret = client, secret

    def call(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        headers |= more.pop("headers", {})
        path = path if path.startswith("/api/") else f"{BASE}{path}"
        return self.client.open(path, method=method, headers=headers, buffered=True, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.call("GET", path, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> TestResponse:
        return self.call("POST", path, json={} if json is None else json, **more)

    def patch(self, path: str, json: Any, **more: Any) -> TestResponse:
        return self.call("PATCH", path, json=json, **more)


def key_for(
    account_id: int,
    *scopes: Scope,
    public: bool = False,
    lasts: timedelta | None = None,
    only: Sequence[str] | None = None,
    name: str = "Program",
) -> str:
    """The secret of a new key; without scopes it has all."""
    access = KeyAccess.PUBLIC if public else KeyAccess.PRIVATE
    with transaction():
        return api_keys.create_api_key(account_id, None, name, access, Grant(scopes or None, lasts, only))[1]


def caller(app: Flask, account_id: int, *scopes: Scope, **more: Any) -> Caller:
    """A program with a new key: see `key_for`."""
    return Caller(app.test_client(), key_for(account_id, *scopes, **more))
