"""`db upgrade` while the previous version serves: rows in batches, indexes that block no post, locks that give way."""

import threading
import time
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import downgrade, upgrade
from sqlalchemy import func, inspect, select, text

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.factories import ADA, point_at, submit
from tests.support.waiting import wait_until
from webapp.db.transactions import disconnect, transaction
from webapp.extensions import db
from webapp.migrations import batches
from webapp.models import Interface, Lead
from webapp.services.leads import lead_counts
from webapp.services.leads.lead_list import Filter, Status
from webapp.services.webhooks import editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan


def leads_without_webhook() -> int:
    counts = lead_counts.counts(Filter(db.session.scalars(select(Interface.account_id)).one()))
    db.session.rollback()
    return counts[Status.NO_WEBHOOK].least


@pytest.fixture
def five(app: Flask, client: FlaskClient, interface: Interface) -> Interface:
    """Three leads without a webhook, then two with one."""
    for number in range(3):
        client.post(f"/f/{interface.public_id}", data={**ADA, "email": f"ada{number}@example.com"})
    point_at(interface, "https://crm.example/hook")
    for number in range(2):
        client.post(f"/f/{interface.public_id}", data={**ADA, "email": f"bob{number}@example.com"})
    return interface


@pytest.mark.parametrize("rows", [1, 2, 3, 5000])
def test_leads_that_had_no_webhook_are_marked_in_batches_of_any_size(
    five: Interface, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "ROWS", rows)
    assert leads_without_webhook() == 3
    db.session.remove()
    downgrade(revision="0006")
    upgrade()
    assert leads_without_webhook() == 3
    assert db.session.scalar(select(func.count()).select_from(Lead)) == 5
    db.session.rollback()


