"""Rows that many tests begin with, made once: a copied row costs less than a new one."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.postgres import Postgres
from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import disconnect
from webapp.delivery.rings import queues

Make = Callable[[], object]


def rows_of(make: Make, template: str, environ: Mapping[str, str], home: Path, postgres: Postgres | None) -> str:
    """What fills a test's database with the rows that `make` makes: on SQLite a file to copy, on PostgreSQL statements.

    `template`: the migrated database. `home`: an empty directory.
    """
    file = home / "leadhook.sqlite3"
    environ = {**environ, "LEADHOOK_HOME": str(home)}
    name = postgres.borrow(template) if postgres else ""
    if postgres:
        environ["DATABASE_URL"] = postgres.url(name)
    else:
        shutil.copy(template, file)
    app = create_app(Config.load(environ))
    with app.app_context():
        make()
        disconnect()
        queues.redis.close()
    if not postgres:
        return str(file)
    rows = postgres.rows(name)
    postgres.give_back(name, template)
    return rows


def make_of(request: Any, ours: Mapping[str, Make]) -> Make | None:
    """What makes the rows of the first fixture that the test asks for, in its module's MAKES or in `ours`.

    A function in MAKES makes all rows of the fixture of this name and of the fixtures that this one asks for.
    """
    asked = request.node._fixtureinfo.name2fixturedefs
    theirs: Mapping[str, Make] = getattr(request.module, "MAKES", {})
    for makes, place in (theirs, request.node.nodeid.partition("::")[0]), (ours, "tests"):
        for name, make in makes.items():
            if name in asked and asked[name][-1].baseid == place:
                return make
    return None
