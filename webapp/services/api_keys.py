"""Rows of the API Keys page: Shared Tokens, which sign webhooks, and API Keys, which give access to the REST API.

A secret leaves this module only once, when it is created.
"""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, load_only
from werkzeug.exceptions import NotFound

from webapp import text
from webapp.clock import now_sql, utcnow
from webapp.db.pages import Page, read_page
from webapp.delivery import states
from webapp.encryption import CannotDecrypt, decrypt, encrypt, renewed
from webapp.extensions import db
from webapp.ids import BASE62
from webapp.models import ApiKey, Interface, KeyAccess, KeyType, Lane, Mail, PreviousSecret, Webhook
from webapp.services import audit, key_access
from webapp.services.errors import Refused, refusing
from webapp.services.key_access import EVERYTHING, Grant, digest
from webapp.webhooks.signing import decode_secret, generate_secret

PREFIXES = {KeyAccess.PRIVATE: "lhk_", KeyAccess.PUBLIC: "lhp_"}
KEY_LENGTH = 43  # characters of 62: 256 bits
OVERLAP = timedelta(hours=24)  # after a rotation, by default
LONGEST_OVERLAP = timedelta(days=7)
# All that is encrypted with ENCRYPTION_KEYS: Shared Tokens, the secrets of webhooks, and mails with links that sign
# someone in.
ENCRYPTED: tuple[InstrumentedAttribute[bytes | None] | InstrumentedAttribute[bytes], ...] = (
    ApiKey.secret_encrypted,
    PreviousSecret.secret_encrypted,
    Webhook.secrets_encrypted,
    Mail.body_encrypted,
)


def get(account_id: int, public_id: str) -> ApiKey:
    """The account's key, revoked or not. Raises NotFound for any other id."""
    found = db.session.scalar(select(ApiKey).where(ApiKey.account_id == account_id, ApiKey.public_id == public_id))
    if found is None:
        raise NotFound
    return found


def live(account_id: int) -> Sequence[ApiKey]:
    """The account's keys that are not revoked, sorted by name."""
    query = select(ApiKey).where(ApiKey.account_id == account_id, ApiKey.revoked_at.is_(None))
    return db.session.scalars(query.order_by(ApiKey.name, ApiKey.id)).all()


def shared_tokens(account_id: int) -> list[ApiKey]:
    """The Shared Tokens that an interface of the account can sign with, sorted by name."""
    return [key for key in live(account_id) if key.type == KeyType.SHARED_TOKEN]


def page_of_tokens(account_id: int, after: int | None, size: int) -> Page[ApiKey, int]:
    """The account's Shared Tokens that are not revoked after the one with the id `after`, newest first."""
    tokens = select(ApiKey).where(ApiKey.account_id == account_id, ApiKey.type == KeyType.SHARED_TOKEN)
    not_revoked = tokens.where(ApiKey.revoked_at.is_(None))
    return read_page(not_revoked, ApiKey.id, lambda key: int(key.id), before=None, after=after, size=size)


def create_shared_token(account_id: int, user_id: int | None, name: str, existing: str = "") -> tuple[ApiKey, str]:
    """Creates a Shared Token, from an existing secret if one is given. Returns it and its secret.

    Refused if the name is taken or not valid, and for a secret that cannot sign.
    """
    secret = existing or generate_secret()
    with refusing("existing"):
        decode_secret(secret)
    key = ApiKey(type=KeyType.SHARED_TOKEN, secret_encrypted=encrypt(secret), hint=_hint(secret))
    return _add(key, account_id, user_id, name), secret


def create_api_key(
    account_id: int, user_id: int | None, name: str, access: KeyAccess, grant: Grant = EVERYTHING
) -> tuple[ApiKey, str]:
    """Creates an API Key, private or public. Returns it and its secret.

    Raises Refused as for a Shared Token, and for a grant that its access or its account does not allow.
    """
    secret = PREFIXES[access] + "".join(secrets.choice(BASE62) for _ in range(KEY_LENGTH))
    hint = f"{PREFIXES[access]}…{secret[-4:]}"
    key = ApiKey(type=KeyType.API_KEY, access=access, secret_hash=digest(secret), hint=hint)
    key_access.give(key, grant, account_id)
    return _add(key, account_id, user_id, name), secret


