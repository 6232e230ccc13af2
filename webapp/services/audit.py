"""The audit log: who did what to keys, interfaces, leads and users, when and from where.

An entry is written in the transaction of the action it records, so that neither exists without the other. The database
itself refuses to change or delete an entry (migration 0002). An entry contains no secret and no visitor's data: a lead
appears only as its id.
"""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import ColumnElement, select

from webapp import actor
from webapp.db.pages import Page, read_page
from webapp.extensions import db
from webapp.models import AuditEntry, User

PAGE = 50


class Kind(StrEnum):
    KEY = "key"
    INTERFACE = "interface"
    WEBHOOK = "webhook"
    LEAD = "lead"
    USER = "user"
    SESSION = "session"


KINDS = {
    Kind.KEY: "Keys and tokens",
    Kind.INTERFACE: "Interfaces",
    Kind.WEBHOOK: "Webhooks",
    Kind.LEAD: "Leads",
    Kind.USER: "Users",
    Kind.SESSION: "Sign-in and passwords",
}

# Every action and its words on the page; the target follows the words. The part before the dot is the kind.
WORDS = {
    "key.created": "Made a key",
    "key.rotated": "Rotated a Shared Token",
    "key.previous_revoked": "Ended the old secret",
    "key.revoked": "Revoked a key",
    "key.reencrypted": "Encrypted all secrets with the newest key",
    "interface.created": "Made an interface",
    "interface.changed": "Changed an interface",
    "interface.closed": "Closed a form",
    "interface.reopened": "Opened a form again",
    "interface.tested": "Sent a test lead",
    "interface.paused": "Paused a webhook",
    "interface.resumed": "Resumed a webhook",
    "interface.tried_now": "Ended a webhook’s rest",
    "interface.deleted": "Deleted an interface",
    "webhook.added": "Added a webhook",
    "webhook.changed": "Changed a webhook",
    "webhook.rotated": "Gave a webhook a new secret",
    "webhook.previous_ended": "Ended the old secret of a webhook",
    "webhook.removed": "Removed a webhook",
    "webhook.maintenance_planned": "Planned a maintenance window",
    "webhook.maintenance_ended": "Ended a maintenance window",
    "webhook.switched_over": "Switched over to a shadow webhook",
    "webhook.examined": "Examined a receiver",
    "webhook.events": "Changed where events go",
    "lead.retried": "Retried webhooks",
    "lead.not_spam": "Took a lead out of Spam",
    "lead.exported": "Exported leads",
    "lead.expired": "Deleted old leads",
    "user.created": "Made an account and its owner",
    "user.invited": "Invited a user",
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
    "session.password_reset": "Chose a new password with a link",
    "session.password_set": "Set a password",
}


def record(
    action: str,
    account_id: int | None,
    target: str = "",
    *,
    target_id: str = "",
    detail: str = "",
    by: User | None = None,
) -> None:
    """Adds an entry to the current transaction. `action` is a key of WORDS; `by` is a user who is not signed in yet."""
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


def page(
    viewer: User,
    kind: Kind | None = None,
    person: int | None = None,
    before: int | None = None,
    after: int | None = None,
) -> Page[AuditEntry, int]:
    """The entries that the viewer may read, of one kind and by one user. None means any."""
    narrow = [AuditEntry.kind == kind] if kind else []
    narrow += [AuditEntry.user_id == person] if person else []
    found = [select(AuditEntry).where(part, *narrow) for part in _readable(viewer)]
    return read_page(found, AuditEntry.id, lambda entry: entry.id, before=before, after=after, size=PAGE)


def people(viewer: User) -> Sequence[User]:
    """The users to filter the entries by: all users of the account, including removed ones, sorted by name."""
    users = db.session.scalars(select(User).where(User.account_id == viewer.account_id)).all()
    return sorted(users, key=lambda user: user.label.lower())


def _readable(viewer: User) -> list[ColumnElement[bool]]:
    """The entries of the viewer's account. The operator also reads those that belong to no account. One or two parts:
    for an OR, SQLite would read and sort all of them."""
    own = AuditEntry.account_id == viewer.account_id
    return [own, AuditEntry.account_id.is_(None)] if viewer.is_operator else [own]
