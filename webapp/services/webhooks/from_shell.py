"""The plan of a webhook as a command line says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.models import Authentication
from webapp.services.errors import Refused
from webapp.services.webhooks import presets
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan
from webapp.services.webhooks.presets import SIGNED, Filling
from webapp.webhooks import condition_texts
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.settings import WrongSetting

STANDARD = "standard"
AUTHENTICATIONS = ("none", STANDARD, *SCHEMES)


@dataclass(frozen=True)
class Options:
    """What was typed; "" or None for what was not. `secret`, `template` and `certificate` are the contents of files."""

    url: str
    name: str = ""
    auth: str = ""
    preset: str = ""
    secret: str = ""
    certificate: bytes | None = None
    format: str = ""
    template: str = ""
    condition: str = ""


def plan(options: Options) -> Plan:
    """Refused, with a sentence, for what does not fit together. `standard` still needs its Shared Token."""
    preset = _preset(options) if options.preset else None
    auth = options.auth or (preset.authentication if preset else "") or "none"
    if auth not in AUTHENTICATIONS:
        raise Refused(f"The authentication must be one of: {', '.join(AUTHENTICATIONS)}.")
    chosen = Authentication.SHARED_TOKEN if auth == STANDARD else Authentication(auth)
    given = dict(preset.options) if preset and preset.authentication == auth else {}
    own, secrets = _settings(auth, options.secret) if auth in SCHEMES else ({}, {})
    wanted = Wanted(
        chosen, _stored(options, preset), options={**given, **own}, secrets=secrets, certificate=options.certificate
    )
    url = preset.url_of(options.url) if preset and preset.stored else options.url
    return Plan(url, options.name, wanted=wanted)


def _preset(options: Options) -> Filling:
    """Some services have two: without a prefix, the one of the payload, or with --auth signature the other."""
    prefix = SIGNED if options.auth == "signature" else ""
    found = presets.named(f"{prefix}{options.preset}") or presets.named(options.preset)
    if found is None:
        known = [value.partition(":")[2] for _, choices in presets.offered() for value, _ in choices]
        raise Refused(f"There is no preset {options.preset}. There are: {', '.join(sorted(set(known)))}.")
    return found


def _stored(options: Options, preset: Filling | None) -> dict[str, Any]:
    stored: dict[str, Any] = dict(preset.stored) if preset else {}
    if name := options.format or ("template" if options.template else ""):
        if name not in FORMATS:
            raise Refused(f"The format must be one of: {', '.join(FORMATS)}.")
        stored["format"] = name
    if options.template:
        if stored["format"] != "template":
            raise Refused("A template is only for the format template.")
        stored["template"] = options.template
    if options.condition:
        try:
            stored["condition"] = condition_texts.parse(options.condition)
        except WrongSetting as wrong:
            raise Refused(str(wrong)) from None
    return stored


def _settings(auth: str, text: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The options and secrets of a scheme: the text is its secret, or a JSON object of its settings by name."""
    settings = {setting.name: setting for setting in SCHEMES[auth].SETTINGS}
    try:
        given = json.loads(text) if text.lstrip().startswith("{") else None
    except ValueError:
        given = None
    if not isinstance(given, dict):
        name = next(name for name, setting in settings.items() if setting.secret)
        return {}, {name: text.strip()} if text.strip() else {}
    if unknown := [name for name in given if name not in settings or not isinstance(given[name], str)]:
        raise Refused(f"{auth} has no setting {unknown[0][:40]}. It has: {', '.join(settings)}, each a text.")
    secret = {name: value for name, value in given.items() if settings[name].secret}
    return {name: value for name, value in given.items() if name not in secret}, secret
