"""pytest tests/clients/generated.py: generated clients work against a real Leadhook.

Each is generated from the document of the installation it then calls. No generator may complain about the document, and
the driver must fit the client's types. A driver makes an interface with a webhook, posts a lead, posts it again, waits
for its delivery, posts more, pages through all, retries the first, waits again, and is refused twice. It prints what it
saw as JSON; the database and the receiver know what happened.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from flask import Flask
from sqlalchemy import select

from tests.clients.generators import GENERATORS, Generator
from tests.receivers.installing import run
from tests.support.api import key_for
from tests.support.forked import running_site
from tests.support.receiver import Receiver
from tests.support.site import Site
from webapp.extensions import db
from webapp.models import Interface, Lead, Scope, User

MORE = 6  # leads that the driver posts after the first
PAGES = [3, 3, 1]  # it asks for three a page


@pytest.fixture
def key(owner: User) -> str:
    return key_for(owner.account_id, *Scope)


@pytest.fixture
def site(app: Flask, key: str) -> Iterator[Site]:
    db.session.rollback()  # a transaction of the test's would lock out the site on SQLite
    with running_site(app.config["ENVIRON"]) as site:
        yield site


def document_of(site: Site, folder: Path) -> Path:
    with urlopen(f"{site.url}/api/v1/openapi.json", timeout=30) as answer:
        (folder / "openapi.json").write_bytes(answer.read())
    return folder / "openapi.json"


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda generator: generator.name)
@pytest.mark.timeout(900)
def test_a_generated_client_posts_a_lead_waits_pages_and_retries(
    generator: Generator, site: Site, key: str, receiver: Receiver, tmp_path: Path
) -> None:
    command = generator.made(document_of(site, tmp_path), tmp_path)
    printed = run([*command, f"{site.url}/api/v1", receiver.url], tmp_path, KEY=key)
    seen = json.loads(printed.splitlines()[-1])
    print(f"{generator.name}: {seen}")
    check_what_it_read(seen)
    check_what_happened(seen, receiver)


def check_what_it_read(seen: dict[str, Any]) -> None:
    assert seen["fields"] == ["name", "email", "phone", "message"]
    assert seen["again"] == seen["lead"], "the same Idempotency-Key"
    assert [attempt[1:] for attempt in seen["delivered"]] == [["automatic", 200]]
    assert seen["pages"] == PAGES
    assert [attempt[1:] for attempt in seen["retried"]] == [["automatic", 200], ["retry", 200]]
    assert seen["problem"] == [404, "Not Found"]
    assert seen["refused"] == [422, "#/fields/email"]


def check_what_happened(seen: dict[str, Any], receiver: Receiver) -> None:
    db.session.rollback()
    [interface] = db.session.scalars(select(Interface).where(Interface.public_id == seen["interface"]))
    newest_first = select(Lead).where(Lead.interface_id == interface.id).order_by(Lead.id.desc())
    leads = db.session.scalars(newest_first).all()
    assert seen["leads"] == [lead.public_id for lead in leads]
    assert len(leads) == MORE + 1
    first = leads[-1]
    assert first.public_id == seen["lead"]
    [delivery] = first.deliveries
    attempts = [(attempt.id, attempt.code) for attempt in reversed(delivery.attempts)]
    assert attempts == [(attempt[0], 200) for attempt in seen["retried"]]
    requests = receiver.wait_for(MORE + 2)
    assert {request.headers["authorization"] for request in requests} == {"Bearer token-of-the-crm"}
    of_first = [request for request in requests if request.headers["webhook-id"] == delivery.message_id]
    assert len(of_first) == 2
    assert of_first[0].body == of_first[1].body
    assert json.loads(of_first[0].body)["data"]["lead"]["fields"]["name"] == "Ada Lovelace"
