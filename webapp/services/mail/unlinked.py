"""Text that a visitor typed, for a mail to an address that is not confirmed: all of it, but with nothing to click.

Mail programs make links of what looks like one. Anyone can type any address into a form, and would reach strangers with
a link in our mail. A space breaks each kind of link, and names stay readable: A.Lovelace becomes A. Lovelace.
"""

import re

# Characters that are not seen: link finders disagree about them. Those that join letters or emoji stay.
_UNSEEN = re.compile(r"[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_SCHEME = re.compile(r"(?<!\w)([a-z][a-z0-9+.-]{1,30}:)(?=[\w+%\[/\\])", re.IGNORECASE)
_SLASHES = re.compile(r"([/\\]{2,})(?=[^\s/\\])")
_AT = re.compile(r"(?<=\S)@(?=\S)")
_IP = re.compile(r"\d+(?:\.\d+){3,}")
# After a dot, two letters: no top-level domain is shorter. In many scripts the second sign is no letter for `re`; but a
# quote is no such sign: A.O’Neil stays as it is.
_SECOND = r"(?:\w|[^\x00-\x7f\u2018\u2019\u201c\u201d\u2026])"
_DOT = re.compile(rf"(?<=\S)([.\u3002\uff0e\uff61\u2024])(?=[\u200c\u200d]*[^\W\d_]{_SECOND})")


def unlinked(typed: str) -> str:
    """The text with a space in each URL, host name, IP address and e-mail address, so that none of them is a link."""
    text = _SCHEME.sub(r"\1 ", _UNSEEN.sub("", typed))
    text = _SLASHES.sub(r"\1 ", text)
    text = _AT.sub("@ ", text)
    text = _IP.sub(lambda found: found[0].replace(".", ". "), text)
    return _DOT.sub(r"\1 ", text)
