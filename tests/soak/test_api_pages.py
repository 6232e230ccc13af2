"""A hundred thousand leads read over the API, a hundred at a time, on both databases. It prints what it measured.

LEADS=20000 makes it shorter.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import text

from tests.conftest import KEYS, PASSWORD, Browser
from tests.support import api_pages, once
from tests.support.api import Caller, key_for
from tests.support.postgres import Postgres
from tests.support.valkey import Valkey
from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import disconnect
from webapp.extensions import db

pytestmark = pytest.mark.timeout(1800)

LEADS = int(os.environ.get("LEADS", "120000"))  # 100,000 of the account that are not spam: a thousand pages
TIMES = 50
MOST = 1.5


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest, tmp_path: Path, valkey: Valkey, made_once: Path) -> Iterator[Flask]:
    environ = {**KEYS, "LEADHOOK_HOME": str(tmp_path), "REDIS_URL": valkey.url, "API_RATE_LIMIT": ""}
    with ExitStack() as stack:
        if request.param == "postgresql":
            server = Postgres()
            server.start()
            stack.callback(server.remove)
            server.execute("CREATE DATABASE pages")
            environ["DATABASE_URL"] = server.url("pages")
        app = create_app(Config.load(environ))
        once.compile_templates_once(app, made_once)
        app.test_client_class = Browser
        app.config.update(TESTING=True)
        with app.app_context():
            upgrade()
            yield app
            disconnect()


def test_a_thousand_pages_take_three_statements_each_and_the_last_as_long_as_the_first(app: Flask) -> None:
    account_id = api_pages.seed(app, LEADS, PASSWORD)
    if db.engine.dialect.name == "postgresql":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    program = Caller(app.test_client(), key_for(account_id))
    db.session.remove()
    program.get("/account")  # notes the use of the key
    found = api_pages.read(app, program)
    assert set(found.sizes[:-1]) == {100}
    assert max(found.statements) <= 3
    first, last = map(api_pages.p95, measured(app, program, found.last))
    print(f"\n{len(found.sizes)} pages; p95 of the first {first:.1f} ms, of the last {last:.1f} ms: {last / first:.2f}")
    assert last <= MOST * first


def measured(app: Flask, program: Caller, last: str) -> tuple[list[float], list[float]]:
    return api_pages.milliseconds(program, (api_pages.FIRST, last), TIMES, api_pages.clock_of(app))
