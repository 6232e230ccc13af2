"""Leads that a web process of the previous version stores after `db upgrade` are marked later if none is sent."""

import threading

import pytest
from flask import Flask
from sqlalchemy import event, select, update

from tests.support.factories import ADA, point_at, submit
from webapp.db.transactions import transaction
from webapp.delivery import unmarked
from webapp.delivery.rings import MAIL, queues
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Interface, Lead, User
from webapp.services.leads import forgetting, lead_counts, leads
from webapp.services.leads.lead_list import Filter, Status


def by_the_previous_version(interface: Interface, number: int = 1, **values: object) -> list[int]:
    """Leads whose insert did not name the column `no_webhook`."""
    ids = [submit(interface, {**ADA, "email": f"ada{each}@example.com"}).id for each in range(number)]
    with transaction():
        db.session.execute(update(Lead).where(Lead.id.in_(ids)).values(no_webhook=False, **values))
    return ids


def marked() -> set[int]:
    found = set(db.session.scalars(select(Lead.id).where(Lead.no_webhook)))
    db.session.rollback()
    return found


def swept() -> bool:
    """Whether a sweeper finds something to mend."""
    db.session.rollback()
    queues.redis.flushall()
    sweeper = Sweep()
    sweeper.once()
    sweeper.resign()
    return "forget" in [job.partition("-")[0] for job in queues.get(MAIL).get_job_ids()]


def test_they_are_found_by_the_sweep_and_marked(interface: Interface) -> None:
    ids = by_the_previous_version(interface, 3)
    assert marked() == set()
    assert swept()
    forgetting.forget()
    assert marked() == set(ids)
    counts = lead_counts.counts(Filter(db.session.scalars(select(Interface.account_id)).one()))
    assert counts[Status.NO_WEBHOOK].least == 3
    assert not swept(), "nothing is left to do"


def test_leads_with_a_delivery_and_spam_are_left_alone(interface: Interface) -> None:
    by_the_previous_version(interface, spam="honeypot")
    point_at(interface, "http://127.0.0.1:9/")
    by_the_previous_version(interface, 2)
    assert not swept()
    forgetting.forget()
    assert marked() == set()


def test_a_test_lead_and_an_anonymised_one_are_marked_as_by_the_migration(interface: Interface) -> None:
    ids = by_the_previous_version(interface, test=True) + by_the_previous_version(interface, email="", visitor=None)
    forgetting.forget()
    assert marked() == set(ids)


def test_only_the_newest_leads_are_looked_at(interface: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmarked, "NEWEST", 2)
    ids = by_the_previous_version(interface, 5)
    forgetting.forget()
    assert marked() == set(ids[-2:])
    assert not swept()


def test_without_leads_there_is_nothing_to_do(owner: User) -> None:
    assert not swept()
    forgetting.forget()


def test_no_lead_is_written_to_where_all_are_marked(interface: Interface) -> None:
    submit(interface)
    said: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *each: said.append(each[2]))
    forgetting.forget()
    assert said
    assert not [statement for statement in said if statement.startswith("UPDATE leads")]


def test_a_lead_that_is_being_sent_just_now_is_not_marked(app: Flask, owner: User, interface: Interface) -> None:
    """Retry Webhook adds its delivery while the job looks."""
    [lead_id] = by_the_previous_version(interface)
    point_at(interface, "http://127.0.0.1:9/")
    lead = db.session.get_one(Lead, lead_id)
    public_id, account_id = lead.public_id, lead.account_id
    db.session.rollback()

    def forget() -> None:
        with app.app_context():
            forgetting.forget()

    job = threading.Thread(target=forget)
    with transaction():
        leads.retry(account_id, [public_id], owner.id)
        db.session.flush()
        job.start()
        job.join(0.5)  # on SQLite it waits for this transaction, on PostgreSQL it passes over the lead
    job.join(30)
    assert marked() == set()
    forgetting.forget()
    assert marked() == set()
