"""Who may not open the Lead Generation tab sees no secret of a webhook's address, on any page and in no export."""

import csv
import html
import io
import json
import re
from urllib.parse import quote, unquote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.blueprints.test_roles import ALLOWED
from tests.blueprints.test_sealed_accounts import QUERIES, address
from tests.support.accounts import everything_of
from tests.support.factories import ADA, delivery_of, point_at
from tests.support.people import as_user, join
from tests.support.receiver import Receiver
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Attempt, Delivery, Interface, Lead, Reason, Role, User
from webapp.services.webhooks import webhooks

PATH = "/services/T0BRIGHT1/B0WATER22/x7Kq9?key=s3same-99&sig=a%2Bb%2Fc0ffee%3D"
SECRETS = ("T0BRIGHT1", "B0WATER22", "x7Kq9", "s3same-99", "a+b/c0ffee=", "0lder-secret")
HTMX = {"HX-Request": "true", "HX-Target": "tr#row"}


def echo(receiver: Receiver) -> bytes:
    """An answer that repeats where it was asked, in every way that servers do."""
    where = receiver.origin + PATH
    ways = [where, PATH, quote(where, safe=""), html.escape(where), json.dumps({"url": where}).replace("/", "\\/")]
    return "\n".join([f"Cannot POST {PATH}", *ways, "wrong key: S3SAME-99", "T0BRIGHT1/B0WATER22"]).encode()


@pytest.fixture
def hooked(interface: Interface, receiver: Receiver) -> Interface:
    """An interface with a secret address, whose receiver repeats it in body and headers and refuses."""
    point_at(interface, receiver.origin + PATH)
    headers = [("Location", receiver.origin + PATH), ("X-Request", PATH), ("Content-Type", "text/plain")]
    receiver.answer(404, echo(receiver), headers)
    return interface


@pytest.fixture
def lead(app: Flask, hooked: Interface) -> Lead:
    """A lead that a visitor posted and the receiver refused, tried before at an older address."""
    assert app.test_client().post(f"/f/{hooked.public_id}", data=ADA).status_code == 303
    webhook_id = hooked.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    older = "https://ada:0lder-secret@old.example/in/0lder-secret?0lder-secret#0lder-secret"
    with transaction():
        delivery = db.session.scalars(select(Delivery)).one()
        attempt = Attempt(delivery_id=delivery.id, reason=Reason.AUTOMATIC, started_at=utcnow(), url=older, timestamp=1)
        attempt.id, attempt.code, attempt.duration_ms = "att_00000000000000000000000000", 999, 5
        attempt.error, attempt.response = "refused", f"Connection refused by {older}"
        db.session.add(attempt)
    found = db.session.scalars(select(Lead)).one()
    assert delivery_of(found).last_code == 404
    return db.session.scalars(select(Lead)).one()


def everything(text: str) -> str:
    """A page as a person could read it: also decoded from HTML and from URLs."""
    plain = html.unescape(text)
    return "\n".join((text, plain, unquote(plain), plain.replace("\\/", "/"))).lower()


def without_secrets(text: str, what: str) -> None:
    for secret in SECRETS:
        assert secret.lower() not in everything(text), f"{what} has {secret}"


def reader(app: Flask, owner: User, role: Role) -> FlaskClient:
    return as_user(app, owner if role == Role.OWNER else join(owner, role))


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN, Role.EDITOR])
def test_who_may_open_the_tab_sees_the_address_whole(app: Flask, owner: User, lead: Lead, role: Role) -> None:
    client, lead_id = reader(app, owner, role), lead.public_id
    page = html.unescape(client.get(f"/leads/{lead_id}").text)
    assert page.count(PATH) >= 5
    assert "0lder-secret" in page
    assert "Repeat it with curl" in page
    assert f"Cannot POST {PATH}" in html.unescape(client.get("/leads").text)
    assert f"Cannot POST {PATH}" in client.get("/leads.csv", buffered=True).text


