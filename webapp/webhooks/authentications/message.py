"""A request before it is sent, for the schemes that add their proof to it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One attempt. A scheme returns a copy with its headers, or with another URL; it never changes `body`.

    `url` is the one that is sent, character for character. `headers`: by lower-case name. `timestamp` is in Unix
    seconds, `timestamp_ms` the same moment in milliseconds.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    message_id: str
    timestamp: int
    timestamp_ms: int
