"""The account that a key belongs to, and the key itself: the first call of a program that tries its key."""

from typing import Annotated

import msgspec
from msgspec import Meta

from webapp.blueprints.api.shapes import Moment, moment
from webapp.extensions import db
from webapp.models import Account, Scope
from webapp.web.api import keys
from webapp.web.api.operations import operation


class KeyResource(msgspec.Struct):
    id: str
    name: str
    access: Annotated[str, Meta(description="private or public.")]
    scopes: Annotated[list[str], Meta(description="read, write, capture; later versions may have more.")]
    interfaces: Annotated[list[str] | None, Meta(description="The ids of the only interfaces it reaches; null: all.")]
    expires_at: Moment | None


class AccountResource(msgspec.Struct):
    name: str
    created_at: Moment
    key: KeyResource


EXAMPLE = {
    "name": "Example Solar",
    "created_at": "2026-11-01T09:30:00.000Z",
    "key": {
        "id": "key_9dKq2LmXa7Tz",
        "name": "CRM sync",
        "access": "private",
        "scopes": ["read", "write"],
        "interfaces": None,
        "expires_at": "2027-11-01T09:30:00.000Z",
    },
}


@operation(
    "GET", "/account", "Get the account", tag="Account", scope=Scope.READ, answer=AccountResource, example=EXAMPLE
)
def get_account() -> AccountResource:
    caller, account = keys.caller(), db.session.get_one(Account, keys.account_id())
    key = KeyResource(
        id=caller.public_id,
        name=caller.name,
        access=caller.access.value,
        scopes=[scope.value for scope in caller.scopes],
        interfaces=None if caller.interfaces is None else list(caller.interfaces),
        expires_at=moment(caller.expires_at),
    )
    return AccountResource(account.name, moment(account.created_at), key)
