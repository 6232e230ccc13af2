"""Web and workers in a container whose root is read-only, as any user: only LEADHOOK_HOME can be written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import PASSWORD, AppMaker
from tests.journeys.test_large_bodies import post, upload
from tests.support.factories import point_at
from tests.support.receiver import Receiver
from tests.support.site import ROOT, Site
from tests.support.uploads import ask_for_files
from tests.support.valkey import ValkeyOnPort
from webapp.db.transactions import disconnect, transaction
from webapp.extensions import db
from webapp.models import File, Lead
from webapp.services.interfaces import interfaces
from webapp.services.people import users

pytestmark = pytest.mark.once

# Everything mounted below / becomes read-only for this process and its children, except one directory.
READ_ONLY = """
set -eu
mount --bind "$1" "$1"
awk '{print $2}' /proc/self/mounts | sort -r | while read -r place; do
  case $place in "$1"|/proc*|/sys*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;; esac
done
if touch /tmp/can-be-written 2>/dev/null; then rm -f /tmp/can-be-written; echo "still writable" >&2; exit 77; fi
shift
exec "$@"
"""
USER = 12345  # that no one has
# The interpreter and the code may be in a home directory. In a container they are where everyone may read them.
READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
LARGE = 600_000  # bytes; from 500 KB on, an upload is kept in a temporary file meanwhile


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(mkdtemp(prefix="leadhook-home-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class ReadOnlySite(Site):
    """Each process in a mount namespace of its own, and not as root."""

    home: Path

    def command(self, *arguments: str) -> list[str]:
        as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *READS_ALL]
        namespace = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(self.home)]
        return [*namespace, *as_user, sys.executable, *arguments]

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.command(*arguments), cwd=ROOT, env=self.environ, stdout=self.log, stderr=self.log)


@pytest.fixture
def app(make_app: AppMaker, home: Path, tmp_path: Path) -> Iterator[Flask]:
    shutil.copy(tmp_path / "leadhook.sqlite3", home / "leadhook.sqlite3")
    valkey = ValkeyOnPort(tmp_path / "valkey").start()
    app = make_app(LEADHOOK_HOME=str(home), REDIS_URL=f"redis://127.0.0.1:{valkey.port}")
    with app.app_context():
        yield app
        disconnect()
    valkey.stop()


@pytest.fixture
def form(app: Flask, receiver: Receiver, home: Path) -> str:
    """The address of a form with a File field and a webhook. All files of LEADHOOK_HOME belong to USER."""
    with transaction():
        owner = users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")
        interface = interfaces.create(owner.account_id, "Applications")
    point_at(interface, receiver.url)
    ask_for_files(interface)
    address = f"/f/{interface.public_id}"
    disconnect()
    for path in (home, *home.iterdir()):
        os.chown(path, USER, USER)
    return address


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a root read-only")
def test_web_and_workers_take_and_deliver_leads_and_files_with_a_root_that_is_read_only(
    app: Flask, form: str, receiver: Receiver, home: Path, tmp_path: Path
) -> None:
    with open(tmp_path / "log", "w+b") as log:
        site = ReadOnlySite(app.config["ENVIRON"], log)
        site.home = home
        del site.environ["HOME"]
        tried = subprocess.run(site.command("-c", ""), cwd=ROOT, capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"this machine allows no mounts or no other user: {tried.stderr[-200:]}")
        try:
            site.start()
            code, words = post(site, form, *upload(LARGE))
            assert code == 201, words
            receiver.wait_for(1, timeout=60)
            assert site.stop_worker() == 0
        finally:
            site.stop()
        log.seek(0)
        said = log.read().decode()
    assert "No usable temporary directory" not in said
    assert "Traceback" not in said
    assert db.session.scalars(select(Lead.email)).one() == "ada@example.com"
    assert db.session.scalars(select(File.size)).one() > LARGE
    assert {path.stat().st_uid for path in home.rglob("*")} == {USER}
    db.session.rollback()
