"""Reconcile: which leads a program lacks, and which of its leads we do not know."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from tests.blueprints.api.test_hooks import counting
from tests.blueprints.api.test_leads import problem_of
from tests.support.api import Caller, caller
from tests.support.factories import ADA, point_at, submit
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, Interface, Lead, User
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads, reconciling
from webapp.services.webhooks import editing
from webapp.services.webhooks.editing import Plan
from webapp.webhooks.payload import utc_text

URL = "http://127.0.0.1:9/"


def sent(interface: Interface, *names: str) -> list[str]:
    """The ids of leads of visitors with these names; each has an address of the name."""
    return [submit(interface, {**ADA, "name": name, "email": f"{name}@example.com"}).public_id for name in names]


def asked(program: Caller, query: str = "", **body: Any) -> Any:
    answer = program.post(f"/reconcile{query}", body)
    assert answer.status_code == 200, answer.text
    return answer.json


def lacked(found: Any) -> list[str]:
    return [each["id"] for each in found["data"]]


NONE = {"spam": 0, "test": 0, "anonymised": 0, "without_email": 0}


def test_what_a_crm_lacks_is_found_and_sent_again(program: Caller, interface: Interface) -> None:
    point_at(interface, URL)
    public_id, ids = interface.public_id, sent(interface, "Ada", "Grace", "Joan")
    found = asked(program, interface=public_id, ids=[ids[1], "lead_other", "lead_\0", ids[1]])
    assert lacked(found) == [ids[2], ids[0]]
    assert found["data"][0] | {"received_at": ""} == {
        "id": ids[2],
        "received_at": "",
        "name": "Joan",
        "email": "Joan@example.com",
    }
    assert found["unknown"] == ["lead_other", "lead_\0"]
    assert (found["compared"], found["left_out"], found["next"]) == (3, NONE, None)
    with transaction():
        db.session.execute(update(Delivery).values(state="delivered", due_at=None))
    again = program.post(f"/leads/{ids[0]}/retry")
    assert (again.status_code, again.json["status"]) == (202, "queued")
    assert lacked(asked(program, interface=public_id, ids=ids)) == []
    assert lacked(asked(program, interface=public_id, ids=[])) == ids[::-1]


def test_addresses_are_compared_without_case(program: Caller, interface: Interface) -> None:
    public_id, ids = interface.public_id, sent(interface, "Ada", "GRACE", "Joan", "ada", "Märta")
    held = ["ADA@EXAMPLE.COM", "grace@example.com", "Other@example.com", "MÄRTA@example.com", "x\0@example.com"]
    found = asked(program, interface=public_id, emails=held)
    assert lacked(found) == [ids[2]]
    assert found["unknown"] == ["Other@example.com", "x\0@example.com"]


def test_leads_without_an_address_cannot_be_compared_by_it(program: Caller, interface: Interface) -> None:
    with transaction():
        form = db.session.merge(interface)
        next(field for field in form.fields if field.key == "email").required = False
    lead_id = submit(interface, {**ADA, "email": ""}).public_id
    found = asked(program, interface=interface.public_id, emails=[])
    assert (lacked(found), found["left_out"]) == ([], NONE | {"without_email": 1})
    assert lacked(asked(program, interface=interface.public_id, ids=[])) == [lead_id]


def test_webhook_ids_are_those_of_one_webhook(program: Caller, interface: Interface) -> None:
    point_at(interface, URL)
    [before] = sent(interface, "Before")
    with transaction():
        webhook = editing.add(db.session.merge(interface), Plan(URL))
        second, first = webhook.public_id, interface.webhook.public_id
    ids = sent(interface, "Ada", "Grace")
    held = [each["id"] for each in program.get(f"/leads/{ids[0]}").json["deliveries"]]
    assert len(held) == 2
    for webhook_id, others in ((first, [ids[1], before]), (second, [ids[1]])):
        found = asked(program, webhook=webhook_id, webhook_ids=held)
        assert lacked(found) == others
        assert len(found["unknown"]) == 1, "that of the other webhook"
    assert lacked(asked(program, webhook=second, ids=[])) == ids[::-1]
    assert lacked(asked(program, webhook=second, emails=["ADA@example.com"])) == [ids[1]]


def test_spam_tests_and_anonymised_leads_are_left_out_and_counted(
    program: Caller, interface: Interface, owner: User
) -> None:
    point_at(interface, URL)
    public_id, ids = interface.public_id, sent(interface, "Ada", "Spam", "Forgotten")
    with transaction():
        found = {lead.public_id: lead for lead in db.session.query(Lead)}
        found[ids[1]].spam, found[ids[2]].anonymised_at = "honeypot", utcnow()
        test = leads.send_test(db.session.merge(interface), owner.id).lead.public_id
    answer = asked(program, interface=public_id, ids=[])
    assert lacked(answer) == [ids[0]]
    assert answer["left_out"] == {"spam": 1, "test": 1, "anonymised": 1, "without_email": 0}
    assert answer["compared"] == 4
    assert asked(program, interface=public_id, ids=[ids[1], test])["unknown"] == [], "we know them"


def test_every_lead_is_on_one_page_whatever_the_sizes(
    program: Caller, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_id, ids = interface.public_id, sent(interface, *(f"v{number}" for number in range(9)))
    held = [ids[2], ids[3], ids[4], ids[5]]
    for looked_at in (1, 2, 4, 100):
        monkeypatch.setattr(reconciling, "LOOKED_AT", looked_at)
        for limit in (1, 2, 5):
            found, compared, unknown, path = list[str](), 0, list[str](), f"/reconcile?limit={limit}"
            while path:
                answer = program.post(path, {"interface": public_id, "ids": [*held, "lead_x"]})
                found += lacked(answer.json)
                unknown += answer.json["unknown"]
                compared += answer.json["compared"]
                assert (answer.json["next"] is None) == ("Link" not in answer.headers)
                path = answer.headers.get("Link", "").split(">")[0].removeprefix("<").partition("/api/v1")[2]
            assert (found, compared, unknown) == ([*ids[:5:-1], ids[1], ids[0]], 9, ["lead_x"])


def test_only_leads_of_the_asked_time_are_compared(program: Caller, interface: Interface) -> None:
    public_id, ids, now = interface.public_id, sent(interface, *"abcdef"), utcnow().replace(microsecond=0)
    # The third was numbered after the fourth's time: what was received first need not be stored first.
    ages = dict(zip(ids, (400, 300, 2, 200, 1, 0), strict=True))
    with transaction():
        for lead_id, hours in ages.items():
            at = now - timedelta(hours=hours) - timedelta(seconds=lead_id == ids[3])
            db.session.execute(update(Lead).where(Lead.public_id == lead_id).values(received_at=at))

    def between(since: float | None, until: float | None) -> list[str]:
        times = {"since": since, "until": until}
        body = {name: utc_text(now - timedelta(hours=at)) for name, at in times.items() if at is not None}
        return [ids.index(each) for each in lacked(asked(program, interface=public_id, ids=[], **body))]  # type: ignore[misc]

    assert between(None, None) == [5, 4, 3, 2, 1, 0]
    assert between(300, None) == [5, 4, 3, 2, 1]
    assert between(2, None) == [5, 4, 2]
    assert between(None, 2) == [3, 1, 0]
    assert between(400, 300) == [0]
    assert between(2, 1) == [2]
    assert between(1, 2) == []
    for body in ({"since": "0001-01-01T00:00:00+14:00"}, {"until": "9999-12-31T23:59:59-12:00"}):
        assert len(lacked(asked(program, interface=public_id, ids=[], **body))) == 6
    assert lacked(asked(program, interface=public_id, ids=[], until="0001-01-01T00:00:00Z")) == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"interface": ""}, "#/interface"),
        ({"webhook": "wh_x"}, "#/interface"),
        ({"interface": 5}, "#/interface"),
        ({"emails": []}, "#/ids"),
        ({"ids": None}, "#/ids"),
        ({"ids": "lead_x"}, "#/ids"),
        ({"ids": [5]}, "#/ids/0"),
        ({"ids": ["x" * 321]}, "#/ids/0"),
        ({"ids": [""] * 10_001}, "#/ids"),
        ({"since": "2026-11-01"}, "#/since"),
        ({"since": "2026-11-01T00:00:00"}, "#/since"),
        ({"until": "yesterday"}, "#/until"),
        ({"until": 5}, "#/until"),
        ({"phones": []}, "#/phones"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_with_a_question_is_said_by_its_place(
    program: Caller, interface: Interface, change: dict[str, Any], pointer: str
) -> None:
    answer = program.post("/reconcile", {"interface": interface.public_id, "ids": [], **change})
    assert problem_of(answer, 422)["errors"][0]["pointer"] == pointer


def test_a_question_needs_a_list_and_webhook_ids_a_webhook(program: Caller, interface: Interface) -> None:
    answer = program.post("/reconcile", {"interface": interface.public_id})
    assert problem_of(answer, 422)["detail"] == "Send one of these lists: ids, emails, webhook_ids."
    answer = program.post("/reconcile", {"interface": interface.public_id, "webhook_ids": []})
    assert problem_of(answer, 422)["errors"][0]["pointer"] == "#/webhook"
    large = {"interface": interface.public_id, "ids": [f"lead_{'x' * 250}"] * 1100}
    problem_of(program.post("/reconcile", large), 413)
    for query in ("limit=0", "limit=1001", "cursor=x"):
        problem_of(program.post(f"/reconcile?{query}", {"interface": interface.public_id, "ids": []}), 422)
    for place in ({"interface": "if_nothing"}, {"interface": "if_\0"}, {"webhook": "wh_nothing"}, {"webhook": "\0"}):
        problem_of(program.post("/reconcile", {**place, "ids": []}), 404)


def test_nothing_of_another_interface_or_account_is_compared(
    app: Flask, program: Caller, owner: User, interface: Interface
) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Newsletter")
        webhook, their_webhook = other.webhook.public_id, interface.webhook.public_id
    [theirs], [mine] = sent(interface, "Ada"), sent(other, "Grace")
    found = asked(program, interface=other.public_id, ids=[theirs])
    assert (lacked(found), found["unknown"]) == ([mine], [theirs])
    limited = caller(app, owner.account_id, only=[other.public_id], name="Limited")
    assert lacked(asked(limited, interface=other.public_id, ids=[])) == [mine]
    assert asked(limited, webhook=webhook, ids=[])["compared"] == 0, "it had no URL"
    for place in ({"interface": interface.public_id}, {"webhook": their_webhook}):
        problem_of(limited.post("/reconcile", {**place, "ids": []}), 404)
    with transaction():
        interfaces.archive(db.session.merge(other))
    problem_of(program.post("/reconcile", {"interface": other.public_id, "ids": []}), 404)
    problem_of(program.post("/reconcile", {"webhook": webhook, "ids": []}), 404)


def test_a_page_takes_three_statements_besides_the_key_for_any_number(program: Caller, interface: Interface) -> None:
    public_id, ids = interface.public_id, sent(interface, *"abcdefgh")
    for held in (ids[:1], [*ids[:3], *(f"lead_{number}" for number in range(2000))]):
        with counting() as statements:
            found = asked(program, interface=public_id, ids=held)
        of_page = [statement for statement in statements if "FROM api_keys" not in statement]
        assert (len(of_page), len(found["unknown"])) == (3, max(0, len(held) - 3)), of_page
