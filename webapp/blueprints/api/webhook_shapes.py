"""What a webhook looks like in the REST API, as it is read and as it is changed. A secret is only ever written."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from webapp.blueprints.api.shapes import Moment, Next
from webapp.services.webhooks.editing import FASTEST, MAX_PARALLEL_REQUESTS
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.conditions import MATCHES, WORDS
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.settings import Setting
from webapp.webhooks.success_rules import SEARCHES, THEN

KINDS = ("none", "shared_token", *SCHEMES)


def _settings(kinds: dict[str, tuple[Setting, ...]], secret: bool) -> str:
    """The settings of each kind that are secret, or that are not: bearer: token; basic: user, password."""
    named = {kind: [each.name for each in settings if each.secret == secret] for kind, settings in kinds.items()}
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in named.items() if names)


_SCHEMES = {name: scheme.SETTINGS for name, scheme in SCHEMES.items()}
OPTIONS = f"{_settings(_SCHEMES, secret=False)}. An empty text is the usual value."
SECRETS = _settings(_SCHEMES, secret=True)
OF_FORMATS = f"{_settings({name: each.settings for name, each in FORMATS.items()}, secret=False)}."


class RuleShape(msgspec.Struct, forbid_unknown_fields=True):
    field: Annotated[str, Meta(description="The key of a field, a part of the source such as utm_source, or spam.")]
    comparison: Annotated[str, Meta(description=f"{', '.join(WORDS)}.")] = msgspec.field(name="is")
    value: Annotated[str, Meta(description="Of in_list and not_in_list one value a line.")] = ""


class ConditionShape(msgspec.Struct, forbid_unknown_fields=True):
    rules: list[RuleShape]
    match: Annotated[str, Meta(description=f"{' or '.join(MATCHES)} of the rules must hold.")] = "all"


class HeaderSearch(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    text: str
    comparison: Annotated[str, Meta(description=f"{' or '.join(SEARCHES)}.")] = msgspec.field(
        name="is", default="contains"
    )


class BodySearch(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    comparison: Annotated[str, Meta(description=f"{' or '.join(SEARCHES)}.")] = msgspec.field(
        name="is", default="contains"
    )


class StopShape(msgspec.Struct, forbid_unknown_fields=True):
    then: Annotated[str, Meta(description=f"{', '.join(THEN)}.")]
    code: int | None = None
    text: str = ""
    words: str = ""


class SuccessShape(msgspec.Struct, forbid_unknown_fields=True):
    """Which answers are a success; without it 2xx."""

    codes: Annotated[str, Meta(description="Such as 200-299,302.")] = "200-299"
    header: HeaderSearch | None = None
    body: BodySearch | None = None
    give_up: Annotated[str, Meta(description="Codes that are not tried again, such as 403,404.")] = ""
    stops: Annotated[list[StopShape], Meta(description="Answers that stop the tries.")] = []


class AuthenticationResource(msgspec.Struct):
    kind: Annotated[str, Meta(description=f"{', '.join(KINDS)}; later versions may have more.")]
    shared_token: Annotated[str | None, Meta(description="The id of the token that signs, with shared_token.")]
    options: dict[str, str]
    secrets: Annotated[list[str], Meta(description="The names of those that are stored. None is ever answered.")]
    public_keys: Annotated[dict[str, str], Meta(description="What a receiver needs to verify a signature.")]
    previous_signs: Annotated[bool, Meta(description="Whether the secret from before the last rotation signs, too.")]


class PayloadResource(msgspec.Struct):
    format: Annotated[str, Meta(description=f"{', '.join(FORMATS)}; later versions may have more.")]
    options: dict[str, str]


class CertificateResource(msgspec.Struct):
    subject: str
    until: Moment | None


class WebhookResource(msgspec.Struct):
    id: str
    interface: Annotated[str, Meta(description="The id of the interface.")]
    name: str
    url: Annotated[
        str | None,
        Meta(description="With a key that may write the whole; else scheme and host: the rest may be a secret."),
    ]
    state: Annotated[str, Meta(description="active or paused; later versions may have more.")]
    reason: Annotated[str, Meta(description="Why it is paused.")]
    first: Annotated[bool, Meta(description="The first of its interface: it stays.")]
    shadow: Annotated[bool, Meta(description="It is tried beside the others, and does not count.")]
    method: str
    authentication: AuthenticationResource
    custom_headers: Annotated[list[str], Meta(description="Their names. Their values are never answered.")]
    certificate: Annotated[CertificateResource | None, Meta(description="The client certificate.")]
    payload: PayloadResource
    preset: Annotated[str | None, Meta(description="Where the payload came from.")]
    condition: Annotated[ConditionShape | None, Meta(description="Which leads it gets; null: all.")]
    success: Annotated[SuccessShape | None, Meta(description="Which answers are a success; null: 2xx.")]
    automatic_retries: bool
    parallel_requests: Annotated[int | None, Meta(description="null: automatic.")]
    rate: Annotated[int | None, Meta(description="Requests a second at most; null: no limit.")]


class WebhookList(msgspec.Struct):
    data: list[WebhookResource]
    next: Next


class SavedWebhook(WebhookResource):
    secret: Annotated[str | None, Meta(description="The signature’s new secret, this once, if Leadhook made one.")]
    warning: Annotated[str | None, Meta(description="What may be wrong with the URL: its name was not found.")]
    released: Annotated[int, Meta(description="How many leads on hold are sent now.")]


class RemovedWebhook(msgspec.Struct):
    id: str
    cancelled: Annotated[int, Meta(description="How many leads that waited are cancelled.")]


class AuthenticationChanges(msgspec.Struct, forbid_unknown_fields=True):
    kind: Annotated[str, Meta(description=f"{', '.join(KINDS)}.")] | UnsetType = UNSET
    shared_token: (
        Annotated[
            str,
            Meta(description="The id of a Shared Token; a key for some interfaces can name one of theirs only."),
        ]
        | UnsetType
    ) = UNSET
    options: Annotated[dict[str, str], Meta(description=OPTIONS)] = {}
    secrets: Annotated[dict[str, str], Meta(description=f"{SECRETS}. What is left out stays.")] = {}


class PayloadChanges(msgspec.Struct, forbid_unknown_fields=True):
    format: Annotated[str, Meta(description=f"{', '.join(FORMATS)}.")] | UnsetType = UNSET
    options: Annotated[dict[str, str], Meta(description=OF_FORMATS)] = {}


class WebhookChanges(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is, also in objects; null takes it away."""

    name: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    url: Annotated[str | None, Meta(description="null, for the first webhook only: it gets no leads.")] | UnsetType = (
        UNSET
    )
    shadow: bool | UnsetType = UNSET
    method: Literal["POST", "PUT", "PATCH"] | UnsetType = UNSET
    authentication: AuthenticationChanges | UnsetType = UNSET
    custom_headers: Annotated[dict[str, str | None], Meta(description="By name; null takes one away.")] = {}
    certificate: Annotated[str | None, Meta(description="PEM: the client certificate and its key.")] | UnsetType = UNSET
    passphrase: Annotated[str, Meta(description="Of the certificate’s key.")] = ""
    payload: PayloadChanges | UnsetType = UNSET
    preset: (
        Annotated[
            str,
            Meta(
                description="Settings to begin with, such as slack, or signature:github; what is sent beside it counts."
            ),
        ]
        | UnsetType
    ) = UNSET
    condition: ConditionShape | UnsetType | None = UNSET
    success: SuccessShape | UnsetType | None = UNSET
    automatic_retries: bool | UnsetType = UNSET
    parallel_requests: (
        Annotated[int, Meta(ge=1, le=MAX_PARALLEL_REQUESTS, description="null: automatic.")] | UnsetType | None
    ) = UNSET
    rate: Annotated[int, Meta(ge=1, le=FASTEST, description="Requests a second.")] | UnsetType | None = UNSET


