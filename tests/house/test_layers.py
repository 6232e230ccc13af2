"""Nothing points back: blueprints → forms, services → models, delivery, webhooks; jobs → services, delivery."""

from pathlib import Path

import pytest

from tests.support.tree import Import, imports, name_of, python_files

# What may never be imported by the modules of a folder, by the beginning of the module's name.
OUTER = ("webapp.blueprints", "webapp.jobs", "webapp.cli", "webapp.run")
FORBIDDEN = {
    "webapp/webhooks": ("flask", "sqlalchemy", "rq", "redis"),
    "webapp/models": ("flask", "webapp.services", "webapp.forms", "webapp.delivery", *OUTER),
    "webapp/delivery": ("webapp.services", "webapp.forms", *OUTER),
    "webapp/services": ("webapp.forms", *OUTER),
    "webapp/forms": ("webapp.delivery", *OUTER),
    "webapp/jobs.py": ("flask", "sqlalchemy", "webapp.models", "webapp.forms", "webapp.blueprints", "webapp.webhooks"),
}
# Mail is handed over between two short transactions, each webhook's report is one of its own, and old leads go a few at
# a time: only they know where.
OPEN_TRANSACTIONS = {
    "webapp.services.leads.forgetting",
    "webapp.services.mail.mails",
    "webapp.services.reports.reports",
}
OF_REQUESTS = {"request", "session", "g", "abort", "flash", "redirect", "make_response", "jsonify", "Response"}


def crossings(path: Path, forbidden: tuple[str, ...]) -> list[str]:
    """The imports of a file that lead where its folder must not."""

    def leads_there(found: Import) -> bool:
        names = (found.module, f"{found.module}.{found.name}")
        return any(name == end or name.startswith(f"{end}.") for name in names for end in forbidden)

    crossing = [found for found in imports(path) if leads_there(found)]
    return [f"{name_of(path)} imports {found.module} {found.name or ''}" for found in crossing]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_inwards(folder: str) -> None:
    assert [fault for path in python_files(folder) for fault in crossings(path, FORBIDDEN[folder])] == []


def test_webhooks_know_nothing_of_the_rest() -> None:
    inner = [(path, found) for path in python_files("webapp/webhooks") for found in imports(path)]
    outside = [(path, found) for path, found in inner if found.module.split(".")[0] in ("webapp", "worker", "tests")]
    assert [name_of(path) for path, found in outside if not found.module.startswith("webapp.webhooks")] == []


def test_services_know_no_request_and_no_session() -> None:
    found = [(path, item) for path in python_files("webapp/services") for item in imports(path)]
    from_flask = [(name_of(path), item.name) for path, item in found if item.module == "flask"]
    assert [pair for pair in from_flask if pair[1] in OF_REQUESTS] == []
    assert [name_of(path) for path, item in found if item.module.startswith("flask_login")] == []


def test_services_never_commit() -> None:
    opening = {
        name_of(path)
        for path in python_files("webapp/services")
        if Import("webapp.db.transactions", "transaction") in imports(path)
    }
    assert opening <= OPEN_TRANSACTIONS
    assert [path.name for path in python_files("webapp/services") if ".commit(" in path.read_text()] == []


def test_the_product_needs_nothing_that_only_tests_or_the_benchmark_install() -> None:
    others = {"celery", "pytest", "playwright", "aiosmtpd", "hypothesis", "time_machine", "standardwebhooks", "tests"}
    found = {(name_of(path), item.module) for path in python_files("webapp") for item in imports(path)}
    found = {pair for pair in found if not pair[0].startswith("webapp.templates.")}  # samples, for receivers to copy
    assert {pair for pair in found if pair[1].split(".")[0] in others} == set()


def test_only_the_factory_knows_the_blueprints() -> None:
    knowing = {
        name_of(path)
        for path in python_files("webapp")
        for found in imports(path)
        if f"{found.module}.{found.name}".startswith("webapp.blueprints") and "webapp/blueprints/" not in str(path)
    }
    assert knowing <= {"webapp"}


def test_everything_of_the_queue_library_is_in_the_engine() -> None:
    """Blueprints other than the dashboard's, services and forms ring lanes; they enqueue nothing."""
    found = {
        name_of(path)
        for path in python_files("webapp")
        for item in imports(path)
        if item.module.split(".")[0] == "rq" and "webapp/delivery/" not in str(path)
    }
    assert found <= {"webapp.blueprints.queue"}
