"""Imports point inwards: blueprints → forms, web, services → models, delivery, webhooks; jobs → services, delivery."""

from collections.abc import Callable

import pytest

from tests.support.tree import TREE, Import, Tree, name_of

# What the modules of a folder may never import, by the beginning of the module's name.
OUTER = ("webapp.blueprints", "webapp.jobs", "webapp.cli", "webapp.run")
FORBIDDEN = {
    "webapp/webhooks": ("flask", "sqlalchemy", "rq", "redis"),
    "webapp/models": ("flask", "webapp.services", "webapp.forms", "webapp.delivery", "webapp.web", "webapp.db", *OUTER),
    "webapp/db": ("webapp.services", "webapp.forms", "webapp.delivery", "webapp.web", "webapp.webhooks", *OUTER),
    "webapp/delivery": ("webapp.services", "webapp.forms", "webapp.web", *OUTER),
    "webapp/services": ("webapp.forms", "webapp.web", *OUTER),
    "webapp/web": ("webapp.forms", "webapp.delivery", *OUTER),
    "webapp/forms": ("webapp.delivery", "webapp.web", *OUTER),
    "webapp/jobs.py": ("flask", "sqlalchemy", "webapp.models", "webapp.forms", "webapp.blueprints", "webapp.webhooks"),
}
# They send mail or store files between two short transactions, write each webhook's reports in one, or delete a few
# leads at a time: only they know where a transaction ends.
OPEN_TRANSACTIONS = {
    "webapp.services.files.stored",
    "webapp.services.leads.forgetting",
    "webapp.services.mail.mails",
    "webapp.services.reports.reports",
}
# What the other services may use of webapp.db.transactions: nothing that begins a transaction which writes.
FOR_SERVICES = {"after_commit", "end_transaction", "read_autocommit", "read_only"}
OF_REQUESTS = {"request", "session", "g", "abort", "flash", "redirect", "make_response", "jsonify", "Response"}
ONLY_TESTS = {
    "celery",
    "pytest",
    "playwright",
    "aiosmtpd",
    "hypothesis",
    "schemathesis",
    "openapi_spec_validator",
    "time_machine",
    "standardwebhooks",
    "authlib",
    "tests",
}


def imports_point_inwards(tree: Tree) -> list[str]:
    return [
        f"{name_of(path)} imports {found.module} {found.name or ''}"
        for folder, forbidden in FORBIDDEN.items()
        for path in tree.python_files(folder)
        for found in tree.imports(path)
        if any(_is_below(name, end) for name in (found.module, f"{found.module}.{found.name}") for end in forbidden)
    ]


def _is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def webhooks_know_only_themselves(tree: Tree) -> list[str]:
    return [
        f"{name_of(path)} imports {found.module}"
        for path in tree.python_files("webapp/webhooks")
        for found in tree.imports(path)
        if found.module.split(".")[0] in ("webapp", "worker", "tests")
        and not _is_below(found.module, "webapp.webhooks")
    ]


def services_know_no_request(tree: Tree) -> list[str]:
    return [
        f"{name_of(path)} imports {found.name} of {found.module}"
        for path in tree.python_files("webapp/services")
        for found in tree.imports(path)
        if (found.module == "flask" and found.name in OF_REQUESTS) or found.module.startswith("flask_login")
    ]


def services_begin_no_transaction(tree: Tree) -> list[str]:
    faults = []
    for path in tree.python_files("webapp/services"):
        name = name_of(path)
        for found in tree.imports(path):
            of_module = found.module == "webapp.db.transactions"
            if (of_module and found.name not in FOR_SERVICES and name not in OPEN_TRANSACTIONS) or (
                found == Import("webapp.db", "transactions")
            ):
                faults.append(f"{name} imports {found.name}")
        faults += [f"{name} calls {call}" for call in (".commit(", ".begin(") if call in tree.text(path)]
    return faults


def the_product_imports_nothing_of_the_tests(tree: Tree) -> list[str]:
    return [
        f"{name_of(path)} imports {found.module}"
        for path in tree.python_files("webapp", "worker.py")
        if "templates" not in path.parts  # samples for receivers
        for found in tree.imports(path)
        if found.module.split(".")[0] in ONLY_TESTS
    ]


