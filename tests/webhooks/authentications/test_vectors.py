"""What vendors' own libraries accepted (tests/receivers/signatures.py) is what the presets make, byte for byte."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.support.tree import ROOT
from webapp.webhooks.addresses import sent_url
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.signature import TemplateSignature, public_keys
from webapp.webhooks.authentications.signature_presets import BY_DOCUMENTS, PRESETS

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
ECDSA = "x-twilio-email-event-webhook-signature"  # another one each time


def signed(vector) -> Message:
    preset = PRESETS[vector["preset"]]
    before = Message(
        method="POST",
        url=vector["url"].partition("&bodySHA256=")[0],
        headers={
            name: value for name, value in vector["headers"].items() if name in ("webhook-id", "webhook-timestamp")
        },
        body=vector["body"].encode(),
        message_id=vector["message_id"],
        timestamp=vector["timestamp"],
        timestamp_ms=vector["timestamp_ms"],
    )
    return TemplateSignature.of(preset.options, {"secret": vector["secret"]}).add_to(before)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["accepted_by"])
def test_the_preset_makes_what_the_vendor_s_library_accepted(vector):
    message = signed(vector)
    recorded, made = dict(vector["headers"]), dict(message.headers)
    if PRESETS[vector["preset"]].options["algorithm"] == "ecdsa-p256":
        shown = public_keys(PRESETS[vector["preset"]].options, {"secret": vector["secret"]})
        public = load_der_public_key(base64.b64decode(shown["base64 of DER"]))
        for signature in (recorded.pop(ECDSA), made.pop(ECDSA)):
            content = f"{vector['timestamp']}{vector['body']}".encode()
            public.verify(base64.b64decode(signature), content, ec.ECDSA(SHA256()))
            with pytest.raises(InvalidSignature):
                public.verify(base64.b64decode(signature), content + b" ", ec.ECDSA(SHA256()))
    assert (message.url, made) == (vector["url"], recorded)
    assert sent_url(message.url) == message.url


def test_the_documents_name_every_preset_and_what_was_seen():
    page = (ROOT / "docs" / "receivers" / "authentication.md").read_text()
    for preset in PRESETS.values():
        rotation = "at once" if preset.options["overlap"] == "no" else "both"
        assert f"| {preset.title} | {preset.seen} | {preset.needs} | {rotation} |" in page


def test_every_preset_but_those_by_documents_has_vectors_of_the_versions_that_it_names():
    accepted = {}
    for vector in VECTORS:
        package, version, _ = vector["accepted_by"].split(" ")
        accepted.setdefault(vector["preset"], set()).add((package, version))
    assert set(PRESETS) - set(accepted) == {name for name, preset in PRESETS.items() if preset.seen == BY_DOCUMENTS}
    for name, packages in accepted.items():
        for package, version in packages:
            assert package in PRESETS[name].seen
            assert version in PRESETS[name].seen
