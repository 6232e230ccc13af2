"""Idempotency-Key: a program that sends a lead again, because no answer came, gets the answer for the first one.

The key takes the place of the form's token: the lead's `nonce`, which is unique, is made from the interface and the
key. `content_digest` says what was sent. The same key with the same content is the same lead for a day; with other
content it is refused; after a day the key is free again. Both are digests with a secret: a key may be an order number.

A post that stores nothing leaves its key free. If a lead is deleted before its day is over, its key stays spent for the
rest of the day, as a SpentKey: a program that repeats the request must not bring back what a person deleted.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete, select, update

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db import bulk
from webapp.db.transactions import read_autocommit
from webapp.extensions import db
from webapp.models import Lead, SpentKey
from webapp.services.intake import undeclared

VALID_FOR = timedelta(hours=24)
BAD_KEY = "Idempotency-Key must be 1 to 255 visible ASCII characters without spaces."
REUSED = (
    "This Idempotency-Key was used in the last 24 hours for a lead with other answers. "
    "Send the same answers again, or use a new key."
)
DELETED = (
    "The lead that was sent with this Idempotency-Key was deleted. Nothing is stored for a repeat; "
    "to send the lead anew, use a new key."
)

_KEY = re.compile(r"[!-~]{1,255}")


class Keyed(NamedTuple):
    """What a key and the answers sent with it become in the database: `Lead.nonce` and `Lead.content_digest`."""

    nonce: str
    content_digest: str


class Stored(NamedTuple):
    """A lead that is stored already, and why it is spam, if it is."""

    public_id: str
    spam: str | None


class KeyTaken(Exception):
    """The key belongs to a lead that is not this one."""


class KeyReused(KeyTaken):
    """The key belongs to a lead with other content."""


class KeySpent(KeyTaken):
    """The key belongs to a lead that was deleted."""


def key_of(header: str) -> str:
    """The key in a header: a word, or the same in quotes as in the IETF's draft; ValueError for any other."""
    key = header.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = re.sub(r'\\(["\\])', r"\1", key[1:-1])
    if not _KEY.fullmatch(key):
        raise ValueError(BAD_KEY)
    return key


def keyed(
    interface_id: int,
    key: str,
    values: Mapping[str, Any],
    repeated: Mapping[str, Sequence[str]],
    files: Sequence[Any] = (),
) -> Keyed:
    """The content is every answer that was sent, of a field or not, under the name it was sent with, and what tells
    each of the `files` from others. `values` includes what hidden fields have from the query.

    Not what was sent about the visitor's way here or the form's token: a program may make these anew for each try.
    """
    content = {
        name: list(repeated[name]) if len(repeated.get(name, ())) > 1 else value
        for name, value in values.items()
        if name not in undeclared.OURS
    }
    return Keyed(_digest("key", interface_id, key), _digest("content", interface_id, key, content, *files))


def name_of(interface_id: int, key: str) -> str:
    """What a key is called elsewhere than in the database: a digest, too."""
    return _digest("running", interface_id, key)


def release(nonces: Sequence[str]) -> set[str]:
    """Frees those of these keys whose day is over, in the current transaction. Returns those that are spent."""
    connection, oldest = db.session.connection(), utcnow() - VALID_FOR
    over = update(Lead).where(Lead.nonce.in_(nonces), Lead.received_at < oldest)
    connection.execute(over.values(nonce=None, content_digest=None))
    spent = select(SpentKey.nonce).where(SpentKey.nonce.in_(nonces), SpentKey.received_at >= oldest)
    return set(connection.scalars(spent))


def spend(lead_ids: Sequence[int]) -> None:
    """Keeps the keys of these leads spent, before the leads are deleted in the current transaction."""
    connection, valid = db.session.connection(), Lead.received_at >= utcnow() - VALID_FOR
    keys = select(Lead.nonce, Lead.received_at).where(Lead.id.in_(lead_ids), Lead.content_digest.is_not(None), valid)
    rows = bulk.insert(connection.dialect.name, SpentKey).from_select(["nonce", "received_at"], keys)
    again = {"received_at": rows.excluded.received_at}  # it was spent and free again on an earlier day
    connection.execute(rows.on_conflict_do_update(index_elements=[SpentKey.nonce], set_=again))


def tidy() -> None:
    """Frees spent keys whose day is over."""
    db.session.execute(delete(SpentKey).where(SpentKey.received_at < utcnow() - VALID_FOR))


def lead_of(nonce: str, content_digest: str | None) -> Stored | None:
    """The lead that was stored under this nonce; KeyReused if it has other content, KeySpent if it was deleted."""
    with read_autocommit() as connection:
        stored = select(Lead.public_id, Lead.spam, Lead.content_digest).where(Lead.nonce == nonce)
        if content_digest:
            stored = stored.where(Lead.received_at >= utcnow() - VALID_FOR)
        found = connection.execute(stored).one_or_none()
        if found is None and content_digest:
            spent = select(SpentKey.nonce).where(SpentKey.nonce == nonce, SpentKey.received_at >= utcnow() - VALID_FOR)
            if connection.scalar(spent):
                raise KeySpent
    if found is None:
        return None
    if found.content_digest != content_digest:
        raise KeyReused
    return Stored(found.public_id, found.spam)


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hmac.new(current_config.secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()