def only_the_factory_knows_the_blueprints(tree: Tree) -> list[str]:
    return [
        name_of(path)
        for path in tree.python_files("webapp")
        if "blueprints" not in path.parts and name_of(path) != "webapp"
        for found in tree.imports(path)
        if _is_below(f"{found.module}.{found.name}", "webapp.blueprints")
    ]


def only_the_engine_knows_rq(tree: Tree) -> list[str]:
    """Services and forms ring lanes; the dashboard shows the queues."""
    return [
        name_of(path)
        for path in tree.python_files("webapp")
        if "delivery" not in path.parts and name_of(path) != "webapp.blueprints.queue"
        for found in tree.imports(path)
        if found.module.split(".")[0] == "rq"
    ]


def one_fixture_starts_every_browser(tree: Tree) -> list[str]:
    """That of tests/browser/conftest.py: pages of its browsers are read once they are loaded."""
    return [
        name_of(path)
        for path in tree.python_files("tests")
        if name_of(path) != "tests.browser.conftest"
        for found in tree.imports(path)
        if found.module.split(".")[0] == "playwright"
        and (found.module != "playwright.sync_api" or found.name in (None, "sync_playwright"))
    ]


LEADS, LANES = "webapp/services/leads/leads.py", "webapp/delivery/lanes.py"
# Each check with violations that it must find: a file, and a line that is added to it.
PLANTED: list[tuple[Callable[[Tree], list[str]], str, str]] = [
    (imports_point_inwards, LEADS, "from webapp.web import filters"),
    (imports_point_inwards, LEADS, "import webapp.web.filters"),
    (imports_point_inwards, LANES, "from webapp.services import audit"),
    (imports_point_inwards, "webapp/models/lead.py", "def late():\n    from webapp.delivery import lanes"),
    (imports_point_inwards, "webapp/webhooks/signing.py", "import flask"),
    (imports_point_inwards, "webapp/jobs.py", "from sqlalchemy import select"),
    (imports_point_inwards, "webapp/db/bulk.py", "from webapp.delivery import ledger"),
    (imports_point_inwards, "webapp/web/limits.py", "from webapp.blueprints import auth"),
    (imports_point_inwards, "webapp/forms/user.py", "from webapp.web import security"),
    (webhooks_know_only_themselves, "webapp/webhooks/signing.py", "from webapp import clock"),
    (services_know_no_request, LEADS, "from flask import request"),
    (services_know_no_request, LEADS, "from flask_login import current_user"),
    (services_begin_no_transaction, LEADS, "from webapp.db.transactions import transaction"),
    (services_begin_no_transaction, LEADS, "from webapp.db.transactions import autocommit"),
    (services_begin_no_transaction, LEADS, "from webapp.db import transactions"),
    (services_begin_no_transaction, LEADS, "db.session.commit()"),
    (services_begin_no_transaction, LEADS, "with db.engine.begin() as connection: ..."),
    (services_begin_no_transaction, LEADS, "with db.session.begin(): ..."),
    (services_begin_no_transaction, LEADS, "with db.engines[None].begin() as connection: ..."),
    (the_product_imports_nothing_of_the_tests, LANES, "import pytest"),
    (only_the_factory_knows_the_blueprints, "webapp/cli.py", "from webapp.blueprints import auth"),
    (only_the_engine_knows_rq, LEADS, "from rq import Queue"),
    (one_fixture_starts_every_browser, "tests/support/axe.py", "from playwright.sync_api import sync_playwright"),
    (one_fixture_starts_every_browser, "tests/support/axe.py", "import playwright.sync_api"),
    (one_fixture_starts_every_browser, "tests/support/axe.py", "from playwright.async_api import Page"),
]
CHECKS = list(dict.fromkeys(check for check, _, _ in PLANTED))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_is_in_order(check: Callable[[Tree], list[str]]) -> None:
    assert check(TREE) == []


@pytest.mark.parametrize(("check", "file", "line"), PLANTED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_planted_violation_is_found(check: Callable[[Tree], list[str]], file: str, line: str) -> None:
    assert check(TREE.with_line(file, line))
