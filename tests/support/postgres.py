"""A real PostgreSQL on a unix socket, in its own directory.

PostgreSQL refuses to run as root, so root starts it as the user `postgres`, which its package created.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg

from tests.support.kept_connections import KeptConnections
from tests.support.waiting import wait_until


def binary(name: str) -> str:
    """The path of a PostgreSQL program, of the newest version. Debian keeps the server programs outside PATH."""
    for candidate in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True):
        return str(candidate)
    found = shutil.which(name)
    if not found:
        raise RuntimeError(f"{name} is missing: install PostgreSQL (`make test` does, as root)")
    return found


def _as_postgres(command: list[str]) -> list[str]:
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


TABLES = "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'"
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL(%s)"
END_OTHERS = f"SELECT count(pg_terminate_backend(pid)) {OTHERS}"
# Only of tables that ever had a row. setval is cheaper than ALTER SEQUENCE ... RESTART, which makes a new file.
EMPTY = """
DO $$ DECLARE each record; BEGIN
  SET LOCAL session_replication_role = replica;  -- no foreign keys, and no trigger that protects a log from deletion
  FOR each IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
      AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0 LOOP
    EXECUTE format('DELETE FROM %s', each.name);
  END LOOP;
  PERFORM setval(seqrelid, 1, false) FROM pg_sequence WHERE pg_sequence_last_value(seqrelid) IS NOT NULL;
END $$
"""
FILLED = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
  AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0
"""
COLUMNS = """
SELECT string_agg(format('quote_nullable(%%I::text)', attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""
COUNTED = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"


class Postgres:
    """A cluster for this test run. It does not fsync, because its data need not survive a crash of the machine."""

    def __init__(self) -> None:
        self._spare: defaultdict[str, list[str]] = defaultdict(list)  # by template
        self._templates: dict[str, object] = {}
        self._restorers: dict[str, psycopg.Connection[tuple[object, ...]]] = {}  # by database
        self.kept = KeptConnections()
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
        with self._connected("postgres") as connection:
            connection.execute(statement)

    def borrow(self, template: str, rows: str = "") -> str:
        """The name of a database that is like the template, one that was given back or a new one, with these `rows`.

        One that was given back is emptied and filled in one transaction: else the place of rows that were deleted could
        be taken by new ones, and a table would be read in another order than it was written.
        """
        if self._spare[template]:
            name = self._spare[template].pop()
            self._restorer(name).execute(f"{EMPTY};\n{rows}")
        else:
            name = f"test_{uuid4().hex}"
            self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            if rows:
                self._restorer(name).execute(rows)
        return name

    def rows(self, name: str) -> str:
        """The statements that fill an empty database with the rows of this one."""
        statements = ["SET LOCAL session_replication_role = replica"]  # no foreign keys, so any order will do
        with self._connected(name) as connection:
            for (table,) in connection.execute(FILLED).fetchall():
                columns = connection.execute(COLUMNS, [table]).fetchone()
                assert columns
                found = connection.execute(f"SELECT concat_ws(', ', {columns[0]}) FROM {table}").fetchall()  # type: ignore[call-overload]
                statements += [f"INSERT INTO {table} VALUES ({values})" for (values,) in found]
            for sequence, last in connection.execute(COUNTED).fetchall():
                statements.append(f"SELECT setval('{sequence}', {last})")
        return ";\n".join(statements)

    def give_back(self, name: str, template: str) -> None:
        """Keeps a database for the next test, which has it in an eighth of the time that a new one takes.

        Drops it if its tables or its version were changed.
        """
        connection = self._restorer(name)
        if connection.execute(END_OTHERS, [self.kept.pids(name)]).fetchone() != (0,):
            others = f"SELECT count(*) {OTHERS}"
            wait_until(
                lambda: connection.execute(others, [self.kept.pids(name)]).fetchone() == (0,), "connections to end"
            )
        if self._schema(connection) == self._schema_of(template):
            self._spare[template].append(name)
        else:
            self._restorers.pop(name).close()
            self.kept.close(name)
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _restorer(self, name: str) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection that is kept: a new one would read the whole catalog again. It is idle while a test runs."""
        if kept := self._restorers.pop(name, None):
            try:
                kept.execute("SELECT 1")
            except psycopg.OperationalError:  # a test stopped the server, or ended all connections
                kept.close()
                kept = None
        self._restorers[name] = kept or self._connected(name)
        return self._restorers[name]

    def end_restorers(self) -> None:
        """For a test to which a connection that read whole tables matters: what it read is counted when it ends."""
        self.kept.close()
        while self._restorers:
            self._restorers.popitem()[1].close()

    def _schema_of(self, template: str) -> object:
        if template not in self._templates:
            with self._connected(template) as connection:
                self._templates[template] = self._schema(connection)
        return self._templates[template]

    def _schema(self, connection: "psycopg.Connection[tuple[object, ...]]") -> object:
        """The names of all tables, and the migrations that were applied."""
        tables = connection.execute(TABLES).fetchone()
        is_migrated = tables and "alembic_version" in str(tables[0])
        return tables, connection.execute("TABLE alembic_version").fetchall() if is_migrated else []

    def _connected(self, name: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(f"host={self.directory} user=leadhook dbname={name}", autocommit=True)

    @contextmanager
    def standby(self) -> "Iterator[Standby]":
        """A hot standby of this server, with all its databases as they are now."""
        standby = Standby(self)
        try:
            standby.start()
            yield standby
        finally:
            standby.remove()

    def stop(self, immediately: bool = False) -> None:
        """Stops the server after it has rolled back all transactions; `immediately` stops it as a crash does."""
        self.end_restorers()
        mode = "immediate" if immediately else "fast"
        if self.process:
            subprocess.run(
                _as_postgres([binary("pg_ctl"), "stop", "-D", str(self.data), "-m", mode, "--silent"]), check=True
            )
            self.process.wait()
            self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block all processes of this cluster are stopped (SIGSTOP): they refuse and answer nothing."""
        first = (self.data / "postmaster.pid").read_text().split()[0]
        listed = subprocess.run(["pgrep", "-P", first], capture_output=True, text=True, check=True)
        family = [int(pid) for pid in (first, *listed.stdout.split())]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            assert self.process
            for pid in (*family, self.process.pid):  # runuser stops itself when its child stops
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        self.stop(immediately=True)
        shutil.rmtree(self.directory, ignore_errors=True)


class Standby(Postgres):
    """A hot standby: it answers every SELECT and refuses every write, until it is promoted."""

    def __init__(self, primary: Postgres) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="leadhook-standby-"))
        self.data = self.directory / "data"
        self._restorers = {}
        self.kept = KeptConnections()
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres")
        copy = [binary("pg_basebackup"), f"--pgdata={self.data}", f"--host={primary.directory}", "--username=leadhook"]
        quickly = ["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--wal-method=stream"]
        subprocess.run(_as_postgres([*copy, *quickly]), check=True, stdout=subprocess.DEVNULL)
        self.process = None

    def promote(self) -> None:
        command = [binary("pg_ctl"), "promote", "-D", str(self.data), "--silent", "--wait"]
        subprocess.run(_as_postgres(command), check=True)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    postgres = Postgres()
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.remove()