def revoke(key: ApiKey) -> None:
    """Revokes the key permanently; a second call changes nothing.

    Raises Refused, with their names, while interfaces sign with the key.
    """
    db.session.refresh(key, with_for_update=True)  # no interface may choose it after the check
    users = interfaces_using(key)
    if _signs_events(key):
        raise Refused("The webhook for the account’s events signs with this Shared Token. Choose another there first.")
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
    """Gives a Shared Token a new secret, returned this once. The old one also signs for `overlap`, at most seven days.

    Raises Refused for an API Key, for a revoked token, and during an earlier overlap; `force` ends that overlap now.
    Failures of webhooks that sign with it are counted anew.
    """
    _begin_anew(key)
    db.session.refresh(key, with_for_update=True)
    if key.type != KeyType.SHARED_TOKEN or key.revoked_at or key.secret_encrypted is None:
        raise Refused("Only a Shared Token that is not revoked can be rotated. Create a new key instead.")
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise Refused("The old secret can continue to sign for 0 to 168 hours.", "overlap")
    before = previous(key)
    if before and not force:
        raise Refused(
            f"The previous secret, {before.hint}, also still signs. If your receivers know the current one, "
            "end the old one first, or tick the box to end it with this rotation.",
            "force",
        )
    db.session.execute(delete(PreviousSecret).where(PreviousSecret.key_id == key.id))
    if overlap:
        old = PreviousSecret(key_id=key.id, secret_encrypted=key.secret_encrypted, hint=key.hint)
        old.until = now_sql() + overlap.total_seconds()
        db.session.add(old)
    secret = generate_secret()
    key.secret_encrypted, key.hint = encrypt(secret), _hint(secret)
    # What *Examine my receiver* found was about the old secret.
    db.session.execute(update(Webhook).where(Webhook.shared_token_id == key.id).values(examination=None))
    hours = overlap.total_seconds() / 3600
    how_long = f"{hours:g} hour{'' if hours == 1 else 's'}" if overlap else "no time"
    _record("key.rotated", key, f"the old secret signs for {how_long}{', an older one ended' if before else ''}")
    return secret


def _begin_anew(key: ApiKey) -> None:
    """Before the key is locked: the engine locks a lane, then its token."""
    signing = db.session.scalars(select(Webhook.id).where(Webhook.shared_token_id == key.id).order_by(Webhook.id)).all()
    for webhook_id in signing:
        states.lock_lane(db.session.connection(), webhook_id)
    db.session.execute(update(Lane).where(Lane.webhook_id.in_(signing)).values(failures=0, failing_since=None))


def previous(key: ApiKey) -> PreviousSecret | None:
    """The secret before the current one, while it still signs."""
    signs = select(PreviousSecret).where(PreviousSecret.key_id == key.id, PreviousSecret.until > now_sql())
    return db.session.scalar(signs.execution_options(populate_existing=True))


def revoke_previous(key: ApiKey) -> None:
    """Ends the overlap of a rotation now. Does nothing if there is none."""
    db.session.refresh(key, with_for_update=True)
    deleted = db.session.scalar(delete(PreviousSecret).where(PreviousSecret.key_id == key.id).returning(PreviousSecret))
    if deleted:
        _record("key.previous_revoked", key)


def previous_secrets(account_id: int) -> dict[int, PreviousSecret]:
    """The previous secrets of the account that still sign, by the id of their key."""
    signing = select(PreviousSecret).join(ApiKey).where(ApiKey.account_id == account_id)
    found = db.session.scalars(signing.where(PreviousSecret.until > now_sql()))
    return {secret.key_id: secret for secret in found}


def reencrypt_all() -> dict[str, int]:
    """Encrypts all that is ENCRYPTED with the newest of ENCRYPTION_KEYS. A second call changes nothing.

    Returns the numbers of `secrets`, `reencrypted` and `unreadable`; no key decrypts an unreadable one, which
    stays as it is.
    """
    counts = {"secrets": 0, "reencrypted": 0, "unreadable": 0}
    for column in ENCRYPTED:
        rows = select(column.class_).where(column.is_not(None)).options(load_only(column)).with_for_update()
        for row in db.session.scalars(rows):
            counts["secrets"] += 1
            try:
                renewed_secret = renewed(getattr(row, column.key))
            except CannotDecrypt:
                counts["unreadable"] += 1
                continue
            if renewed_secret:
                setattr(row, column.key, renewed_secret)
                counts["reencrypted"] += 1
    audit.record("key.reencrypted", None, detail=f"{counts['reencrypted']} of {counts['secrets']}")
    return counts


