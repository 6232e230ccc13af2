"""The audit log: an entry is written in the transaction of its action, and cannot be changed or deleted."""

import re

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DatabaseError

from tests.conftest import PASSWORD
from tests.support.factories import point_at, submit
from tests.support.tree import python_files
from webapp.actor import OPERATOR, acting
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Interface, User
from webapp.services import api_keys, audit
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads
from webapp.services.people import users
from webapp.services.webhooks import webhooks


def entries() -> list[tuple[str, str, str]]:
    """Action, target and actor of every entry except the creation of the account, oldest first."""
    found = db.session.query(AuditEntry).filter(AuditEntry.action != "user.created").order_by(AuditEntry.id)
    return [(entry.action, entry.target, entry.actor) for entry in found]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'forged'",
        "UPDATE audit_log SET actor = 'forged' WHERE id = (SELECT max(id) FROM audit_log)",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE id = (SELECT max(id) FROM audit_log)",
    ],
)
def test_the_database_refuses_to_change_or_delete(owner: User, statement: str) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction():
        db.session.execute(text(statement))
    for orm in (update(AuditEntry).values(actor="forged"), delete(AuditEntry)):
        with pytest.raises(DatabaseError, match="append-only"), transaction():
            db.session.execute(orm)
    assert db.session.query(AuditEntry).one().actor == "Leadhook"


def test_the_database_refuses_its_own_ways_to_empty_or_overwrite_the_log(owner: User) -> None:
    columns = "id, at, actor, kind, action, target, target_id, detail"
    values = "SELECT id, at, 'forged', kind, action, target, target_id, detail FROM audit_log"
    on_sqlite = db.engine.dialect.name == "sqlite"
    statement = f"INSERT OR REPLACE INTO audit_log ({columns}) {values}" if on_sqlite else "TRUNCATE audit_log"
    with pytest.raises(DatabaseError, match="append-only"), transaction():
        db.session.execute(text(statement))
    assert db.session.query(AuditEntry).one().actor == "Leadhook"


def test_an_action_that_is_rolled_back_leaves_no_entry(owner: User) -> None:
    def create_and_fail() -> None:
        api_keys.create_shared_token(owner.account_id, owner.id, "CRM")
        db.session.flush()
        raise RuntimeError

    with pytest.raises(RuntimeError), transaction():
        create_and_fail()
    assert entries() == []


def test_actions_on_keys_interfaces_leads_and_webhooks_are_recorded(owner: User, interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    lead = submit(interface)
    with acting(OPERATOR):
        with transaction():
            interfaces.update_general(interface, name="Sales", introduction="", thank_you="")
            leads.send_test(interface, owner.id)
            webhooks.pause(interface.webhook, "Paused.")
        with transaction():
            webhooks.resume(interface.webhook)
            key, _ = api_keys.create_shared_token(owner.account_id, owner.id, "CRM")
        with transaction():
            db.session.execute(text("UPDATE deliveries SET state = 'failed', retry_at = NULL"))
            assert leads.retry(owner.account_id, [lead.public_id], owner.id) == 1
            api_keys.revoke(key)
            api_keys.revoke(key)
            interfaces.archive(interface)
            interfaces.archive(interface)
    by = OPERATOR.name
    assert entries() == [
        ("interface.created", "Contact sales", "Leadhook"),
        ("interface.changed", "Sales", by),
        ("interface.tested", "Sales", by),
        ("interface.paused", "Sales", by),
        ("interface.resumed", "Sales", by),
        ("key.created", "CRM", by),
        ("lead.retried", "1 lead", by),
        ("key.revoked", "CRM", by),
        ("interface.deleted", "Sales", by),
    ]
    [retried] = db.session.query(AuditEntry).filter_by(kind="lead")
    assert retried.detail == lead.public_id, "the entry names a visitor only by the lead's id"


def test_an_action_without_words_is_refused(owner: User) -> None:
    with pytest.raises(ValueError, match="has no words"):
        audit.record("key.eaten", owner.account_id)
    with pytest.raises(ValueError, match="is not a valid Kind"):
        audit.record("moon.eaten", owner.account_id)


def test_every_action_that_has_words_is_recorded_somewhere() -> None:
    code = "\n".join(path.read_text() for path in python_files("webapp") if path.name != "audit.py")
    recorded = set(re.findall(r'"((?:key|lead|user|session|interface|webhook)\.\w+)"', code))
    for kind, about in (("interface", "interface"), ("webhook", "webhook|shadow")):
        recorded |= {f"{kind}.{action}" for action in re.findall(rf'\brecord\("(\w+)", (?:{about})', code)}
    assert set(audit.WORDS) <= recorded


def test_pages_have_only_the_account_s_entries_filtered_and_limited(owner: User) -> None:
    with transaction():
        other = users.create_owner("bob@example.com", PASSWORD, "Bob's Boats")
        for number in range(audit.PAGE + 3):
            audit.record("session.signed_in", owner.account_id, str(number), by=owner)
        audit.record("session.failed", None, "an unknown address")
    first = audit.page(owner, audit.Kind.SESSION)
    assert [entry.target for entry in first.rows[:2]] == ["an unknown address", str(audit.PAGE + 2)]
    assert (len(first.rows), first.prev) == (audit.PAGE, None)
    second = audit.page(owner, audit.Kind.SESSION, after=first.next or 0)
    assert ([entry.target for entry in second.rows], second.next) == (["3", "2", "1", "0"], None)
    assert audit.page(owner, audit.Kind.SESSION, before=second.prev or 0) == first
    assert [entry.action for entry in audit.page(owner, audit.Kind.USER).rows] == ["user.created"]
    assert len(audit.page(owner, person=owner.id).rows) == audit.PAGE
    assert [entry.account_id for entry in audit.page(other).rows] == [other.account_id], "not those without an account"
