"""The address of a visitor behind proxies that write it in their own ways: in the lead, the blocklist, the limit."""

import pytest
from flask import Flask
from structlog.testing import capture_logs

from tests.conftest import AppMaker
from tests.support.factories import ADA, point_at
from tests.support.receiver import Receiver
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Interface, Lead
from webapp.web import limits

pytestmark = pytest.mark.once

WRITTEN = [
    ("203.0.113.7", "203.0.113.7"),
    ("203.0.113.7:4711", "203.0.113.7"),
    ("[2001:db8::7]:4711", "2001:db8::7"),
    ("[2001:db8::7]", "2001:db8::7"),
    ('"[2001:db8::7]:4711"', "2001:db8::7"),
    ("2001:DB8:0::7", "2001:db8::7"),
    ("::ffff:203.0.113.7", "203.0.113.7"),
    ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
    ("198.51.100.1, 203.0.113.7:4711", "203.0.113.7"),
    ("unknown", None),
    ("_hidden", None),
    ("203.0.113.7:port", "203.0.113.7"),
    ("203.0.113", None),
    ("203.0.113.777", None),
    ("[2001:db8::7", "2001:db8::7"),
    ("²03.0.113.7", None),
    ("<b>x</b>", None),
]


@pytest.fixture
def behind_a_proxy(make_app: AppMaker) -> Flask:
    limits._warn_once.cache_clear()
    return make_app(TRUSTED_PROXIES="1", FORM_RATE_LIMIT="1 per minute")


@pytest.mark.parametrize(("written", "address"), WRITTEN)
def test_the_lead_and_its_payload_have_the_address_alone(
    behind_a_proxy: Flask, interface: Interface, receiver: Receiver, written: str, address: str | None
) -> None:
    point_at(interface, receiver.url)
    headers = {"X-Forwarded-For": written.encode().decode("latin-1")}
    assert behind_a_proxy.test_client().post(f"/f/{interface.public_id}", json=ADA, headers=headers).status_code == 201
    db.session.rollback()
    lead = db.session.query(Lead).one()
    assert lead.source["ip"] == address
    webhook_id = lead.deliveries[0].webhook_id
    db.session.rollback()
    lanes.drain(webhook_id)
    assert (f'"ip":"{address}"' if address else '"ip":null').encode() in receiver.requests[0].body


@pytest.mark.parametrize("written", ["203.0.113.7:4711", "203.0.113.7", "[::ffff:203.0.113.7]:1"])
def test_the_blocklist_knows_it(behind_a_proxy: Flask, interface: Interface, written: str) -> None:
    with transaction():
        db.session.get_one(Interface, interface.id).blocklist = ["203.0.113.0/24"]
    client = behind_a_proxy.test_client()
    client.post(f"/f/{interface.public_id}", json=ADA, headers={"X-Forwarded-For": written})
    db.session.rollback()
    assert db.session.query(Lead).one().spam == "blocklist"


def test_the_limit_counts_a_visitor_with_any_port_once(behind_a_proxy: Flask, interface: Interface) -> None:
    client, codes = behind_a_proxy.test_client(), []
    for written in ("203.0.113.7:1", "203.0.113.7:2", "203.0.113.8:1", "[2001:db8::1]:1", "2001:db8::2"):
        answer = client.post(f"/f/{interface.public_id}", json=ADA, headers={"X-Forwarded-For": written})
        codes.append(answer.status_code)
    assert codes == [201, 429, 201, 201, 429]


@pytest.mark.parametrize("nothing", ["", "unknown"])
def test_visitors_without_an_address_share_a_limit_and_the_log_says_so_once(
    make_app: AppMaker, interface: Interface, nothing: str
) -> None:
    """As on a unix socket without TRUSTED_PROXIES."""
    limits._warn_once.cache_clear()
    client = make_app(FORM_RATE_LIMIT="2 per minute").test_client()
    with capture_logs() as logged:
        codes = [
            client.post(f"/f/{interface.public_id}", json=ADA, environ_overrides={"REMOTE_ADDR": nothing}).status_code
            for _ in range(3)
        ]
    assert codes == [201, 201, 429]
    [warning] = [entry for entry in logged if "share one rate limit" in entry["event"]]
    assert "TRUSTED_PROXIES" in warning["do"]
    db.session.rollback()
    assert {lead.source["ip"] for lead in db.session.query(Lead)} == {None}


def test_without_trusted_proxies_the_header_is_ignored(make_app: AppMaker, interface: Interface) -> None:
    client = make_app().test_client()
    client.post(f"/f/{interface.public_id}", json=ADA, headers={"X-Forwarded-For": "203.0.113.7:4711"})
    db.session.rollback()
    assert db.session.query(Lead).one().source["ip"] == "127.0.0.1"
