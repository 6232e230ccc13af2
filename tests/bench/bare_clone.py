"""`make run` in a bare clone, until it is ready, beside the time that pip alone takes for the same packages."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.bench.machine import ROOT, Child, say
from tests.bench.measure import Row
from tests.support.receiver import free_port
from tests.support.waiting import wait_until

TARGET = 1.3
TITLE = "make run in a bare clone, until /readyz answers 200"


def row(directory: Path) -> Row:
    """Measures both once, each with an empty home: nothing that pip keeps there helps."""
    alone = _pip_seconds(directory / "pip")
    if alone is None:
        return Row("bare-clone", f"{TITLE}: the package index could not be reached", "sqlite", "s", [])
    whole = _make_run_seconds(directory / "clone")
    say(f"  make run in a bare clone {whole:.0f} s, pip alone {alone:.0f} s")
    return Row("bare-clone", TITLE, "sqlite", "s", [whole], "pip alone", [alone], TARGET, at_least=False)


def _clone(directory: Path) -> dict[str, str]:
    """What is committed here, in `directory`; the environment of programs that run in it."""
    directory.mkdir(parents=True)
    subprocess.run(["git", "clone", "--quiet", "--depth=1", ROOT.as_uri(), str(directory / "tree")], check=True)
    (directory / "home").mkdir()
    kept = ("PATH", "LANG", "TZ", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    environ = {name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")}
    environ |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return environ | {"HOME": str(directory / "home")}


def _pip_seconds(directory: Path) -> float | None:
    """None if pip fails. The virtual environment is made before."""
    environ = _clone(directory)
    python = directory / "venv" / "bin" / "python"
    subprocess.run([_python(), "-m", "venv", str(directory / "venv")], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--require-hashes", "--requirement", "requirements.txt"]
    began = time.monotonic()
    ended = subprocess.run(command, cwd=directory / "tree", env=environ, capture_output=True, text=True)
    if ended.returncode:
        say(ended.stderr[-1000:])
        return None
    took = time.monotonic() - began
    shutil.rmtree(directory)
    return took


def _make_run_seconds(directory: Path) -> float:
    environ = _clone(directory)
    port = free_port()
    environ |= {"PORT": str(port), "RECEIVER_PORT": str(free_port())}
    began = time.monotonic()
    command = ["make", "run", f"PYTHON={_python()}"]
    child = Child(command, environ, directory / "log", cwd=directory / "tree", new_session=True)

    def ready() -> bool:
        child.check()
        return _answers(port)

    try:
        wait_until(ready, "make run to be ready", timeout=600, every=0.1)
        return time.monotonic() - began
    finally:
        child.stop()


def _python() -> str:
    """The interpreter itself: what chooses one by its name needs a home."""
    return str(Path(sys.executable).resolve())


def _answers(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (HTTPException, OSError):
            return False
