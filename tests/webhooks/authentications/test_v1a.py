"""v1a: signatures by a private key, the public key that receivers get, and private keys that are none."""

import base64
import json
import re
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tests.webhooks.authentications.messages import AT, BODY, MESSAGE, refusal
from webapp.webhooks.authentications.keys import generate_private_key
from webapp.webhooks.authentications.schemes import SCHEMES, new_secret
from webapp.webhooks.authentications.v1a import V1a, published

# A pair that Svix publishes in its documents.
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


def signed(secrets, message=MESSAGE):
    return SCHEMES["v1a"].of({}, secrets).add_to(message).headers


def verify(public: str, signature: str, content: bytes) -> None:
    mark, _, signed = signature.partition(",")
    assert (mark, public[:5]) == ("v1a", "whpk_")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public[5:], validate=True))
    key.verify(base64.b64decode(signed, validate=True), content)


def test_the_published_pair_belongs_together_and_signs():
    assert V1a.of({}, {"private_key": PRIVATE}).public_keys == (PUBLIC,)
    headers = signed({"private_key": PRIVATE})
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", str(AT))
    verify(PUBLIC, headers["webhook-signature"], b"msg_1.%d." % AT + BODY)
    with pytest.raises(InvalidSignature):
        verify(PUBLIC, headers["webhook-signature"], b"msg_1.%d." % AT + BODY + b" ")


def test_the_signature_is_that_of_the_rfc():
    """RFC 8032, 7.1, test 2 signs one byte; here the same key signs a message, and the RFC's own check is the key's."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    expected = Ed25519PrivateKey.from_private_bytes(seed).sign(b"msg_1.%d." % AT + BODY)
    for secret in (base64.b64encode(seed).decode(), f"whsk_{base64.b64encode(seed).decode().rstrip('=')}"):
        assert signed({"private_key": secret})["webhook-signature"] == f"v1a,{base64.b64encode(expected).decode()}"
        [public] = V1a.of({}, {"private_key": secret}).public_keys
        assert base64.b64decode(public[5:]).hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"


def test_a_new_key_can_be_brought_to_another_sender_and_back():
    keys = {generate_private_key() for _ in range(20)}
    assert len(keys) == 20
    for key in keys:
        assert re.fullmatch(r"whsk_[A-Za-z0-9+/]{86}==", key)
        assert V1a.of({}, {"private_key": key}).public_keys
    assert new_secret("v1a", {})


def test_both_keys_sign_during_an_overlap_and_both_are_published():
    new, old = generate_private_key(), generate_private_key()
    both = signed({"private_key": new, "previous": old})["webhook-signature"].split(" ")
    document = published("wh_1", {"private_key": new, "previous": old})
    assert document["public_keys"] == [
        V1a.of({}, {"private_key": key}).public_keys[0] for key in (new, old)
    ]  # newest first
    for public, signature in zip(document["public_keys"], both, strict=True):
        verify(public, signature, b"msg_1.%d." % AT + BODY)


def test_what_is_published_has_no_secret():
    document = published("wh_1", {"private_key": PRIVATE})
    assert document == {"webhook": "wh_1", "scheme": "v1a", "public_keys": [PUBLIC]}
    assert base64.b64decode(PRIVATE[5:])[:32] not in base64.b64decode(PUBLIC[5:])
    assert PRIVATE[5:40] not in json.dumps(document)


@pytest.mark.parametrize("message_id", ["", "msg.1"])
def test_an_id_that_hides_where_the_parts_end_is_refused(message_id):
    with pytest.raises(ValueError, match="message id"):
        signed({"private_key": PRIVATE}, replace(MESSAGE, message_id=message_id))


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("", "missing"),
        ("whsk_", "has 0"),
        (PUBLIC, "is a public key"),
        (PRIVATE[:-8], "60"),
        (PRIVATE[:5] + base64.b64encode(b"k" * 64).decode(), "second half"),
        ("whsk_geheim*geheim", "base64"),
        (PRIVATE.replace("/", "_"), "URL-safe"),
        (PRIVATE + "\n", "line break"),
        ("-----BEGIN PRIVATE KEY-----", "base64"),
    ],
)
def test_a_text_that_is_no_private_key_is_refused(secret, reason):
    error = refusal("v1a", {}, {"private_key": secret})
    assert reason in str(error)
    assert error.setting == "private_key"
    if secret != "":
        assert "previous" in str(refusal("v1a", {}, {"private_key": PRIVATE, "previous": secret}))
