"""The settings of a webhook beside its URL and Shared Token: checks them, stores them, their secrets encrypted.

`Webhook.connection` is a dict with some of these keys, or None if none of them is needed:

- `method`: PUT or PATCH; without it POST.
- `authentication`: the options of the scheme that `Webhook.authentication` names, by the names of its settings.
- `format`: a name of webhooks/formats/choices.py; without it Leadhook's JSON. `template`, `encode`, `source` and
  `extensions` belong to some formats. `preset`: where the format came from.
- `condition`: as in webhooks/conditions.py. `success`: as in webhooks/success_rules.py.

`Webhook.secrets_encrypted` is the encrypted JSON of `authentication` (the secret settings of the scheme),
`custom_headers` (lines) and `certificate` (PEM, with its key).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from webapp.clock import utcnow
from webapp.encryption import CannotDecrypt, decrypt, encrypt
from webapp.models import Authentication, Interface, Webhook
from webapp.services.errors import Refused
from webapp.services.webhooks import shapes
from webapp.webhooks import client_certificates
from webapp.webhooks.authentications import schemes
from webapp.webhooks.authentications.keys import PREVIOUS
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.connectors import Connector
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.settings import Setting, WrongSetting
from webapp.webhooks.shown_addresses import MASK

KEYS = ("method", "format", "template", "encode", "source", "extensions", "preset", "condition", "success")
ORDINARY = (Authentication.NONE, Authentication.SHARED_TOKEN)


@dataclass(frozen=True)
class Wanted:
    """What a person wants for a webhook. `stored`: values of KEYS. `options`: of the scheme.

    `secrets`: of the scheme; one that is missing or empty stays as it is. `custom_headers`: lines, in which the value
    MASK is the stored one; None: they stay. `certificate`: the bytes that were pasted or uploaded; None: it stays;
    empty: there is none any more.
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
    if options := {name: wanted.options[name] for name in _names(wanted.authentication) if wanted.options.get(name)}:
        stored["authentication"] = options
    if stored.get("method") == "POST":
        del stored["method"]
    if stored.get("format") == "json":
        del stored["format"]
    try:
        Connector.of(wanted.authentication, stored, secrets)
        if interface is not None and not (before and shapes.is_as_before(stored, before.connection or {})):
            shapes.check(stored, interface)  # what is saved already may name fields that were removed since
    except WrongSetting as wrong:
        raise Refused(str(wrong), control(wanted.authentication, stored.get("format", ""), wrong.setting)) from None
    needed = bool(stored or secrets) or wanted.authentication not in ORDINARY
    return Settled(wanted.authentication, stored if needed else None, secrets, until)


def control(authentication: str, format_name: str, setting: str) -> str:
    """The name of a setting among all settings of a webhook: those of a scheme or a format have its name before it."""
    if setting in _names(authentication, secret=None):
        return f"auth-{authentication}-{setting}"
    chosen = FORMATS.get(format_name)
    own = {each.name for each in chosen.settings} if chosen else set()
    return f"format-{format_name}-{setting}" if setting in own else setting


def with_new_secret(wanted: Wanted, before: Webhook | None) -> tuple[Wanted, str]:
    """The wish with a new secret where the scheme can make one, none is given and none that fits is stored; and the
    new secret, "" if there is none."""
    made = new_secret(wanted.authentication, wanted.options)
    if made is None or wanted.secrets.get(made[0]):
        return wanted, ""
    if before is not None and before.authentication == wanted.authentication and _fits(made[0], wanted, before):
        return wanted, ""
    return replace(wanted, secrets={**wanted.secrets, made[0]: made[1]}), made[1]


def _fits(name: str, wanted: Wanted, before: Webhook) -> bool:
    """Whether the stored secret can be used with these options: a text is no private key."""
    stored = readable(before).get("authentication", {})
    try:
        SCHEMES[wanted.authentication].of(wanted.options, stored)
    except WrongSetting as wrong:
        return wrong.setting != name
    return True


def new_secret(authentication: str, options: Mapping[str, str]) -> tuple[str, str] | None:
    """As schemes.new_secret; None, too, for options that cannot be used."""
    try:
        return schemes.new_secret(authentication, options)
    except WrongSetting:
        return None


