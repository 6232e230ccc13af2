"""Signatures follow Standard Webhooks: its own library accepts them."""

import base64
import hmac
import re
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from webapp.webhooks import signing
from webapp.webhooks.signing import Signer, decode_secret, generate_secret, key_as_text, sign

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


@pytest.mark.parametrize("length", range(signing.MIN_KEY_BYTES, signing.MAX_KEY_BYTES + 1))
def test_a_signature_is_the_hmac_of_id_time_and_body_for_keys_of_every_length(length):
    key = (b"\xff\0" * 64)[:length]
    signer = Signer(["whsec_" + base64.b64encode(key).decode()])
    for body in (b"", BODY, b"x" * 5000):  # the same signer signs many
        expected = base64.b64encode(hmac.digest(key, b"msg_1.1614265330." + body, "sha256")).decode()
        assert signer.sign("msg_1", 1614265330, body) == f"v1,{expected}"


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


def test_a_new_secret_holds_a_key_that_is_text():
    secrets = {generate_secret() for _ in range(200)}
    assert len(secrets) == 200
    for secret in secrets:
        text = key_as_text(secret)
        assert text
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", text)
        assert decode_secret(secret) == text.encode()
        assert not set("+/") & set(secret)  # a reader of URL-safe base64 reads the same key


def test_only_a_key_of_printable_ascii_is_shown_as_text():
    for key in (bytes(range(32)), b"\xff" * 32, "é".encode() * 16, b"a" * 31 + b"\n", b"\x7f" + b"a" * 31):
        assert key_as_text(f"whsec_{base64.b64encode(key).decode()}") is None
    for text in ("a" * 32, "a b" * 10, "~!" * 16):
        assert key_as_text(f"whsec_{base64.b64encode(text.encode()).decode()}") == text
    with pytest.raises(ValueError, match="begins with"):
        key_as_text("a" * 32)


def test_a_tool_with_a_key_of_text_computes_the_same_signature():
    """As n8n's Crypto node does: the key is the text in UTF-8."""
    secret, at, body = generate_secret(), now(), '{"name":"Zoë 😀"}'.encode()
    text = key_as_text(secret)
    assert text
    digest = hmac.digest(text.encode(), b"msg_1.%d." % at + body, "sha256")
    assert sign([secret], "msg_1", at, body) == f"v1,{base64.b64encode(digest).decode()}"


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
