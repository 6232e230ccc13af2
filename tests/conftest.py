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
from tests.support.postgres import Postgres, running_postgres
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
) -> Callable[[str], str]:
    """Copies of the template database that have a fixture's rows already: a copied row costs less than a new one."""

    @cache
    def named(fixture: str) -> str:
        home = tmp_path_factory.mktemp(fixture)
        environ = {**KEYS, "LEADHOOK_HOME": str(home), "REDIS_URL": valkey.url}
        name = f"template_leadhook_{fixture}"
        if postgres:
            postgres.execute(f"CREATE DATABASE {name} TEMPLATE {template_database}")
            environ["DATABASE_URL"] = postgres.url(name)
        else:
            shutil.copy(template_database, home / "leadhook.sqlite3")
        app = create_app(Config.load(environ))
        with app.app_context():
            MAKES[fixture]()
            disconnect()
            queues.redis.close()
        if postgres:
            postgres.keep_rows(name)
        return name if postgres else str(home / "leadhook.sqlite3")

    return named


@pytest.fixture
def database_template(request: pytest.FixtureRequest, template_database: str, prepared: Callable[[str], str]) -> str:
    """The database that the test's own is a copy of: with the rows of `interface` or `owner`, if it asks for them."""
    asked = request.node._fixtureinfo.name2fixturedefs
    ours = [name for name in MAKES if name in asked and asked[name][-1].baseid == "tests"]
    return prepared(ours[0]) if ours else template_database


@pytest.fixture
def make_app(
    database_template: str, postgres: Postgres | None, valkey: Valkey, tmp_path: Path, made_once: Path
) -> Iterator[AppMaker]:
    """Makes apps on one fresh migrated database and an empty Valkey; keyword arguments are environment names."""
    valkey_is_up(valkey)
    environ = {**KEYS, "LEADHOOK_HOME": str(tmp_path), "REDIS_URL": valkey.url}
    environ["METRICS_TOKEN"] = METRICS_TOKEN
    environ["WEBHOOK_ALLOWED_NETWORKS"] = "127.0.0.0/8,::1/128"
    name = postgres.borrow(database_template) if postgres else ""
    if postgres:
        environ["DATABASE_URL"] = postgres.url(name)
    else:
        shutil.copy(database_template, tmp_path / "leadhook.sqlite3")
    made: list[Flask] = []

    def make(csrf: bool = False, worker: bool = False, plans_once: bool = False, **more: str) -> Flask:
        app = create_app(Config.load({**environ, **more}), worker=worker, plans_once=plans_once)
        once.compile_templates_once(app, made_once)
        once.compile_statements_once(app)
        app.test_client_class = Browser
        app.config.update(TESTING=True, WTF_CSRF_ENABLED=csrf, ENVIRON={**environ, **more})
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            disconnect()
            queues.redis.close()
        if sender := app.extensions.get("leadhook_sender"):
            sender.close()
    if postgres:
        postgres.give_back(name, database_template)


def valkey_is_up(valkey: Valkey) -> None:
    """An empty Valkey, started again if a test stopped it."""
    if valkey.process is None:
        valkey.start()
    valkey.empty()


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


def _make_owner() -> User:
    with transaction():
        return users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")


def _make_interface() -> Interface:
    owner = _make_owner()
    with transaction():
        return interfaces.create(owner.account_id, "Contact sales")


# Fixtures whose rows are in a database before the test begins: the first that a test asks for has those of the others.
MAKES: dict[str, Callable[[], object]] = {"interface": _make_interface, "owner": _make_owner}


@pytest.fixture
def owner(app: Flask) -> User:
    """The first owner, who is the operator, too."""
    with transaction():
        return db.session.scalars(select(User)).one_or_none() or _make_owner()


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
