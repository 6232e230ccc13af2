"""With a hundred thousand leads every page reads what it shows, by an index; and no sweep walks what is on hold."""

import csv
import io
import itertools
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import (
    Connection,
    String,
    and_,
    case,
    cast,
    delete,
    event,
    false,
    func,
    insert,
    literal,
    select,
    text,
    update,
)

from tests.conftest import KEYS, PASSWORD, sign_in
from tests.support import once
from tests.support.postgres import Postgres
from tests.support.valkey import Valkey
from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import disconnect, transaction
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Attempt, Delivery, DeliveryState, Interface, Lane, Lead, Mail, Status, User, Webhook
from webapp.services.interfaces import interfaces
from webapp.services.leads import lead_counts, lead_export
from webapp.services.leads.lead_list import Filter
from webapp.services.people import users
from webapp.services.webhooks import editing
from webapp.services.webhooks.editing import Plan
from webapp.webhooks.shown_addresses import CUT, WHOLE, AddressView

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]  # the first of them seeds

LEADS = 100_000
# SQLite's virtual machine and PostgreSQL's buffers count work, which no busy machine changes.
STEPS = 250_000  # instructions of a page's statement: counting 10,000 entries of an index takes 60,000 to 90,000
BUFFERS = 6_000  # pages of 8 KB: four for each of the 1,000 leads that are counted with a filter


@pytest.fixture(scope="module")
def seeded(
    postgres: Postgres | None, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory, made_once: Path
) -> Iterator[Flask]:
    """Made by the command itself, once for all tests here; they change nothing, or take it back."""
    home = tmp_path_factory.mktemp("seeded")
    environ = {**KEYS, "LEADHOOK_HOME": str(home), "REDIS_URL": valkey.url}
    if postgres:
        postgres.execute("CREATE DATABASE seeded")
        environ["DATABASE_URL"] = postgres.url("seeded")
    app = create_app(Config.load(environ))
    once.compile_templates_once(app, made_once)
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    with app.app_context():
        upgrade()
        with transaction():
            users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")
        disconnect()
    began = time.process_time()
    seeder = create_app(Config.load({**environ, **unchecked(environ["DATABASE_URL"])})) if postgres else app
    result = seeder.test_cli_runner().invoke(args=["seed-leads", "--count", str(LEADS)])
    with seeder.app_context():
        disconnect()
    assert result.exit_code == 0, result.output
    assert time.process_time() - began < 60  # of the processor, which other tests use as well
    assert json.loads(result.stdout) == {"leads": LEADS, "interfaces": 20, "account": 1}
    with app.app_context():
        add_edges()
        if postgres:
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
        yield app
        disconnect()
    if postgres:
        postgres.execute("DROP DATABASE seeded WITH (FORCE)")
    shutil.rmtree(home, ignore_errors=True)


def unchecked(url: str) -> dict[str, str]:
    """An environment in which PostgreSQL looks up no foreign key: a million look-ups take two thirds of the seeding.

    `test_every_foreign_key_of_the_seeded_rows_leads_to_a_row` makes up for it.
    """
    return {"DATABASE_URL": f"{url}&options=-c%20session_replication_role%3Dreplica"}


@pytest.fixture
def alice(seeded: Flask) -> FlaskClient:
    return sign_in(seeded, "alice@example.com")


@pytest.fixture
def statements(seeded: Flask) -> Iterator[list[tuple[str, object]]]:
    sent: list[tuple[str, object]] = []

    def note(connection: object, cursor: object, statement: str, parameters: object, *rest: object) -> None:
        if statement.startswith("SELECT"):
            sent.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    yield sent
    event.remove(db.engine, "before_cursor_execute", note)