class NewSecret(msgspec.Struct, forbid_unknown_fields=True):
    secret: Annotated[str, Meta(description="One that your receiver has. Without it Leadhook makes one.")] = ""


class NewWebhook(WebhookChanges, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    url: str


ID = "wh_3fWq8Zt0LmXa"
EXAMPLE: dict[str, Any] = {
    "id": ID,
    "interface": "if_8Kx2vQ4mTzPa",
    "name": "CRM",
    "url": "https://crm.example.com/leads",
    "state": "active",
    "reason": "",
    "first": False,
    "shadow": False,
    "method": "POST",
    "authentication": {
        "kind": "bearer",
        "shared_token": None,
        "options": {},
        "secrets": ["token"],
        "public_keys": {},
        "previous_signs": False,
    },
    "custom_headers": ["X-Team"],
    "certificate": None,
    "payload": {"format": "json", "options": {}},
    "preset": None,
    "condition": {"match": "all", "rules": [{"field": "utm_source", "is": "is", "value": "newsletter"}]},
    "success": None,
    "automatic_retries": True,
    "parallel_requests": None,
    "rate": 10,
}
SAVED = {**EXAMPLE, "secret": None, "warning": None, "released": 0}
SENT: dict[str, Any] = {
    "name": "CRM",
    "url": "https://crm.example.com/leads",
    "authentication": {"kind": "bearer", "secrets": {"token": "token-of-the-crm"}},
    "custom_headers": {"X-Team": "sales"},
    "condition": {"rules": [{"field": "utm_source", "is": "is", "value": "newsletter"}]},
    "rate": 10,
}
