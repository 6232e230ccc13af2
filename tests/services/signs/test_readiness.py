"""Readiness says whether a lead can be written: tried with servers and disks that really take no writes."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, IntegrityError, InternalError, OperationalError, ProgrammingError
from structlog.testing import capture_logs

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.factories import ADA
from tests.support.no_threads import refused
from tests.support.postgres import Postgres, running_postgres
from tests.support.waiting import wait_until
from webapp.db.engines import AUTOCOMMIT
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Lead
from webapp.services.signs import checks, readiness

only_on_postgresql = pytest.mark.skipif(not ON_POSTGRESQL, reason="a server that takes no writes is a PostgreSQL")
only_on_sqlite = pytest.mark.skipif(ON_POSTGRESQL, reason="the disk is that of the SQLite file")
READY = {"database": "ok", "writable": True, "redis": "ok"}


@pytest.fixture(autouse=True)
def always_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request probes: the tests change the world between two of them."""
    monkeypatch.setattr(readiness, "EVERY", 0.0)


@pytest.fixture
def send(client: FlaskClient, interface: Interface) -> Callable[[], int]:
    """Posts a lead; returns the status code."""
    address = f"/f/{interface.public_id}"
    return lambda: client.post(address, data=ADA, headers={"Accept": "application/json"}).status_code


def state(client: FlaskClient) -> tuple[int, object]:
    answer = client.get("/readyz")
    assert answer.json
    assert answer.json["writable"] is (answer.status_code == 200)
    return answer.status_code, answer.json["status"]


def count_leads() -> int:
    db.session.rollback()
    return db.session.query(Lead).count()


# A server that takes no writes ---------------------------------------------------------------------------------------


@contextmanager
def read_only_database(postgres: Postgres) -> Iterator[None]:
    name = db.engine.url.database
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        yield
    finally:
        postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


def _reconnected(engine: Engine) -> list[Connection]:
    engine.dispose()
    return [engine.connect() for _ in range(3)]


@only_on_postgresql
def test_it_is_not_ready_while_new_connections_are_read_only(
    client: FlaskClient, postgres: Postgres, send: Callable[[], int]
) -> None:
    with read_only_database(postgres):
        db.session.rollback()
        db.engine.dispose()
        assert state(client) == (503, "unavailable")
        assert send() == 500
        assert state(client) == (503, "unavailable")
    assert state(client) == (200, "ready")
    assert [send() for _ in range(5)] == [201] * 5
    assert count_leads() == 5


