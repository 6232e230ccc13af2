"""A lead goes to a webhook of each authentication, at an address as people type it, and each receiver verifies it."""

import base64
import hmac
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import inspect

from tests.support.factories import submit
from tests.support.receiver import Received, Receiver, answering
from webapp import jobs
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Attempt, Authentication, Interface, Lead, User, Webhook
from webapp.services.leads import leads
from webapp.services.webhooks import editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan
from webapp.webhooks.authentications.keys import generate_private_key
from webapp.webhooks.authentications.signature_presets import PRESETS
from webapp.webhooks.authentications.v1a import V1a

SECRET = "a+b%20:é geheim"
PRIVATE = generate_private_key()
TYPED, SENT = "/%7Eada/%2f?x=%7e&y=ü#part", "/~ada/%2F?x=~&y=%C3%BC"
WAYS = {
    "v1a": Wanted(Authentication.V1A, secrets={"private_key": PRIVATE}),
    "metalocator": Wanted(Authentication.METALOCATOR, secrets={"secret": SECRET}),
    "hubspot": Wanted(Authentication.SIGNATURE, options=PRESETS["hubspot"].options, secrets={"secret": SECRET}),
    "bearer": Wanted(Authentication.BEARER, secrets={"token": SECRET}),
    "basic": Wanted(Authentication.BASIC, options={"user": "é+% a"}, secrets={"password": SECRET}),
    "header": Wanted(
        Authentication.HEADER, options={"name": "X-Key"}, secrets={"value": SECRET}, custom_headers="X-A: b"
    ),
    "query": Wanted(Authentication.QUERY, options={"name": "key"}, secrets={"value": SECRET}),
}


def add(interface: Interface, url: str, wanted: Wanted) -> int:
    with transaction():
        return editing.add(db.session.get_one(Interface, interface.id), Plan(url, wanted=wanted)).id


def drain(webhook_id: int) -> None:
    db.session.rollback()
    jobs.drain(webhook_id)


def hmac_of(content: str | bytes) -> bytes:
    return hmac.digest(SECRET.encode(), content if isinstance(content, bytes) else content.encode(), "sha256")


def is_proven(way: str, request: Received) -> bool:
    """What a receiver of this kind checks."""
    headers, body, url = request.headers, request.body, f"http://{request.headers['host']}{request.path}"
    timestamp = headers["webhook-timestamp"]
    if way == "v1a":
        [public] = V1a.of({}, {"private_key": PRIVATE}).public_keys
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public[5:]))
        signature = base64.b64decode(headers["webhook-signature"].removeprefix("v1a,"))
        key.verify(signature, f"{headers['webhook-id']}.{timestamp}.".encode() + body)
        return True
    if way == "metalocator":
        expected = base64.b64encode(hmac_of(timestamp.encode() + body).hex().encode()).decode()
        return headers["x-metalocator-webhook-signature"] == expected
    if way == "hubspot":
        signed = f"POST{url}{body.decode()}{headers['x-hubspot-request-timestamp']}"
        return headers["x-hubspot-signature-v3"] == base64.b64encode(hmac_of(signed)).decode()
    if way == "basic":
        return headers["authorization"] == "Basic " + base64.b64encode(f"é+% a:{SECRET}".encode()).decode()
    if way == "query":
        return parse_qs(urlsplit(url).query)["key"] == [SECRET]
    return headers.get("x-key", headers.get("authorization", "")).removeprefix("Bearer ") == SECRET


def test_each_receiver_verifies_the_lead(interface: Interface) -> None:
    for way, wanted in WAYS.items():
        with Receiver() as receiver:
            typed = receiver.url + TYPED
            webhook_id = add(interface, typed, wanted)
            with read_only():
                assert db.session.get_one(Webhook, webhook_id).url == receiver.url + SENT
            lead = submit(interface)
            drain(webhook_id)
            [request] = receiver.wait_for(1)
            assert is_proven(way, request), way
            assert request.path.startswith(f"/hook{SENT}")
            assert _last_code(webhook_id, lead) == 200
            with transaction():
                editing.remove(db.session.get_one(Webhook, webhook_id))


def test_each_try_is_signed_anew_with_the_secret_of_the_moment(
    interface: Interface, receiver: Receiver, owner: User
) -> None:
    receiver.queue(answering(500))
    webhook_id = add(interface, receiver.url, WAYS["hubspot"])
    lead = submit(interface)
    drain(webhook_id)
    with transaction():
        assert leads.retry(owner.account_id, [lead.public_id], owner.id) == 1
    drain(webhook_id)
    first, second = receiver.wait_for(2)
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["x-hubspot-signature-v3"] != second.headers["x-hubspot-signature-v3"]
    assert is_proven("hubspot", first)
    assert is_proven("hubspot", second)
    with transaction():
        webhook = db.session.get_one(Webhook, webhook_id)
        other = Wanted(Authentication.SIGNATURE, options=PRESETS["hubspot"].options, secrets={"secret": SECRET[::-1]})
        editing.save(webhook, Plan(webhook.url, wanted=other))
        leads.retry(owner.account_id, [lead.public_id], owner.id)
    drain(webhook_id)
    assert not is_proven("hubspot", receiver.wait_for(3)[2])


@pytest.mark.parametrize("way", WAYS)
def test_no_attempt_and_no_column_has_the_secret(interface: Interface, receiver: Receiver, way: str) -> None:
    repeats = f"{SECRET} {quote(SECRET)}" if way not in ("v1a", "metalocator", "hubspot") else "none"
    receiver.answer(body=repeats.encode(), headers=[("content-type", "text/plain; charset=utf-8")])
    webhook_id = add(interface, receiver.url, WAYS[way])
    submit(interface)
    drain(webhook_id)
    with read_only():
        webhook = db.session.get_one(Webhook, webhook_id)
        rows = [webhook, *db.session.query(Attempt).all(), *db.session.query(Lead).all()]
        stored = repr([{each.key: getattr(row, each.key) for each in inspect(row).mapper.column_attrs} for row in rows])
    assert SECRET not in stored
    assert "a%2Bb%2520" not in stored
    assert PRIVATE[5:] not in stored


def _last_code(webhook_id: int, lead: Lead) -> int | None:
    db.session.rollback()
    with read_only():
        live = db.session.get_one(Lead, lead.id)
        [delivery] = [each for each in live.deliveries if each.webhook_id == webhook_id]
        return delivery.last_code
