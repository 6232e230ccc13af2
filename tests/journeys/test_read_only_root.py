"""Web and workers in a container whose root is read-only: only LEADHOOK_HOME can be written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.receiver import free_port
from tests.support.site import ROOT, Site

pytestmark = pytest.mark.once

# Everything mounted below / becomes read-only for this process and its children, except the two directories.
READ_ONLY = """
set -eu
for kept in "$1" "$2"; do mount --bind "$kept" "$kept"; done
awk '{print $2}' /proc/self/mounts | sort -r | while read -r place; do
  case $place in "$1"|"$2"|/proc*|/sys*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;; esac
done
if touch /tmp/can-be-written 2>/dev/null; then rm -f /tmp/can-be-written; echo "still writable" >&2; exit 77; fi
shift 2
exec "$@"
"""


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(mkdtemp(prefix="leadhook-home-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class ReadOnlySite(Site):
    """The web process in a mount namespace of its own."""

    kept: tuple[str, str]

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        namespace = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", *self.kept, sys.executable, *arguments]
        return subprocess.Popen(namespace, cwd=ROOT, env=self.environ, stdout=self.log, stderr=self.log)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a root read-only")
@pytest.mark.skipif(ON_POSTGRESQL, reason="its socket file is elsewhere; the files are the same")
def test_the_web_starts_and_takes_leads_with_a_root_that_is_read_only(
    make_app: AppMaker, home: Path, tmp_path: Path
) -> None:
    environ = dict(make_app().config["ENVIRON"])
    shutil.copy(Path(environ["LEADHOOK_HOME"]) / "leadhook.sqlite3", home / "leadhook.sqlite3")
    valkey = str(Path(environ["REDIS_URL"].removeprefix("unix://")).parent)
    environ |= {"LEADHOOK_HOME": str(home), "PORT": str(free_port())}
    with open(tmp_path / "log", "w+b") as log:
        site = ReadOnlySite(environ, log)
        del site.environ["HOME"]
        site.kept = (str(home), valkey)
        try:
            site.start_web()
            assert site.answers()
        finally:
            site.stop()
        log.seek(0)
        said = log.read().decode()
    if "still writable" in said or "unshare failed" in said:
        pytest.skip("this machine allows no mounts")
    assert "No usable temporary directory" not in said
    assert "Traceback" not in said
