"""What makes the requests of a webhook that has more settings than a URL and a Shared Token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from webapp.webhooks.authentications.custom_headers import CustomHeaders
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.schemes import SCHEMES, AuthenticationScheme
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.settings import WrongSetting
from webapp.webhooks.success_rules import SuccessRule

METHODS = ("POST", "PUT", "PATCH")


@dataclass(frozen=True)
class Connector:
    """The authentication, method, headers, client certificate and Success rule of one webhook."""

    method: str
    scheme: AuthenticationScheme | None
    headers: CustomHeaders
    certificate: ClientCertificate | None
    rule: SuccessRule | None

    @classmethod
    def of(cls, authentication: str, stored: Mapping[str, Any], secrets: Mapping[str, Any]) -> Self:
        """Reads stored settings; WrongSetting if they cannot be used.

        `authentication`: a name of SCHEMES, or one of the two that need none. `stored` has the keys of
        services/webhooks/connections.py, `secrets` their secrets.
        """
        scheme, pem, rule = SCHEMES.get(authentication), secrets.get("certificate"), stored.get("success")
        method = stored.get("method", "POST")
        if method not in METHODS:
            raise WrongSetting(f"The method must be one of {', '.join(METHODS)}.", "method")
        options = stored.get("authentication", {})
        return cls(
            method,
            scheme.of(options, secrets.get("authentication", {})) if scheme else None,
            CustomHeaders.of(secrets.get("custom_headers", "")),
            ClientCertificate.of(pem) if pem else None,
            SuccessRule.of(rule) if rule else None,
        )

    def proven(self, message: Message) -> Message:
        """The message with the custom headers, and with what proves who sends it."""
        return self.headers.add_to(self.scheme.add_to(message) if self.scheme else message)
