"""The settings of a webhook beside its URL and Shared Token: checks them, stores them, their secrets encrypted.

`Webhook.connection` is a dict with some of these keys, or None if none of them is needed:

- `method`: PUT or PATCH; without it POST.
- `authentication`: the options of the scheme that `Webhook.authentication` names, by the names of its settings.
- `format`: a name of webhooks/formats/choices.py; without it Leadhook's JSON. `template`, `encode` and `extensions`
  belong to some formats. `preset`: where the format came from.
- `condition`: as in webhooks/conditions.py. `success`: as in webhooks/success_rules.py.

`Webhook.secrets_encrypted` is the encrypted JSON of `authentication` (the secret settings of the scheme),
`custom_headers` (lines) and `certificate` (PEM, with its key).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from webapp.clock import utcnow
from webapp.encryption import CannotDecrypt, decrypt, encrypt
from webapp.models import Authentication, Interface, Webhook
from webapp.services.errors import Refused
from webapp.services.webhooks import shapes
from webapp.webhooks import client_certificates
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.connectors import Connector
from webapp.webhooks.settings import WrongSetting

KEYS = ("method", "format", "template", "encode", "extensions", "preset", "condition", "success")
ORDINARY = (Authentication.NONE, Authentication.SHARED_TOKEN)


@dataclass(frozen=True)
class Wanted:
    """What a person wants for a webhook. `stored`: values of KEYS. `options`: of the scheme.

    `secrets`: of the scheme; one that is missing or empty stays as it is. `custom_headers` None: they stay.
    `certificate`: the bytes that were pasted or uploaded, None: it stays, empty: there is none any more.
    """

    authentication: Authentication = Authentication.NONE
    stored: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    custom_headers: str | None = None
    certificate: bytes | None = None
    passphrase: str = ""


@dataclass(frozen=True)
class Settled:
    """Settings that were checked: the columns of a webhook."""

    authentication: Authentication
    connection: dict[str, Any] | None
    secrets: dict[str, Any]
    certificate_until: datetime | None

    @property
    def secrets_encrypted(self) -> bytes | None:
        return encrypt(json.dumps(self.secrets)) if self.secrets else None


def settle(interface: Interface | None, wanted: Wanted, before: Webhook | None = None) -> Settled:
    """The settings as they would be stored; Refused, with the name of the setting, for those that cannot be used.

    `before`: the webhook whose secrets stay where no new ones are given.
    """
    secrets, until = _secrets(wanted, before)
    stored = {key: wanted.stored[key] for key in KEYS if wanted.stored.get(key)}
    stored |= {"authentication": dict(wanted.options)} if wanted.options else {}
    if stored.get("method") == "POST":
        del stored["method"]
    if stored.get("format") == "json":
        del stored["format"]
    try:
        Connector.of(wanted.authentication, stored, secrets)
        if interface is not None:
            shapes.check(stored, interface)
    except WrongSetting as wrong:
        raise Refused(str(wrong), wrong.setting) from None
    needed = bool(stored or secrets) or wanted.authentication not in ORDINARY
    return Settled(wanted.authentication, stored if needed else None, secrets, until)


def as_it_is(webhook: Webhook) -> Wanted:
    """What is stored, as a wish that changes nothing."""
    stored = webhook.connection or {}
    return Wanted(webhook.authentication, stored, options=stored.get("authentication", {}))


def apply(webhook: Webhook, settled: Settled) -> None:
    """Puts the settings into the webhook's columns. Call webhooks.changed after it."""
    webhook.authentication, webhook.connection = settled.authentication, settled.connection
    webhook.secrets_encrypted, webhook.certificate_until = settled.secrets_encrypted, settled.certificate_until


def secrets_of(webhook: Webhook) -> dict[str, Any]:
    """The stored secrets; Refused if their encryption key is gone."""
    if not webhook.secrets_encrypted:
        return {}
    try:
        found: dict[str, Any] = json.loads(decrypt(webhook.secrets_encrypted))
    except CannotDecrypt:
        raise Refused("The webhook's secrets cannot be decrypted: ENCRYPTION_KEYS lacks their key.") from None
    return found


def _secrets(wanted: Wanted, before: Webhook | None) -> tuple[dict[str, Any], datetime | None]:
    old = secrets_of(before) if before else {}
    until = before.certificate_until if before else None
    found: dict[str, Any] = {}
    scheme = SCHEMES.get(wanted.authentication)
    if scheme:
        same = before is not None and before.authentication == wanted.authentication
        kept = old.get("authentication", {}) if same else {}
        known = {setting.name for setting in scheme.SETTINGS if setting.secret} | {"previous"}
        given = {name: value for name, value in wanted.secrets.items() if value}
        found["authentication"] = {name: value for name, value in {**kept, **given}.items() if name in known}
    headers = old.get("custom_headers", "") if wanted.custom_headers is None else wanted.custom_headers
    if headers.strip():
        found["custom_headers"] = headers
    if wanted.certificate is None and "certificate" in old:
        found["certificate"] = old["certificate"]
    elif wanted.certificate:
        try:
            parsed = client_certificates.read([wanted.certificate], wanted.passphrase, utcnow())
        except WrongSetting as wrong:
            raise Refused(str(wrong), "certificate") from None
        found["certificate"], until = parsed.pem, parsed.until
    return {key: value for key, value in found.items() if value}, until if "certificate" in found else None
