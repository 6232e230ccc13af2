"""A real PostgreSQL on a unix socket, in a directory of its own; ended by pid.

PostgreSQL refuses to run as root, so root starts it as the user `postgres` that its package made.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.waiting import wait_until


def binary(name: str) -> str:
    """The path of a PostgreSQL program; Debian keeps the server's outside PATH. Newest first."""
    for candidate in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True):
        return str(candidate)
    found = shutil.which(name)
    if not found:
        raise RuntimeError(f"{name} is missing: install PostgreSQL (`make test` does, as root)")
    return found


def _as_postgres(command: list[str]) -> list[str]:
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


class Postgres:
    """A cluster made for this run: no fsync, for nothing here outlives the machine."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="leadhook-postgres-"))
        self.data = self.directory / "data"
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres")
        options = ["--auth=trust", "--username=leadhook", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            _as_postgres([binary("initdb"), f"--pgdata={self.data}", *options]), check=True, stdout=subprocess.DEVNULL
        )
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://leadhook@/{database}?host={self.directory}"

    def start(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "max_connections": "200",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = _as_postgres([binary("postgres"), "-D", str(self.data), *arguments])
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.answers, "PostgreSQL to answer", timeout=60)

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str) -> None:
        with psycopg.connect(f"host={self.directory} user=leadhook dbname=postgres", autocommit=True) as connection:
            connection.execute(statement)

    def stop(self, immediately: bool = False) -> None:
        """Ends the server: waiting for clients' transactions to be rolled back, or as a crash would."""
        mode = "immediate" if immediately else "fast"
        if self.process:
            subprocess.run(
                _as_postgres([binary("pg_ctl"), "stop", "-D", str(self.data), "-m", mode, "--silent"]), check=True
            )
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        self.stop(immediately=True)
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    postgres = Postgres()
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.remove()
