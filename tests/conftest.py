"""What every test may ask for. The suite runs on SQLite, and with LEADHOOK_TEST_DATABASE=postgresql on that."""

import contextvars
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask, has_app_context
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import select

from tests.support import once
from tests.support.kept_connections import KeptConnections, may_go_on
from tests.support.postgres import Postgres, running_postgres
from tests.support.prepared import Make, make_of, rows_of
from tests.support.receiver import Receiver
from tests.support.valkey import Valkey, running_valkey
from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import disconnect, transaction
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import Interface, User
from webapp.services.interfaces import interfaces
from webapp.services.people import users
from webapp.services.webhooks import webhooks
from webapp.webhooks.addresses import resolve

TESTS = Path(__file__).parent
ON_POSTGRESQL = os.environ.get("LEADHOOK_TEST_DATABASE") == "postgresql"
PASSWORD = "correct horse battery"
METRICS_TOKEN = "only-for-tests-to-scrape"
KEYS = {"SECRET_KEY": "only for tests, at least 16", "ENCRYPTION_KEYS": Fernet.generate_key().decode()}

AppMaker = Callable[..., Flask]


def pytest_configure() -> None:
    once.collect_less_often()  # the tests that are found are a million objects, all of which stay


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests begin first: at the end, workers can share only what is short.

    On PostgreSQL, tests of services and screens that ask for no database do not run again.
    """
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    if ON_POSTGRESQL:
        config.hook.pytest_deselected(items=[item for item in items if _asks_for_no_database(item)])
        items[:] = [item for item in items if not _asks_for_no_database(item)]


def _asks_for_no_database(item: pytest.Item) -> bool:
    is_pure = isinstance(item, pytest.Function) and "postgres" not in item.fixturenames
    return is_pure and item.path.relative_to(TESTS).parts[0] in ("services", "blueprints")


class Browser(FlaskClient):
    """A client whose requests run in a context of their own, as in a server: no session shared with the test's."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        if has_app_context():
            db.session.rollback()  # the test's own transaction must neither block the request nor hide its work
        return contextvars.Context().run(super().open, *args, **kwargs)


@pytest.fixture(scope="session", autouse=True)
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """See support/once.py; a directory for templates that are compiled, the same for all processes of this run."""
    directory = tmp_path_factory.getbasetemp().parent / "templates"
    directory.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        once.collect_less_often()
        once.hash_quickly(patch)
        once.flush_nothing(patch)
        once.share_routes(patch)
        once.read_version_once(patch)
        once.read_callbacks_once(patch)
        once.start_no_idle_timers(patch)
        yield directory


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey that must be up again when a test that stops it is over."""
    # Not below pytest's own directory: a unix socket's path is at most 107 bytes long.
    directory = Path(tempfile.mkdtemp(prefix="leadhook-valkey-"))
    with running_valkey(directory) as valkey:
        yield valkey
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def valkey_url(valkey: Valkey) -> str:
    return valkey.url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres | None]:
    if not ON_POSTGRESQL:
        yield None
        return
    with running_postgres() as server:
        server.execute("ALTER SYSTEM SET autovacuum = off")  # what a test leaves is deleted, and no test waits for it
        server.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture(scope="session")
def template_database(postgres: Postgres | None, tmp_path_factory: pytest.TempPathFactory, valkey: Valkey) -> str:
    """A migrated database that each test gets a copy of: its name on PostgreSQL, its path on SQLite."""
    home = tmp_path_factory.mktemp("template")
    environ = {**KEYS, "LEADHOOK_HOME": str(home), "REDIS_URL": valkey.url}
    if postgres:
        postgres.execute("CREATE DATABASE template_leadhook")
        environ["DATABASE_URL"] = postgres.url("template_leadhook")
    app = create_app(Config.load(environ))
    with app.app_context():
        upgrade()
        disconnect()
    return "template_leadhook" if postgres else str(home / "leadhook.sqlite3")


@pytest.fixture(scope="session")
def prepared(
    template_database: str, postgres: Postgres | None, tmp_path_factory: pytest.TempPathFactory, valkey: Valkey
) -> Callable[[Make], str]:
    """See support/prepared.py."""

    @cache
    def rows(make: Make) -> str:
        environ = {**KEYS, "REDIS_URL": valkey.url}
        return rows_of(make, template_database, environ, tmp_path_factory.mktemp("prepared"), postgres)

    return rows


@pytest.fixture
def first_rows(request: pytest.FixtureRequest, template_database: str, prepared: Callable[[Make], str]) -> str:
    """What the test's database has when it begins: the rows of `interface`, `owner` or a fixture of the test's own."""
    if make := make_of(request, MAKES):
        return prepared(make)
    return "" if ON_POSTGRESQL else template_database


@pytest.fixture
def kept_connections(request: pytest.FixtureRequest, postgres: Postgres | None) -> KeptConnections | None:
    """Where a test's app has connections of the tests before it; see support/kept_connections.py."""
    folder = request.path.relative_to(TESTS).parts[0]
    return postgres.kept if postgres and may_go_on(request, folder) else None