def work_of(connection: Connection, statement: str, parameters: object) -> int:
    """How much a statement reads: SQLite's instructions, in hundreds, or PostgreSQL's buffers."""
    if connection.dialect.name == "postgresql":
        explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)  # type: ignore[arg-type]
        plan = explained.scalar_one()[0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    counted = itertools.count()
    driver = connection.connection.driver_connection
    assert driver
    driver.set_progress_handler(lambda: next(counted) and 0, 100)
    try:
        connection.exec_driver_sql(statement, parameters).all()  # type: ignore[arg-type]
    finally:
        driver.set_progress_handler(None, 0)
    return next(counted) * 100


NAMES = {
    "big": "Seeded form 1",
    "small": "Seeded form 19",
    "neighbour": "Seeded form 5",
    "empty": "Empty",
    "old": "Old",
}


def add_edges() -> None:
    """An interface without leads, and one that got its last lead long ago: the older half of those of another one."""
    half = select(func.max(Lead.id) / 2).scalar_subquery()
    given = select(Interface).where(Interface.name == "Seeded form 4")
    with transaction():
        interface = db.session.scalars(given).one()
        interfaces.create(interface.account_id, "Empty")
        old = interfaces.create(interface.account_id, "Old")
        mine = update(Delivery).where(Delivery.webhook_id == interface.webhook.id, Delivery.lead_id < half)
        db.session.execute(mine.values(webhook_id=old.webhook.id))
        of_it = update(Lead).where(Lead.interface_id == interface.id, Lead.id < half)
        db.session.execute(of_it.values(interface_id=old.id))


def public_id(name: str) -> str:
    found = db.session.scalar(select(Interface.public_id).where(Interface.name == name))
    db.session.rollback()
    assert found
    return found


PAGES = (
    "/leads",
    "/leads?interface={big}",
    "/leads?interface={small}",
    "/leads?interface=if_unknown",
    "/leads?interface={neighbour}",
    "/leads?received=24h",
    "/leads?received=90d&interface={big}",
    *(f"/leads?status={status.slug}" for status in Status),
    "/leads?interface={empty}",
    "/leads?interface={old}",
    *(f"/leads?status={status.slug}&interface={{small}}" for status in Status),
    *(f"/leads?status={status.slug}&interface={{empty}}" for status in Status),
    *(f"/leads?status={status.slug}&interface={{old}}" for status in Status),
    *(f"/leads?status={status.slug}&received=24h" for status in Status),
    *(f"/leads?status={status.slug}&received=90d&interface={{big}}" for status in Status),
    "/leads?q={lead}",
    "/leads?q={beginning}",
    "/leads?q=lead_00000000000000000000000000",
    "/leads?after={lead}",
    "/leads/{lead}",
    "/interfaces",
    "/interfaces/{big}/edit",
    "/mailbox",
    "/mailbox?state=failed",
    "/mailbox?state=sent",
    "/mailbox?state=due",
    "/profile/audit-log",
    "/profile/audit-log?person=1",
)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_reads_little_in_few_queries(
    seeded: Flask, alice: FlaskClient, statements: list[tuple[str, object]], page: str
) -> None:
    lead = db.session.scalars(select(Lead.public_id).where(Lead.account_id == 1).order_by(Lead.id).limit(1)).one()
    address = page.format(
        lead=lead, beginning=lead[:20], **{key: public_id(name) for key, name in NAMES.items() if key in page}
    )
    statements.clear()
    assert alice.get(address).status_code == 200
    sent = list(statements)
    assert len(sent) <= 10
    with db.engine.connect() as connection:
        works = {statement: work_of(connection, statement, given) for statement, given in sent}
    most = BUFFERS if db.engine.dialect.name == "postgresql" else STEPS
    assert {statement: work for statement, work in works.items() if work > most} == {}


def test_reading_all_leads_would_be_seen(seeded: Flask) -> None:
    """Otherwise the test above would prove nothing."""
    with db.engine.connect() as connection:
        work = work_of(connection, "SELECT count(*) FROM leads WHERE upper(name) = 'NO SUCH NAME'", ())
    assert work > (BUFFERS if db.engine.dialect.name == "postgresql" else STEPS)


@pytest.fixture
def several(seeded: Flask) -> Iterator[None]:
    """The biggest interface has two more webhooks for a while: every tenth lead failed at the second of them."""
    with transaction():
        big = db.session.scalars(select(Interface).where(Interface.name == NAMES["big"])).one()
        added = [editing.add(big, Plan(url="https://crm.example.com/", name=name)) for name in ("CRM", "Slack")]
        for webhook in added:
            state = case((and_(webhook.name == "Slack", Lead.id % 10 == 0), "failed"), else_="delivered")
            message_id = literal(f"msg_{webhook.name}_") + cast(Lead.id, String)
            given = {"message_id": message_id, "webhook_id": literal(webhook.id), "state": state, "lead_id": Lead.id}
            given |= {"account_id": Lead.account_id, "payload": literal(b"{}"), "tries": literal(1)}
            given |= {"test": false(), "state_reason": literal("")}
            of_big = select(*given.values()).where(Lead.interface_id == big.id, Lead.spam.is_(None))
            db.session.execute(insert(Delivery).from_select(list(given), of_big, include_defaults=False))
    analyse()
    ids = [webhook.id for webhook in added]
    db.session.rollback()
    yield
    with transaction():
        for table, column in ((Delivery, Delivery.webhook_id), (Lane, Lane.webhook_id), (Webhook, Webhook.id)):
            db.session.execute(delete(table).where(column.in_(ids)))
    analyse()


def analyse() -> None:
    if db.engine.dialect.name == "postgresql":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE deliveries"))


def test_pages_of_leads_with_several_webhooks_read_little_too(
    several: None, alice: FlaskClient, statements: list[tuple[str, object]]
) -> None:
    """Four times as much at most: the other deliveries of each lead that is judged are read, too."""
    most = 4 * (BUFFERS if db.engine.dialect.name == "postgresql" else STEPS)
    found: dict[str, int] = {}
    with_status = (f"/leads?status={status.slug}" for status in Status)
    for page in ("/leads", "/leads?interface={big}", "/leads/{lead}", *with_status):
        lead = db.session.scalars(select(Lead.public_id).where(Lead.account_id == 1).order_by(Lead.id).limit(1)).one()
        given = {key: public_id(name) for key, name in NAMES.items() if key in page}
        statements.clear()
        assert alice.get(page.format(lead=lead, beginning=lead[:20], **given)).status_code == 200
        sent = list(statements)
        assert len(sent) <= 12
        with db.engine.connect() as connection:
            works = [work_of(connection, statement, parameters) for statement, parameters in sent]
        found[page] = max(works)
    assert {page: work for page, work in found.items() if work > most} == {}


def test_a_sweep_does_not_walk_what_is_on_hold(seeded: Flask, statements: list[tuple[str, object]]) -> None:
    paused = db.session.scalar(select(Webhook.id).where(Webhook.state == "paused"))
    of_paused = update(Delivery).where(Delivery.webhook_id == paused)
    with transaction():  # twenty thousand of them; and the same number on an active webhook, for another reason
        db.session.execute(of_paused.values(state=DeliveryState.ON_HOLD, state_reason="The webhook is paused."))
        first = update(Delivery).where(Delivery.webhook_id == 1, Delivery.lead_id < LEADS // 2)
        db.session.execute(first.values(state=DeliveryState.ON_HOLD, state_reason="It cannot be signed."))
    statements.clear()
    sweeper = Sweep()
    sweeper.once()
    sweeper.resign()
    # Without the look at the newest leads (delivery/unmarked.py): once a minute, and never more than 10,000.
    sent = [each for each in statements if "deliveries" in each[0] and "no_webhook" not in each[0]]
    assert sent
    with db.engine.connect() as connection:
        works = [work_of(connection, statement, given) for statement, given in sent]
    assert max(works) < (300 if db.engine.dialect.name == "postgresql" else 20_000), works


def test_the_seeded_leads_are_what_the_command_promises(seeded: Flask) -> None:
    counted = {model: db.session.scalar(select(func.count()).select_from(model)) or 0 for model in (Lead, Delivery)}
    attempts = db.session.scalar(select(func.count()).select_from(Attempt)) or 0
    assert counted[Lead] == LEADS
    assert counted[Delivery] == pytest.approx(LEADS * 0.95, rel=0.02)
    assert attempts == pytest.approx(LEADS * 1.9, rel=0.05)
    assert db.session.scalar(select(func.count()).select_from(Mail))
    newest = db.session.scalars(select(Lead).order_by(Lead.id.desc()).limit(1)).one()
    assert newest.public_id > db.session.scalars(select(Lead.public_id).order_by(Lead.id).limit(1)).one()
    assert b"@" not in newest.deliveries[0].payload.replace(newest.email.encode(), b"") if newest.deliveries else True
    db.session.rollback()


def test_every_foreign_key_of_the_seeded_rows_leads_to_a_row(seeded: Flask) -> None:
    keys = [key for table in db.metadata.sorted_tables for key in table.foreign_keys]
    with db.engine.connect() as connection:
        for key in keys:
            there = select(key.column).where(key.column == key.parent).exists()
            lost = select(func.count()).select_from(key.parent.table).where(key.parent.is_not(None), ~there)
            assert connection.scalar(lost) == 0, key
    assert len(keys) > 30


def test_counts_are_those_of_a_plain_count(seeded: Flask) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lead_counts, "MOST", 10 * LEADS)
        counts = lead_counts.counts(Filter(1))
    word = func.coalesce(Delivery.state, "none")
    mine = select(word, func.count()).select_from(Lead).outerjoin(Delivery).where(Lead.account_id == 1)
    plain = dict(db.session.execute(mine.where(Lead.spam.is_(None)).group_by(word)).all())
    assert counts[Status.DELIVERED].least == plain["delivered"]
    assert counts[Status.FAILED].least == plain["failed"]
    assert counts[Status.HELD].least == plain["held"]
    assert counts[Status.RETRYING].least == plain["pending"]
    assert counts[None].least == sum(plain.values())
    assert counts[Status.QUEUED].least == counts[Status.NO_WEBHOOK].least == 0
    db.session.rollback()


def test_an_export_takes_at_most_twice_what_a_bare_loop_takes(seeded: Flask) -> None:
    """In calls of functions, which no busy machine changes. tests/soak/test_million.py measures the time."""

    def calls(work: Callable[[], object]) -> int:
        counted = 0

        def note(frame: object, event: str, argument: object) -> None:
            nonlocal counted
            counted += event in ("call", "c_call")

        work()  # compiles its statement
        sys.setprofile(note)
        try:
            work()
        finally:
            sys.setprofile(None)
        return counted

    with seeded.test_request_context():
        least = calls(bare_export)
        assert calls(export) < 2 * least
        # Who may not see addresses waits longer: every answer is searched for them.
        assert calls(lambda: export(CUT)) < 3 * least


def bare_export() -> None:
    """Four thousand leads with nothing done to them."""
    columns = (Lead.public_id, Lead.received_at, Lead.fields, Lead.source, Delivery.state, Delivery.last_response)
    joined = select(*columns).outerjoin(Delivery).where(Lead.account_id == 1).order_by(Lead.id.desc()).limit(4_000)
    with db.engine.connect() as connection:
        csv.writer(io.StringIO()).writerows(connection.execute(joined))


def export(view: AddressView = WHOLE) -> None:
    """The same leads as the product writes them."""
    pieces = lead_export.lines(Filter(1), view)
    assert sum(piece.count("\n") for piece in itertools.islice(pieces, 9)) == 4_001


def test_seeding_refuses_a_database_with_leads_and_wrong_options(seeded: Flask) -> None:
    runner = seeded.test_cli_runner()
    refused = runner.invoke(args=["seed-leads", "--count", "10"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "This database has leads" in refused.stderr
    for wrong in (["--count", "0"], ["--count", "-5"], ["--count", "many"], ["--failed", "2"], ["--interfaces", "0"]):
        answer = runner.invoke(args=["seed-leads", "--count", "10", *wrong])
        assert (answer.exit_code, answer.stdout) == (1, ""), wrong
    assert db.session.scalar(select(func.count()).select_from(User)) == 1
    db.session.rollback()