@only_on_postgresql
def test_connections_opened_while_it_was_read_only_are_dropped_without_a_probe(
    postgres: Postgres, send: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that were used a moment ago and are not checked: the first post fails, and takes the others along."""
    with read_only_database(postgres):
        db.session.rollback()
        several = [*_reconnected(db.engine), *_reconnected(db.engines[AUTOCOMMIT])]
        for each in several:
            each.close()
    monkeypatch.setattr("webapp.db.transactions.IDLE", 3600.0)
    assert [send() for _ in range(4)] == [500, 201, 201, 201]


@only_on_postgresql
def test_an_idle_connection_that_is_read_only_fails_no_post(
    postgres: Postgres, send: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with read_only_database(postgres):
        db.session.rollback()
        several = [*_reconnected(db.engine), *_reconnected(db.engines[AUTOCOMMIT])]
        for each in several:
            each.close()
    monkeypatch.setattr("webapp.db.transactions.IDLE", -1.0)  # all of them count as idle
    assert [send() for _ in range(4)] == [201] * 4


@only_on_postgresql
def test_all_databases_of_a_server_may_become_read_only_under_open_connections(
    client: FlaskClient, postgres: Postgres, send: Callable[[], int]
) -> None:
    assert state(client) == (200, "ready")
    postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        statement = text("SHOW default_transaction_read_only")
        while db.session.scalar(statement) != "on":
            db.session.rollback()
        db.session.rollback()
        assert state(client) == (503, "unavailable")
        assert send() == 500
    finally:
        postgres.execute("ALTER SYSTEM RESET default_transaction_read_only")
        postgres.execute("SELECT pg_reload_conf()")
    while db.session.scalar(statement) != "off":
        db.session.rollback()
    db.session.rollback()
    assert state(client) == (200, "ready")
    assert send() == 201


@only_on_postgresql
def test_a_standby_is_not_ready_and_becomes_ready_when_it_is_promoted(make_app: AppMaker, postgres: Postgres) -> None:
    """A hot standby, made with pg_basebackup from the server of the tests."""
    here = make_app()
    with here.app_context():
        name = db.engine.url.database
    with postgres.standby() as standby:
        client = make_app(DATABASE_URL=standby.url(str(name))).test_client()
        assert client.get("/readyz").json == {
            "status": "unavailable",
            "database": "ok",
            "writable": False,
            "redis": "ok",
            "clock_offset_seconds": pytest.approx(0.0, abs=5.0),
        }
        assert "leadhook_database_writable 0.0" in figures(client)
        standby.promote()
        assert state(client) == (200, "ready")
        assert "leadhook_database_writable 1.0" in figures(client)


def figures(client: FlaskClient) -> list[str]:
    token = client.application.config["ENVIRON"]["METRICS_TOKEN"]
    return client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).text.splitlines()


# A disk without room -------------------------------------------------------------------------------------------------


@contextmanager
def no_file_may_grow_beyond(size: int) -> Iterator[None]:
    """As a full disk or a quota would, for this process: needs no root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@only_on_sqlite
def test_it_is_not_ready_while_files_cannot_grow(
    client: FlaskClient, send: Callable[[], int], tmp_path: Path, interface: Interface
) -> None:
    db.session.rollback()
    assert state(client) == (200, "ready")
    with no_file_may_grow_beyond(4096):
        assert state(client) == (503, "unavailable")
        assert send() == 500
        assert state(client) == (503, "unavailable")
    assert state(client) == (200, "ready")
    assert (send(), count_leads()) == (201, 1)


@only_on_sqlite
def test_it_is_not_ready_without_room_for_the_largest_lead_though_small_ones_are_taken(
    client: FlaskClient, send: Callable[[], int]
) -> None:
    with no_file_may_grow_beyond(1_000_000):
        assert send() == 201
        assert state(client) == (503, "unavailable")


@only_on_sqlite
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a tmpfs")
def test_it_is_not_ready_on_a_full_tmpfs(make_app: AppMaker, tmp_path: Path) -> None:
    """In a mount namespace of its own, so that nothing stays mounted, however the test ends."""
    source = str(make_app().extensions["leadhook_config"].home / "leadhook.sqlite3")
    command = [sys.executable, "-m", "tests.support.full_disk", source, str(tmp_path)]
    ran = subprocess.run(["unshare", "--mount", *command], capture_output=True, text=True, check=False)
    if "Operation not permitted" in ran.stderr or "unshare failed" in ran.stderr:
        pytest.skip("this machine allows no mounts")
    assert ran.stdout.split() == ["200", "201", "503", "500", "503", "200", "201"], ran.stderr


@only_on_sqlite
def test_a_database_file_that_may_not_grow_is_found(client: FlaskClient, interface: Interface) -> None:
    """A quota inside SQLite: the disk has room."""
    with db.engine.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()

    @db.event.listens_for(db.engine, "checkout")
    def limit(dbapi_connection: object, *_: object) -> None:
        dbapi_connection.execute(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]

    db.session.rollback()
    assert state(client) == (503, "unavailable")
    db.event.remove(db.engine, "checkout", limit)
    db.engine.dispose()
    assert state(client) == (200, "ready")


@only_on_sqlite
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_database_file_without_the_right_to_write_is_found(client: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "leadhook.sqlite3").chmod(0o400)
    assert state(client) == (503, "unavailable")


# A capture that failed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OperationalError, InternalError, ProgrammingError])
def test_a_capture_that_failed_turns_it_off_until_a_write_succeeds(
    app: Flask, client: FlaskClient, send: Callable[[], int], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    assert state(client) == (200, "ready")
    monkeypatch.setattr(readiness, "EVERY", 3600.0)
    app.extensions["leadhook_captures"].last_error = error
    assert state(client) == (503, "unavailable")
    assert send() == 201
    assert state(client) == (200, "ready")


def test_a_broken_table_turns_it_off_though_the_database_answers(client: FlaskClient, send: Callable[[], int]) -> None:
    assert state(client) == (200, "ready")
    with transaction():
        db.session.execute(text("ALTER TABLE leads RENAME TO leads_away"))
    assert send() == 500
    assert state(client) == (503, "unavailable")
    with transaction():
        db.session.execute(text("ALTER TABLE leads_away RENAME TO leads"))
    assert state(client) == (200, "ready")


@pytest.mark.parametrize("error", [DataError, IntegrityError, ValueError, None])
def test_what_is_wrong_with_one_lead_does_not_turn_it_off(
    app: Flask, client: FlaskClient, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state(client) == (200, "ready")
    monkeypatch.setattr(readiness, "EVERY", 3600.0)
    app.extensions["leadhook_captures"].last_error = error
    assert state(client) == (200, "ready")


def test_the_probe_leaves_nothing(client: FlaskClient, interface: Interface, app: Flask) -> None:
    for _ in range(2):
        assert state(client) == (200, "ready")
        app.extensions["leadhook_captures"].last_error = OperationalError
    assert count_leads() == 0


def test_after_a_rehearsal_it_asks_but_proves_nothing_again(
    client: FlaskClient, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.session.rollback()
    readiness.probe.rehearse()
    proofs: list[bool] = []
    monkeypatch.setattr(readiness, "_write_largest_lead", lambda: proofs.append(True))
    assert client.get("/readyz").status_code == 200
    assert proofs == []
    with transaction():
        db.session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert client.get("/readyz").status_code == 503


def test_it_asks_the_database_at_most_every_two_seconds(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    statements: list[str] = []
    db.event.listen(db.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    client.get("/readyz")
    first = len(statements)
    assert first
    for _ in range(5):
        client.get("/readyz")
    assert len(statements) == first


def answered_within(client: FlaskClient, path: str, seconds: float) -> str:
    begun = time.monotonic()
    token = client.application.config["ENVIRON"]["METRICS_TOKEN"]
    text = client.get(path, headers={"Authorization": f"Bearer {token}"}).text
    assert time.monotonic() - begun < seconds, path
    return text


@pytest.mark.once
def test_a_server_that_hangs_is_away_after_three_seconds_and_then_ready_again(make_app: AppMaker) -> None:
    """A real PostgreSQL of its own, stopped by SIGSTOP: it refuses nothing and answers nothing."""
    with running_postgres() as server:
        server.execute("CREATE DATABASE leads")
        app = make_app(DATABASE_URL=server.url("leads"))
        with app.app_context():
            upgrade()
            db.session.rollback()
        client = app.test_client()
        assert state(client) == (200, "ready")
        with server.frozen(), capture_logs() as logged:
            for _ in range(2):
                assert '"database":"away"' in answered_within(client, "/readyz", seconds=5).replace(" ", "")
                page = answered_within(client, "/metrics", seconds=5)
                assert "leadhook_database_up 0.0" in page
                assert "leadhook_deliveries_due" not in page
            with app.app_context():
                found = {check.sign: check.ok for check in checks.all_checks()}
            assert (found["database"], found["sweep"], found["secrets"]) == (False, None, None)
        assert [each["reason"] for each in logged if "does not answer" in each["event"]] == [readiness.HANGS]
        wait_until(lambda: state(client) == (200, "ready"), "the server to be used again")
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()


def test_a_probe_that_hangs_keeps_no_other_request_waiting(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state(client) == (200, "ready")
    monkeypatch.setattr(readiness, "PATIENCE", 0.05)
    goes_on = Event()
    ask = readiness.Probe._ask
    with monkeypatch.context() as patch:
        patch.setattr(readiness.Probe, "_ask", lambda probe: goes_on.wait(20) and ask(probe))
        assert [state(client) for _ in range(3)] == [(503, "unavailable")] * 3
    goes_on.set()
    wait_until(lambda: state(client) == (200, "ready"), "the probe to end")


def test_a_probe_that_fails_in_our_own_code_is_not_ready_and_the_next_one_is_made(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[object] = []
    monkeypatch.setattr("threading.excepthook", failed.append)
    with monkeypatch.context() as patch:
        patch.setattr(readiness.Probe, "_ask", lambda probe: 1 / 0)
        assert state(client) == (503, "unavailable")
    assert state(client) == (200, "ready")
    wait_until(lambda: failed, "the traceback in the log")


def test_a_probe_that_got_no_thread_is_made_for_the_next_request(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once every later request waited for that probe, and found the database away until the process ended."""
    with monkeypatch.context() as patch:
        patch.setattr(readiness, "Thread", refused)
        with pytest.raises(RuntimeError, match="new thread"):
            readiness.probe.readiness()
    assert state(client) == (200, "ready")
