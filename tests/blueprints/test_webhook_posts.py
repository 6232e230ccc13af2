"""Posts at a form that come from a webhook: others' are taken and counted, our own are answered 508."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event, func, select

from tests.conftest import AppMaker, sign_in
from tests.support.factories import ADA, delivery_of, point_at, submit
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.ids import message_id
from webapp.models import Authentication, Delivery, Interface, Lead
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.services.webhooks import webhooks
from webapp.webhooks.addresses import is_form_of

RECEIVER = "https://crm.example/hook"


@pytest.fixture
def address(interface: Interface) -> str:
    return f"/f/{interface.public_id}"


def hops() -> list[int | None]:
    db.session.rollback()
    return [lead.source.get("hops") for lead in db.session.scalars(select(Lead).order_by(Lead.id))]


def test_our_own_webhook_id_is_refused_with_a_sentence(client: FlaskClient, interface: Interface, address: str) -> None:
    point_at(interface, RECEIVER)
    ours = delivery_of(submit(interface)).message_id
    answer = client.post(address, json=ADA, headers={"webhook-id": ours, "webhook-timestamp": "1795420800"})
    assert answer.status_code == 508
    assert answer.headers["leadhook-hops"] == "1"
    [sentence] = answer.json["errors"]["_form"]
    assert sentence.startswith("This lead was sent by a webhook of this Leadhook")
    assert len(hops()) == 1


@pytest.mark.parametrize(
    "way", ["form", "multipart", "json", "in another case", "with a signature", "joined", "another form"]
)
def test_it_is_refused_however_it_comes(app: Flask, client: FlaskClient, interface: Interface, way: str) -> None:
    point_at(interface, RECEIVER)
    ours = delivery_of(submit(interface)).message_id
    with transaction():
        other = interfaces.create(interface.account_id, "Another").public_id
    name = "Webhook-ID" if way == "in another case" else "webhook-id"
    headers = {name: ours, **({"webhook-signature": "v1,x"} if way == "with a signature" else {})}
    headers |= {name: f"evt_1, {ours}"} if way == "joined" else {}
    address = f"/f/{other if way == 'another form' else interface.public_id}"
    body: dict[str, Any] = {"data": ADA} if way == "form" else {"json": ADA}
    if way == "multipart":
        body = {"data": ADA, "content_type": "multipart/form-data"}
    assert client.post(address, headers=headers, **body).status_code == 508
    assert len(hops()) == 1


@pytest.mark.parametrize(
    "their_id",
    [
        "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",  # Svix
        "evt_1MqqbKLt4dXK03v5qaIbiNCC",
        "msg_" + "0" * 26,
        "msg_01m83pph3v2r0yfay9n7db9hyk",  # ours in shape, of another installation
        "3f0c1f0e-9d5d-4a34-8d8c-0a2f1a5f1c55",
        "msg_01M83PPH3V2R0YFAY9N7DB9HYK",
        "x" * 5000,
        "msg_٠١",
        "' OR 1=1 --",
        "%00",
    ],
)
def test_posts_of_other_senders_are_taken(client: FlaskClient, address: str, their_id: str) -> None:
    answer = client.post(address, json=ADA, headers={"webhook-id": their_id.encode().decode("latin-1")})
    assert answer.status_code == 201
    assert "leadhook-hops" not in answer.headers
    assert hops() == [1]


@pytest.mark.parametrize(
    ("sent", "count"),
    [
        ("0", 1),
        ("1", 2),
        ("3", 4),
        (" 2 ", 3),
        ("1, 2", 3),
        ("2,1", 3),
        ("01", 2),
        ("", 1),
        ("one", 1),
        ("-9", 1),
        ("9.5", 1),
        ("0x9", 1),
        ("٩", 1),
        ("²", 1),
        ("1e9", 1),
    ],
)
def test_a_lead_keeps_how_many_webhooks_brought_it(client: FlaskClient, address: str, sent: str, count: int) -> None:
    headers = {"webhook-id": message_id(), "leadhook-hops": sent.encode().decode("latin-1")}
    assert client.post(address, json=ADA, headers=headers).status_code == 201
    assert hops() == [count]


@pytest.mark.parametrize("sent", ["4", "5", "99", "4, 1", "9" * 99, "00004"])
def test_the_fifth_is_refused(client: FlaskClient, address: str, sent: str) -> None:
    answer = client.post(address, json=ADA, headers={"webhook-id": message_id(), "leadhook-hops": sent})
    assert answer.status_code == 508
    assert "five webhooks" in answer.json["errors"]["_form"][0]
    assert int(answer.headers["leadhook-hops"]) >= 5
    assert client.post(address, json=ADA, headers={"leadhook-hops": sent}).status_code == 508, "also without an id"
    assert hops() == []


def test_a_person_reads_it_as_a_page(client: FlaskClient, address: str) -> None:
    answer = client.post(address, data=ADA, headers={"leadhook-hops": "4", "Accept": "text/html"})
    assert answer.status_code == 508
    assert "goes round in a circle" in answer.text


@pytest.fixture
def questions() -> Iterator[list[str]]:
    """The statements that look a webhook-id up, of all connections."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "SELECT EXISTS" in statement and "message_id IN" in statement:
            asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield asked
    event.remove(Engine, "before_cursor_execute", note)


