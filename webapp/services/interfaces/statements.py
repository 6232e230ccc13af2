"""The statement that a visitor agrees to: text in which [words](https://…) is a link."""

import re
from typing import NamedTuple

_LINK = re.compile(r"\[([^\[\]]+)\]\((https?://[^\s()<>\"]+)\)")


class StatementPart(NamedTuple):
    """A piece of a statement; with `href`, a link."""

    text: str
    href: str | None = None


def parts(statement: str) -> list[StatementPart]:
    """A statement in pieces: text and links."""
    found, end = [], 0
    for link in _LINK.finditer(statement):
        found += [StatementPart(statement[end : link.start()]), StatementPart(link[1], link[2])]
        end = link.end()
    return [part for part in (*found, StatementPart(statement[end:])) if part.text]
