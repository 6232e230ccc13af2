"""`flask doctor`: for each sign what is wrong, why and what to do; exit code 0 where all is well."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import text, update
from structlog.testing import capture_logs

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.journeys.conftest import Workers
from tests.support.factories import point_at, sign, submit
from tests.support.postgres import Postgres
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until
from webapp.clock import now_sql, utcnow
from webapp.db.transactions import transaction
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Delivery, Interface, Mail, User
from webapp.services.mail import mails
from webapp.services.signs import checks, metrics, start
from webapp.services.signs.readiness import Readiness

SIGNS = [
    *(
        "database",
        "writable",
        "clock",
        "redis",
        "workers",
        "sweep",
        "backlog",
        "mail",
        "secrets",
        "disk",
        "sessions",
        "home",
        "proxies",
    ),
]
NO_DATABASE = "postgresql+psycopg://leadhook@/leadhook?host=/nowhere"


def doctor(app: Flask) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the checks by sign."""
    db.session.rollback()
    ran = app.test_cli_runner().invoke(args=["doctor", "--json"])
    found = json.loads(ran.stdout.splitlines()[-1])
    assert [check["sign"] for check in found["checks"]] == SIGNS
    assert found["ok"] is (ran.exit_code == 0)
    for check in found["checks"]:
        assert set(check) == {"sign", "ok", "found", "why", "do"}
        assert (check["why"] is None) is (check["do"] is None) is (check["ok"] is True)
    return ran.exit_code, {check["sign"]: check for check in found["checks"]}


def wrong(app: Flask, sign: str) -> str:
    """What the doctor says about a sign that must be wrong, in one text."""
    code, found = doctor(app)
    assert code == 1
    assert found[sign]["ok"] is False, found[sign]
    return " ".join(found[sign][part] for part in ("found", "why", "do"))


def test_all_is_well_while_workers_run(app: Flask, owner: User, workers: Workers) -> None:
    workers.start()
    wait_until(lambda: doctor(app)[0] == 0, "all to be well", timeout=60, every=0.5)
    assert all(check["ok"] for check in doctor(app)[1].values())
    printed = app.test_cli_runner().invoke(args=["doctor"])
    assert printed.exit_code == 0
    assert [line.split()[:2] for line in printed.stdout.splitlines()] == [["ok", sign] for sign in SIGNS]


def test_without_workers_it_names_them_and_the_sweep(app: Flask, owner: User) -> None:
    assert "No worker serves fast, slow, mail." in wrong(app, "workers")
    assert "No sweep runs." in wrong(app, "sweep")
    sweeper = Sweep()
    sweeper.once()
    assert doctor(app)[1]["sweep"]["ok"] is True
    sweeper.resign()  # as when worker.py is stopped
    assert "No sweep runs." in wrong(app, "sweep")
    sweeper.once()
    with transaction():
        db.session.execute(text("UPDATE sweeper SET lease_until = lease_until - 100"))
    assert re.search("The last sweep was 10[0-9] seconds ago", wrong(app, "sweep"))


def test_for_people_it_prints_what_to_do(app: Flask, owner: User) -> None:
    printed = app.test_cli_runner().invoke(args=["doctor"])
    assert printed.exit_code == 1
    lines = printed.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("MEND workers"))
    assert lines[at + 1].strip().startswith("Why: ")
    assert lines[at + 2].strip().startswith("Do:  Start `python worker.py`")


def test_a_database_that_is_away(make_app: AppMaker) -> None:
    app = make_app(DATABASE_URL=NO_DATABASE)
    with app.app_context():
        assert "/nowhere" in wrong(app, "database")
        assert {sign for sign, check in doctor(app)[1].items() if check["ok"] is None} >= {"writable", "clock", "sweep"}


def test_a_database_that_is_not_migrated(app: Flask) -> None:
    version = text("UPDATE alembic_version SET version_num = :version")
    current = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    with transaction():
        db.session.execute(version, {"version": "0000"})
    assert "flask --app webapp db upgrade" in wrong(app, "database")
    with transaction():  # on PostgreSQL the next test gets this database
        db.session.execute(version, {"version": current})


@pytest.mark.skipif(not ON_POSTGRESQL, reason="a server that takes no writes is a PostgreSQL")
def test_a_database_that_takes_no_writes(app: Flask, postgres: Postgres, owner: User) -> None:
    name = db.engine.url.database
    db.session.rollback()
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    db.engine.dispose()
    try:
        assert "target_session_attrs=read-write" in wrong(app, "writable")
    finally:
        postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        db.engine.dispose()


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has the clock of its host")
@pytest.mark.parametrize(("ahead", "words"), [(600, "600 seconds ahead of"), (-45, "45 seconds behind")])
def test_a_clock_that_is_wrong(app: Flask, owner: User, ahead: int, words: str) -> None:
    with time_machine.travel(utcnow().timestamp() + ahead, tick=True):
        assert words in wrong(app, "clock")


def test_a_redis_that_is_away(app: Flask, owner: User, valkey: Valkey) -> None:
    valkey.stop()
    assert "REDIS_URL" in wrong(app, "redis")
    assert doctor(app)[1]["workers"]["ok"] is None


