"""A complete Leadhook as in production: gunicorn and worker.py as processes, on a fresh database."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.receiver import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


class Site:
    """The running processes, behind `url`. Each process can be stopped and started again."""

    def __init__(self, environ: Mapping[str, str], log: IO[bytes] | None = None, code: Path = ROOT) -> None:
        """`log`: the file for stdout and stderr of the processes; by default those of the tests. `code`: the directory
        of another version."""
        self.log = log
        self.code = code
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        ours = {"PORT": str(self.port), "PUBLIC_URL": self.url, "RECEIVER_PORT": str(free_port())}
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        self.environ = {**inherited, **environ, **ours}
        self.web: subprocess.Popen[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.start_web()
        self.start_worker()

    def start_web(self, *options: str) -> None:
        """`options`: more of gunicorn's."""
        ours = ("--bind", f"127.0.0.1:{self.port}", "--threads", "8")
        self.web = self._start("-m", "gunicorn", *ours, *options, "webapp:create_app()")
        wait_until(self.answers, "the web process to answer", timeout=60)

    def start_worker(self, *arguments: str) -> None:
        self.worker = self._start("worker.py", "--processes", "1", "--slots", "16", *arguments)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=self.code, env=self.environ, stdout=self.log, stderr=self.log
        )

    def answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except URLError:
            return False
        except ConnectionError:
            return False

    def stop_worker(self) -> int:
        """Stops worker.py with SIGTERM, as a host does. Returns its exit code."""
        assert self.worker
        self.worker.terminate()
        code = self.worker.wait(timeout=60)
        self.worker = None
        return code

    def stop(self) -> None:
        for running in (self.worker, self.web):
            if running:
                running.terminate()
        for running in (self.worker, self.web):
            if running:
                running.wait(timeout=60)