def test_only_a_webhook_id_of_our_shape_is_looked_up(
    client: FlaskClient, interface: Interface, address: str, questions: list[str]
) -> None:
    point_at(interface, RECEIVER)
    assert client.post(address, data=ADA).status_code == 303
    assert client.post(address, json=ADA, headers={"webhook-id": "evt_1"}).status_code == 201
    assert client.post(address, json=ADA, headers={"leadhook-hops": "4", "webhook-id": message_id()}).status_code == 508
    assert questions == []
    assert client.post(address, json=ADA, headers={"webhook-id": message_id()}).status_code == 201
    assert len(questions) == 1
    db.session.rollback()
    assert db.session.scalars(select(Delivery.hops).order_by(Delivery.id)).all() == [None, 1, 1]


# Saving --------------------------------------------------------------------------------------------------------------

OWN = [
    "{}/f/if_8Kx2vQ4mTzPa",
    "{}/f/if_8Kx2vQ4mTzPa?plan=pro#top",
    "{}/%66/if_8Kx2vQ4mTzPa",
    "{}/f%2Fif_8Kx2vQ4mTzPa",
    "{}/x/../f/if_8Kx2vQ4mTzPa",
    "{}//f//if_8Kx2vQ4mTzPa",
    "{}/./f/if_8Kx2vQ4mTzPa/",
    "{}/f/look/2f54d0-soft-1.css",
]
NOT_OWN = [
    "{}/",
    "{}/hook",
    "{}/f",
    "{}/f/",
    "{}/form/if_8Kx2vQ4mTzPa",
    "{}/hook?to=/f/if_1",
    "{}/F/if_1",
    "{}/a/f/if_1",
]


@pytest.mark.parametrize("ours", ["https://leads.example.com", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_our_own_form_is_recognised_in_every_spelling_of_its_path(ours: str) -> None:
    assert all(is_form_of(ours, url.format(ours)) for url in OWN)
    assert not any(is_form_of(ours, url.format(ours)) for url in NOT_OWN)


@pytest.mark.parametrize(
    ("ours", "url", "own"),
    [
        ("https://leads.example.com", "https://LEADS.Example.com/f/x", True),
        ("https://leads.example.com", "https://leads.example.com./f/x", True),
        ("https://leads.example.com", "https://leads.example.com:443/f/x", True),
        ("https://leads.example.com", "http://leads.example.com/f/x", True),
        ("https://xn--bcher-kva.example", "https://bücher.example/f/x", True),
        ("http://127.0.0.1:8000", "http://127.1:8000/f/x", True),
        ("http://127.0.0.1:8000", "http://0x7f000001:8000/f/x", True),
        ("http://127.0.0.1:8000", "http://2130706433:8000/f/x", True),
        ("http://[::1]:8000", "http://[0:0:0:0:0:0:0:1]:8000/f/x", True),
        ("http://127.0.0.1:8000", "http://127.0.0.1:9000/f/x", False),
        ("https://leads.example.com", "https://leads.example.com:8443/f/x", False),
        ("https://leads.example.com", "https://other.example.com/f/x", False),
        ("https://leads.example.com", "https://leads.example.com.evil.example/f/x", False),
        ("https://leads.example.com", "not a url", False),
        ("https://leads.example.com", "", False),
    ],
)
def test_host_and_port_decide_whose_form_it_is(ours: str, url: str, own: bool) -> None:
    assert is_form_of(ours, url) is own


@pytest.mark.parametrize("url", OWN)
def test_our_own_form_is_refused_when_it_is_saved(
    make_app: AppMaker, app: Flask, interface: Interface, url: str
) -> None:
    own = app.extensions["leadhook_config"].public_url
    sent = {"webhook_url": url.format(own), "authentication": "none", "parallel_requests": "1"}
    client = sign_in(app, "alice@example.com")
    answer = client.post(f"/interfaces/{interface.public_id}/edit/lead-generation", data=sent)
    assert answer.status_code == 422
    assert "a form of this Leadhook" in answer.text
    with pytest.raises(Refused):
        webhooks.check_reachable(url.format(own))
    settings = {"authentication": Authentication.NONE, "shared_token": None}
    with pytest.raises(Refused), transaction():
        interfaces.update_lead_generation(db.session.get_one(Interface, interface.id), url=url.format(own), **settings)


def test_a_command_refuses_it_too(app: Flask, interface: Interface) -> None:
    own = app.extensions["leadhook_config"].public_url
    arguments = ["create-interface", "--name", "Loop", "--webhook-url", f"{own}/f/{interface.public_id}"]
    done = app.test_cli_runner().invoke(args=arguments)
    assert done.exit_code == 1
    assert "a form of this Leadhook" in done.output
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(Interface)) == 1


def test_another_path_of_our_own_host_is_taken(app: Flask, interface: Interface) -> None:
    own = app.extensions["leadhook_config"].public_url
    assert all(webhooks.fault(url.format(own)) is None for url in NOT_OWN)
