"""Shared Tokens, which sign webhooks: list, create, get, rotate, revoke. They belong to the account."""

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from werkzeug.exceptions import NotFound

from webapp.blueprints.api.shapes import Moment, Next, Nothing, PageQuery, moment
from webapp.clock import moment as at
from webapp.db.transactions import transaction
from webapp.models import ApiKey, KeyType, PreviousSecret, Scope
from webapp.services import api_keys
from webapp.services.api_keys import LONGEST_OVERLAP, OVERLAP
from webapp.web.api import cursors, keys
from webapp.web.api.operations import BASE, Answered, operation
from webapp.web.api.problems import Problem

HOUR = timedelta(hours=1)


class OldSecret(msgspec.Struct):
    """The secret from before the last rotation, while it also signs."""

    hint: str
    until: Moment


class SharedTokenResource(msgspec.Struct):
    id: str
    name: str
    hint: Annotated[str, Meta(description="The end of its secret.")]
    previous: Annotated[OldSecret | None, Meta(description="The old secret, while it also signs after a rotation.")]
    created_at: Moment
    revoked_at: Moment | None


class SharedTokenList(msgspec.Struct):
    data: list[SharedTokenResource]
    next: Next


class SharedTokenSecret(SharedTokenResource):
    secret: Annotated[str | None, Meta(description="This once; null for one that you sent.")]


class NewSharedToken(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=100)]
    existing: Annotated[str, Meta(description="A secret that your receivers have already: whsec_ and Base64.")] = ""


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    overlap_hours: Annotated[
        int, Meta(ge=0, le=LONGEST_OVERLAP // HOUR, description="How long the old secret also signs.")
    ] = OVERLAP // HOUR
    force: Annotated[bool, Meta(description="Also during the overlap of an earlier rotation, which ends now.")] = False


EXAMPLE: dict[str, Any] = {
    "id": "key_9dKq2LmXa7Tz",
    "name": "CRM receiver",
    "hint": "whsec_…q7Rd",
    "previous": None,
    "created_at": "2026-11-01T09:30:00.000Z",
    "revoked_at": None,
}
CREATED = {**EXAMPLE, "secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
ROTATED = {**CREATED, "previous": {"hint": "whsec_…x9Lm", "until": "2026-11-24T08:00:00.000Z"}}
COMMON: dict[str, Any] = {"tag": "Shared Tokens", "of_account": True}


@operation(
    "GET",
    "/shared-tokens",
    "List Shared Tokens",
    scope=Scope.READ,
    query=PageQuery,
    answer=SharedTokenList,
    example={"data": [EXAMPLE], "next": None},
    about="Without revoked ones.",
    **COMMON,
)
def list_shared_tokens(query: PageQuery) -> SharedTokenList:
    page = api_keys.page_of_tokens(keys.account_id(), cursors.row_of(query.cursor), query.limit)
    previous = api_keys.previous_secrets(keys.account_id())
    return SharedTokenList([_resource(each, previous.get(each.id)) for each in page.rows], cursors.cursor_of(page.next))


@operation(
    "POST",
    "/shared-tokens",
    "Create a Shared Token",
    scope=Scope.WRITE,
    body=NewSharedToken,
    sends={"name": "CRM receiver"},
    answer=SharedTokenSecret,
    status=201,
    example=CREATED,
    about="A webhook signs with it once its authentication names it. The secret is answered this once.",
    **COMMON,
)
def create_shared_token(body: NewSharedToken) -> Answered:
    existing = body.existing.strip()
    with transaction():
        key, secret = api_keys.create_shared_token(keys.account_id(), None, body.name, existing)
        made = _with_secret(key, None if existing else secret)
    return Answered(made, headers={"Location": f"{BASE}/shared-tokens/{made.id}"})


@operation(
    "GET",
    "/shared-tokens/<token_id>",
    "Get a Shared Token",
    scope=Scope.READ,
    answer=SharedTokenResource,
    example=EXAMPLE,
    **COMMON,
)
def get_shared_token(token_id: str) -> SharedTokenResource:
    key = _token(token_id)
    return _resource(key, api_keys.previous(key))


@operation(
    "POST",
    "/shared-tokens/<token_id>/rotate",
    "Rotate a Shared Token",
    scope=Scope.WRITE,
    body=Rotation,
    sends={"overlap_hours": 24},
    answer=SharedTokenSecret,
    example=ROTATED,
    about="A new secret, answered this once. The old one also signs meanwhile, so that no receiver refuses a lead. 409 "
    "while the overlap of an earlier rotation lasts.",
    **COMMON,
)
def rotate_shared_token(token_id: str, body: Rotation) -> SharedTokenSecret:
    key = _token(token_id)
    with transaction():
        if not body.force and (before := api_keys.previous(key)):
            words = f"The secret before this one, {before.hint}, also still signs. Send force to end it now."
            raise Problem(409, words)
        secret = api_keys.rotate(key, body.overlap_hours * HOUR, force=body.force)
        return _with_secret(key, secret)


@operation(
    "POST",
    "/shared-tokens/<token_id>/end-previous",
    "End the old secret",
    scope=Scope.WRITE,
    body=Nothing,
    sends={},
    answer=SharedTokenResource,
    example=EXAMPLE,
    about="Ends the overlap of a rotation now: only the newest secret signs.",
    **COMMON,
)
def end_previous_secret(token_id: str, body: Nothing) -> SharedTokenResource:
    key = _token(token_id)
    with transaction():
        api_keys.revoke_previous(key)
        return _resource(key, None)


@operation(
    "POST",
    "/shared-tokens/<token_id>/revoke",
    "Revoke a Shared Token",
    scope=Scope.WRITE,
    body=Nothing,
    sends={},
    answer=SharedTokenResource,
    example={**EXAMPLE, "revoked_at": "2026-11-24T08:00:00.000Z"},
    about="For ever. 409 while a webhook signs with it.",
    **COMMON,
)
def revoke_shared_token(token_id: str, body: Nothing) -> SharedTokenResource:
    key = _token(token_id)
    with transaction():
        api_keys.revoke(key)
        return _resource(key, None)


def _token(public_id: str) -> ApiKey:
    key = api_keys.get(keys.account_id(), public_id)
    if key.type != KeyType.SHARED_TOKEN:
        raise NotFound
    return key


def _with_secret(key: ApiKey, secret: str | None) -> SharedTokenSecret:
    return SharedTokenSecret(**_values(key, api_keys.previous(key)), secret=secret)


def _resource(key: ApiKey, previous: PreviousSecret | None) -> SharedTokenResource:
    return SharedTokenResource(**_values(key, previous))


def _values(key: ApiKey, previous: PreviousSecret | None) -> dict[str, Any]:
    return {
        "id": key.public_id,
        "name": key.name,
        "hint": key.hint,
        "previous": OldSecret(previous.hint, moment(at(previous.until))) if previous else None,
        "created_at": moment(key.created_at),
        "revoked_at": moment(key.revoked_at),
    }
