"""Rows of the API Keys page: Shared Tokens, which sign webhooks, and API Keys, which open the REST API.

A secret leaves this module once, with the row that was made for it.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import NotFound

from webapp import text
from webapp.clock import now_sql, utcnow
from webapp.encryption import CannotDecrypt, encrypt, renewed
from webapp.extensions import db
from webapp.ids import BASE62
from webapp.models import ApiKey, Interface, KeyAccess, KeyType, PreviousSecret, Webhook
from webapp.services import audit
from webapp.services.errors import Refused, refusing
from webapp.webhooks.signing import generate_secret

PREFIXES = {KeyAccess.PRIVATE: "lhk_", KeyAccess.PUBLIC: "lhp_"}
KEY_LENGTH = 43  # characters of 62: 256 bits
OVERLAP = timedelta(hours=24)  # after a rotation, unless another is chosen
LONGEST_OVERLAP = timedelta(days=7)


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
    key = ApiKey(type=KeyType.SHARED_TOKEN, secret_encrypted=encrypt(secret), hint=_hint(secret))
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
    if key.revoked_at:
        return
    key.revoked_at = utcnow()
    db.session.execute(delete(PreviousSecret).where(PreviousSecret.key_id == key.id))
    _record("key.revoked", key)


def rotate(key: ApiKey, overlap: timedelta, force: bool = False) -> str:
    """Gives a Shared Token a new secret, returned this once; the old one signs too for `overlap`, up to seven days.

    Refused for an API Key, for a revoked token, and while an earlier overlap goes on; `force` ends that one at once.
    """
    db.session.refresh(key, with_for_update=True)
    if key.type != KeyType.SHARED_TOKEN or key.revoked_at or key.secret_encrypted is None:
        raise Refused("Only a Shared Token that is not revoked can be rotated. Make a new key instead.")
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise Refused("The old secret can go on signing for 0 to 168 hours.", "overlap")
    before = previous(key)
    if before and not force:
        raise Refused(
            f"The secret before this one, {before.hint}, still signs, too. If your receivers know the present one, "
            "end the old one first; or tick the box to end it by rotating.",
            "force",
        )
    db.session.execute(delete(PreviousSecret).where(PreviousSecret.key_id == key.id))
    if overlap:
        old = PreviousSecret(key_id=key.id, secret_encrypted=key.secret_encrypted, hint=key.hint)
        old.until = now_sql() + overlap.total_seconds()
        db.session.add(old)
    secret = generate_secret()
    key.secret_encrypted, key.hint = encrypt(secret), _hint(secret)
    hours = overlap.total_seconds() / 3600
    how_long = f"{hours:g} hour{'' if hours == 1 else 's'}" if overlap else "no time"
    _record("key.rotated", key, f"the old secret signs for {how_long}{', an older one ended' if before else ''}")
    return secret


def previous(key: ApiKey) -> PreviousSecret | None:
    """The secret before the present one, while it still signs."""
    signs = select(PreviousSecret).where(PreviousSecret.key_id == key.id, PreviousSecret.until > now_sql())
    return db.session.scalar(signs.execution_options(populate_existing=True))


def revoke_previous(key: ApiKey) -> None:
    """Ends the overlap of a rotation now; where there is none, nothing."""
    db.session.refresh(key, with_for_update=True)
    gone = db.session.scalar(delete(PreviousSecret).where(PreviousSecret.key_id == key.id).returning(PreviousSecret))
    if gone:
        _record("key.previous_revoked", key)


def previous_secrets(account_id: int) -> dict[int, PreviousSecret]:
    """The secrets before the present ones that still sign, by their key's id."""
    signing = select(PreviousSecret).join(ApiKey).where(ApiKey.account_id == account_id)
    found = db.session.scalars(signing.where(PreviousSecret.until > now_sql()))
    return {secret.key_id: secret for secret in found}


def reencrypt_all() -> dict[str, int]:
    """Puts every secret under the newest of ENCRYPTION_KEYS, of all accounts; counts `secrets`, `reencrypted` and
    `unreadable`, which none of the keys opens: these stay as they are. A second time does nothing."""
    counts = {"secrets": 0, "reencrypted": 0, "unreadable": 0}
    rows: list[ApiKey | PreviousSecret] = []
    rows += db.session.scalars(select(ApiKey).where(ApiKey.secret_encrypted.is_not(None)).with_for_update())
    rows += db.session.scalars(select(PreviousSecret).with_for_update())
    for row in rows:
        counts["secrets"] += 1
        try:
            anew = renewed(row.secret_encrypted or b"")
        except CannotDecrypt:
            counts["unreadable"] += 1
            continue
        if anew:
            row.secret_encrypted = anew
            counts["reencrypted"] += 1
    audit.record("key.reencrypted", None, detail=f"{counts['reencrypted']} of {counts['secrets']}")
    return counts


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


def _hint(secret: str) -> str:
    return f"whsec_…{secret.rstrip('=')[-4:]}"


def _record(action: str, key: ApiKey, detail: str = "") -> None:
    audit.record(action, key.account_id, key.name, target_id=key.public_id, detail=detail)


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
    _record("key.created", key, "Shared Token" if key.type == KeyType.SHARED_TOKEN else f"API Key, {key.access}")
    return key
