"""Stands in until the formats are there."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Format(Protocol):
    content_type: str

    @classmethod
    def of(cls, stored: Mapping[str, Any], known: Sequence[str]) -> "Format": ...

    def render(self, document: Mapping[str, Any]) -> bytes: ...


FORMATS: dict[str, type[Format]] = {}