def test_deliveries_that_are_not_sent(app: Flask, interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    submit(interface)
    with transaction():
        db.session.execute(update(Delivery).values(due_at=now_sql() - 300))
    assert "1 deliveries are due, the oldest for 30" in wrong(app, "backlog")


def test_mails_that_the_server_does_not_take(make_app: AppMaker, owner: User) -> None:
    app = make_app(MAIL_SERVER="127.0.0.1", MAIL_PORT="9")
    with app.app_context():
        with transaction():
            link = "https://leads.example.com/x"
            mails.write("password_reset", recipients=["a@example.com"], account_id=None, signs_in=True, link=link)
            db.session.execute(update(Mail).values(created_at=utcnow().replace(year=2020)))
        assert "/mailbox" in wrong(app, "mail")


def test_keys_that_do_not_read_the_database(make_app: AppMaker, interface: Interface) -> None:
    """As after a restore without the key files: new keys were made."""
    sign(interface)
    restored = make_app(ENCRYPTION_KEYS=Fernet.generate_key().decode())
    with restored.app_context():
        assert "No key of ENCRYPTION_KEYS reads 1 of the 1 secrets" in wrong(restored, "secrets")
        with capture_logs() as logged:
            start.warn()
        [warning] = [entry for entry in logged if "ENCRYPTION_KEYS" in entry["event"]]
        assert warning["log_level"] == "warning"
        assert "rotate" in warning["do"]
        ran = restored.test_cli_runner().invoke(args=["rotate-encryption"])
        assert ran.exit_code == 1
        assert json.loads(ran.stdout.splitlines()[-1]) == {"secrets": 1, "reencrypted": 0, "unreadable": 1}
        assert "ENCRYPTION_KEYS lacks their key" in ran.stderr


def test_the_old_key_beside_the_new_one_mends_it(make_app: AppMaker, interface: Interface) -> None:
    sign(interface)
    old = make_app().config["ENVIRON"]["ENCRYPTION_KEYS"]
    both = make_app(ENCRYPTION_KEYS=f"{Fernet.generate_key().decode()},{old}")
    with both.app_context():
        assert doctor(both)[1]["secrets"]["ok"] is True
        with capture_logs() as logged:
            start.warn()
        assert logged == []
        assert both.test_cli_runner().invoke(args=["rotate-encryption"]).exit_code == 0


def test_a_disk_with_little_room(app: Flask, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEAST_DISK", 2**60)
    assert "free space" in wrong(app, "disk")


@pytest.mark.once
def test_the_folder_of_the_database_counts_where_it_is_on_another_disk(
    make_app: AppMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other disk"
    other.mkdir()
    app = make_app(DATABASE_URL=f"sqlite:///{other}/leads.sqlite3")
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda at: real._replace(free=1000 if at == other else 2**40))
    with app.app_context():
        assert f"{other} has 0 MB" in wrong(app, "disk")
        assert metrics.least_free() == (1000, other)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no settings of sessions")
def test_settings_that_the_role_does_not_have(make_app: AppMaker, owner: User) -> None:
    app = make_app(DATABASE_PREPARED_STATEMENTS="off")
    with app.app_context():
        assert "jit=on" in wrong(app, "sessions")


@pytest.mark.parametrize(
    ("why", "do"),
    [
        ("The database server takes no writes: it is a standby, or was set to read-only.", "primary"),
        ("cannot execute INSERT in a read-only transaction", "primary"),
        ('could not extend file "base/1/2": No space left on device', "Make room"),
        ("could not write to file: No space left on device", "Make room"),
        ("database or disk is full", "Make room"),
        ("[Errno 28] No space left on device", "Make room"),
    ],
)
def test_what_to_do_follows_from_why_no_lead_can_be_written(app: Flask, why: str, do: str) -> None:
    found = checks._writable(Readiness("ok", False, "ok", 0.0, why))
    assert found.do is not None
    assert do in found.do
    assert ("primary" in found.do) is (do == "primary")


def test_a_proxy_that_is_not_trusted(make_app: AppMaker, owner: User) -> None:
    app = make_app(PUBLIC_URL="https://leads.example.com")
    with app.app_context():
        assert "TRUSTED_PROXIES" in wrong(app, "proxies")
    for environ in ({"TRUSTED_PROXIES": "1"}, {"PUBLIC_URL": "http://127.0.0.1:8000"}):
        app = make_app(**{"PUBLIC_URL": "https://leads.example.com", **environ})
        with app.app_context():
            assert doctor(app)[1]["proxies"]["ok"] is True


@pytest.mark.parametrize("arguments", [["--colour"], ["extra"], ["--json=yes"]])
def test_other_arguments_are_refused_in_one_sentence(app: Flask, arguments: list[str]) -> None:
    ran = app.test_cli_runner().invoke(args=["doctor", *arguments])
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert len(ran.stderr.splitlines()) == 1


def test_the_start_says_why_it_could_check_nothing(make_app: AppMaker) -> None:
    app = make_app(DATABASE_URL=NO_DATABASE)
    with app.app_context(), capture_logs() as logged:
        start.warn()
    assert any("/nowhere" in entry.get("why", "") for entry in logged)
