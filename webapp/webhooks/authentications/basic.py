"""A user name and a password in the header Authorization (RFC 7617), both in UTF-8."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from webapp.webhooks.authentications.given import given
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.settings import Setting, WrongSetting

USER = Setting("user", "User name", optional=True, hint="Without a colon. May be empty.")
PASSWORD = Setting("password", "Password", secret=True, optional=True)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Basic:
    """`Authorization: Basic <base64 of user:password>`. Some services want the key as the user, and no password."""

    TITLE: ClassVar[str] = "Basic (user name and password)"
    SETTINGS: ClassVar[tuple[Setting, ...]] = (USER, PASSWORD)
    MASKED: ClassVar[tuple[str, ...]] = ("authorization",)

    credentials: str

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """WrongSetting for a colon in the user name, where the password begins, and for what the RFC forbids."""
        user, password = given(USER, options), given(PASSWORD, secrets)
        if not user and not password:
            raise WrongSetting("User name and Password are both missing.", USER.name)
        if ":" in user:
            raise WrongSetting("The User name has a colon: receivers would take the rest for the password.", USER.name)
        for setting, value in ((USER, user), (PASSWORD, password)):
            if _CONTROL.search(value):
                raise WrongSetting(f"{setting.label} has a line break or an invisible character.", setting.name)
        return cls(base64.b64encode(f"{user}:{password}".encode()).decode("ascii"))

    def add_to(self, message: Message) -> Message:
        """With the header."""
        return replace(message, headers={**message.headers, "authorization": f"Basic {self.credentials}"})
