"""pytest tests/receivers/n8n.py: the workflow of docs/receivers/n8n.md in n8n itself, and what n8n answers otherwise.

n8n is installed with npm, which takes minutes and 3 GB. The newest version cannot always be installed: 2.41.3 asks for
a package that npm does not have. Its database driver is compiled here, because its own way downloads it.
"""

import json
import os
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.receivers.awkward import TEXTS
from tests.receivers.installing import node, npm, run
from tests.support.factories import ADA, delivery_of, point_at, sign, submit
from tests.support.receiver import free_port
from tests.support.tree import ROOT
from tests.support.waiting import wait_until
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Interface, Lead
from webapp.webhooks import signing
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.sender import Limits, Sender

VERSION = "2.40.7"
WORKFLOW = ROOT / "docs" / "receivers" / "n8n-workflow.json"
KEY = "leadhookKey00001"  # the credential that the workflow names
pytestmark = pytest.mark.timeout(1800)


def installed() -> list[str]:
    """The command of n8n."""
    program = Path(node(at_least=24))
    modules = npm("n8n", {"n8n": VERSION}, PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    driver = modules / "sqlite3"
    if not (driver / "build" / "Release" / "node_sqlite3.node").exists():
        headers = program.parent.parent
        run([str(program), "../node-gyp/bin/node-gyp.js", "rebuild", f"--nodedir={headers}"], driver)
    return [str(program), str(modules / "n8n" / "bin" / "n8n")]


class N8n:
    """An n8n of its own; import and publish first, then start."""

    def __init__(self, home: Path) -> None:
        self.command, self.home, self.port = installed(), home, free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.environ = {
            **os.environ,
            "PATH": f"{Path(self.command[0]).parent}{os.pathsep}{os.environ['PATH']}",
            "N8N_USER_FOLDER": str(home),
            "N8N_PORT": str(self.port),
            "N8N_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_RUNNERS_BROKER_PORT": str(free_port()),
            "N8N_DIAGNOSTICS_ENABLED": "false",
            "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
            "N8N_TEMPLATES_ENABLED": "false",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.sender = Sender(Limits(allowed_networks=(ip_network("127.0.0.0/8"),)))

    def call(self, *arguments: str) -> None:
        run([*self.command, *arguments], self.home, **self.environ)

    def take(self, kind: str, *things: Any) -> None:
        """Imports credentials or workflows."""
        path = self.home / "import.json"
        path.write_text(json.dumps(things))
        self.call(f"import:{kind}", f"--input={path}")

    def publish(self, workflow: str) -> None:
        self.call("publish:workflow", f"--id={workflow}")

    def start(self) -> None:
        with (self.home / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [*self.command, "start"], cwd=self.home, env=self.environ, stdout=output, stderr=output
            )
        wait_until(self.is_ready, "n8n to be ready", timeout=180, every=0.5)

    def is_ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.home / "output").read_text()
        with suppress(OSError), urllib.request.urlopen(f"{self.origin}/healthz/readiness", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def stop(self) -> None:
        self.sender.close()
        if self.process:
            self.process.terminate()
            self.process.wait(60)

    def send(self, path: str, body: bytes = b'{"a":"b"}', **headers: str) -> Outcome:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.sender.send(1, f"{self.origin}/webhook/{path}", body, {"webhook-id": "msg_1", **named})

    def ran(self) -> str:
        """What the nodes of all workflows had, as text."""
        with closing(sqlite3.connect(self.home / ".n8n" / "database.sqlite")) as connection:
            return "\n".join(row[0] for row in connection.execute("SELECT data FROM execution_data"))


@pytest.fixture
def n8n(tmp_path: Path) -> Iterator[N8n]:
    n8n = N8n(tmp_path)
    yield n8n
    n8n.stop()


def test_the_key_as_text_verifies_thirty_real_bodies_a_rotation_and_no_forgery(
    n8n: N8n, signed_in: FlaskClient, interface: Interface
) -> None:
    key, token = sign(interface)
    n8n.take(
        "credentials",
        {"id": KEY, "name": "Leadhook", "type": "crypto", "data": {"hmacSecret": signing.key_as_text(token)}},
    )
    n8n.call("import:workflow", f"--input={WORKFLOW}")
    n8n.publish(json.loads(WORKFLOW.read_text())["id"])
    n8n.start()
    wait_until(lambda: n8n.send("leadhook").code != 404, "the workflow to be registered", every=0.5)
    point_at(interface, f"{n8n.origin}/webhook/leadhook", parallel_requests=1)
    webhook_id = interface.webhook.id

    def delivered(leads: list[Lead]) -> list[tuple[int, str]]:
        def all_tried() -> bool:  # one drain ends after some seconds
            db.session.rollback()
            lanes.drain(webhook_id)
            return all(delivery_of(lead).attempts for lead in leads)

        wait_until(all_tried, "n8n to get every lead", timeout=300)
        return [(attempt.code, attempt.response) for lead in leads for attempt in delivery_of(lead).attempts]

    messages = [text for _, text in TEXTS[:26]] + [
        "👋🏽 🧑🏽‍🚀",
        "مرحبا \u200fשלום",
        "a\u2028b\u00a0\r\n\t\\",
        "🦊" * 3000,
    ]
    assert len(messages) == 30
    leads = [submit(interface, {**ADA, "message": message}) for message in messages]
    assert delivered(leads) == [(200, "received")] * 30
    ran = n8n.ran()
    for lead, message in zip(leads, messages, strict=True):
        assert lead.public_id in ran
        assert json.dumps(message, ensure_ascii=False)[1:-1] in ran

    body, now = (
        b'{"type":"lead.test","data":{"lead":{"id":"lead_1","fields":{"message":"\xf0\x9f\x91\x8b"}}}}',
        int(time.time()),
    )
    for seconds, code in ((0, 200), (-310, 401), (310, 401)):
        at = str(now + seconds)
        signed = {"webhook_timestamp": at, "webhook_signature": signing.sign([token], "msg_1", now + seconds, body)}
        assert n8n.send("leadhook", body, content_type="application/json", **signed).code == code

    assert "whsec_" in signed_in.post(f"/profile/api-keys/{key.public_id}/rotate", data={"overlap": "24"}).text
    assert delivered([submit(interface)]) == [(200, "received")], "the second signature"
    ends = signed_in.post(f"/profile/api-keys/{key.public_id}/rotate", data={"overlap": "0", "force": "y"})
    assert "whsec_" in ends.text
    refused = "the signature does not fit, or it is more than 5 minutes old"
    assert delivered([submit(interface)]) == [(401, refused)]
    assert n8n.send("leadhook").code == 401, "no signature"


def webhook(name: str, mode: str, **more: Any) -> dict[str, Any]:
    parameters = {"httpMethod": "POST", "path": name, "responseMode": mode, "options": more.pop("options", {}), **more}
    return node_of("Webhook", "n8n-nodes-base.webhook", 2, parameters) | {"webhookId": f"webhook-{name}"}


def node_of(name: str, kind: str, version: float, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"node-{name}",
        "name": name,
        "type": kind,
        "typeVersion": version,
        "position": [0, 0],
        "parameters": parameters,
    }


FIELDS = node_of("Then", "n8n-nodes-base.set", 3.4, {"mode": "raw", "jsonOutput": '{"stored": true}', "options": {}})
FAILS = node_of("Then", "n8n-nodes-base.stopAndError", 1, {"errorMessage": "the CRM is down"})
ANSWER = node_of("Answer", "n8n-nodes-base.respondToWebhook", 1.1, {"respondWith": "text", "responseBody": "received"})
AUTH = {"authentication": "headerAuth"}
# Path, how its webhook is set, what it does then, and the code, and a part of the body that Leadhook sees.
SEEN: list[tuple[str, dict[str, Any], dict[str, Any], int, str]] = [
    ("immediately", webhook("immediately", "onReceived"), FIELDS, 200, '{"message":"Workflow was started"}'),
    ("fails-later", webhook("fails-later", "onReceived"), FAILS, 200, '{"message":"Workflow was started"}'),
    ("last-node", webhook("last-node", "lastNode"), FIELDS, 200, '{"stored":true}'),
    ("last-node-fails", webhook("last-node-fails", "lastNode"), FAILS, 500, '{"message":"Error in workflow"}'),
    (
        "no-answer",
        webhook("no-answer", "responseNode"),
        FIELDS,
        500,
        "No Respond to Webhook node found in the workflow",
    ),
    ("no-robots", webhook("no-robots", "lastNode", options={"ignoreBots": True}), FIELDS, 200, '{"stored":true}'),
    ("work-fails", webhook("work-fails", "responseNode"), FAILS, 500, '{"message":"Error in workflow"}'),
    ("header-auth", webhook("header-auth", "lastNode", **AUTH), FIELDS, 403, "Authorization data is wrong!"),
]


def test_what_n8n_answers_is_what_the_recipe_says(n8n: N8n) -> None:
    n8n.take(
        "credentials",
        {"id": "leadhookAuth0001", "name": "A", "type": "httpHeaderAuth", "data": {"name": "X-Key", "value": "secret"}},
    )
    workflows = []
    for number, (path, first, then, _, _) in enumerate(SEEN):
        if path == "header-auth":
            first["credentials"] = {"httpHeaderAuth": {"id": "leadhookAuth0001", "name": "A"}}
        wires = {"Webhook": {"main": [[{"node": "Then", "type": "main", "index": 0}]]}}
        nodes = [first, then]
        if path == "work-fails":
            nodes.append(ANSWER)
            wires["Then"] = {"main": [[{"node": "Answer", "type": "main", "index": 0}]]}
        workflow = {"id": f"leadhookSeen{number:04}", "name": path, "active": False, "settings": {}}
        workflows.append(workflow | {"nodes": nodes, "connections": wires})
    n8n.take("workflow", *workflows)
    for workflow in workflows:
        n8n.publish(str(workflow["id"]))
    n8n.start()
    wait_until(lambda: n8n.send("header-auth").code != 404, "the workflows to be registered", every=0.5)
    for path, _, _, code, body in SEEN:
        outcome = n8n.send(path, content_type="application/json")
        print(path, outcome.code, outcome.body[:300])
        assert (outcome.code, body in outcome.body) == (code, True), (path, outcome.code, outcome.body)
    unknown = n8n.send("not-active")
    assert unknown.code == 404
    assert 'The requested webhook \\"POST not-active\\" is not registered.' in unknown.body
    assert "The workflow must be active" in unknown.body
