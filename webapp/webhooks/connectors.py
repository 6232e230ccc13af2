"""What makes the requests of a webhook that has more settings than a URL and a Shared Token."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from webapp.webhooks.addresses import UnusableURL, sent_url
from webapp.webhooks.authentications import echoes
from webapp.webhooks.authentications.custom_headers import CustomHeaders
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.schemes import SCHEMES, SIGNED, AuthenticationScheme
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.settings import WrongSetting
from webapp.webhooks.success_rules import SuccessRule

METHODS = ("POST", "PUT", "PATCH")
SIGNATURES = tuple(SCHEMES[name] for name in SIGNED)


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
        """The message with the custom headers, and with what proves who sends it.

        Its URL becomes the one that is sent: those from before may be stored as they were typed.
        """
        with suppress(UnusableURL):  # the sender says what is wrong with it
            message = replace(message, url=sent_url(message.url))
        return self.headers.add_to(self.scheme.add_to(message) if self.scheme else message)

    def judged(self, outcome: Outcome, message: Message) -> Outcome:
        """The outcome as the Success rule judges it; then without what its answer repeats of the secrets that were sent
        with this message. A signature is none.
        """
        outcome = self.rule.judge(outcome) if self.rule else outcome
        secrets = echoes.of_custom_headers(self.headers.headers.values())
        if self.scheme and not isinstance(self.scheme, SIGNATURES):
            secrets += echoes.added(message, self.scheme.add_to(message))
        return echoes.without_echo(outcome, secrets)
