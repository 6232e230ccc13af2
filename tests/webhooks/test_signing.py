"""Signatures follow Standard Webhooks: its own library accepts them."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from webapp.webhooks import signing
from webapp.webhooks.signing import Signer, decode_secret, generate_secret, sign

BODY = b'{"name":"Ada"}'


def headers(signature: str, timestamp: int) -> dict[str, str]:
    return {"webhook-id": "msg_1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def test_the_published_example_has_the_published_signature():
    signature = sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_standard_webhooks_library_verifies_our_signatures():
    secret, at = generate_secret(), now()
    assert Webhook(secret).verify(BODY, headers(sign([secret], "msg_1", at, BODY), at)) == {"name": "Ada"}


def test_a_changed_body_does_not_verify():
    secret, at = generate_secret(), now()
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers(sign([secret], "msg_1", at, BODY), at))


def test_both_secrets_verify_while_they_overlap_and_the_newest_comes_first():
    old, new, at = generate_secret(), generate_secret(), now()
    both = Signer([new, old]).sign("msg_1", at, BODY)
    assert both == f"{sign([new], 'msg_1', at, BODY)} {sign([old], 'msg_1', at, BODY)}"
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers(both, at))


def test_a_new_secret_holds_32_random_bytes():
    secrets = {generate_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert {len(decode_secret(secret)) for secret in secrets} == {32}


def secret_of(length: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * length).decode()


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        secret_of(23),
        secret_of(65),
        "whsec_not*base64*not*base64*not*base64*not*base64",
        "whsec_geheim-geheim-geheim-geheim-ä",
        secret_of(32).removeprefix("whsec_"),
        secret_of(32)[:-2],
    ],
)
def test_a_short_or_malformed_secret_is_refused_and_never_quoted(secret):
    with pytest.raises(ValueError) as refusal:
        sign([secret], "msg_1", 1, BODY)
    key = secret.removeprefix("whsec_")
    assert not key or key not in repr(refusal.value) + str(refusal.value)
    assert refusal.value.__cause__ is None


def test_24_and_64_bytes_are_enough_and_not_too_many():
    assert decode_secret(secret_of(24)) == b"k" * 24
    assert decode_secret(secret_of(64)) == b"k" * 64


@pytest.mark.parametrize("secrets", [[], (), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_signing_needs_a_list_of_secrets(secrets):
    with pytest.raises(ValueError, match="at least one secret"):
        sign(secrets, "msg_1", 1, BODY)


@pytest.mark.parametrize("message_id", ["", "msg_1.2"])
def test_an_empty_id_or_an_id_with_a_dot_is_refused(message_id):
    with pytest.raises(ValueError, match="message id"):
        sign([generate_secret()], message_id, 1, BODY)


def test_the_headers_of_a_message_are_those_that_are_known() -> None:
    assert signing.message_headers("msg_1", None) == {"content-type": "application/json", "webhook-id": "msg_1"}
    assert signing.message_headers("msg_1", 7, "v1,x") == {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": "7",
        "webhook-signature": "v1,x",
    }
