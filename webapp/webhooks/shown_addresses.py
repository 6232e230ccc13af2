"""The address of a webhook as a reader sees it: whole, or cut to what cannot be a secret.

Many addresses are secrets: the query has a key, or, as those of Slack, Zapier and Make, the path does. So a reader who
may not open the Lead Generation tab sees scheme and host only, and no receiver's answer that repeats the rest. Every
place that shows an address or an answer asks an `AddressView`: docs/threat-model.md lists them.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote, unquote_plus, urlsplit

MASK = "•••"
LEAST = 4  # characters: what is shorter is only a secret together with its name or with the rest of the path
BOUNDED = 8  # characters: what is shorter is only found between other signs than letters and digits
LONGEST = 64  # characters that are compared; then the rest of the word is masked with them
# Parts of paths that are words of the trade and no secret.
ORDINARY = frozenset(
    {
        *("api", "app", "capture", "catch", "contact", "create", "crm", "event", "events", "form", "forms", "hook"),
        *(
            "hooks",
            "inbound",
            "incoming",
            "index",
            "ingest",
            "integrations",
            "lead",
            "leads",
            "notify",
            "post",
            "public",
        ),
        # Words and names of formats that nearly every answer has.
        *("debug", "false", "format", "html", "json", "none", "null", "success", "text", "true", "undefined", "xml"),
        *("receive", "receiver", "rest", "send", "services", "submit", "trigger", "webhook", "webhooks"),
    }
)
_NUMBER = re.compile("[0-9]{1,5}")  # a year, a code, an id of a form: too short for a secret
HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[\w.-]+)(?::[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class AddressView:
    """How one reader sees addresses of webhooks."""

    whole: bool

    def address(self, url: str) -> str:
        """The address, or its scheme and host."""
        return url if self.whole else cut(url)

    def answer(self, text: str, urls: Iterable[str | None]) -> str:
        """A receiver's answer, without what it repeats of the addresses that it may have been asked at."""
        return text if self.whole else without(text, urls)


WHOLE, CUT = AddressView(whole=True), AddressView(whole=False)


def cut(url: str) -> str:
    """Scheme, host and port; `/…` for what is left out. `…` where the address has no plain host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    host = parts.netloc.rpartition("@")[2]
    if not HOST.fullmatch(host):
        return "…"
    more = "/…" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{host}{more}"


def without(text: str, urls: Iterable[str | None]) -> str:
    """The text with a mask for each secret part of these addresses: in any case, escaped, or cut at a line's end."""
    return without_pieces(text, _pieces(tuple(sorted({url for url in urls if url}))))


def without_pieces(text: str, pieces: tuple[str, ...]) -> str:
    """The text with a mask for each of these pieces, decoded, the longest first."""
    if not pieces:
        return text
    found = _pattern(pieces).sub(MASK, text)
    return "\n".join(_without_beginning(line, pieces) for line in found.split("\n"))


@lru_cache(maxsize=256)
def _pieces(urls: tuple[str, ...]) -> tuple[str, ...]:
    """What must not be seen of these addresses, decoded; the longest first."""
    return tuple(sorted({piece for url in urls for piece in _secrets(url)}, key=lambda piece: (-len(piece), piece)))


def _secrets(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        yield url
        return
    path = unquote(parts.path).rstrip("/")
    steps = path.split("/")
    if any(map(_is_secret, steps)) and len(path) >= LEAST:
        yield path
    pairs = [unquote_plus(pair) for pair in re.split("[&;]", parts.query) if pair]
    yield from (pair for pair in pairs if not pair.endswith("=") and pair.lower() not in ORDINARY)
    values = [pair.partition("=")[2] or pair for pair in pairs]
    words = [*steps, *values, unquote(parts.fragment), unquote(parts.netloc.rpartition("@")[0])]
    for word in words:
        yield from filter(_is_secret, (word, *re.split(r"[^\w-]+", word)))


def _is_secret(word: str) -> bool:
    return len(word) >= LEAST and word.lower() not in ORDINARY and not _NUMBER.fullmatch(word)


@lru_cache(maxsize=256)
def _pattern(pieces: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_found, pieces)), re.IGNORECASE)


def _found(piece: str) -> str:
    """A pattern that finds the piece in every spelling in which answers repeat what they were sent."""
    pattern = "".join(map(_spellings, piece[:LONGEST]))
    if len(piece) > LONGEST:
        return rf"{pattern}[^\s\"'<>]*"
    if len(piece) >= BOUNDED:
        return pattern
    return rf"{_BOUND if piece[0].isalnum() else ''}{pattern}(?!\w)"


# Before a short piece: no letter or digit, unless it ends an escape.
_BOUND = r"(?:(?<!\w)|(?<=%[0-9a-f]{2})|(?<=%25[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"
_PERCENT = r"(?:%(?:25)*|&#37;|&#x25;|\\u0025)"


def _spellings(character: str) -> str:
    """A pattern for one character: itself, or as URLs, HTML and JSON write it."""
    if character.isascii() and character.isalnum():
        return character
    code = f"\\u{ord(character):04x}" if character.isascii() else json.dumps(character)[1:-1]
    ways = {
        character,
        f"\\{character}",
        html.escape(character),
        f"&#{ord(character)};",
        f"&#x{ord(character):x};",
        code,
    }
    ways |= {"+"} if character == " " else set()
    percent = "".join(f"{_PERCENT}{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    return f"(?:{'|'.join([*map(re.escape, sorted(ways, key=len, reverse=True)), percent])})"


def _without_beginning(line: str, pieces: tuple[str, ...]) -> str:
    """The line without a secret's beginning at its end: answers and headers are stored up to a length."""
    low = line.lower()
    for piece in pieces if len(low) == len(line) else ():
        at = max(len(line) - len(piece), 0)
        while (at := low.find(piece[:LEAST].lower(), at)) >= 0:
            if piece.lower().startswith(low[at:]):
                return line[:at] + MASK
            at += 1
    return line
