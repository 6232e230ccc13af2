"""Every outcome that a receiver can cause, from the form to the stored code and text, and to the owner's mailbox.

Uses real sockets, real certificates of a temporary authority and a real SMTP server.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.conftest import AppMaker
from tests.support.factories import delivery_of, point_at, submit
from tests.support.receiver import Receiver, free_port, hanging, resetting
from tests.support.smtp import MailServer
from tests.support.tls import Authority
from webapp import jobs
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Delivery, Interface
from webapp.services.interfaces import interfaces
from webapp.services.people import users
from webapp.webhooks.advice import with_step


@pytest.fixture
def smtp() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


class World:
    """An app with short time limits, its interface, and a mail server."""

    def __init__(self, make_app: AppMaker, smtp: MailServer, authority: Authority) -> None:
        limits = {"WEBHOOK_DEADLINE": "0.6", "WEBHOOK_CONNECT_TIMEOUT": "0.6"}
        self.app = make_app(**limits, **smtp.environ, WEBHOOK_CA_FILE=authority.ca_file)
        self.smtp = smtp

    def interface(self) -> Interface:
        with transaction():
            owner = users.create_owner("alice@example.com", "correct horse battery", "Brightwater Solar")
            return interfaces.create(owner.account_id, "Contact sales")

    def deliver(self, url: str) -> tuple[int, str]:
        """Submits a lead to a webhook at `url`, drains its lane, sends due mail; returns the stored code and text."""
        with self.app.app_context():
            interface = self.interface()
            point_at(interface, url)
            lead = submit(interface)
            webhook_id = interface.webhook.id
            db.session.rollback()
            jobs.drain(webhook_id)
            jobs.send_mail()
            delivery = delivery_of(lead)
            assert delivery.last_code is not None
            assert delivery.last_response is not None
            assert delivery.attempts[0].response.startswith(delivery.last_response)
            return delivery.last_code, delivery.last_response


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    directory = tmp_path / "authority"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture
def world(make_app: AppMaker, smtp: MailServer, authority: Authority) -> World:
    return World(make_app, smtp, authority)


def assert_reported(smtp: MailServer, code: int, words: str) -> None:
    """Asserts that the owner got one mail, with the lead's code and text."""
    [mail] = [mail for mail in smtp.received if "failing" in str(mail.message["Subject"]).lower()]
    assert mail.recipients == ["alice@example.com"]
    flat = " ".join(mail.text.split())
    assert str(code) in flat
    assert words in flat


@pytest.mark.parametrize("code", [200, 204])
def test_a_2xx_is_delivered_and_not_reported(world: World, receiver: Receiver, code: int) -> None:
    receiver.answer(status=code, body=b"" if code == 204 else b"thanks")
    assert world.deliver(receiver.url) == (code, "" if code == 204 else "thanks")
    assert world.smtp.received == []


@pytest.mark.parametrize("code", [301, 400, 410, 429, 500, 503])
def test_a_code_from_300_up_is_stored_with_its_body_and_reported(world: World, receiver: Receiver, code: int) -> None:
    receiver.answer(status=code, body=b"the receiver's words", headers=[("location", "http://127.0.0.1:1/")])
    assert world.deliver(receiver.url) == (code, "the receiver's words")
    assert len(receiver.requests) == 1
    assert_reported(world.smtp, code, "the receiver's words")


def test_a_timeout_is_999_and_says_how_long_leadhook_waited(world: World, receiver: Receiver) -> None:
    receiver.behave(hanging())
    code, words = world.deliver(receiver.url)
    assert code == 999
    assert words.startswith("Timed out")
    assert "0.6 s" in words
    assert_reported(world.smtp, 999, "Timed out")


def test_a_refused_connection_is_999(world: World) -> None:
    code, words = world.deliver(f"http://127.0.0.1:{free_port()}/")
    assert code == 999
    assert "refused" in words.lower()
    assert_reported(world.smtp, 999, "refused")


def test_a_reset_connection_is_999(world: World, receiver: Receiver) -> None:
    receiver.behave(resetting())
    code, words = world.deliver(receiver.url)
    assert code == 999
    assert "reset" in words.lower() or "closed" in words.lower()
    assert_reported(world.smtp, 999, words[:40])


def test_a_name_that_does_not_resolve_is_999(world: World) -> None:
    code, words = world.deliver("http://crm.invalid/leads")
    assert code == 999
    assert "crm.invalid does not resolve" in words
    assert_reported(world.smtp, 999, "does not resolve")


@pytest.mark.parametrize(("certificate", "words"), [("expired", "expired"), ("wrong_host", "issued for another name")])
def test_an_invalid_certificate_is_999_and_says_what_is_wrong_with_it(
    world: World, authority: Authority, certificate: str, words: str
) -> None:
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(tls=getattr(authority, certificate)()))
        url = receiver.url.replace("127.0.0.1", "localhost")
        code, response = world.deliver(url)
    assert code == 999
    assert words in response
    assert_reported(world.smtp, 999, words)


def test_a_certificate_of_the_configured_authority_is_trusted(world: World, authority: Authority) -> None:
    with Receiver(tls=authority.valid()) as receiver:
        assert world.deliver(receiver.url)[0] == 200


def test_an_unreachable_address_is_999(world: World) -> None:
    """Linux refuses a TCP connection to loopback's broadcast address with the same error as without a route."""
    code, words = world.deliver("http://127.255.255.255/")
    assert code == 999
    assert "Network is unreachable" in words
    assert_reported(world.smtp, 999, "Network is unreachable")


def test_an_address_that_is_not_public_is_refused_without_connecting(
    make_app: AppMaker, smtp: MailServer, authority: Authority, receiver: Receiver
) -> None:
    app_maker = lambda **environ: make_app(**{**environ, "WEBHOOK_ALLOWED_NETWORKS": ""})  # noqa: E731
    world = World(app_maker, smtp, authority)
    code, words = world.deliver(receiver.url)
    assert (code, receiver.connections) == (999, 0)
    assert words == with_step("The address of 127.0.0.1 is not public, and this installation does not allow it")
    assert_reported(smtp, 999, "is not public")
    with world.app.app_context(), read_only():
        [delivery] = db.session.scalars(select(Delivery))
        assert (delivery.state, delivery.due_at, delivery.webhook.automatic_retries) == ("held", None, True)
        [attempt] = delivery.attempts
        assert (attempt.response, attempt.response_headers, attempt.error) == (words, [], "blocked_address")
        db.session.rollback()
