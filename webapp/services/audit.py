"""The audit log: who did what to keys, interfaces, leads and users, when and from where.

An entry is a row of the transaction that does what it tells of: neither is there without the other. The database itself
refuses to change or delete one (migration 0002). No secret stands in it and nothing of a visitor's: a lead is its id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from webapp import actor
from webapp.extensions import db
from webapp.models import AuditEntry, User

PAGE = 50


class Kind(StrEnum):
    KEY = "key"
    INTERFACE = "interface"
    LEAD = "lead"
    USER = "user"
    SESSION = "session"


KINDS = {
    Kind.KEY: "Keys and tokens",
    Kind.INTERFACE: "Interfaces",
    Kind.LEAD: "Leads",
    Kind.USER: "Users",
    Kind.SESSION: "Sign-in and passwords",
}

# Every action and its words, which the target follows. What comes before the dot is its kind.
WORDS = {
    "key.created": "Made a key",
    "key.rotated": "Rotated a Shared Token",
    "key.previous_revoked": "Ended the old secret",
    "key.revoked": "Revoked a key",
    "key.reencrypted": "Encrypted all secrets anew",
    "interface.created": "Made an interface",
    "interface.changed": "Changed an interface",
    "interface.closed": "Closed a form",
    "interface.reopened": "Opened a form again",
    "interface.tested": "Sent a test lead",
    "interface.paused": "Paused a webhook",
    "interface.resumed": "Resumed a webhook",
    "interface.deleted": "Deleted an interface",
    "lead.retried": "Retried webhooks",
    "lead.not_spam": "Took a lead out of Spam",
    "lead.exported": "Exported leads",
    "lead.expired": "Deleted old leads",
    "user.created": "Made an account and its owner",
    "user.invited": "Invited somebody",
    "user.reinvited": "Sent an invitation again",
    "user.uninvited": "Withdrew an invitation",
    "user.joined": "Joined the account",
    "user.renamed": "Changed a name",
    "user.role_changed": "Changed a role",
    "user.removed": "Removed a user",
    "user.ownership_transferred": "Handed over the account",
    "session.signed_in": "Signed in",
    "session.failed": "Sign-in failed",
    "session.signed_out": "Signed out",
    "session.ended_everywhere": "Signed out everywhere",
    "session.password_changed": "Changed the password",
    "session.reset_asked": "Asked for a password reset",
    "session.password_reset": "Chose a new password by a link",
    "session.password_set": "Set a password",
}


@dataclass(frozen=True)
class Page:
    """Entries, newest first; `prev` and `next` are the ids to go on from, None at an end."""

    entries: Sequence[AuditEntry]
    prev: int | None
    next: int | None


def record(
    action: str,
    account_id: int | None,
    target: str = "",
    *,
    target_id: str = "",
    detail: str = "",
    by: User | None = None,
) -> None:
    """Adds an entry to the transaction at hand; `action` is one of WORDS. `by` is for who is not signed in yet."""
    who = actor.current()
    db.session.add(
        AuditEntry(
            account_id=account_id,
            user_id=by.id if by else who.user_id,
            actor=(by.label if by else who.name)[:320],
            address=who.address,
            kind=Kind(action.partition(".")[0]),
            action=_known(action),
            target=target[:320],
            target_id=target_id,
            detail=detail[:500],
        )
    )


def _known(action: str) -> str:
    if action not in WORDS:
        raise ValueError(f"{action} has no words in services/audit.py")
    return action


def page(viewer: User, kind: Kind | None = None, person: int = 0, before: int = 0, after: int = 0) -> Page:
    """The entries the viewer may read, of one kind and by one user (0: by anyone)."""
    found = select(AuditEntry).where(_readable(viewer))
    if kind:
        found = found.where(AuditEntry.kind == kind)
    if person:
        found = found.where(AuditEntry.user_id == person)
    if before:
        newer = found.where(AuditEntry.id > before).order_by(AuditEntry.id).limit(PAGE + 1)
        entries = list(db.session.scalars(newer))
        if len(entries) > PAGE:
            return _page(entries[PAGE - 1 :: -1], prev=True, next=True)
        after = 0  # too few for a page of their own: the first page shows them all
    if after:
        found = found.where(AuditEntry.id < after)
    entries = list(db.session.scalars(found.order_by(AuditEntry.id.desc()).limit(PAGE + 1)))
    return _page(entries[:PAGE], prev=bool(after), next=len(entries) > PAGE)


def people(viewer: User) -> Sequence[User]:
    """The users of the account whose deeds can be asked for, those removed since too, by name."""
    users = db.session.scalars(select(User).where(User.account_id == viewer.account_id)).all()
    return sorted(users, key=lambda user: user.label.lower())


def _page(entries: Sequence[AuditEntry], prev: bool, next: bool) -> Page:  # noqa: A002 - the word on the button
    return Page(entries, entries[0].id if entries and prev else None, entries[-1].id if entries and next else None)


def _readable(viewer: User) -> ColumnElement[bool] | Any:
    """The account's own; for the operator what belongs to no account, too."""
    own = AuditEntry.account_id == viewer.account_id
    return or_(own, AuditEntry.account_id.is_(None)) if viewer.is_operator else own