def test_an_upgrade_that_was_interrupted_begins_again(five: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the column and the batches, and between two indexes."""
    db.session.remove()
    downgrade(revision="0006")
    for interrupted in ("update_in_batches", "replace_index"):
        with monkeypatch.context() as patch:
            patch.setattr(batches, interrupted, interrupt)
            with pytest.raises(KeyboardInterrupt):
                upgrade()
    upgrade()
    assert leads_without_webhook() == 3
    names = {index["name"] for index in inspect(db.engine).get_indexes("leads")}
    assert {"ix_leads_no_webhook", "ix_leads_spam_interface", "ix_leads_test", "ix_leads_account_received"} <= names
    assert not [name for name in names if str(name).endswith("_new")]


@pytest.mark.parametrize("rows", [1, 2, 5000])
def test_leads_are_matched_to_their_visitors_in_batches_of_any_size(
    five: Interface, client: FlaskClient, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post(f"/f/{five.public_id}", data={**ADA, "email": "BIG@example.com"})
    before = visitors()
    assert before[-1] == "big@example.com"
    monkeypatch.setattr(batches, "ROWS", rows)
    downgrade(revision="0004")
    upgrade()
    assert visitors() == before


def test_webhooks_from_before_keep_the_order_of_their_leads(app: Flask, five: Interface) -> None:
    assert five.webhook.is_automatic, "a new one"
    db.session.rollback()
    downgrade(revision="0011")
    upgrade()
    db.session.expire_all()
    assert (five.webhook.parallel_requests, five.webhook.is_automatic) == (1, False)
    db.session.rollback()


def test_an_earlier_version_sends_no_lead_without_its_proof_and_none_that_is_empty(five: Interface) -> None:
    """Custom headers and certificates prove who sends, too."""
    with transaction():
        live = db.session.get_one(Interface, five.id)
        stored = {"format": "template", "template": '{"text": "{{ fields.message | number }}"}'}
        wanted = Wanted(stored=stored, custom_headers="X-Key: abc")
        editing.save(live.webhook, Plan("https://crm.example/hook", wanted=wanted))
    submit(five, {**ADA, "message": "no number"})
    db.session.rollback()
    downgrade(revision="0014")
    with db.engine.connect() as connection:
        webhook = connection.execute(text("SELECT authentication, shared_token_id FROM webhooks")).one()
        states = connection.scalars(text("SELECT state FROM deliveries ORDER BY id")).all()
    upgrade()
    assert (tuple(webhook), list(states)) == (("shared_token", None), ["pending", "pending", "cancelled"])


def visitors() -> list[str | None]:
    found = list(db.session.scalars(select(Lead.visitor).order_by(Lead.id)))
    db.session.remove()
    return found


@pytest.mark.parametrize("below", ["0004", "0006"])
def test_an_upgrade_of_an_old_database_that_was_interrupted_begins_again(
    five: Interface, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With some columns there, before the values, and before the indexes."""
    before = visitors()
    downgrade(revision=below)
    for interrupted in ("update_in_batches", "create_index"):
        with monkeypatch.context() as patch:
            patch.setattr(batches, interrupted, interrupt)
            with pytest.raises(KeyboardInterrupt):
                upgrade()
    upgrade()
    assert visitors() == before
    names = {index["name"] for index in inspect(db.engine).get_indexes("leads")}
    assert {"ix_leads_visitor", "ix_leads_blank_due", "ix_leads_undeclared"} <= names


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_no_lead_and_no_mail_is_an_upgrade_of_nothing(app: Flask) -> None:
    db.session.remove()
    downgrade(revision="0006")
    upgrade()
    assert db.session.scalar(text("SELECT version_num FROM alembic_version"))
    db.session.rollback()


@pytest.fixture
def posting(make_app: AppMaker, five: Interface) -> Iterator[list[int]]:
    """Visitors who post in a loop, with a web process of their own; their answers."""
    other, codes, stop = make_app(FORM_RATE_LIMIT=""), [], threading.Event()
    address = f"/f/{five.public_id}"

    def post(visitor: int) -> None:
        client, number = other.test_client(), 0
        while not stop.is_set() or number < 5:
            number += 1
            codes.append(client.post(address, data={**ADA, "email": f"v{visitor}.{number}@example.com"}).status_code)

    threads = [threading.Thread(target=post, args=(visitor,)) for visitor in range(3)]
    for thread in threads:
        thread.start()
    yield codes
    stop.set()
    for thread in threads:
        thread.join()
    with other.app_context():
        disconnect()


def test_every_post_is_kept_while_tables_change(app: Flask, five: Interface, posting: list[int]) -> None:
    """The tables are locked and changed one after the other, as by a migration of several: up, again and again."""
    db.session.remove()
    wait_until(lambda: posting, "posts to come")
    for _ in range(2):
        upgrade(revision="head")
        with db.engine.connect() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0008'"))
            connection.commit()
    upgrade()
    assert set(posting) == {303}


@pytest.mark.skipif(not ON_POSTGRESQL, reason="on SQLite a migration waits like any writer")
def test_a_migration_gives_way_to_a_transaction_that_holds_its_table(app: Flask, five: Interface) -> None:
    db.session.remove()
    downgrade(revision="0006")
    held, others = threading.Event(), []

    def hold() -> None:
        with app.app_context(), transaction():
            db.session.execute(text("LOCK TABLE leads IN ROW EXCLUSIVE MODE"))
            held.set()
            # Longer than a migration waits. It must not end this transaction, and try again when it is over.
            db.session.execute(text("SELECT pg_sleep(1.5)"))
            others.append(db.session.scalar(text("SELECT count(*) FROM interfaces")))

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    upgrade()
    thread.join()
    assert others == [1]
    assert leads_without_webhook() == 3


@pytest.mark.skipif(not ON_POSTGRESQL, reason="on SQLite readers block no one")
def test_an_index_that_is_replaced_behind_a_long_reader_holds_up_no_post(
    app: Flask, client: FlaskClient, five: Interface
) -> None:
    address = f"/f/{five.public_id}"
    db.session.remove()

    def go_up() -> None:
        with app.app_context():
            upgrade()

    with db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0008'"))
    with db.engine.connect() as reader, db.engine.connect() as watcher:
        watcher.execution_options(isolation_level="AUTOCOMMIT")  # within a transaction it would see no change
        reader.execute(text("SELECT count(*) FROM leads"))
        upgrading = threading.Thread(target=go_up)
        upgrading.start()
        try:
            dropped = text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND query LIKE '%DROP INDEX%' AND wait_event_type = 'Lock'"
            )
            wait_until(lambda: watcher.scalar(dropped), "the upgrade to wait for the reader")
            began = time.monotonic()
            assert client.post(address, data=ADA).status_code == 303
            assert time.monotonic() - began < 1
            assert watcher.scalar(dropped), "it still waits"
        finally:
            reader.rollback()
            upgrading.join(60)
    assert not upgrading.is_alive()
    names = {index["name"] for index in inspect(db.engine).get_indexes("leads")}
    assert {"ix_leads_no_webhook", "ix_leads_account_received"} <= names
