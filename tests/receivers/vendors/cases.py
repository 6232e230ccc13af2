"""Which packages verify which presets, with which secrets and which bodies."""

import base64
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from webapp.webhooks.authentications.signature import public_keys
from webapp.webhooks.authentications.signature_presets import PRESETS
from webapp.webhooks.payload import lead_payload

# From the Python Package Index and from npm, pinned: another version may verify in another way.
PYTHON = {
    "stripe": "16.1.0",
    "slack_sdk": "3.48.0",
    "hubspot-api-client": "12.0.0",
    "twilio": "9.13.0",
    "squareup": "46.0.0.20260916",
    "standardwebhooks": "1.1.0",
    "svix": "2.9.1",
    "paddle-python-sdk": "1.16.1",
    "line-bot-sdk": "3.27.0",
    "sendgrid": "6.12.5",
    "discord-interactions": "0.4.0",
}
NODE = {
    "stripe": "23.1.0",
    "@octokit/webhooks-methods": "6.0.0",
    "@shopify/shopify-api": "13.1.0",
    "@slack/bolt": "5.1.0",
    "@hubspot/api-client": "13.5.0",
    "twilio": "6.2.0",
    "square": "46.0.0",
    "standardwebhooks": "1.1.1",
    "svix": "1.99.1",
    "@paddle/paddle-node-sdk": "3.10.0",
    "@line/bot-sdk": "11.0.0",
    "@sendgrid/eventwebhook": "8.0.0",
    "discord-interactions": "4.4.0",
    "@workos-inc/node": "8.13.0",
    "@zoom/rivet": "0.4.0",
    "@sanity/webhook": "4.0.4",
    "@adyen/api-library": "32.1.0",
    "@mux/mux-node": "15.3.0",
    "x-hub-signature": "2.1.3",
}
# The name at the receivers, the preset, and the package that answers.
VERIFIERS = {
    "stripe-py": ("stripe", "stripe"),
    "stripe-npm": ("stripe", "stripe"),
    "github-npm": ("github", "@octokit/webhooks-methods"),
    "shopify-npm": ("shopify", "@shopify/shopify-api"),
    "slack-py": ("slack", "slack_sdk"),
    "slack-npm": ("slack", "@slack/bolt"),
    "hubspot-py": ("hubspot", "hubspot-api-client"),
    "hubspot-npm": ("hubspot", "@hubspot/api-client"),
    "twilio-py": ("twilio", "twilio"),
    "twilio-npm": ("twilio", "twilio"),
    "square-py": ("square", "squareup"),
    "square-npm": ("square", "square"),
    "standardwebhooks-py": ("standard_webhooks", "standardwebhooks"),
    "standardwebhooks-npm": ("standard_webhooks", "standardwebhooks"),
    "svix-py": ("standard_webhooks", "svix"),
    "svix-npm": ("standard_webhooks", "svix"),
    "svix-py-names": ("svix", "svix"),
    "svix-npm-names": ("svix", "svix"),
    "paddle-py": ("paddle", "paddle-python-sdk"),
    "paddle-npm": ("paddle", "@paddle/paddle-node-sdk"),
    "line-py": ("line", "line-bot-sdk"),
    "line-npm": ("line", "@line/bot-sdk"),
    "sendgrid-py": ("sendgrid", "sendgrid"),
    "sendgrid-npm": ("sendgrid", "@sendgrid/eventwebhook"),
    "discord-py": ("discord", "discord-interactions"),
    "discord-npm": ("discord", "discord-interactions"),
    "workos-npm": ("workos", "@workos-inc/node"),
    "zoom-npm": ("zoom", "@zoom/rivet"),
    "sanity-npm": ("sanity", "@sanity/webhook"),
    "adyen-npm": ("adyen", "@adyen/api-library"),
    "mux-npm": ("mux", "@mux/mux-node"),
    "meta-npm": ("meta", "x-hub-signature"),
    "intercom-npm": ("intercom", "x-hub-signature"),
}


def _pem(number: int) -> str:
    key = ec.derive_private_key(number, ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# Keys for tests only, by how the preset reads its secret: the secret, another one, and the one before a rotation.
TEXTS = ("a+b % é: no secret of anyone", "another text that is no secret", "a text from before the rotation")
HEX = ("0a" * 32, "0b" * 32, "0c" * 32)
BASE64 = tuple(f"whsec_{base64.b64encode(letter * 32).decode()}" for letter in (b"\xfb", b"\xfe", b"\xfd"))
PEMS = tuple(_pem(number) for number in (12345, 12346, 12347))

LEAD = lead_payload(
    event="lead.created",
    lead_id="lead_1",
    received_at=datetime(2026, 11, 27, tzinfo=UTC),
    fields={
        "name": "Zoë 😀 O’Hara",
        "message": "שלום\nمرحبا <b> & \"'\u2028",
        "budget": 1e-5,
        "rooms": 3.0,
        "10": "a",
        "9": "",
    },
    interface_id="if_1",
    interface_name="Contact",
    source={"page_url": "https://www.example.com/?a=b&c"},
    consents=[],
)
# Zoom's library wants a text called event.
BODIES = (b'{"event":"lead.created","name":"Ada"}', LEAD[:-1] + b',"event":"lead.created"}')
TYPED = "%7Euser/%2f/ü?q=é&x=a%20b+c#part"  # what a person types after the name; another URL is sent


def secrets_of(preset: str) -> tuple[str, ...]:
    """The secret, another one, and the one before it."""
    options = PRESETS[preset].options
    if options["algorithm"] == "ecdsa-p256":
        return PEMS
    return {"text": TEXTS, "base64": BASE64, "hex": HEX}[options["key"]]


def of_receiver(preset: str, secret: str) -> str:
    """What the receiver has for this secret: itself, or the public key in the form that its library takes."""
    shown = public_keys(PRESETS[preset].options, {"secret": secret})
    return {"discord": shown.get("hex", ""), "sendgrid": shown.get("base64 of DER", "")}.get(preset) or secret
