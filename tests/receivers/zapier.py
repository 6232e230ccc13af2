"""pytest tests/receivers/zapier.py: the Zapier app of integrations/zapier in Zapier's platform core, against Leadhook.

Platform core is installed with npm, in seconds; it needs no account and no network.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from tests.receivers.installing import node, npm, run
from tests.support.api import key_for
from tests.support.factories import ADA
from tests.support.installations import served
from tests.support.receiver import Receiver
from tests.support.tree import ROOT
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Interface, Scope, User, Webhook
from webapp.services.interfaces import interfaces

APP = ROOT / "integrations" / "zapier"
VERSION = json.loads((APP / "package.json").read_text())["dependencies"]["zapier-platform-core"]
DRIVER = ROOT / "tests" / "receivers" / "drivers" / "zapier.cjs"
NEW_LEAD, CREATE_LEAD = "triggers.new_lead.operation", "creates.create_lead.operation"
Step = Callable[..., Any]


@pytest.fixture
def zapier(app: Flask, interface: Interface, owner: User) -> Iterator[Step]:
    """Runs a step of the app with the parts of its bundle; returns what it answers, or {"error", "name"}."""
    modules = npm("zapier", {"zapier-platform-core": VERSION})
    key = key_for(owner.account_id, *Scope)
    with served(app) as port:
        login = {"address": f"http://127.0.0.1:{port}/", "key": key}

        def step(name: str, **bundle: Any) -> Any:
            db.session.rollback()  # a transaction of the test's would lock out the app on SQLite
            whole = json.dumps({"authData": login, **bundle})
            output = run([node(at_least=20), str(DRIVER), str(APP), name, whole], NODE_PATH=str(modules))
            answer = json.loads(output.splitlines()[-1])
            return answer.get("result", answer)

        yield step


def test_a_zap_is_switched_on_gets_leads_and_is_switched_off(
    zapier: Step, interface: Interface, receiver: Receiver
) -> None:
    public_id = interface.public_id
    assert zapier("validate") == []
    assert zapier("authentication.test")["name"] == "Brightwater Solar"
    chosen = {"inputData": {"interface": public_id}}
    [made_up] = zapier(f"{NEW_LEAD}.performList", **chosen)
    assert set(made_up["data"]["lead"]["fields"]) == set(ADA)
    hook = zapier(f"{NEW_LEAD}.performSubscribe", **chosen, targetUrl=receiver.url)
    assert hook["secret"].startswith("whsec_")
    inputs = zapier(f"{CREATE_LEAD}.inputFields.1", **chosen)
    assert [field["key"] for field in inputs] == [f"field__{name}" for name in ADA]
    answers = {f"field__{name}": value for name, value in ADA.items()}
    created = zapier(f"{CREATE_LEAD}.perform", inputData={"interface": public_id, **answers})
    webhook_id = db.session.query(Webhook.id).filter_by(public_id=hook["id"]).scalar()
    db.session.rollback()
    lanes.drain(webhook_id)
    [request] = receiver.wait_for(1)
    [lead] = zapier(f"{NEW_LEAD}.perform", **chosen, cleanedRequest=json.loads(request.body))
    assert (lead["id"], lead["data"]["lead"]["fields"]) == (created["id"], ADA)
    assert zapier(f"{NEW_LEAD}.performList", **chosen) == [lead]
    for _ in range(2):  # a hook that has ended already is no error
        assert zapier(f"{NEW_LEAD}.performUnsubscribe", **chosen, subscribeData=hook) == {}
    db.session.rollback()
    assert db.session.query(Webhook).filter_by(public_id=hook["id"]).one().removed_at


def test_a_person_chooses_among_all_interfaces(zapier: Step, owner: User, interface: Interface) -> None:
    with transaction():
        for number in range(102):
            interfaces.create(owner.account_id, f"Form {number}")
    found = zapier("triggers.interface_list.operation.perform")
    assert [each["name"] for each in found][:2] == ["Form 101", "Form 100"]
    assert len(found) == 103


def test_what_is_refused_is_a_sentence(zapier: Step, interface: Interface) -> None:
    chosen = {"inputData": {"interface": interface.public_id}}
    refused = zapier(f"{NEW_LEAD}.performSubscribe", **chosen, targetUrl="http://10.0.0.1/")
    assert "The address of 10.0.0.1 is not public" in refused["error"]
    refused = zapier(f"{CREATE_LEAD}.perform", inputData={**chosen["inputData"], "field__email": "nonsense"})
    assert "it needs an @" in refused["error"]
    refused = zapier("authentication.test", authData={"address": "http://127.0.0.1:9", "key": "lhk_x"})
    assert "ECONNREFUSED" in refused["error"]