def count_secrets() -> tuple[int, int]:
    """How many encrypted secrets the database holds, and how many of them no key of ENCRYPTION_KEYS reads."""
    kept = [secret for column in ENCRYPTED for secret in db.session.scalars(select(column).where(column.is_not(None)))]
    return len(kept), sum(not _is_readable(secret) for secret in kept)


def _is_readable(encrypted: bytes | None) -> bool:
    try:
        decrypt(encrypted or b"")
    except CannotDecrypt:
        return False
    return True


def interfaces_using(key: ApiKey) -> Sequence[Interface]:
    """The interfaces that sign with this token, sorted by name. Deleted interfaces do not count."""
    signing = select(Webhook.interface_id).where(Webhook.shared_token_id == key.id, Webhook.removed_at.is_(None))
    query = select(Interface).where(Interface.id.in_(signing), Interface.archived_at.is_(None))
    return db.session.scalars(query.order_by(Interface.name, Interface.id)).all()


def signs_for(public_id: str, interfaces: Sequence[str]) -> bool:
    """Whether a webhook of one of these interfaces, by their public ids, signs with the Shared Token of this public
    id."""
    signing = select(Webhook.id).join(Webhook.interface).join(Webhook.shared_token)
    of_interfaces = signing.where(Interface.public_id.in_(interfaces), Webhook.removed_at.is_(None))
    found = of_interfaces.where(ApiKey.public_id == public_id).limit(1)
    return public_id.isprintable() and db.session.scalar(found) is not None  # PostgreSQL refuses to look for a NUL


def _signs_events(key: ApiKey) -> bool:
    """Whether the webhook for the account's events, which has no interface, signs with this token."""
    of_events = select(Webhook.id).where(Webhook.shared_token_id == key.id, Webhook.interface_id.is_(None))
    return db.session.scalar(of_events.where(Webhook.removed_at.is_(None)).limit(1)) is not None


def used_by(account_id: int) -> dict[int, list[Interface]]:
    """For each of the account's tokens, by id: the interfaces that sign with it."""
    query = (
        select(Webhook.shared_token_id, Interface)
        .join(Interface)
        .where(Interface.account_id == account_id, Interface.archived_at.is_(None))
        .where(Webhook.shared_token_id.is_not(None), Webhook.removed_at.is_(None))
        .order_by(Interface.name, Interface.id)
    )
    found: dict[int, list[Interface]] = {}
    for key_id, interface in db.session.execute(query):
        mine = found.setdefault(key_id or 0, [])
        if interface not in mine:  # another of its webhooks
            mine.append(interface)
    return found


def _hint(secret: str) -> str:
    return f"whsec_…{secret.rstrip('=')[-4:]}"


def _record(action: str, key: ApiKey, detail: str = "") -> None:
    audit.record(action, key.account_id, key.name, target_id=key.public_id, detail=detail)


def _add(key: ApiKey, account_id: int, user_id: int | None, name: str) -> ApiKey:
    with refusing("name"):
        key.name = text.line(name, "The name", 100)
    key.account_id, key.created_by_id = account_id, user_id
    taken = select(ApiKey.id).where(
        ApiKey.account_id == account_id, ApiKey.name == key.name, ApiKey.revoked_at.is_(None)
    )
    refusal = Refused(f"There is already a key named “{key.name}”. Choose another name, or revoke that key.", "name")
    if db.session.scalar(taken):
        raise refusal
    db.session.add(key)
    try:
        db.session.flush()
    except IntegrityError:  # another request with the same name committed first
        raise refusal from None
    what = "Shared Token" if key.type == KeyType.SHARED_TOKEN else f"API Key, {key.access}: {', '.join(key.allowed)}"
    _record("key.created", key, what)
    return key