def test_leads_only_sees_host_code_and_the_rest_of_the_answer(
    app: Flask, owner: User, lead: Lead, receiver: Receiver
) -> None:
    client, lead_id = reader(app, owner, Role.LEADS_ONLY), lead.public_id
    page = client.get(f"/leads/{lead_id}").text
    without_secrets(page, "its page")
    assert f"{receiver.origin}/…" in page
    assert "https://old.example/…" in page
    assert "404 Not Found" in page
    assert "Cannot POST •••" in page
    assert "Repeat it with curl" not in page
    assert "Cannot POST •••" in client.get("/leads").text
    assert "Cannot POST •••" in client.get(f"/leads/{lead_id}/row", headers=HTMX).text
    [row] = csv.DictReader(io.StringIO(client.get("/leads.csv", buffered=True).text.removeprefix("\ufeff")))
    assert row["Webhook Response"].startswith("Cannot POST •••")
    assert (row["Response code"], row["name"]) == ("404", "Ada Lovelace")


def test_no_route_tells_leads_only_a_secret(app: Flask, owner: User, lead: Lead, hooked: Interface) -> None:
    """Every route with every method, so that a new one is walked; then once more while the lead is sent again."""
    ids = {**everything_of(owner), "lead": lead.public_id, "interface": hooked.public_id}
    user, walked = join(owner, Role.LEADS_ONLY), 0
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            for headers in ({}, HTMX):
                client, sent = as_user(app, user), {"lead": lead.public_id, "confirmed": "1"}
                data = sent if method == "POST" else None
                query = QUERIES.get(rule.endpoint) if method == "GET" else None
                answer = client.open(
                    address(rule, ids), method=method, data=data, query_string=query, headers=headers, buffered=True
                )
                text = "\n".join((answer.text, *answer.headers.values()))
                without_secrets(text, f"{method} {rule}: {answer.status_code}")
                walked += rule.endpoint in ALLOWED["leads-only"]
    assert walked >= 2 * len(ALLOWED["leads-only"])


@pytest.mark.parametrize("query", [*SECRETS, "services", "404", "cannot post"])
def test_a_search_does_not_find_what_answers_and_addresses_say(app: Flask, owner: User, lead: Lead, query: str) -> None:
    client = reader(app, owner, Role.LEADS_ONLY)
    assert "Nothing matches" in client.get("/leads", query_string={"q": query}).text


def test_an_address_that_was_changed_or_removed_stays_hidden(
    app: Flask, owner: User, lead: Lead, hooked: Interface
) -> None:
    client, lead_id = reader(app, owner, Role.LEADS_ONLY), lead.public_id
    for url in ("https://new.example/", None):
        with transaction():
            db.session.get_one(Interface, hooked.id).webhook.url = url
        for path in (f"/leads/{lead_id}", "/leads", "/leads.csv"):
            without_secrets(client.get(path, buffered=True).text, path)


def test_what_a_paused_or_held_lead_says_has_no_secret(app: Flask, owner: User, lead: Lead, hooked: Interface) -> None:
    client, lead_id = reader(app, owner, Role.LEADS_ONLY), lead.public_id
    with transaction():
        webhooks.pause(db.session.get_one(Interface, hooked.id).webhook, "Paused by a test.")
    for path in (f"/leads/{lead_id}", "/leads", "/leads?status=held"):
        without_secrets(client.get(path).text, path)


def test_the_operator_who_is_leads_only_sees_no_secret_in_the_queue(app: Flask, owner: User, lead: Lead) -> None:
    with transaction():
        owner.role = Role.LEADS_ONLY
    client, lead_id = as_user(app, owner), lead.public_id
    assert owner.is_operator
    assert client.post(f"/leads/{lead_id}/retry").status_code == 303
    for path in ("/rq/", "/rq/0/data/jobs/fast/queued/8/asc/1.json", "/rq/0/data/queues.json", "/mailbox"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        without_secrets(answer.text, path)


@pytest.mark.parametrize("answer", [b"", b"\xff\xfe\x00", b"<html>" + b"x" * 20_000, b"{}", "Zürich".encode()])
def test_odd_answers_of_receivers_are_shown(
    app: Flask, owner: User, hooked: Interface, receiver: Receiver, answer: bytes
) -> None:
    receiver.answer(500, answer)
    assert app.test_client().post(f"/f/{hooked.public_id}", data=ADA).status_code == 303
    webhook_id = hooked.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    [public_id] = db.session.scalars(select(Lead.public_id))
    client = reader(app, owner, Role.LEADS_ONLY)
    for path in (f"/leads/{public_id}", "/leads", "/leads.csv"):
        page = client.get(path, buffered=True)
        assert page.status_code == 200
        assert "500" in page.text
        assert not re.search("s3same", page.text)
