"""What name servers say about a name."""

from enum import Enum
from typing import NamedTuple


class Verdict(Enum):
    """The sum of their answers."""

    ADDRESSES = "it has addresses"
    NO_NAME = "there is no such name"
    NO_ADDRESS = "the name has no address"
    ERROR = "they answered with errors only"
    SILENCE = "they did not answer"


class Found(NamedTuple):
    """`addresses`: as text, IPv6 first; not checked in any way."""

    verdict: Verdict
    addresses: tuple[str, ...] = ()
