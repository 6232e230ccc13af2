"""The settings of "Signature by template" for many services: nothing but data.

Each one but those of `seen == BY_DOCUMENTS` was accepted by the service's own library, and was refused by it with a
changed body and with another secret: `python -m tests.receivers.signatures` asks them all, in the versions named here.
docs/receivers/authentication.md has the same in a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

BY_DOCUMENTS = "by its documents only: no library that verifies was found"


@dataclass(frozen=True, slots=True)
class SignaturePreset:
    """`needs`: what else the receiver wants to find, in a sentence; empty if nothing. `seen`: what accepted it."""

    title: str
    options: Mapping[str, str]
    seen: str
    needs: str = ""


def _hmac(content: str, *headers: str, encoding: str = "hex", **more: str) -> dict[str, str]:
    options = {"algorithm": "hmac-sha256", "key": "text", "overlap": "no", **more}
    return {**options, "encoding": encoding, "content": content, "headers": "\n".join(headers)}


JSON_AGAIN = "It verifies the JSON as JavaScript prints it again, not the bytes: Leadhook's own formats are printed so."
STANDARD = "standardwebhooks 1.1.0 (Python) and 1.1.1 (Node), svix 2.9.1 (Python) and 1.99.1 (Node)"

PRESETS: dict[str, SignaturePreset] = {
    "adyen": SignaturePreset(
        "Adyen",
        _hmac("{body}", "HmacSignature: {signature}", encoding="base64", key="hex"),
        "@adyen/api-library 32.1.0 (Node)",
        "The key is hex.",
    ),
    "calendly": SignaturePreset(
        "Calendly",
        _hmac("{timestamp}.{body}", "Calendly-Webhook-Signature: t={timestamp},v1={signature}"),
        BY_DOCUMENTS,
    ),
    "discord": SignaturePreset(
        "Discord interactions",
        _hmac(
            "{timestamp}{body}",
            "X-Signature-Timestamp: {timestamp}",
            "X-Signature-Ed25519: {signature}",
            algorithm="ed25519",
            key="hex",
        ),
        "discord-interactions 0.4.0 (Python) and 4.4.0 (Node)",
        "The receiver has the public key, in hex.",
    ),
    "github": SignaturePreset(
        "GitHub",
        _hmac("{body}", "X-Hub-Signature-256: sha256={signature}"),
        "@octokit/webhooks-methods 6.0.0 (Node), webhook 2.8.0 (the daemon of Debian)",
    ),
    "hubspot": SignaturePreset(
        "HubSpot v3",
        _hmac(
            "{method}{url}{body}{timestamp_ms}",
            "X-HubSpot-Request-Timestamp: {timestamp_ms}",
            "X-HubSpot-Signature-v3: {signature}",
            encoding="base64",
        ),
        "@hubspot/api-client 13.5.0 (Node), hubspot-api-client 12.0.0 (Python)",
        "The receiver must compute with the URL as it stands here.",
    ),
    "intercom": SignaturePreset(
        "Intercom",
        _hmac("{body}", "X-Hub-Signature: sha1={signature}", algorithm="hmac-sha1"),
        "x-hub-signature 2.1.3 (Node)",
    ),
    "line": SignaturePreset(
        "LINE",
        _hmac("{body}", "x-line-signature: {signature}", encoding="base64"),
        "line-bot-sdk 3.27.0 (Python), @line/bot-sdk 11.0.0 (Node)",
    ),
    "meta": SignaturePreset(
        "Meta (Facebook, Instagram, WhatsApp)",
        _hmac("{body}", "X-Hub-Signature-256: sha256={signature}"),
        "x-hub-signature 2.1.3 (Node)",
    ),
    "mux": SignaturePreset(
        "Mux",
        _hmac("{timestamp}.{body}", "mux-signature: t={timestamp},v1={signature}", overlap="comma"),
        "@mux/mux-node 15.3.0 (Node)",
    ),
    "paddle": SignaturePreset(
        "Paddle",
        _hmac("{timestamp}:{body}", "Paddle-Signature: ts={timestamp};h1={signature}"),
        "@paddle/paddle-node-sdk 3.10.0 (Node), paddle-python-sdk 1.16.1 (Python)",
        "It refuses what is more than 5 seconds old: the clocks must be right.",
    ),
    "sanity": SignaturePreset(
        "Sanity",
        _hmac(
            "{timestamp_ms}.{body}",
            "sanity-webhook-signature: t={timestamp_ms},v1={signature}",
            encoding="base64url",
        ),
        "@sanity/webhook 4.0.4 (Node)",
    ),
    "sendgrid": SignaturePreset(
        "SendGrid Event Webhook",
        _hmac(
            "{timestamp}{body}",
            "X-Twilio-Email-Event-Webhook-Timestamp: {timestamp}",
            "X-Twilio-Email-Event-Webhook-Signature: {signature}",
            encoding="base64",
            algorithm="ecdsa-p256",
        ),
        "sendgrid 6.12.5 (Python), @sendgrid/eventwebhook 8.0.0 (Node)",
        "The receiver has the public key, as base64 of DER.",
    ),
    "shopify": SignaturePreset(
        "Shopify",
        _hmac(
            "{body}",
            "X-Shopify-Hmac-Sha256: {signature}",
            "X-Shopify-Topic: leads/create",
            "X-Shopify-Shop-Domain: leadhook.myshopify.com",
            "X-Shopify-API-Version: 2026-10",
            "X-Shopify-Webhook-Id: {id}",
            encoding="base64",
        ),
        "@shopify/shopify-api 13.1.0 (Node)",
        "It wants all five headers. Write the topic and the shop that your receiver expects.",
    ),
    "slack": SignaturePreset(
        "Slack",
        _hmac(
            "v0:{timestamp}:{body}",
            "X-Slack-Request-Timestamp: {timestamp}",
            "X-Slack-Signature: v0={signature}",
        ),
        "slack_sdk 3.48.0 (Python), @slack/bolt 5.1.0 (Node)",
    ),
    "square": SignaturePreset(
        "Square",
        _hmac("{url}{body}", "x-square-hmacsha256-signature: {signature}", encoding="base64"),
        "squareup 46.0.0.20260916 (Python), square 46.0.0 (Node)",
        "The receiver must compute with the URL as it stands here.",
    ),
    "standard_webhooks": SignaturePreset(
        "Standard Webhooks, with a secret of your own",
        _hmac(
            "{id}.{timestamp}.{body}",
            "webhook-signature: v1,{signature}",
            encoding="base64",
            key="base64",
            overlap="space",
        ),
        STANDARD,
        "The secret is base64, after whsec_ or without it.",
    ),
    "stripe": SignaturePreset(
        "Stripe",
        _hmac("{timestamp}.{body}", "Stripe-Signature: t={timestamp},v1={signature}", overlap="comma"),
        "stripe 16.1.0 (Python) and 23.1.0 (Node)",
        "The secret is the whole text, with whsec_. The body is an object in JSON.",
    ),
    "svix": SignaturePreset(
        "Svix",
        _hmac(
            "{id}.{timestamp}.{body}",
            "svix-id: {id}",
            "svix-timestamp: {timestamp}",
            "svix-signature: v1,{signature}",
            encoding="base64",
            key="base64",
            overlap="space",
        ),
        "svix 2.9.1 (Python) and 1.99.1 (Node)",
        "The secret is base64, after whsec_ or without it.",
    ),
    "twilio": SignaturePreset(
        "Twilio",
        _hmac(
            "{url}",
            "X-Twilio-Signature: {signature}",
            encoding="base64",
            algorithm="hmac-sha1",
            query="bodySHA256={body_sha256}",
        ),
        "twilio 9.13.0 (Python) and 6.2.0 (Node)",
        "The body is signed by its digest in the URL. The receiver must compute with the URL that it was asked at.",
    ),
    "typeform": SignaturePreset(
        "Typeform",
        _hmac("{body}", "Typeform-Signature: sha256={signature}", encoding="base64"),
        BY_DOCUMENTS,
    ),
    "workos": SignaturePreset(
        "WorkOS",
        _hmac("{timestamp_ms}.{body}", "WorkOS-Signature: t={timestamp_ms}, v1={signature}"),
        "@workos-inc/node 8.13.0 (Node)",
        JSON_AGAIN,
    ),
    "zoom": SignaturePreset(
        "Zoom",
        _hmac(
            "v0:{timestamp}:{body}",
            "x-zm-request-timestamp: {timestamp}",
            "x-zm-signature: v0={signature}",
        ),
        "@zoom/rivet 0.4.0 (Node)",
        f"The body has a text called event, so it needs a template. {JSON_AGAIN}",
    ),
}
