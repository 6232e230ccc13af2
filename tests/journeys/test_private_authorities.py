"""From a lead to a receiver with a certificate of a company's own authority, on an installation that keeps running."""

import html
from pathlib import Path

import pytest
from flask import Flask

from tests.conftest import PASSWORD, AppMaker, sign_in
from tests.support.counterparts import issued, s_server, self_made_authority
from tests.support.factories import ADA, delivery_of, point_at
from tests.support.receiver import Receiver
from tests.support.tls import Authority
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Attempt, Interface, Lead
from webapp.services.interfaces import interfaces
from webapp.services.people import users
from webapp.webhooks import tls


class Installation:
    """An app whose WEBHOOK_CA_FILE is `file`, its owner's browser, and an interface."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        with app.app_context(), transaction():
            owner = users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")
            self.form = interfaces.create(owner.account_id, "Contact sales").public_id
        self.browser = sign_in(app, "alice@example.com")

    def point_at(self, url: str) -> None:
        with self.app.app_context():
            point_at(db.session.query(Interface).filter_by(public_id=self.form).one(), url)

    def lead(self) -> str:
        """A lead that a visitor posts; sent at once. Its id."""
        assert self.app.test_client().post(f"/f/{self.form}", data=ADA).status_code == 303
        self.drain()
        with self.app.app_context():
            return str(db.session.query(Lead.public_id).order_by(Lead.id.desc()).first()[0])

    def drain(self) -> None:
        with self.app.app_context():
            webhook_id = db.session.query(Interface).filter_by(public_id=self.form).one().webhook.id
            db.session.rollback()
            lanes.drain(webhook_id)

    def attempts(self, lead_id: str) -> list[Attempt]:
        with self.app.app_context():
            found = delivery_of(db.session.query(Lead).filter_by(public_id=lead_id).one()).attempts
            return sorted(found, key=lambda attempt: attempt.id)

    def page(self, lead_id: str) -> str:
        return html.unescape(self.browser.get(f"/leads/{lead_id}").text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "authorities.pem"


def test_a_lead_is_delivered_after_its_authority_was_added_without_a_restart(
    make_app: AppMaker, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOKED_AT_AFTER", 0.0)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    first, second = Authority(folders[0]), Authority(folders[1], "Second authority")
    file.write_text(Path(first.ca_file).read_text())
    installation = Installation(make_app(WEBHOOK_CA_FILE=str(file)))
    with Receiver(second.valid()) as receiver:
        installation.point_at(receiver.url)
        lead = installation.lead()
        said = installation.page(lead)
        assert "The certificate of 127.0.0.1 comes from an unknown authority. Install the whole chain" in said
        with file.open("a") as more:
            more.write(Path(second.ca_file).read_text())
        assert installation.browser.post(f"/leads/{lead}/retry").status_code == 303
        installation.drain()
        assert [attempt.code for attempt in installation.attempts(lead)] == [999, 200]
        [request] = receiver.requests
        assert b"Ada Lovelace" in request.body


def test_a_lead_to_a_receiver_that_wants_a_client_certificate_says_so_and_what_to_do(
    make_app: AppMaker, tmp_path: Path
) -> None:
    own = self_made_authority(tmp_path, "Own authority")
    leaf = issued(tmp_path, "localhost", own, "subjectAltName=DNS:localhost")
    installation = Installation(make_app(WEBHOOK_CA_FILE=str(own[0])))
    with s_server(leaf[0], "-Verify", 1, "-tls1_3", key=leaf[1]) as port:
        installation.point_at(f"https://localhost:{port}/hook")
        lead = installation.lead()
    [attempt] = installation.attempts(lead)
    words = f"localhost port {port} asks for a client certificate that it trusts."
    assert (attempt.code, attempt.error) == (999, "tls")
    assert attempt.response.startswith(words)
    assert f"{words} Give the webhook the certificate" in installation.page(lead)
    assert words in html.unescape(installation.browser.get("/leads").text)


def test_the_start_says_which_file_of_authorities_cannot_be_used(make_app: AppMaker, file: Path) -> None:
    from webapp.config import ConfigError

    for content, words in ((None, "cannot be read"), ("no certificate", "holds no certificates in PEM")):
        if content:
            file.write_text(content)
        with pytest.raises(ConfigError, match=f"WEBHOOK_CA_FILE: .*{words}"):
            make_app(WEBHOOK_CA_FILE=str(file))
