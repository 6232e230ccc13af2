"""pytest tests/receivers/n8n_trigger.py: the node of integrations/n8n in n8n itself, against a real Leadhook.

n8n is installed as for n8n.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.receivers.n8n import N8n, node_of
from tests.support.api import Caller, caller, key_for
from tests.support.factories import ADA, delivery_of, submit
from tests.support.installations import served
from tests.support.tree import ROOT
from tests.support.waiting import wait_until
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Interface, Scope, User, Webhook

CREDENTIALS = "leadhookApi00001"
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def n8n(tmp_path: Path) -> Iterator[N8n]:
    n8n = N8n(tmp_path)
    n8n.environ |= {"N8N_CUSTOM_EXTENSIONS": str(ROOT / "integrations" / "n8n"), "WEBHOOK_URL": n8n.origin}
    yield n8n
    n8n.stop()


def hooks_of(program: Caller) -> list[dict[str, str]]:
    db.session.rollback()  # a transaction of the test's would lock out the app on SQLite
    found: list[dict[str, str]] = program.get("/hooks").json["data"]
    return found


def test_the_workflow_makes_its_hook_and_starts_with_signed_leads_only(
    n8n: N8n, app: Flask, interface: Interface, owner: User
) -> None:
    public_id, key = interface.public_id, key_for(owner.account_id, Scope.READ, Scope.WRITE)
    program = caller(app, owner.account_id, name="Test")
    with served(app) as port:
        login = {"address": f"http://127.0.0.1:{port}/", "key": key}
        n8n.take("credentials", {"id": CREDENTIALS, "name": "Leadhook", "type": "leadhookApi", "data": login})
        trigger = node_of("Lead", "CUSTOM.leadhookTrigger", 1, {"interface": public_id})
        trigger |= {
            "webhookId": "leadhook-lead",
            "credentials": {"leadhookApi": {"id": CREDENTIALS, "name": "Leadhook"}},
        }
        workflow = {"id": "leadhookTrigger1", "name": "Leads", "active": False, "settings": {}}
        n8n.take("workflow", {**workflow, "nodes": [trigger], "connections": {}})
        n8n.publish("leadhookTrigger1")
        n8n.start()
        wait_until(lambda: len(hooks_of(program)) == 1, "n8n to make its hook", timeout=120, every=0.5)
        [hook] = hooks_of(program)
        assert (hook["interface"], hook["target"]) == (public_id, f"{n8n.origin}/…")
        webhook_id, url = db.session.query(Webhook.id, Webhook.url).filter_by(public_id=hook["id"]).one()
        lead = submit(interface, {**ADA, "message": "👋🏽 „quoted“\r\n\u2028"})
        lead_id = lead.public_id
        db.session.rollback()
        lanes.drain(webhook_id)
        assert [attempt.code for attempt in delivery_of(lead).attempts] == [200]
        wait_until(lambda: lead_id in n8n.ran(), "the workflow to run", every=0.5)
        path = url.partition("/webhook/")[2]
        assert n8n.send(path, json.dumps({"data": "forged"}).encode(), content_type="application/json").code == 401
        assert "forged" not in n8n.ran()
