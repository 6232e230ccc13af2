"""Every way to prove to a receiver who sends, by its stored value.

Two more are in signing.py, on the fast path: none, and Standard Webhooks v1 with a Shared Token.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol, Self

from webapp.webhooks.authentications import keys, signature
from webapp.webhooks.authentications.basic import Basic
from webapp.webhooks.authentications.bearer import Bearer
from webapp.webhooks.authentications.header import KeyInHeader
from webapp.webhooks.authentications.keys import Reading
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.metalocator import Metalocator
from webapp.webhooks.authentications.oauth2 import OAuth2
from webapp.webhooks.authentications.query import KeyInQuery
from webapp.webhooks.authentications.signature import TemplateSignature
from webapp.webhooks.authentications.v1a import V1a
from webapp.webhooks.settings import Setting


class AuthenticationScheme(Protocol):
    """One way. `MASKED`: the headers and parameters of the URL whose values no page shows; masks.py says how."""

    TITLE: ClassVar[str]
    SETTINGS: ClassVar[tuple[Setting, ...]]
    MASKED: ClassVar[tuple[str, ...]]

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """The scheme with these settings, for many messages; WrongSetting if they cannot be used.

        `secrets` has the settings that are secret, and `previous`: the secret from before the last rotation, as long as
        it is to sign too.
        """

    def add_to(self, message: Message) -> Message:
        """A copy of the message that has the proof."""


SCHEMES: dict[str, type[AuthenticationScheme]] = {
    "v1a": V1a,
    "metalocator": Metalocator,
    "signature": TemplateSignature,
    "bearer": Bearer,
    "basic": Basic,
    "header": KeyInHeader,
    "query": KeyInQuery,
    "oauth2": OAuth2,
}
SIGNED = ("v1a", "metalocator", "signature")  # a receiver can tell a changed lead by these


def overlaps(name: str, options: Mapping[str, str]) -> bool:
    """Whether both secrets sign for a time after a rotation. If not, a rotation swaps at once, and the page says so."""
    return name == "v1a" or (name == "signature" and options.get("overlap", "no") != "no")


def new_secret(name: str, options: Mapping[str, str]) -> tuple[str, str] | None:
    """A new secret for a person who has none: the setting's name and its value. None if the receiver gives it out."""
    if name == "v1a":
        return "private_key", keys.generate_private_key()
    if name == "metalocator":
        return "secret", keys.generate_key(Reading.TEXT)
    if name != "signature":
        return None
    return "secret", signature.new_secret(options)
