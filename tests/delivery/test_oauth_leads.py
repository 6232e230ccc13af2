"""A lead to a receiver that wants tokens or a client certificate, from the settings to what is on record."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import inspect, select, text

from tests.support.counterparts import issued, nginx, openssl, self_made_authority
from tests.support.factories import submit
from tests.support.tls import Authority
from tests.support.token_server import TokenServer
from webapp import jobs
from webapp.clock import utcnow
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Attempt, Authentication, Delivery, DeliveryState, Interface, Webhook
from webapp.services.errors import Refused
from webapp.services.webhooks import editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan

SECRET = "a+b %2B:c é"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def token_server(authority: Authority) -> Iterator[TokenServer]:
    with TokenServer(authority.valid(), "lead hook", SECRET) as server:
        yield server


@pytest.fixture
def app(make_app: Any, authority: Authority) -> Iterator[Flask]:
    """One that trusts the authority of these receivers."""
    app = make_app(WEBHOOK_CA_FILE=authority.ca_file)
    with app.app_context():
        yield app


def added(interface: Interface, url: str, plan: dict[str, Any] | None = None, **wanted: Any) -> int:
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        return editing.add(live, Plan(url, wanted=Wanted(**wanted), **(plan or {}))).id


def sent(webhook_id: int) -> tuple[Delivery, list[Attempt]]:
    db.session.rollback()
    jobs.drain(webhook_id)
    with read_only():
        newest = select(Delivery).where(Delivery.webhook_id == webhook_id).order_by(Delivery.id.desc()).limit(1)
        delivery = db.session.scalars(newest).one()
        attempts = db.session.scalars(
            select(Attempt).where(Attempt.delivery_id == delivery.id).order_by(Attempt.started_at, Attempt.id)
        ).all()
        for row in (delivery, *attempts):
            db.session.expunge(row)
        return delivery, list(attempts)


def everything_stored() -> str:
    """All rows of all tables."""
    with read_only():
        tables = inspect(db.engine).get_table_names()
        return "".join(str(db.session.execute(text(f'SELECT * FROM "{table}"')).all()) for table in tables)


def oauth(interface: Interface, server: TokenServer, secret: str = SECRET, plan: dict[str, Any] | None = None) -> int:
    return added(
        interface,
        server.lead_url,
        plan,
        authentication=Authentication.OAUTH2,
        options={"token_url": server.token_url, "client_id": "lead hook", "scope": "leads"},
        secrets={"client_secret": secret},
    )


def test_a_lead_whose_token_ended_meanwhile_has_both_requests_on_record(
    app: Flask, interface: Interface, token_server: TokenServer, capfd: pytest.CaptureFixture[str]
) -> None:
    webhook_id = oauth(interface, token_server)
    submit(interface)
    delivery, attempts = sent(webhook_id)
    assert (delivery.state, [attempt.code for attempt in attempts]) == (DeliveryState.DELIVERED, [200])
    token_server.withdraw()
    submit(interface)
    delivery, attempts = sent(webhook_id)
    assert (delivery.state, delivery.tries) == (DeliveryState.DELIVERED, 1)
    assert [attempt.code for attempt in attempts] == [401, 200]
    assert len({attempt.id for attempt in attempts}) == 2
    assert len(token_server.leads) == 2
    secrets = [SECRET, quote(SECRET, safe=""), *(token.value for token in token_server.tokens)]
    assert len(secrets) == 4
    said = "".join(capfd.readouterr()) + everything_stored()
    assert token_server.lead_url in said
    assert not any(secret in said for secret in secrets)


def test_a_lead_without_a_token_is_tried_again_later_and_says_why(
    app: Flask, interface: Interface, token_server: TokenServer
) -> None:
    webhook_id = oauth(interface, token_server, secret="wrong")
    submit(interface)
    delivery, [attempt] = sent(webhook_id)
    assert (delivery.state, attempt.code, attempt.error) == (DeliveryState.PENDING, 999, "no_token")
    assert attempt.response.startswith("The token server localhost refuses the client: invalid_client (")
    with transaction():
        webhook = db.session.get_one(Webhook, webhook_id)
        options = {"token_url": token_server.token_url, "client_id": "lead hook"}
        wanted = Wanted(Authentication.OAUTH2, options=options, secrets={"client_secret": SECRET})
        editing.save(webhook, Plan(token_server.lead_url, wanted=wanted))
        due = db.session.get_one(Delivery, delivery.id)
        due.due_at = 0.0
    delivery, attempts = sent(webhook_id)
    assert (delivery.state, [each.code for each in attempts]) == (DeliveryState.DELIVERED, [999, 200])


def test_settings_without_which_no_token_can_be_asked_for_are_refused(interface: Interface) -> None:
    given = {"authentication": Authentication.OAUTH2, "options": {"client_id": "a"}, "secrets": {"client_secret": "b"}}
    with pytest.raises(Refused, match="Token URL is missing"):
        added(interface, "https://crm.example/", **given)


def test_a_lead_gets_into_an_nginx_that_asks_for_a_client_certificate(
    app: Flask, interface: Interface, authority: Authority, tmp_path: Path
) -> None:
    authority.valid()
    file = tmp_path / "leaf-1.pem"
    own = self_made_authority(tmp_path, "own")
    certificate, key = issued(tmp_path, "leadhook", own)
    pfx = tmp_path / "leadhook.pfx"
    openssl("pkcs12", "-export", "-in", certificate, "-inkey", key, "-passout", "pass:open", "-out", pfx)
    (tmp_path / "nginx").mkdir()
    block = f"listen 127.0.0.1:{{port}} ssl; ssl_certificate '{file}'; ssl_certificate_key '{file}';"
    block += f" ssl_verify_client on; ssl_client_certificate '{own[0]}'; return 200 $ssl_client_s_dn;"
    with nginx(tmp_path / "nginx", f"server {{ {block} }}") as port:
        url = f"https://localhost:{port}/hook"
        with pytest.raises(Refused, match="does not open the PFX file"):
            added(interface, url, certificate=pfx.read_bytes(), passphrase="wrong")
        webhook_id = added(interface, url, certificate=pfx.read_bytes(), passphrase="open")
        other_id = added(interface, url)
        submit(interface)
        assert sent(webhook_id)[0].state == DeliveryState.DELIVERED
        _, [refused] = sent(other_id)
    assert refused.code == 400
    assert "No required SSL certificate was sent" in refused.response
    with read_only():
        webhook = db.session.get_one(Webhook, webhook_id)
        assert webhook.certificate_until is not None
        assert abs(webhook.certificate_until - utcnow() - timedelta(days=20)) < timedelta(minutes=5)
        assert b"PRIVATE KEY" not in (webhook.secrets_encrypted or b"")


@pytest.mark.parametrize("parallel", [1, 3])
def test_leads_are_sent_at_the_same_time_with_one_token(
    app: Flask, interface: Interface, token_server: TokenServer, parallel: int
) -> None:
    webhook_id = oauth(interface, token_server, plan={"parallel_requests": parallel})
    for _ in range(4):
        submit(interface)
    sent(webhook_id)
    with read_only():
        states = db.session.scalars(select(Delivery.state).where(Delivery.webhook_id == webhook_id)).all()
        said = db.session.scalars(select(Delivery.last_response).where(Delivery.webhook_id == webhook_id)).all()
    assert (states, said) == ([DeliveryState.DELIVERED] * 4, ["thank you"] * 4)
    assert (len(token_server.asked), len(token_server.leads)) == (1, 4)
