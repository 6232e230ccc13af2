"""`flask leads`: lists leads and sends them again, from a shell."""

import json
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import update

from tests.support.factories import ADA, delivery_of, point_at, submit
from tests.support.receiver import Receiver
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import AuditEntry, Delivery, DeliveryState, Interface, Lead, User
from webapp.services.interfaces import interfaces
from webapp.services.leads import from_shell
from webapp.services.people import users
from webapp.services.webhooks import editing
from webapp.services.webhooks.editing import Plan

URL = "http://127.0.0.1:9/"


def run(app: Flask, *arguments: str) -> Result:
    result = app.test_cli_runner().invoke(args=("leads", *arguments))
    assert "Traceback" not in result.stderr
    db.session.rollback()
    return result


def listed(app: Flask, *arguments: str) -> list[dict[str, Any]]:
    result = run(app, "list", "--json", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    [line] = result.stdout.splitlines()
    found: list[dict[str, Any]] = json.loads(line)["data"]
    return found


def retried(app: Flask, *arguments: str) -> Any:
    result = run(app, "retry", *arguments)
    assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    [line] = result.stdout.splitlines()
    return json.loads(line)


def refused(app: Flask, *arguments: str) -> str:
    """The sentence of a command that exits 1 and prints nothing."""
    result = run(app, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    return str(line)


def fail_all() -> None:
    with transaction():
        db.session.execute(update(Delivery).values(state=DeliveryState.FAILED, due_at=None, tries=8, last_code=500))


def test_failed_leads_are_found_and_sent_again(app: Flask, interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    ids = [submit(interface, {**ADA, "name": name}).public_id for name in ("Ada", "Grace")]
    webhook_id, webhook = interface.webhook.id, interface.webhook.public_id
    fail_all()
    [grace, ada] = listed(app, "--status", "failed")
    assert (grace["id"], ada["id"]) == (ids[1], ids[0])
    assert ada["deliveries"] == [{"webhook": webhook, "status": "failed", "code": 500}]
    line = run(app, "list", "--limit", "1").stdout
    assert f"{ids[1]}  " in line
    assert "failed 500      Grace ada@example.com\n" in line
    assert retried(app, ids[0]) == {"queued": 1, "left": 0, "why": None}
    assert retried(app, "--status", "failed") == {"queued": 1, "left": 0, "why": None}
    lanes.drain(webhook_id)
    assert [each["status"] for each in listed(app)] == ["delivered", "delivered"]
    actors = {entry.actor for entry in db.session.query(AuditEntry).filter_by(action="lead.retried")}
    assert actors == {"Operator, on the command line"}


def test_all_with_a_status_are_sent_in_batches(
    app: Flask, interface: Interface, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_shell, "BATCH", 2)
    with transaction():
        other = interfaces.create(owner.account_id, "Newsletter")
    for form in (interface, other):
        point_at(form, URL)
    for number in range(5):
        submit(interface, {**ADA, "name": f"Ada {number}"})
    submit(other)
    fail_all()
    public_id = interface.public_id
    assert retried(app, "--status", "failed", "--interface", public_id)["queued"] == 5
    assert len(listed(app, "--status", "queued", "--since", "24h")) == 5
    assert [each["interface"] for each in listed(app, "--status", "failed")] == [other.public_id]
    assert retried(app, "--status", "held") == {"queued": 0, "left": 0, "why": None}


def test_one_webhook_of_several_gets_the_lead_again(app: Flask, interface: Interface) -> None:
    point_at(interface, URL)
    with transaction():
        second = editing.add(db.session.merge(interface), Plan(URL)).public_id
    lead_id = submit(interface).public_id
    fail_all()
    assert retried(app, lead_id, "--webhook", second)["queued"] == 1
    [lead] = listed(app)
    assert {each["webhook"]: each["status"] for each in lead["deliveries"]} == {
        interface.webhook.public_id: "failed",
        second: "queued",
    }
    assert "not sent to this webhook" in refused(app, "retry", lead_id, "--webhook", "wh_x")


def test_what_cannot_be_sent_again_says_why(app: Flask, interface: Interface) -> None:
    lead, other = submit(interface), submit(interface, {**ADA, "name": "Grace"})
    ids = [lead.public_id, other.public_id]
    assert refused(app, "retry", *ids) == "Error: Its interface has no Lead Webhook URL."
    point_at(interface, URL)
    assert retried(app, ids[0])["queued"] == 1
    assert refused(app, "retry", ids[0]) == "Error: It is being sent right now."
    assert retried(app, *ids, ids[1]) == {"queued": 1, "left": 1, "why": "It is being sent right now."}
    assert delivery_of(db.session.query(Lead).filter_by(public_id=ids[1]).one()).test is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("retry",), "Name the leads by their ids, or choose them with --status"),
        (("retry", "lead_x", "--status", "failed"), "one of the two"),
        (("retry", "lead_x", "--interface", "if_x"), "go with --status"),
        (("retry", "lead_nothing"), "There is no lead lead_nothing."),
        (("retry", "--status", "spam"), "spam"),
        (("retry", "--status", "failed", "--interface", "if_nothing"), "There is no interface if_nothing."),
        (("list", "--interface", "if_nothing"), "There is no interface if_nothing."),
        (("list", "--status", "Failed"), "Failed"),
        (("list", "--since", "1y"), "1y"),
        (("list", "--limit", "0"), "0"),
        (("list", "--limit", "many"), "many"),
        (("list", "--colour"), "--colour"),
        (("list", "lead_x"), "lead_x"),
        (("delete",), "delete"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_one_sentence(
    app: Flask, interface: Interface, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(app, *arguments)


def test_without_an_owner_or_tables_it_says_what_to_do(make_app: Any) -> None:
    app = make_app()
    with app.app_context():
        assert "create-owner" in refused(app, "list")
        assert "create-owner" in refused(app, "retry", "lead_x")


def test_leads_of_other_accounts_are_neither_listed_nor_sent(app: Flask, interface: Interface) -> None:
    with transaction():
        charlie = users.create_owner("charlie@example.org", "correct horse battery", "Charlie's Cars")
        theirs = interfaces.create(charlie.account_id, "Cars")
    lead_id = submit(theirs).public_id
    assert listed(app) == []
    assert run(app, "list").stdout == ""
    assert "There is no lead" in refused(app, "retry", lead_id)
    assert "There is no interface" in refused(app, "list", "--interface", theirs.public_id)


def test_what_a_visitor_typed_cannot_steer_the_terminal(app: Flask, interface: Interface) -> None:
    submit(interface, {**ADA, "name": "\x1b[2JEve\x9b31m\u202e"})
    line = run(app, "list").stdout
    assert "Eve" in line
    assert line.removesuffix("\n").isprintable()