def as_it_is(webhook: Webhook) -> Wanted:
    """What is stored, as a wish that changes nothing."""
    stored = webhook.connection or {}
    return Wanted(webhook.authentication, stored, options=stored.get("authentication", {}))


def apply(webhook: Webhook, settled: Settled) -> None:
    """Puts the settings into the webhook's columns. Call webhooks.changed after it."""
    if settled.certificate_until != webhook.certificate_until:
        webhook.certificate_warned_at = None  # of the certificate before
    webhook.authentication, webhook.connection = settled.authentication, settled.connection
    webhook.secrets_encrypted, webhook.certificate_until = settled.secrets_encrypted, settled.certificate_until


def replace_secrets(webhook: Webhook, secrets: dict[str, Any]) -> None:
    """Stores other secrets for the same settings; Refused for those that cannot be used."""
    try:
        Connector.of(webhook.authentication, webhook.connection or {}, secrets)
    except WrongSetting as wrong:
        raise Refused(str(wrong), wrong.setting) from None
    webhook.secrets_encrypted = encrypt(json.dumps(secrets))
    webhook.examination = None  # of the secret before


def secrets_of(webhook: Webhook) -> dict[str, Any]:
    """The stored secrets; Refused if their encryption key is gone."""
    if not webhook.secrets_encrypted:
        return {}
    try:
        found: dict[str, Any] = json.loads(decrypt(webhook.secrets_encrypted))
    except CannotDecrypt:
        raise Refused("The webhook's secrets cannot be decrypted: ENCRYPTION_KEYS lacks their key.") from None
    return found


def readable(webhook: Webhook) -> dict[str, Any]:
    """The stored secrets; none if their encryption key is gone: a person enters them again, as the page says."""
    try:
        return secrets_of(webhook)
    except Refused:
        return {}


def _names(authentication: str, secret: bool | None = False) -> list[str]:
    """The names of a scheme's settings; `secret` None: of all of them."""
    scheme = SCHEMES.get(authentication)
    settings: tuple[Setting, ...] = scheme.SETTINGS if scheme else ()
    return [setting.name for setting in settings if secret is None or setting.secret == secret]


def _secrets(wanted: Wanted, before: Webhook | None) -> tuple[dict[str, Any], datetime | None]:
    old = readable(before) if before else {}
    until = before.certificate_until if before else None
    is_same = before is not None and before.authentication == wanted.authentication
    kept = old.get("authentication", {}) if is_same else {}
    found = {
        "authentication": _of_scheme(wanted, kept),
        "custom_headers": _headers(wanted.custom_headers, old.get("custom_headers", "")),
        "certificate": old.get("certificate") if wanted.certificate is None else None,
    }
    if wanted.certificate:
        try:
            parsed = client_certificates.read([wanted.certificate], wanted.passphrase, utcnow())
        except WrongSetting as wrong:
            raise Refused(str(wrong), "certificate") from None
        found["certificate"], until = parsed.pem, parsed.until
    return {key: value for key, value in found.items() if value}, until if found["certificate"] else None


def _of_scheme(wanted: Wanted, kept: Mapping[str, str]) -> dict[str, str]:
    """A secret that is typed replaces the stored one at once, so the one before that ends, too."""
    known = _names(wanted.authentication, secret=True)
    given = {name: value for name, value in wanted.secrets.items() if value and name in known}
    stays = (*known, PREVIOUS) if not given else known
    return {**{name: value for name, value in kept.items() if name in stays}, **given}


def _headers(given: str | None, old: str) -> str:
    """Lines of custom headers, with the stored value of each whose value is the mask that pages show for it."""
    if given is None:
        return old
    stored = {name.strip().lower(): value for name, _, value in (line.partition(":") for line in old.splitlines())}
    lines = []
    for line in given.replace("\r\n", "\n").split("\n"):
        name, colon, value = line.partition(":")
        is_kept = value.strip() == MASK and name.strip().lower() in stored
        lines.append(f"{name}{colon}{stored[name.strip().lower()]}" if is_kept else line)
    return "\n".join(lines).strip()
