"""Leadhook behind PgBouncer, which shares each connection of the server between clients: Leadhook's own and others'."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import func, make_url, select, text

from tests.conftest import KEYS, ON_POSTGRESQL, PASSWORD, Browser
from tests.support import once
from tests.support.factories import point_at, sign
from tests.support.pgbouncer import PORT, program, reconnect, running_pgbouncer
from tests.support.postgres import Postgres
from tests.support.receiver import Receiver
from tests.support.valkey import Valkey
from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import disconnect, transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Attempt, Delivery, DeliveryState, Interface, Lead
from webapp.services.interfaces import interfaces
from webapp.services.people import users

pytestmark = [
    pytest.mark.skipif(not ON_POSTGRESQL, reason="PgBouncer is for PostgreSQL"),
    pytest.mark.skipif(program() is None, reason="PgBouncer is not installed"),
]

POSTS = 40


@pytest.fixture(params=["session", "transaction"])
def pooler(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Path]:
    # In session pooling each client keeps its connection; in transaction pooling three connections serve all.
    with running_pgbouncer(postgres, request.param, size=3 if request.param == "transaction" else 30) as directory:
        yield directory


@pytest.fixture
def environ(
    pooler: Path, postgres: Postgres, valkey: Valkey, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, str]]:
    name = f"pooled_{request.node.callspec.params['pooler']}_{abs(hash(request.node.name))}"
    postgres.execute(f"CREATE DATABASE {name}")
    postgres.execute(f"ALTER DATABASE {name} SET timezone = 'America/New_York'")
    yield {
        **KEYS,
        "LEADHOOK_HOME": str(tmp_path),
        "REDIS_URL": valkey.url,
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
        "DATABASE_URL": f"postgresql+psycopg://leadhook@/{name}?host={pooler}&port={PORT}",
        "DATABASE_PREPARED_STATEMENTS": "off",
        "FORM_RATE_LIMIT": "",
    }
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def made(environ: dict[str, str], templates: Path, worker: bool = False) -> Flask:
    app = create_app(Config.load(environ), worker=worker, plans_once=worker)
    once.compile_templates_once(app, templates)
    app.test_client_class = Browser
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    return app


@pytest.fixture
def app(environ: dict[str, str], pooler: Path, made_once: Path) -> Iterator[Flask]:
    """Migrated through the pooler, by `db upgrade` itself."""
    app = made(environ, made_once)
    with app.app_context():
        upgrade()
        disconnect()
        reconnect(pooler)
        yield app
        disconnect()


def address_of(environ: dict[str, str]) -> str:
    """What psycopg connects to."""
    url = make_url(environ["DATABASE_URL"])
    return f"dbname={url.database} user=leadhook host={url.query['host']} port={PORT}"


@contextlib.contextmanager
def foreign_client(address: str) -> Iterator[list[str]]:
    """Another program in the same pool that prepares its statements, under the names that psycopg gives ours."""
    stop, mistakes = threading.Event(), []

    def work() -> None:
        with psycopg.connect(address, autocommit=True, prepare_threshold=0) as connection:
            while not stop.is_set():
                for number in range(20):
                    try:
                        connection.execute(f"SELECT {number}, %s::text", (str(number),))
                    except psycopg.Error as error:  # its own mistake: no client should prepare in transaction pooling
                        mistakes.append(type(error).__name__)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield mistakes
    finally:
        stop.set()
        thread.join()


def test_leads_are_captured_and_delivered_beside_a_client_that_prepares(
    app: Flask, environ: dict[str, str], receiver: Receiver, made_once: Path
) -> None:
    with transaction():
        owner = users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")
        interface = interfaces.create(owner.account_id, "Contact sales")
    point_at(interface, receiver.url)
    sign(interface)
    public_id, webhook_id = interface.public_id, interface.webhook.id
    disconnect()
    with foreign_client(address_of(environ)):
        codes: list[int] = []

        def visit(visitor: int) -> None:
            client = app.test_client()
            for number in range(POSTS // 4):
                fields = {"name": "Ada", "email": f"ada{visitor}.{number}@example.com", "phone": "", "message": "Hi"}
                codes.append(client.post(f"/f/{public_id}", data=fields).status_code)

        visitors = [threading.Thread(target=visit, args=(each,)) for each in range(4)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        assert codes == [303] * POSTS
        worker = made(environ, made_once, worker=True)
        with worker.app_context():
            lanes.drain(webhook_id)
            disconnect()
        worker.extensions["leadhook_sender"].close()
        browser = app.test_client()
        assert browser.post("/login", data={"email": "alice@example.com", "password": PASSWORD}).status_code == 303
        for address in ("/interfaces", "/leads", "/leads?status=failed", "/leads?q=ada1", "/mailbox", "/leads.csv"):
            assert browser.get(address, buffered=True).status_code == 200, address
        disconnect()
    assert db.session.scalar(select(func.count()).select_from(Lead)) == POSTS
    assert set(db.session.scalars(select(Delivery.state))) == {DeliveryState.DELIVERED}
    assert db.session.scalar(select(func.count()).select_from(Attempt)) == POSTS
    db.session.rollback()
    assert app.test_client().get("/readyz").status_code == 200
    assert db.session.get_one(Interface, interface.id).public_id == public_id


def test_a_session_has_our_settings_and_leaves_none_to_the_next_client(app: Flask, environ: dict[str, str]) -> None:
    names = ("jit", "max_parallel_workers_per_gather", "timezone", "idle_in_transaction_session_timeout")
    with psycopg.connect(address_of(environ)) as connection:
        shown = [connection.execute(f"SHOW {name}").fetchone() for name in names]
        assert [str(row[0]).lower() for row in shown if row] == ["off", "0", "utc", "1min"]
        for name in ("statement_timeout", "lock_timeout", "plan_cache_mode"):  # from a migration, a page, a worker
            default = connection.execute(f"SELECT boot_val FROM pg_settings WHERE name = '{name}'").fetchone()
            current = connection.execute(f"SELECT setting FROM pg_settings WHERE name = '{name}'").fetchone()
            assert current == default, name
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_with_prepared_statements_on_it_says_what_the_pooler_says(environ: dict[str, str], made_once: Path) -> None:
    app = made({**environ, "DATABASE_PREPARED_STATEMENTS": "on"}, made_once)
    with app.app_context(), pytest.raises(Exception, match="unsupported startup parameter"), db.engine.connect() as one:
        one.execute(text("SELECT 1"))
