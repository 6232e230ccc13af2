"""What pages show of a webhook's settings: never a secret, but what a person needs beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from sqlalchemy import select

from webapp.clock import utcnow
from webapp.extensions import db
from webapp.models import Attempt, Authentication, Delivery, Webhook, WebhookState
from webapp.services.errors import Refused
from webapp.services.webhooks import connections
from webapp.webhooks import client_certificates
from webapp.webhooks.authentications import masks, signature, v1a
from webapp.webhooks.authentications.custom_headers import CustomHeaders
from webapp.webhooks.authentications.keys import PREVIOUS
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.authentications.v1a import V1a
from webapp.webhooks.connectors import Connector
from webapp.webhooks.settings import WrongSetting
from webapp.webhooks.shown_addresses import MASK
from webapp.webhooks.signing import message_headers

JSON = "application/json"


@dataclass(frozen=True)
class Facts:
    """`secrets`: the names of the stored secrets of its authentication. `custom_headers`: lines, each value masked.

    `public_keys`: what a receiver needs, by the form's name. `certificate`: the subject of its client certificate.
    `certificate_warning`: that it ends soon, or has ended. `has_previous`: the secret from before the last rotation
    also signs. `fault`: why the secrets cannot be read.
    """

    secrets: frozenset[str] = frozenset()
    custom_headers: str = ""
    public_keys: Mapping[str, str] = field(default_factory=dict)
    certificate: str = ""
    has_previous: bool = False
    certificate_warning: str = ""
    fault: str = ""


def facts(webhook: Webhook) -> Facts:
    try:
        secrets = connections.secrets_of(webhook)
    except Refused as refusal:
        return Facts(fault=str(refusal))
    own = secrets.get("authentication", {})
    return Facts(
        frozenset(own) - {PREVIOUS},
        masked_lines(secrets.get("custom_headers", "")),
        _public_keys(webhook, own),
        _subject(secrets.get("certificate", "")),
        PREVIOUS in own,
        client_certificates.warning(webhook.certificate_until, utcnow()) or "" if webhook.certificate_until else "",
    )


def title(webhook: Webhook) -> str:
    """Its authentication in words."""
    if webhook.authentication == Authentication.NONE:
        return "None"
    scheme = SCHEMES.get(webhook.authentication)
    return scheme.TITLE if scheme else "Signature Verification (Shared Token)"


def masked_lines(headers: str) -> str:
    """Lines of headers with a mask for each value."""
    names = [line.partition(":")[0].strip() for line in headers.splitlines() if line.strip()]
    return "\n".join(f"{name}: {MASK}" for name in names)


def request(
    authentication: str, stored: Mapping[str, Any], secrets: Mapping[str, Any], message: Message, content_type: str
) -> Message:
    """The request that these settings make of a message, with masks for what proves who sends. Not to be sent.

    WrongSetting for settings that cannot be used.
    """
    signature_mask = "v1,••••••••" if authentication == Authentication.SHARED_TOKEN else None
    headers = message_headers(message.message_id, message.timestamp, signature_mask)
    headers["content-type"] = content_type
    connector = Connector.of(authentication, stored, secrets)
    made = connector.proven(replace(message, method=connector.method, headers=headers))
    custom = CustomHeaders.of(secrets.get("custom_headers", "")).headers
    shown = {name: MASK if value == custom.get(name) else value for name, value in made.headers.items()}
    made, scheme = replace(made, headers=shown), SCHEMES.get(authentication)
    return masks.masked(made, scheme, stored.get("authentication", {})) if scheme else made


def test_request(delivery: Delivery, attempt: Attempt) -> Message:
    """The request of a test lead, as the settings of its webhook make it; without the proof if they cannot any more."""
    webhook, timestamp = delivery.webhook, attempt.timestamp
    message = Message("POST", attempt.url, {}, delivery.payload, delivery.message_id, timestamp, int(timestamp * 1000))
    authentication = webhook.authentication
    if authentication in connections.ORDINARY:
        authentication = Authentication.SHARED_TOKEN if attempt.signed_with_id else Authentication.NONE
    try:
        secrets = connections.secrets_of(webhook)
        return request(authentication, webhook.connection or {}, secrets, message, delivery.content_type or JSON)
    except (Refused, WrongSetting):
        return request(Authentication.NONE, {}, {}, message, delivery.content_type or JSON)


def _public_keys(webhook: Webhook, secrets: Mapping[str, str]) -> Mapping[str, str]:
    options = (webhook.connection or {}).get("authentication", {})
    try:
        if webhook.authentication == Authentication.SIGNATURE:
            return signature.public_keys(options, secrets)
        if webhook.authentication == Authentication.V1A:
            keys = V1a.of(options, secrets).public_keys
            return dict(zip(("whpk_", "the key before it"), keys, strict=False))
    except WrongSetting:
        pass  # the page says so where it is saved
    return {}


def _subject(pem: str) -> str:
    if not pem:
        return ""
    [first, *_] = x509.load_pem_x509_certificates(pem.encode())
    return first.subject.rfc4514_string()


def published_keys(public_id: str) -> dict[str, Any] | None:
    """What anyone may read about a live webhook that is signed with v1a; None for any other."""
    asked = select(Webhook).where(Webhook.public_id == public_id, Webhook.authentication == Authentication.V1A)
    webhook = db.session.scalar(asked.where(Webhook.removed_at.is_(None), Webhook.state != WebhookState.ARCHIVED))
    if webhook is None:
        return None
    try:
        return v1a.published(public_id, connections.secrets_of(webhook).get("authentication", {}))
    except (Refused, WrongSetting):
        return None
