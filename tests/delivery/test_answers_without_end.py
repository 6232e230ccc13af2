"""A receiver that does not end its answers: the code counts, the webhook's page says so, a good answer clears it."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.factories import ADA, delivery_of, point_at, submit
from tests.support.receiver import Receiver, answering, closing, free_port, hanging
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Authentication, DeliveryState, Interface, Lane, Lead
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads
from webapp.webhooks import connections

WORDS = "Your endpoint does not end its answers"
UNENDED = hanging(b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\naccepted")


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENCE", 0.2)


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    point_at(interface, receiver.url)
    return interface


def drain(interface: Interface) -> None:
    db.session.rollback()
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def sent(interface: Interface) -> Lead:
    lead = submit(interface)
    drain(interface)
    return lead


def marked() -> bool:
    db.session.rollback()
    found = db.session.scalars(select(Lane.unended_since)).one() is not None
    db.session.rollback()
    return found


def page_of(interface: Interface, signed_in: FlaskClient) -> str:
    return signed_in.get(f"/interfaces/{interface.public_id}/edit/lead-generation").text


def test_from_the_form_to_the_pages_the_lead_is_delivered_and_the_answer_is_cut(
    client: FlaskClient, pointed: Interface, receiver: Receiver, signed_in: FlaskClient
) -> None:
    receiver.queue(UNENDED)
    assert client.post(f"/f/{pointed.public_id}", data=ADA).status_code == 303
    drain(pointed)
    lead = db.session.scalars(select(Lead)).one()
    delivery = delivery_of(lead)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [delivery.message_id]
    [attempt] = delivery.attempts
    assert (delivery.state, attempt.code, attempt.error) == (DeliveryState.DELIVERED, 200, None)
    assert (attempt.response, attempt.truncated) == ("accepted", True)
    assert 200 <= attempt.duration_ms < 2000
    assert "Response, cut short" in signed_in.get(f"/leads/{lead.public_id}").text


def test_the_webhooks_page_says_so_with_a_link_until_an_answer_ends_well(
    pointed: Interface, receiver: Receiver, signed_in: FlaskClient
) -> None:
    assert WORDS not in page_of(pointed, signed_in)
    receiver.queue(UNENDED, UNENDED)
    sent(pointed)
    sent(pointed)
    page = page_of(pointed, signed_in)
    assert WORDS in page
    assert 'href="/docs/webhooks#answer-end"' in page
    guide = " ".join(signed_in.get("/docs/webhooks").text.split())
    assert 'id="answer-end"' in guide
    assert "An answer that begins before your work is done and pauses for longer than 2 seconds is cut" in guide
    sent(pointed)
    assert WORDS not in page_of(pointed, signed_in)


def test_a_failure_whose_answer_does_not_end_counts_with_its_code(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(hanging(b"HTTP/1.1 503 No\r\nretry-after: 60\r\ncontent-length: 2.0\r\n\r\nno"))
    delivery = delivery_of(sent(pointed))
    assert (delivery.state, delivery.last_code, delivery.last_response) == (DeliveryState.PENDING, 503, "no")
    assert marked()


def test_a_failure_that_ends_well_clears_it(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(UNENDED, answering(500, b"no"))
    sent(pointed)
    assert marked()
    sent(pointed)
    assert not marked()


def test_no_answer_at_all_changes_nothing(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(closing(), UNENDED, closing())
    sent(pointed)
    assert not marked()
    sent(pointed)
    assert marked()
    sent(pointed)
    assert marked()


def test_of_a_batch_the_last_answer_decides(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(UNENDED, answering(), answering(), UNENDED)
    for _ in range(2):
        submit(pointed)
    drain(pointed)
    assert not marked()
    for _ in range(2):
        submit(pointed)
    drain(pointed)
    assert marked()


def test_a_test_lead_sets_it_shows_it_and_clears_it(
    pointed: Interface, receiver: Receiver, signed_in: FlaskClient
) -> None:
    receiver.queue(UNENDED)
    for expected in (True, False):
        with transaction():
            message_id = leads.send_test(db.session.get_one(Interface, pointed.id), 1).message_id
        drain(pointed)
        page = signed_in.get(f"/interfaces/{pointed.public_id}/tests/{message_id}").text
        assert "Delivered: 200" in page
        assert (WORDS in page) is expected
        assert marked() is expected


def test_a_new_url_clears_it_and_the_same_url_does_not(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(UNENDED)
    sent(pointed)
    for url, expected in ((receiver.url, True), (f"http://127.0.0.1:{free_port()}/", False)):
        with transaction():
            interfaces.update_lead_generation(
                db.session.get_one(Interface, pointed.id),
                url=url,
                authentication=Authentication.NONE,
                shared_token=None,
            )
        assert marked() is expected


def test_another_account_and_another_interface_see_nothing_of_it(
    pointed: Interface, receiver: Receiver, signed_in: FlaskClient, stranger: FlaskClient
) -> None:
    receiver.queue(UNENDED)
    sent(pointed)
    with transaction():
        other = interfaces.create(pointed.account_id, "Another").public_id
    assert WORDS not in signed_in.get(f"/interfaces/{other}/edit/lead-generation").text
    assert stranger.get(f"/interfaces/{pointed.public_id}/edit/lead-generation").status_code == 404


def test_an_answer_that_is_too_long_is_no_such_fault(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(answering(200, b"x" * 100_000))
    assert delivery_of(sent(pointed)).attempts[0].truncated
    assert not marked()
