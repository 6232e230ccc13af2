"""OAuth 2.0 client credentials (RFC 6749, section 4.4): what is asked of the token server, and how.

tokens.py asks and sends. No client library: each one tried sends the credentials in a way that some servers refuse,
and takes 31 to 128 ms of processor time to import.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import ClassVar, Self
from urllib.parse import quote, urlencode

from webapp.webhooks.addresses import Destination, UnusableURL, parse_url
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.settings import Setting, WrongSetting

LONGEST = 4096  # characters of a setting
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749, 3.3

TOKEN_URL = Setting("token_url", "Token URL", hint="Where the token server gives tokens, such as …/oauth/token.")
CLIENT_ID = Setting("client_id", "Client ID")
CLIENT_SECRET = Setting("client_secret", "Client secret", secret=True)
CREDENTIALS = Setting(
    "credentials",
    "Client ID and secret are sent",
    choices=(
        ("basic", "in the header Authorization, percent-encoded (the standard)"),
        ("raw", "in the header Authorization, as they are"),
        ("body", "in the body"),
    ),
    hint="Token servers differ. Leadhook can find the way that works.",
    default="basic",
)
SCOPE = Setting("scope", "Scope", optional=True, hint="Several are separated by spaces.")
AUDIENCE = Setting("audience", "Audience", optional=True, hint="Some token servers want it, such as Auth0.")
RESOURCE = Setting("resource", "Resource", optional=True, hint="Some token servers want it (RFC 8707).")


@dataclass(frozen=True)
class OAuth2:
    """The settings of a webhook. Two are equal if they ask for the same token in the same way."""

    TITLE: ClassVar[str] = "OAuth 2.0 (client credentials)"
    SETTINGS: ClassVar[tuple[Setting, ...]] = (
        *(TOKEN_URL, CLIENT_ID, CLIENT_SECRET, CREDENTIALS, SCOPE, AUDIENCE, RESOURCE),
    )
    MASKED: ClassVar[tuple[str, ...]] = ("authorization",)

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    credentials: str
    wanted: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """WrongSetting if they cannot be used."""
        url = _given(TOKEN_URL, options).strip()
        try:
            parse_url(url)
        except UnusableURL as error:
            raise WrongSetting(f"Token URL: {error}.", TOKEN_URL.name) from None
        client_id, secret = _given(CLIENT_ID, options), _given(CLIENT_SECRET, secrets)
        credentials = _given(CREDENTIALS, options)
        if credentials == "raw" and ":" in client_id:
            words = "The Client ID has a colon, so it cannot be sent as it is. Choose another way of sending it."
            raise WrongSetting(words, CREDENTIALS.name)
        scope = _given(SCOPE, {SCOPE.name: " ".join(options.get(SCOPE.name, "").split())})
        if scope and not _SCOPE.fullmatch(scope):
            raise WrongSetting('Scope has a character that no scope can have, such as ", \\ or é.', SCOPE.name)
        others = [(setting.name, _given(setting, options).strip()) for setting in (AUDIENCE, RESOURCE)]
        # An empty parameter is an error for some servers.
        wanted = tuple((name, value) for name, value in (("scope", scope), *others) if value)
        return cls(url, client_id, secret, credentials, wanted)

    @cached_property
    def destination(self) -> Destination:
        """Where the token server is."""
        return parse_url(self.token_url)

    @cached_property
    def fingerprint(self) -> str:
        """Another one for other settings; no secret."""
        parts = (self.token_url, self.client_id, self.client_secret, self.credentials, repr(self.wanted))
        return sha256("\0".join(parts).encode()).hexdigest()

    @property
    def hidden(self) -> tuple[str, ...]:
        """The secret, in each form in which a token server may repeat it."""
        forms = (self.client_secret, quote(self.client_secret, safe=""), self._basic(True), self._basic(False))
        return tuple(sorted(set(forms), key=len, reverse=True))

    def token_request(self) -> tuple[dict[str, str], bytes]:
        """The headers and the body that ask for a token. The credentials are in one of them only: some servers refuse
        both."""
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        form = [("grant_type", "client_credentials"), *self.wanted]
        if self.credentials == "body":
            form += [("client_id", self.client_id), ("client_secret", self.client_secret)]
        else:
            headers["authorization"] = f"Basic {self._basic(self.credentials == 'basic')}"
        return headers, urlencode(form, quote_via=quote, safe="").encode("ascii")

    def _basic(self, percent_encoded: bool) -> str:
        """A space is %20: of the servers that decode, one takes + for a plus. `:` separates, so it is encoded too."""
        parts = (self.client_id, self.client_secret)
        pair = ":".join(quote(part, safe="") if percent_encoded else part for part in parts)
        return base64.b64encode(pair.encode()).decode("ascii")

    def with_token(self, message: Message, token: str) -> Message:
        """The message with the token of the token server."""
        return replace(message, headers={**message.headers, "authorization": f"Bearer {token}"})

    def add_to(self, message: Message) -> Message:
        """The message as pages show it before it is sent: only tokens.py can fetch the token."""
        return self.with_token(message, "<fetched when it is sent>")


def _given(setting: Setting, values: Mapping[str, str]) -> str:
    """Its value or default, without line breaks at its ends, which people paste."""
    value = (values.get(setting.name) or setting.default).strip("\r\n")
    if not value.strip() and not setting.optional:
        raise WrongSetting(f"{setting.label} is missing.", setting.name)
    if len(value) > LONGEST:
        raise WrongSetting(f"{setting.label} is longer than {LONGEST} characters.", setting.name)
    if _CONTROL.search(value):
        raise WrongSetting(f"{setting.label} has a line break or an invisible character.", setting.name)
    if setting.choices and value not in dict(setting.choices):
        words = "; ".join(words for _, words in setting.choices)
        raise WrongSetting(f"{setting.label} must be one of: {words}.", setting.name)
    return value
