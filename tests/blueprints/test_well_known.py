"""The public keys of webhooks that sign with a private key, for everyone."""

import pytest
from flask.testing import FlaskClient

from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Authentication, Interface, Webhook
from webapp.services.webhooks import editing, rotating
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan
from webapp.webhooks.authentications.keys import generate_private_key
from webapp.webhooks.authentications.v1a import V1a

URL = "https://crm.example.com/leads"


def added(interface: Interface, authentication: Authentication = Authentication.V1A, **secrets: str) -> Webhook:
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        return editing.add(live, Plan(URL, wanted=Wanted(authentication, secrets=secrets)))


def test_anyone_can_read_the_public_keys_of_a_webhook_and_no_secret(client: FlaskClient, interface: Interface) -> None:
    new, old = generate_private_key(), generate_private_key()
    webhook = added(interface, private_key=old)
    with transaction():
        rotating.rotate(db.session.get_one(Webhook, webhook.id), new)
    answer = client.get(f"/.well-known/leadhook/{webhook.public_id}.json")
    assert answer.status_code == 200
    assert answer.json == {
        "webhook": webhook.public_id,
        "scheme": "v1a",
        "public_keys": [V1a.of({}, {"private_key": key}).public_keys[0] for key in (new, old)],
    }
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert "Set-Cookie" not in answer.headers
    assert new[5:40] not in answer.text
    assert URL not in answer.text


def test_there_is_nothing_of_other_webhooks(client: FlaskClient, interface: Interface) -> None:
    bearer = added(interface, Authentication.BEARER, token="abc.def")
    gone = added(interface, private_key=generate_private_key())
    with transaction():
        editing.remove(db.session.get_one(Webhook, gone.id))
    broken = added(interface, private_key=generate_private_key())
    with transaction():
        db.session.get_one(Webhook, broken.id).secrets_encrypted = b"not encrypted"
    first = interface.webhook.public_id
    for webhook_id in (bearer.public_id, gone.public_id, broken.public_id, first, "wh_unknown", "x", "%00", "é" * 50):
        assert client.get(f"/.well-known/leadhook/{webhook_id}.json").status_code == 404, webhook_id


@pytest.mark.parametrize(
    "path", ["/.well-known/leadhook/", "/.well-known/leadhook/x", "/.well-known/leadhook/x/y.json"]
)
def test_there_is_nothing_beside_them(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404
