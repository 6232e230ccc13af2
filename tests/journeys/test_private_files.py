"""The files of LEADHOOK_HOME have mode 600, also where the umask is 022, and those of an earlier version are mended."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from structlog.testing import capture_logs

from tests.conftest import AppMaker
from tests.journeys.test_doctor import doctor, wrong
from tests.journeys.test_large_bodies import post, upload
from tests.support.forked import ForkedSite, forking
from tests.support.make_run import MakeRun
from tests.support.site import ROOT
from tests.support.uploads import ask_for_files
from tests.support.waiting import wait_until
from webapp import private_home
from webapp.config import Config
from webapp.extensions import db
from webapp.models import Interface, User
from webapp.services.signs import checks, start

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """What others could use if they got into the folder."""
    return sorted(
        f"{path.relative_to(folder)} {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in folder.rglob("*")
        if path.lstat().st_mode & 0o077
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_make_run_makes_only_private_files(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    with MakeRun(home, tmp_path / "scratch") as run:
        run.ready()
        expected = {"leadhook.sqlite3", "secret_key", "encryption_keys", "metrics_token", "run.lock"}
        assert expected | {"valkey.log", "valkey.sock"} <= names(home)
        opened = {"leadhook.sqlite3-wal", "leadhook.sqlite3-shm"}
        wait_until(lambda: opened <= names(home), "a process to open the database")
        assert open_to_others(home) == []
        told = "Others can look into LEADHOOK_HOME"  # the operator made the folder, with 755
        wait_until(lambda: told in run.printed, "a process to say so")


def test_a_web_process_stores_files_that_are_private(app: Flask, interface: Interface, tmp_path: Path) -> None:
    path = f"/f/{interface.public_id}"
    ask_for_files(interface)
    db.session.rollback()  # else this process would hold SQLite's lock
    os.umask(0o022)
    site = ForkedSite(app.config["ENVIRON"])
    try:
        site.start_web()
        assert post(site, path, *upload(900_000))[0] == 201
    finally:
        site.stop()
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert open_to_others(tmp_path) == []


def test_a_proxy_of_another_user_reaches_the_unix_socket_of_gunicorn(
    app: Flask, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its mode follows gunicorn's own setting (`--umask`), not that of our files."""
    socket = tmp_path_factory.mktemp("run") / "web.sock"
    db.session.rollback()
    site = ForkedSite(app.config["ENVIRON"])
    try:
        site.start_web("--bind", f"unix:{socket}")
        assert socket.stat().st_mode & 0o777 == 0o777
    finally:
        site.stop()


@pytest.mark.parametrize("command", [["db", "upgrade"], ["doctor"], ["create-api-key", "--name", "x"]])
def test_a_command_makes_only_private_files(tmp_path: Path, command: list[str]) -> None:
    environ = {"PATH": os.environ["PATH"], "LEADHOOK_HOME": str(tmp_path / "home")}
    with open(os.devnull, "wb") as nothing:
        ran = forking().start(["-m", "flask", "--app", "webapp", *command], ROOT, environ, *[nothing.fileno()] * 2)
    ran.wait(timeout=60)
    assert names(tmp_path / "home") >= {"secret_key", "encryption_keys"}
    assert open_to_others(tmp_path / "home") == []


OURS = (
    *("leadhook.sqlite3", "leadhook.sqlite3-wal", "leadhook.sqlite3-shm", "leadhook.sqlite3-journal"),
    *("leadhook.sqlite3-gate", "secret_key", "encryption_keys", "metrics_token", "search-1.turn", "export-2.turn"),
    *("run.lock", "valkey.log"),
)


def test_files_of_an_earlier_version_are_mended_and_others_left_alone(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (home / "files" / "ab").mkdir(parents=True)
    elsewhere.mkdir()
    made = [home / name for name in OURS] + [elsewhere / "db.sqlite3", elsewhere / "db.sqlite3-wal"]
    made += [home / "files" / "ab" / "cv.pdf", home / "files" / "other"]
    kept = [home / "notes.txt", elsewhere / "mine.sqlite3", home / "backup.sqlite3"]
    for path in [*made, *kept]:
        path.touch(0o644)
    (home / "valkey.sock").symlink_to(kept[0])  # a link is not followed
    os.chmod(home / "files", 0o755)
    for url in (f"sqlite:///{elsewhere}/db.sqlite3", ""):
        config = Config.load(
            {"LEADHOOK_HOME": str(home), "DATABASE_URL": url, "SECRET_KEY": "x" * 16, "ENCRYPTION_KEYS": "0" * 43 + "="}
        )
        private_home.close(config)
    private_home.mend_files(config)
    assert {oct(path.stat().st_mode & 0o777) for path in made} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in kept} == {"0o644"}
    assert (home / "files").stat().st_mode & 0o777 == 0o700
    assert (home / "files" / "ab").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("mode", "is_open"),
    [
        (0o700, False),
        (0o750, False),
        (0o755, True),
        (0o701, True),
        (0o704, True),
        (0o770, True),
        (0o711, True),
        (0o777, True),
    ],
)
def test_the_doctor_and_the_log_say_that_others_can_look_into_it(
    app: Flask, owner: User, tmp_path: Path, mode: int, is_open: bool
) -> None:
    tmp_path.chmod(mode)
    try:
        with capture_logs() as logs:
            start.warn()
        assert any("Others can look into LEADHOOK_HOME" in line["event"] for line in logs) is is_open
        if is_open:
            assert "run `chmod 700` on it" in wrong(app, "home")
        else:
            assert doctor(app)[1]["home"]["ok"] is True
    finally:
        tmp_path.chmod(0o700)


def test_a_file_that_cannot_be_mended_is_named(
    app: Flask, owner: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.lock").touch()
    os.chmod(tmp_path / "run.lock", 0o644)
    check = checks.home()
    assert (check.ok, check.found.endswith("run.lock.")) == (False, True)


def test_a_home_that_is_missing_is_made_private(make_app: AppMaker, tmp_path: Path) -> None:
    make_app(LEADHOOK_HOME=str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
