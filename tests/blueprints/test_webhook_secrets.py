"""The secrets of webhooks on their pages: shown once, rotated, never shown again; public keys."""

import re
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.factories import submit
from tests.support.webhook_pages import TOKEN, add, error_at, path, save, stored_secrets, tried
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Interface, Webhook
from webapp.services.webhooks import editing
from webapp.webhooks.authentications.v1a import V1a


@pytest.fixture
def webhook(interface: Interface) -> Webhook:
    """A second one, beside the first without a URL."""
    return add(interface)


def shown_secret(page: str) -> str:
    [secret] = re.findall(r'<code id="secret">(.*?)</code>', page)
    return unescape(str(secret))


@pytest.mark.parametrize("scheme", ["metalocator", "signature"])
def test_a_secret_that_leadhook_makes_is_shown_once(signed_in: FlaskClient, webhook: Webhook, scheme: str) -> None:
    answer = save(signed_in, webhook, authentication=scheme)
    assert answer.status_code == 200
    secret = shown_secret(answer.text)
    assert stored_secrets(webhook) == {"secret": secret}
    assert secret not in signed_in.get(path(webhook)).text
    assert save(signed_in, webhook, authentication=scheme).status_code == 303
    assert stored_secrets(webhook) == {"secret": secret}

    page = signed_in.get(path(webhook, "/secret")).text
    assert "the new secret signs alone, at once" in page
    rotated = shown_secret(signed_in.post(path(webhook, "/secret")).text)
    assert stored_secrets(webhook) == {"secret": rotated}
    own = signed_in.post(path(webhook, "/secret"), data={"secret": "my-own-secret-0123"}).text
    assert "my-own-secret-0123" not in own
    assert stored_secrets(webhook) == {"secret": "my-own-secret-0123"}
    short = signed_in.post(path(webhook, "/secret"), data={"secret": "short"})
    assert short.status_code == 422
    assert "too short" in error_at(short.text, "secret")


def test_two_signatures_overlap_until_a_person_ends_the_old_one(signed_in: FlaskClient, webhook: Webhook) -> None:
    overlap = {"authentication": "signature", "auth__signature__overlap": "comma"}
    first = shown_secret(save(signed_in, webhook, **overlap).text)
    with transaction():
        db.session.get_one(Webhook, webhook.id).examination = {"verdict": "of the secret before"}
    page = signed_in.post(path(webhook, "/secret")).text
    db.session.expire_all()
    assert webhook.examination is None
    assert "The old secret also signs" in page
    second = shown_secret(page)
    assert stored_secrets(webhook) == {"secret": second, "previous": first}
    assert "End the old secret" in signed_in.get(path(webhook)).text
    assert save(signed_in, webhook, **overlap).status_code == 303
    assert stored_secrets(webhook)["previous"] == first, "another change ends no secret"
    ended = signed_in.post(path(webhook, "/secret/end-previous"), follow_redirects=True).text
    assert "The old secret no longer signs." in ended
    assert stored_secrets(webhook) == {"secret": second}
    assert "no old secret" in signed_in.post(path(webhook, "/secret/end-previous"), follow_redirects=True).text
    actions = db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()[-2:]
    assert actions == ["webhook.changed", "webhook.previous_ended"]


def test_a_webhook_with_v1a_publishes_its_public_keys_and_never_its_private_one(
    signed_in: FlaskClient, client: FlaskClient, webhook: Webhook
) -> None:
    published = f"/.well-known/leadhook/{webhook.public_id}.json"
    assert client.get(published).status_code == 404
    assert save(signed_in, webhook, authentication="v1a").status_code == 303
    private = stored_secrets(webhook)["private_key"]
    [key] = client.get(published).json["public_keys"]
    assert key == V1a.of({}, {"private_key": private}).public_keys[0]
    page = signed_in.get(path(webhook)).text
    assert key in page
    assert private not in page
    rotated = signed_in.post(path(webhook, "/secret")).text
    assert stored_secrets(webhook)["private_key"] not in rotated
    answer = client.get(published)
    assert answer.json["public_keys"][1] == key
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    for private in stored_secrets(webhook).values():
        assert private not in answer.text
    with transaction():
        editing.remove(db.session.get_one(Webhook, webhook.id))
    assert client.get(published).status_code == 404


def test_the_public_key_of_a_signature_is_shown_for_its_receiver(signed_in: FlaskClient, webhook: Webhook) -> None:
    ed25519 = {"authentication": "signature", "auth__signature__algorithm": "ed25519"}
    assert save(signed_in, webhook, **ed25519).status_code == 303
    page = signed_in.get(path(webhook)).text
    for words in ("Public key, hex", "Public key, PEM", "-----BEGIN PUBLIC KEY-----"):
        assert words in page
    assert "PRIVATE KEY" not in page


def test_an_authentication_without_a_secret_of_ours_cannot_be_rotated(signed_in: FlaskClient, webhook: Webhook) -> None:
    save(signed_in, webhook, authentication="bearer", auth__bearer__token=TOKEN)
    assert "has no secret that Leadhook could make" in signed_in.get(path(webhook, "/secret")).text
    assert signed_in.post(path(webhook, "/secret")).status_code == 422
    assert stored_secrets(webhook) == {"token": TOKEN}


def test_another_authentication_takes_nothing_of_the_one_before(signed_in: FlaskClient, webhook: Webhook) -> None:
    save(signed_in, webhook, authentication="header", auth__header__value=TOKEN)
    assert save(signed_in, webhook, authentication="query").status_code == 422
    save(signed_in, webhook, authentication="query", auth__query__name="k", auth__query__value="another-key")
    assert stored_secrets(webhook) == {"value": "another-key"}
    assert (webhook.connection or {})["authentication"] == {"name": "k"}
    submit(webhook.interface)
    assert "https://hooks.example.com/services/T0/B0/x9y8?k=•••" in tried(
        signed_in, webhook, authentication="query", auth__query__name="k"
    )