@pytest.fixture
def make_app(
    first_rows: str,
    template_database: str,
    postgres: Postgres | None,
    kept_connections: KeptConnections | None,
    valkey: Valkey,
    tmp_path: Path,
    made_once: Path,
) -> Iterator[AppMaker]:
    """Makes apps on one fresh migrated database and an empty Valkey; keyword arguments are environment names."""
    valkey.be_up()
    environ = {**KEYS, "LEADHOOK_HOME": str(tmp_path), "REDIS_URL": valkey.url}
    environ["METRICS_TOKEN"] = METRICS_TOKEN
    environ["WEBHOOK_ALLOWED_NETWORKS"] = "127.0.0.0/8,::1/128"
    name = postgres.borrow(template_database, first_rows) if postgres else ""
    if postgres:
        environ["DATABASE_URL"] = postgres.url(name)
        if not kept_connections:
            postgres.kept.close(name)
    else:
        shutil.copy(first_rows, tmp_path / "leadhook.sqlite3")
    made: list[Flask] = []

    def make(
        csrf: bool = False, worker: bool = False, plans_once: bool = False, short_way: bool = True, **more: str
    ) -> Flask:
        app = create_app(Config.load({**environ, **more}), worker=worker, plans_once=plans_once, short_way=short_way)
        once.compile_templates_once(app, made_once)
        once.compile_statements_once(app)
        if kept_connections:
            with app.app_context():
                for engine in db.engines.values():
                    kept_connections.serve(engine)
        app.test_client_class = Browser
        app.config.update(TESTING=True, WTF_CSRF_ENABLED=csrf, ENVIRON={**environ, **more})
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            db.session.remove()
            if kept_connections:
                for engine in db.engines.values():
                    kept_connections.keep(engine)
            disconnect()
            queues.redis.close()
        if sender := app.extensions.get("leadhook_sender"):
            sender.close()
    if postgres:
        postgres.give_back(name, template_database)


@pytest.fixture
def app(make_app: AppMaker) -> Iterator[Flask]:
    """An app, its context pushed, so that a test may call services at once."""
    app = make_app()
    with app.app_context():
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser nobody has signed in with."""
    return app.test_client()


def make_owner() -> User:
    with transaction():
        return users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")


def make_interface() -> Interface:
    owner = make_owner()
    with transaction():
        return interfaces.create(owner.account_id, "Contact sales")


# Fixtures whose rows are in a database before the test begins: the first that a test asks for has those of the others.
MAKES: dict[str, Make] = {"interface": make_interface, "owner": make_owner}


@pytest.fixture
def owner(app: Flask) -> User:
    """The first owner, who is the operator, too."""
    with transaction():
        return db.session.scalars(select(User).order_by(User.id).limit(1)).one_or_none() or make_owner()


@pytest.fixture
def interface(owner: User) -> Interface:
    """The owner's interface "Contact sales": four fields, a webhook without a URL."""
    with transaction():
        return db.session.scalars(select(Interface)).one()


@pytest.fixture
def signed_in(app: Flask, owner: User) -> FlaskClient:
    """A browser the owner has signed in with."""
    return sign_in(app, "alice@example.com")


@pytest.fixture
def stranger(app: Flask, owner: User) -> FlaskClient:
    """A browser the owner of another account has signed in with; must see nothing of ours."""
    with transaction():
        users.create_owner("charlie@example.org", PASSWORD, "Charlie's Cars")
    return sign_in(app, "charlie@example.org")


def sign_in(app: Flask, email: str) -> FlaskClient:
    client = app.test_client()
    answer = client.post("/login", data={"email": email, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return client


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What names resolve to while a webhook is saved: to a public address, unless a test puts another one here.

    No test asks the DNS of the machine it runs on, which may be slow, or away.
    """
    answers: dict[str, str] = {}

    def resolver(host: str, port: int, family: int = 0, kind: int = 0) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, kind, 6, "", (answers.get(host, "93.184.216.34"), port))]

    monkeypatch.setattr(webhooks, "resolve", partial(resolve, resolver=resolver))
    return answers


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real HTTP server on loopback that keeps what it receives."""
    with Receiver() as receiver:
        yield receiver
