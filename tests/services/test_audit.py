"""The audit log: an entry of the transaction of its deed, which nothing changes or deletes."""

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
from webapp.services.interfaces import interfaces, webhooks
from webapp.services.leads import leads
from webapp.services.people import users


def entries() -> list[tuple[str, str, str]]:
    """Action, target and actor of every entry but the account's making, oldest first."""
    found = db.session.query(AuditEntry).filter(AuditEntry.action != "user.created").order_by(AuditEntry.id)
    return [(entry.action, entry.target, entry.actor) for entry in found]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "UPDATE audit_log SET actor = 'nobody' WHERE id = (SELECT max(id) FROM audit_log)",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE id = (SELECT max(id) FROM audit_log)",
    ],
)
def test_the_database_refuses_to_change_or_delete(owner: User, statement: str) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction():
        db.session.execute(text(statement))
    for orm in (update(AuditEntry).values(actor="nobody"), delete(AuditEntry)):
        with pytest.raises(DatabaseError, match="append-only"), transaction():
            db.session.execute(orm)
    assert db.session.query(AuditEntry).one().actor == "Leadhook"


def test_nor_is_it_emptied_or_written_over_by_the_database_s_own_ways(owner: User) -> None:
    columns = "id, at, actor, kind, action, target, target_id, detail"
    values = "SELECT id, at, 'nobody', kind, action, target, target_id, detail FROM audit_log"
    on_sqlite = db.engine.dialect.name == "sqlite"
    own_way = f"INSERT OR REPLACE INTO audit_log ({columns}) {values}" if on_sqlite else "TRUNCATE audit_log"
    with pytest.raises(DatabaseError, match="append-only"), transaction():
        db.session.execute(text(own_way))
    assert db.session.query(AuditEntry).one().actor == "Leadhook"


def test_no_deed_without_its_entry_and_no_entry_without_its_deed(owner: User) -> None:
    def broken_off() -> None:
        api_keys.create_shared_token(owner.account_id, owner.id, "CRM")
        db.session.flush()
        raise RuntimeError

    with pytest.raises(RuntimeError), transaction():
        broken_off()
    assert entries() == []


def test_what_is_done_to_keys_interfaces_leads_and_webhooks_is_written_down(owner: User, interface: Interface) -> None:
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
    assert retried.detail == lead.public_id, "a visitor stands in it by the lead's id alone"


def test_an_action_without_words_is_not_written(owner: User) -> None:
    with pytest.raises(ValueError, match="has no words"):
        audit.record("key.eaten", owner.account_id)
    with pytest.raises(ValueError, match="is not a valid Kind"):
        audit.record("moon.eaten", owner.account_id)


def test_every_action_that_has_words_is_recorded_somewhere() -> None:
    code = "\n".join(path.read_text() for path in python_files("webapp") if path.name != "audit.py")
    recorded = set(re.findall(r'"((?:key|lead|user|session|interface)\.\w+)"', code))
    recorded |= {f"interface.{deed}" for deed in re.findall(r'\brecord\("(\w+)", interface', code)}
    assert set(audit.WORDS) <= recorded


def test_pages_are_the_account_s_own_filtered_and_bounded(owner: User) -> None:
    with transaction():
        other = users.create_owner("bob@example.com", PASSWORD, "Bob's Boats")
        for number in range(audit.PAGE + 3):
            audit.record("session.signed_in", owner.account_id, str(number), by=owner)
        audit.record("session.failed", None, "an unknown address")
    first = audit.page(owner, audit.Kind.SESSION)
    assert [entry.target for entry in first.entries[:2]] == ["an unknown address", str(audit.PAGE + 2)]
    assert (len(first.entries), first.prev) == (audit.PAGE, None)
    second = audit.page(owner, audit.Kind.SESSION, after=first.next or 0)
    assert ([entry.target for entry in second.entries], second.next) == (["3", "2", "1", "0"], None)
    assert audit.page(owner, audit.Kind.SESSION, before=second.prev or 0) == first
    assert [entry.action for entry in audit.page(owner, audit.Kind.USER).entries] == ["user.created"]
    assert len(audit.page(owner, person=owner.id).entries) == audit.PAGE
    assert [entry.account_id for entry in audit.page(other).entries] == [other.account_id], "not what is nobody's"
