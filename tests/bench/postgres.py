"""PostgreSQL for the benchmark."""

import os

from tests.bench.machine import Child
from tests.support.postgres import Postgres, _as_postgres, binary
from tests.support.waiting import wait_until


class DurablePostgres(Postgres):
    """PostgreSQL as its package sets it: with fsync, unlike the tests'."""

    def start(self) -> None:
        settings = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={self.directory}")
        command = _as_postgres([binary("postgres"), "-D", str(self.data), *settings, "-c", "max_connections=200"])
        log = self.directory / "log"
        self.process = Child(command, os.environ, log).process
        wait_until(self.answers, "PostgreSQL to answer", timeout=60)
