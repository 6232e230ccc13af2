"""pytest tests/receivers/libraries.py: libraries of Standard Webhooks verify what Leadhook really sends.

Those of Python, Node, Go and Java, by two makers; `standardwebhooks` by way of the samples of /docs/webhooks. Those of
Ruby and PHP are in no registry that the tests reach.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.receivers.installing import FOLDER, apt, node, npm, run
from tests.support.factories import ADA, point_at, sign, submit
from tests.support.receiver import Received, Receiver, answering
from tests.support.samples import HERE
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Interface

DRIVERS = Path(__file__).parent / "drivers"
NPM = {"standardwebhooks": "1.1.1", "svix": "2.5.0", "svix1@npm:svix": "1.99.1"}
PIP = "standardwebhooks==1.1.0 svix==2.9.1"
GO = ("github.com/standard-webhooks/standard-webhooks/libraries@v0.0.1", "github.com/svix/svix-webhooks@v1.44.0")
JAVA = ("com.standardwebhooks:standardwebhooks:1.2.0", "com.svix:svix:1.99.1")
# Other names than those of a form's fields, and each of another kind.
ODD = {"name": "Zoë 🧑🏽‍🚀 עדה", "message": 'مرحبا \u200fשלום "42" \\ \u2028 \u00a0 <b>&amp;</b>\r\n' + "🦊" * 300}


def fresh(name: str) -> Path:
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def linked(folder: Path, *names: str) -> Path:
    """The folder, with links to these samples and drivers."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(HERE / name if (HERE / name).exists() else DRIVERS / name)
    return folder


@cache
def python_command() -> list[str]:
    home = fresh("python-libraries")
    run([sys.executable, "-m", "venv", str(home / "venv")])
    python = str(home / "venv" / "bin" / "python")
    run([python, "-m", "pip", "install", "--quiet", *PIP.split()])
    return [python, str(linked(home, "library.py", "driver.py") / "driver.py")]


@cache
def node_command() -> list[str]:
    home = npm("node-libraries", NPM).parent
    flags = ["--preserve-symlinks", "--preserve-symlinks-main"]
    return [node(at_least=22), *flags, str(linked(home, "library.mjs", "driver.mjs") / "driver.mjs")]


@cache
def go_command() -> list[str]:
    apt(go="golang-go")
    home = fresh("go-libraries")
    for name in ("library.go", "main.go"):
        shutil.copy(HERE / name if (HERE / name).exists() else DRIVERS / name, home)
    run(["go", "mod", "init", "samples"], home)
    run(["go", "get", *GO], home)
    run(["go", "mod", "tidy"], home)
    run(["go", "build", "-o", "driver"], home)
    return [str(home / "driver")]


@cache
def java_command() -> list[str]:
    apt(javac="default-jdk-headless", mvn="maven")
    home = fresh("java-libraries")
    for artifact in JAVA:
        run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={home}"], home)
    files = [str(HERE / "Library.java"), str(DRIVERS / "Driver.java")]
    run(["javac", "-cp", "*", "-d", ".", *files], home)
    return ["java", "-cp", f"{home}:{home}/*", "Driver"]


COMMANDS: dict[str, tuple[Callable[[], list[str]], str]] = {
    "Python, library.py with standardwebhooks 1.1.0": (python_command, "sample"),
    "Python, svix 2.9.1": (python_command, "svix"),
    "Node, library.mjs with standardwebhooks 1.1.1": (node_command, "sample"),
    "Node, svix 2.5.0": (node_command, "svix"),
    "Node, svix 1.99.1": (node_command, "svix1"),
    "Go, library.go with standardwebhooks 0.0.1": (go_command, "sample"),
    "Go, svix 1.44.0": (go_command, "svix"),
    "Java, Library.java with standardwebhooks 1.2.0": (java_command, "sample"),
    "Java, svix 1.99.1": (java_command, "svix"),
}


class Recorded:
    """What was sent to a receiver: first, again after a 500, during a rotation, after it; and the tokens."""

    def __init__(self, client: FlaskClient, interface: Interface, receiver: Receiver) -> None:
        key, self.old = sign(interface)
        point_at(interface, receiver.url)
        webhook_id = interface.webhook.id

        def drain() -> None:
            db.session.rollback()
            lanes.drain(webhook_id)

        receiver.queue(answering(500))
        first = submit(interface, {**ADA, **ODD})
        drain()
        client.post(f"/leads/{first.public_id}/retry")
        drain()
        self.new = self._rotated(client, key.public_id, overlap="24")
        submit(interface, ADA)
        drain()
        client.post(f"/leads/{first.public_id}/retry")
        drain()
        self.newest = self._rotated(client, key.public_id, overlap="0", force="y")
        submit(interface, {**ADA, **ODD})
        drain()
        self.requests: Sequence[Received] = receiver.wait_for(5)

    def _rotated(self, client: FlaskClient, key: str, **form: str) -> str:
        page = client.post(f"/profile/api-keys/{key}/rotate", data=form).text
        return "whsec_" + page.split("whsec_")[1].split("<")[0].split('"')[0]


@pytest.fixture
def recorded(signed_in: FlaskClient, interface: Interface, receiver: Receiver) -> Recorded:
    return Recorded(signed_in, interface, receiver)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.timeout(900)
def test_a_library_verifies_each_delivery_with_the_tokens_of_its_time(
    name: str, recorded: Recorded, tmp_path: Path
) -> None:
    given: list[str] = []
    for number, request in enumerate(recorded.requests):
        (tmp_path / str(number)).write_bytes(request.body)
        (tmp_path / f"{number}-changed").write_bytes(request.body.replace(b"Ada", b"Eve").replace(b"Zo", b"Ze"))
        for file in (str(number), f"{number}-changed"):
            headers = [request.headers[f"webhook-{part}"] for part in ("id", "timestamp", "signature")]
            given += [*headers, str(tmp_path / file)]
    assert [request.headers["webhook-id"] for request in recorded.requests].count(
        recorded.requests[0].headers["webhook-id"]
    ) == 3
    prepare, library = COMMANDS[name]
    command = [*prepare(), library]
    answers = {}
    for token in (recorded.old, recorded.new, recorded.newest):
        folder = Path(command[-2]).parent  # where the driver finds the sample
        done = subprocess.run(
            [*command, token, *given], cwd=folder, capture_output=True, text=True, check=True, timeout=60
        )
        printed = done.stdout.split()
        assert printed[1::2] == ["no"] * 5, "another body"
        answers[token] = printed[::2]
    print(f"{name}: {answers.values()}")
    assert answers == {
        recorded.old: ["yes", "yes", "yes", "yes", "no"],
        recorded.new: ["no", "no", "yes", "yes", "no"],
        recorded.newest: ["no", "no", "no", "no", "yes"],
    }
