"""Text that a visitor typed, for a mail to an address that is not confirmed: all of it, but with nothing to click.

Mail programs make links of what looks like one. Anyone can type any address into a form, and would reach strangers with
a link in our mail. A space breaks each kind of link, and names stay readable: A.Lovelace becomes A. Lovelace.

Links are looked for in the text as the most eager program could read it (see `_look`); the spaces go into the text as
it was typed. So a full-width letter stays one, and no letter is lost.
"""

import re
import unicodedata

_DOTS = "\u3002\uff61"  # a host name may have them instead of a dot; NFKC makes dots of all others
# Not seen, but of no category that says so: fillers, and marks that choose how a character looks.
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
# What is dropped from the text: of the characters that are not seen, those that no script and no emoji needs.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u180e"
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)

_NUMBER = r"(?:0x[0-9a-f]++|\d++)"
# After a dot, two letters: no top-level domain is shorter. In many scripts the second sign is no letter for `re`; but a
# quote is no such sign: A.O’Neil stays as it is.
_SECOND = r"(?:\w|[^\x00-\x7f\u2018\u2019\u201c\u201d\u2026])"
# A space goes after the match of each of these.
_AFTER = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<!\w)[a-z][a-z0-9+.-]{1,30}:(?=[\w+%\[/\\])",  # a scheme, or a name with a port
        r"[/\\]{2,}(?=[^\s/\\])",
        r"(?<=\S)@(?=\S)",
        rf"(?<=\S)[.\u2024\uff0e{_DOTS}](?=[^\W\d_]{_SECOND})",
        r"www\d*\.(?=\S)",
        r"localhost[:/\\?#](?=\S)",
        # Numbers that are a host: 127.1:8080, 127.1/win, 3232235521/win. Not 4.5/5 and not 24/7.
        rf"(?<![\w.]){_NUMBER}(?:\.{_NUMBER}){{1,2}}(?::(?=\d\d)|/(?=[^\W\d]))",
        r"(?<![\w.])(?:\d{8,}+|0x[0-9a-f]{4,}+)[:/?#](?=\S)",
    )
]
# A space goes after each dot and colon in the match of each of these.
_WITHIN = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<!\d){_NUMBER}(?:\.{_NUMBER}){{3,}}",  # an IP address, also with octal and hexadecimal numbers
        r"\[(?=[^\]]*::|(?:[^\]:]*:){3})[0-9a-f:.]+(?:%[\w.~-]+)?\]",  # IPv6
    )
]


def unlinked(typed: str) -> str:
    """The text with a space in each URL, host name, IP address and e-mail address, so that none of them is a link."""
    text, broken = "", _DROPPED.sub("", typed)
    while text != broken:  # the second time nothing is found, or little: each time there are more spaces
        text, broken = broken, _broken(broken)
    return text


def _broken(text: str) -> str:
    """The text with a space wherever a link is found in it, as it is or as `_look` sees it."""
    looked, ends = _look(text)
    places = {ends[place - 1] for place in _places(looked)} | _places(text)
    parts, last = [], 0
    for place in sorted(places):
        parts.append(text[last:place])
        last = place
    return " ".join([*parts, text[last:]])


def _places(text: str) -> set[int]:
    """Where a space breaks a link. Never at the end: each pattern wants something after it, or within."""
    places = {found.end() for pattern in _AFTER for found in pattern.finditer(text)}
    for pattern in _WITHIN:
        places |= {at + 1 for found in pattern.finditer(text) for at in range(*found.span()) if text[at] in ".:"}
    return places


def _look(text: str) -> tuple[str, list[int]]:
    """The text in which links are looked for, and for each of its characters where it ends in `text`.

    Compatible characters are the plain ones (NFKC), all dots are dots, and what is not seen is not there.
    """
    if text.isascii():
        return text, list(range(1, len(text) + 1))
    looked: list[str] = []
    ends: list[int] = []
    for end, character in enumerate(text, start=1):
        plain = _plain(character)
        looked += plain
        ends += [end] * len(plain)
    return "".join(looked), ends


def _plain(character: str) -> str:
    if character.isascii() or character == "…":  # in no host name; it would be three dots
        return character
    if character in _DOTS:
        return "."
    if unicodedata.category(character) == "Cf" or _FILLERS.match(character):
        return ""
    return unicodedata.normalize("NFKC", character)
