"""The sample receivers of /docs/webhooks, run unchanged: the same files, under other names of folders."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.receiver import free_port
from tests.support.tree import ROOT
from tests.support.waiting import wait_until
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.sender import Limits, Sender
from webapp.webhooks.signing import generate_secret, sign

HERE = ROOT / "webapp" / "templates" / "docs" / "receivers"
NODE_PACKAGES = ROOT / ".venv" / "node" / "node_modules"  # scripts/test.sh installs them


class Kind(NamedTuple):
    """How a sample is started, in a folder with links to all of them; its path, the code of a refusal, and what it
    prints when it is ready, if it listens before."""

    command: Sequence[str]
    path: str = "/hook"
    refuses_with: int = 401
    when_ready: str = ""


RECIPES = ROOT / "docs" / "receivers"
NODE_RED = os.environ.get("LEADHOOK_NODE_RED", "node-red").split()  # `make receivers` installs it
LINKED = ("node", "--preserve-symlinks", "--preserve-symlinks-main")  # packages are beside the link
KINDS = {
    "python": Kind([sys.executable, "receiver.py", "{port}"]),
    "flask": Kind([sys.executable, "-m", "flask", "--app", "flask_app", "run", "--port", "{port}"]),
    "fastapi": Kind([sys.executable, "-m", "uvicorn", "fastapi_app:app", "--port", "{port}"]),
    "django": Kind([sys.executable, "django_app.py", "runserver", "{port}", "--noreload"]),
    "node": Kind(["node", "receiver.mjs", "{port}"]),
    "express": Kind([*LINKED, "express_app.mjs", "{port}"]),
    "fastify": Kind([*LINKED, "fastify_app.mjs", "{port}"]),
    "php": Kind(["php", "-S", "127.0.0.1:{port}", "receiver.php"]),
    "shell": Kind(["busybox", "httpd", "-f", "-p", "127.0.0.1:{port}", "-h", "."], "/cgi-bin/receiver.sh"),
    "go": Kind(["sh", "-c", "go build -o built receiver.go && exec ./built {port}"]),
    "ruby": Kind(["puma", "-b", "tcp://127.0.0.1:{port}", "receiver.ru"]),
    "java": Kind(["java", "Receiver.java", "{port}"]),
    # The recipes of docs/receivers.
    "node-red": Kind(
        [
            *NODE_RED,
            "-D",
            "uiHost=127.0.0.1",
            "-D",
            "httpAdminRoot=false",
            "-p",
            "{port}",
            "-u",
            ".",
            "node-red-flow.json",
        ],
        "/leadhook",
        when_ready="Started flows",
    ),
    "webhook": Kind(
        ["webhook", "-template", "-hooks", "webhook-daemon-hooks.json", "-ip", "127.0.0.1", "-port", "{port}"],
        "/hooks/leadhook",
        500,
    ),
}
# `make receivers` asks for the rest.
NAMES = os.environ.get("LEADHOOK_SAMPLES", "python flask fastapi django node express fastify php shell").split()


def lay(home: Path) -> None:
    """Puts links to all samples, and to the packages for Node, into a folder."""
    (home / "cgi-bin").mkdir(parents=True)
    for path in HERE.iterdir():
        if path.is_file():
            (home / path.name).symlink_to(path)
    for path in RECIPES.glob("*-*.*"):
        shutil.copy(path, home)  # Node-RED may write to its own
    (home / "cgi-bin" / "receiver.sh").symlink_to(HERE / "receiver.sh")
    (home / "node_modules").symlink_to(NODE_PACKAGES)


class Sample:
    """A running sample; it verifies with `token`."""

    def __init__(self, name: str, home: Path, token: str | None = None, port: int = 0) -> None:
        if name in ("express", "fastify") and not (NODE_PACKAGES / name).exists():
            pytest.skip(f"{name} is not installed: make test does it, with npm")
        kind = KINDS[name]
        self.token = generate_secret() if token is None else token
        self.output = home / "output"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}{kind.path}"
        lay(home / "site")
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [part.format(port=self.port) for part in kind.command],
                cwd=home / "site",
                env={
                    **environ,
                    "LEADHOOK_SHARED_TOKEN": self.token,
                    "TMPDIR": str(home),
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(self.listens, f"{name} to listen", timeout=60)
        wait_until(lambda: kind.when_ready in self.output.read_text(), f"{name} to be ready", timeout=60)
        self.sender = Sender(Limits(allowed_networks=(ip_network("127.0.0.0/8"),)))

    def listens(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self.sender.close()
        self.process.kill()
        self.process.wait()

    def received(self) -> list[tuple[str, str, Any]]:
        """Type, id and fields of each lead that the sample says it stored."""
        log = self.output.with_name("site") / "leads.log"  # of the `webhook` daemon
        printed = self.output.read_text() + (log.read_text() if log.exists() else "")
        lines = re.findall(r"^Received (\S+) (\S+) (.*)$", printed, re.MULTILINE)
        whole = [json.loads(body) for body in re.findall(r"\bReceived (\{.*)$", printed, re.MULTILINE)]
        return [(kind, lead_id, json.loads(fields)) for kind, lead_id, fields in lines if kind[0] != "{"] + [
            (event["type"], event["data"]["lead"]["id"], event["data"]["lead"]["fields"]) for event in whole
        ]

    def send(self, message_id: str, body: bytes, headers: dict[str, str]) -> Outcome:
        return self.sender.send(1, self.url, body, {"webhook-id": message_id, **headers})

    def deliver(
        self,
        body: bytes,
        message_id: str = "",
        tokens: Sequence[str] = (),
        sent_at: float | None = None,
        **change: str | None,
    ) -> Outcome:
        """Sends a signed lead like a delivery. `change` replaces headers after signing; None removes one."""
        message_id = message_id or f"msg_{secrets.token_hex(13)}"
        now = int(time.time() if sent_at is None else sent_at)
        headers: dict[str, str | None] = {
            "webhook-timestamp": str(now),
            "webhook-signature": sign(tokens or [self.token], message_id, now, body),
        }
        headers |= {f"webhook-{name}": value for name, value in change.items()}
        return self.send(message_id, body, {name: value for name, value in headers.items() if value is not None})
