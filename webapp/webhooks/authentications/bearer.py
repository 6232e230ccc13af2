"""A token in the header Authorization (RFC 6750)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from webapp.webhooks.authentications.given import given, header_value
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.settings import Setting

TOKEN = Setting("token", "Bearer token", secret=True, hint="Without the word Bearer.")


@dataclass(frozen=True, slots=True)
class Bearer:
    """`Authorization: Bearer <token>`."""

    TITLE: ClassVar[str] = "Bearer token"
    SETTINGS: ClassVar[tuple[Setting, ...]] = (TOKEN,)
    MASKED: ClassVar[tuple[str, ...]] = ("authorization",)

    token: str

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """WrongSetting for a token that no header can have. The word Bearer before it is left out."""
        token = header_value(given(TOKEN, secrets), TOKEN)
        if token[:7].lower() == "bearer ":
            token = token[7:].strip()
        return cls(given(TOKEN, {TOKEN.name: token}))

    def add_to(self, message: Message) -> Message:
        """With the header."""
        return replace(message, headers={**message.headers, "authorization": f"Bearer {self.token}"})
