"""pytest tests/receivers/recipes.py: what the `webhook` daemon and Node-RED answer, as docs/receivers says, without our
hook and flow. Those are run by tests/receivers/samples.py."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.support.factories import ADA, submit
from tests.support.receiver import free_port
from tests.support.samples import NODE_RED, RECIPES
from tests.support.waiting import wait_until
from webapp.db.transactions import read_only, transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Attempt, Authentication, Delivery, Interface
from webapp.services.webhooks import editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan
from webapp.webhooks.authentications.signature_presets import PRESETS
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.sender import Limits, Sender

BODY = b'{"type":"lead.created","data":{"lead":{"id":"lead_1"}}}'
SIGNED = {"webhook-signature": "v1,5e8dJqJ0Vw0Y2N3e6dJqJ0Vw0Y2N3e6dJqJ0Vw0Y2M="}
Send = Callable[[str], Outcome]


def started(command: Sequence[str], home: Path, port: int, stack: ExitStack) -> Send:
    """Starts a receiver; returns what sends to a path of it. An attempt has two seconds."""
    sender = Sender(Limits(allowed_networks=(ip_network("127.0.0.0/8"),), deadline=2))
    stack.callback(sender.close)
    output = stack.enter_context((home / "output").open("wb"))
    process = subprocess.Popen(command, cwd=home, stdout=output, stderr=output, env=os.environ)
    stack.callback(process.wait)
    stack.callback(process.kill)

    def send(path: str) -> Outcome:
        headers = {"webhook-id": "msg_1", "content-type": "application/json", **SIGNED}
        return sender.send(1, f"http://127.0.0.1:{port}{path}", BODY, headers)

    def listens() -> bool:
        assert process.poll() is None, (home / "output").read_text()
        return send("/").code != 999

    wait_until(listens, f"{command[0]} to listen", timeout=60)
    return send


def hook(name: str, command: str, **more: Any) -> dict[str, Any]:
    arguments = [{"source": "string", "name": part} for part in ("-c", command)]
    return {"id": name, "execute-command": "/bin/sh", "pass-arguments-to-command": arguments, **more}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Send]:
    told = {"include-command-output-in-response": True}
    other = {"match": {"type": "value", "value": "lead.test", "parameter": {"source": "payload", "name": "type"}}}
    signed = {"source": "header", "name": "Webhook-Signature"}
    hmac = {"match": {"type": "payload-hmac-sha256", "secret": "key", "parameter": signed}}
    hooks = [
        hook("fails", "touch ran; exit 1"),
        hook("fails-told", "exit 1", **told),
        hook("rule", "exit 0", **{"trigger-rule": other}),
        hook("rule-400", "exit 0", **{"trigger-rule": other, "trigger-rule-mismatch-http-response-code": 400}),
        hook("hmac", "exit 0", **{"trigger-rule": hmac, "trigger-rule-mismatch-http-response-code": 401}),
        hook("slow", "sleep 4; touch slow", **told),
    ]
    (tmp_path / "hooks.json").write_text(json.dumps(hooks))
    port = free_port()
    with ExitStack() as stack:
        command = ["webhook", "-hooks", "hooks.json", "-ip", "127.0.0.1", "-port", str(port)]
        yield started(command, tmp_path, port, stack)


def test_the_webhook_daemon_answers_as_its_recipe_says(daemon: Send, tmp_path: Path) -> None:
    def seen(name: str) -> tuple[int, str]:
        outcome = daemon(f"/hooks/{name}")
        return outcome.code, outcome.body.strip()

    assert seen("fails") == (200, "")
    wait_until((tmp_path / "ran").exists, "the command, which failed unseen")
    code, body = seen("fails-told")
    assert (code, body.startswith("Error occurred while executing the hook's command.")) == (500, True)
    assert seen("rule") == (200, "Hook rules were not satisfied.")
    assert seen("rule-400") == (400, "Hook rules were not satisfied.")
    assert seen("hmac") == (500, "Error occurred while evaluating hook rules.")
    assert seen("nosuch") == (404, "Hook not found.")
    code, body = seen("slow")
    assert (code, body.startswith("Timed out: no complete response within 2 s")) == (999, True)
    wait_until((tmp_path / "slow").exists, "the command, which goes on")


def test_a_signature_like_that_of_github_is_verified_by_the_daemon_itself(
    interface: Interface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, port = "only for this test, with é and + and %", free_port()
    monkeypatch.setenv("LEADHOOK_SIGNING_KEY", key)
    shutil.copy(RECIPES / "webhook-daemon-hooks.json", tmp_path / "hooks.json")

    def delivered(secret: str) -> tuple[int, str]:
        signed = Wanted(Authentication.SIGNATURE, options=PRESETS["github"].options, secrets={"secret": secret})
        with transaction():
            live = db.session.get_one(Interface, interface.id)
            webhook = editing.add(live, Plan(f"http://127.0.0.1:{port}/hooks/leadhook-github", wanted=signed))
        webhook_id = webhook.id
        lead = submit(interface, {**ADA, "message": "👋🏽 שלום"})
        db.session.rollback()
        lanes.drain(webhook_id)
        with read_only():
            query = select(Attempt).join(Delivery).where(Delivery.webhook_id == webhook_id, Delivery.lead_id == lead.id)
            attempt = db.session.scalars(query).one()
            return attempt.code, attempt.response

    with ExitStack() as stack:
        command = ["webhook", "-template", "-hooks", "hooks.json", "-ip", "127.0.0.1", "-port", str(port)]
        started(command, tmp_path, port, stack)
        assert delivered(key) == (200, "")
        kept = (tmp_path / "leads-github.log").read_text()
        assert json.loads(kept)["data"]["lead"]["fields"]["message"] == "👋🏽 שלום"
        assert delivered("another key") == (401, "Hook rules were not satisfied.")
        assert (tmp_path / "leads-github.log").read_text() == kept


def entry(name: str, then: str, **more: Any) -> dict[str, Any]:
    known = {"type": "http in", "z": "tab", "url": f"/{name}", "method": "post", "x": 0, "y": 0}
    return {"id": name, **known, "wires": [[then]], **more}


def function(name: str, code: str, then: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "z": "tab", "func": code, "outputs": 1, "x": 0, "y": 0, "wires": [[then]]}


@pytest.fixture
def node_red(tmp_path: Path) -> Iterator[Send]:
    flow = [
        {"id": "tab", "type": "tab", "label": "Seen"},
        entry("silent", "ran"),
        function("ran", "node.log('it ran'); return msg;", ""),
        entry("throws", "thrown"),
        function("thrown", "throw new Error('the CRM is down');", "answer"),
        entry("echo", "answer"),
        {"id": "answer", "type": "http response", "z": "tab", "x": 0, "y": 0, "wires": []},
    ]
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    port = free_port()
    with ExitStack() as stack:
        options = ["-D", "uiHost=127.0.0.1", "-D", "httpAdminRoot=false", "-p", str(port), "-u", "."]
        send = started([*NODE_RED, *options, "flow.json"], tmp_path, port, stack)
        wait_until(lambda: send("/echo").code == 200, "the flow to be started")
        yield send


def test_node_red_answers_as_its_recipe_says(node_red: Send, tmp_path: Path) -> None:
    silent = node_red("/silent")
    assert (silent.code, silent.body[:42]) == (999, "Timed out: no complete response within 2 s")
    assert "it ran" in (tmp_path / "output").read_text()
    assert node_red("/throws").code == 999
    echo = node_red("/echo")
    assert (echo.code, echo.body) == (200, BODY.decode())
    unknown = node_red("/nosuch")
    assert (unknown.code, "Cannot POST /nosuch" in unknown.body) == (404, True)
