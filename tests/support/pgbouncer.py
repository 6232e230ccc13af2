"""Debian's PgBouncer before the tests' PostgreSQL, on a unix socket of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.postgres import Postgres, _as_postgres
from tests.support.waiting import wait_until

PORT = 6432  # names the socket; nothing listens there

SETTINGS = """
[databases]
* = host={server}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {directory}
auth_type = trust
auth_file = {directory}/users
admin_users = leadhook
pool_mode = {mode}
default_pool_size = {size}
server_reset_query_always = 0
"""


def program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def running_pgbouncer(postgres: Postgres, mode: str, size: int = 3) -> Iterator[Path]:
    """Its directory, where its socket is. `mode`: session or transaction; `size`: connections to the server."""
    directory = Path(tempfile.mkdtemp(prefix="leadhook-pgbouncer-"))
    settings = SETTINGS.format(server=postgres.directory, port=PORT, directory=directory, mode=mode, size=size)
    (directory / "pgbouncer.ini").write_text(settings)
    (directory / "users").write_text('"leadhook" ""\n')
    if os.geteuid() == 0:
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, "postgres")
    command = _as_postgres([program() or "pgbouncer", "--quiet", str(directory / "pgbouncer.ini")])
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: _answers(directory), "PgBouncer to answer", timeout=30)
            yield directory
        finally:
            process.terminate()
            process.wait(timeout=30)
            shutil.rmtree(directory, ignore_errors=True)


def reconnect(directory: Path) -> None:
    """Has it open its connections to the server anew, as after `db upgrade`."""
    with psycopg.connect(f"host={directory} port={PORT} user=leadhook dbname=pgbouncer", autocommit=True) as connection:
        connection.execute("RECONNECT")


def _answers(directory: Path) -> bool:
    try:
        with psycopg.connect(f"host={directory} port={PORT} user=leadhook dbname=postgres"):
            return True
    except psycopg.OperationalError:
        return False
