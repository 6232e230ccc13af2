"""What pages show of a webhook's requests beside the headers of Standard Webhooks: never a secret.

Attempts do not keep this, so it is shown as the webhook's settings are now.
"""

from webapp.models import Webhook
from webapp.services.errors import Refused
from webapp.services.webhooks.connections import secrets_of
from webapp.webhooks.authentications.custom_headers import CustomHeaders
from webapp.webhooks.authentications.masks import header_names, parameter_names
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.settings import WrongSetting
from webapp.webhooks.shown_addresses import MASK


def method(webhook: Webhook) -> str:
    """POST, PUT or PATCH."""
    return str((webhook.connection or {}).get("method", "POST"))


def proof(webhook: Webhook) -> str | None:
    """What a command that repeats a request lacks, in words; None if it lacks nothing, or only a Shared Token's
    signature."""
    if scheme := SCHEMES.get(webhook.authentication):
        return scheme.TITLE
    if webhook.certificate_until:
        return "client certificate"
    return "custom headers" if webhook.secrets_encrypted else None


def masked_headers(webhook: Webhook) -> dict[str, str]:
    """A mask for each header that proves who sends, and for each custom header."""
    scheme = SCHEMES.get(webhook.authentication)
    names = header_names(scheme, _options(webhook)) if scheme else ()
    return dict.fromkeys((*names, *_custom_headers(webhook)), MASK)


def shown_url(webhook: Webhook, url: str) -> str:
    """The URL with a mask for a key that is added to it when it is sent."""
    scheme = SCHEMES.get(webhook.authentication)
    for name in parameter_names(scheme, _options(webhook)) if scheme else ():
        url = f"{url}{'&' if '?' in url else '?'}{name}={MASK}"
    return url


def _options(webhook: Webhook) -> dict[str, str]:
    options: dict[str, str] = (webhook.connection or {}).get("authentication", {})
    return options


def _custom_headers(webhook: Webhook) -> tuple[str, ...]:
    try:
        return tuple(CustomHeaders.of(secrets_of(webhook).get("custom_headers", "")).headers)
    except (Refused, WrongSetting):  # nothing is sent with them either
        return ()
