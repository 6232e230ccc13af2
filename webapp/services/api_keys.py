"""Rows of the API Keys page: Shared Tokens, which sign webhooks, and API Keys, which open the REST API.

A secret leaves this module once, with the row that was made for it.
"""

import hashlib
import secrets
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import NotFound

from webapp import text
from webapp.clock import utcnow
from webapp.encryption import encrypt
from webapp.extensions import db
from webapp.ids import BASE62
from webapp.models import ApiKey, Interface, KeyAccess, KeyType, Webhook
from webapp.services.errors import Refused, refusing
from webapp.webhooks.signing import generate_secret

PREFIXES = {KeyAccess.PRIVATE: "lhk_", KeyAccess.PUBLIC: "lhp_"}
KEY_LENGTH = 43  # characters of 62: 256 bits


def get(account_id: int, public_id: str) -> ApiKey:
    """The account's row, revoked or not; NotFound for any other."""
    found = db.session.scalar(select(ApiKey).where(ApiKey.account_id == account_id, ApiKey.public_id == public_id))
    if found is None:
        raise NotFound
    return found


def live(account_id: int) -> Sequence[ApiKey]:
    """All that are not revoked, by name."""
    query = select(ApiKey).where(ApiKey.account_id == account_id, ApiKey.revoked_at.is_(None))
    return db.session.scalars(query.order_by(ApiKey.name, ApiKey.id)).all()


def shared_tokens(account_id: int) -> list[ApiKey]:
    """The Shared Tokens an interface of the account can sign with, by name."""
    return [key for key in live(account_id) if key.type == KeyType.SHARED_TOKEN]


def create_shared_token(account_id: int, user_id: int | None, name: str) -> tuple[ApiKey, str]:
    """A new Shared Token and its secret; Refused for a name that is taken or cannot be kept."""
    secret = generate_secret()
    key = ApiKey(type=KeyType.SHARED_TOKEN, secret_encrypted=encrypt(secret), hint=f"whsec_…{secret.rstrip('=')[-4:]}")
    return _added(key, account_id, user_id, name), secret


def create_api_key(account_id: int, user_id: int | None, name: str, access: KeyAccess) -> tuple[ApiKey, str]:
    """A new API Key, private or public, and its secret; refused as a Shared Token is."""
    secret = PREFIXES[access] + "".join(secrets.choice(BASE62) for _ in range(KEY_LENGTH))
    hint = f"{PREFIXES[access]}…{secret[-4:]}"
    return _added(
        ApiKey(type=KeyType.API_KEY, access=access, secret_hash=digest(secret), hint=hint), account_id, user_id, name
    ), secret


def digest(secret: str) -> str:
    """What is kept of an API Key. It is random, so that one round of SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def revoke(key: ApiKey) -> None:
    """Ends the key for good; a second time changes nothing. Refused, naming them, while interfaces sign with it."""
    db.session.refresh(key, with_for_update=True)  # no interface may choose it between the look and the end
    users = interfaces_using(key)
    if users:
        names = ", ".join(f"“{interface.name}”" for interface in users[:3])
        more = f" and {len(users) - 3} more" if len(users) > 3 else ""
        verb = "signs" if len(users) == 1 else "sign"
        raise Refused(f"{names}{more} {verb} with this Shared Token. Choose another there first, then revoke this one.")
    key.revoked_at = key.revoked_at or utcnow()


def interfaces_using(key: ApiKey) -> Sequence[Interface]:
    """The interfaces that sign with this token, by name; deleted ones do not count."""
    query = select(Interface).join(Webhook).where(Webhook.shared_token_id == key.id, Interface.archived_at.is_(None))
    return db.session.scalars(query.order_by(Interface.name, Interface.id)).all()


def used_by(account_id: int) -> dict[int, list[Interface]]:
    """The interfaces that sign with each of the account's tokens, by the token's id."""
    query = (
        select(Webhook.shared_token_id, Interface)
        .join(Interface)
        .where(
            Interface.account_id == account_id, Interface.archived_at.is_(None), Webhook.shared_token_id.is_not(None)
        )
        .order_by(Interface.name, Interface.id)
    )
    found: dict[int, list[Interface]] = {}
    for key_id, interface in db.session.execute(query):
        found.setdefault(key_id or 0, []).append(interface)
    return found


def _added(key: ApiKey, account_id: int, user_id: int | None, name: str) -> ApiKey:
    with refusing("name"):
        key.name = text.line(name, "The name", 100)
    key.account_id, key.created_by_id = account_id, user_id
    taken = select(ApiKey.id).where(
        ApiKey.account_id == account_id, ApiKey.name == key.name, ApiKey.revoked_at.is_(None)
    )
    refusal = Refused(f"There is a key named “{key.name}” already. Choose another name, or revoke that one.", "name")
    if db.session.scalar(taken):
        raise refusal
    db.session.add(key)
    try:
        db.session.flush()
    except IntegrityError:  # a second click was quicker
        raise refusal from None
    return key
