"""Validates text that people type into settings: any script and emoji, but no invisible control characters.

Each function except `bare_url` returns the text to store, or raises ValueError with a sentence for the person who typed
it.
"""

import unicodedata
from contextlib import suppress
from urllib.parse import urlsplit

import idna
from email_validator import EmailNotValidError, validate_email

MAX_ADDRESSES = 20
VISIBLE = frozenset("LNSP")  # letters, numbers, symbols, punctuation: visible on the screen
FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, half surrogates, line and paragraph separators


def line(text: str, what: str, limit: int, required: bool = True) -> str:
    """One line of at most `limit` characters, normalised (NFC) and stripped; `what` starts the sentence: "The name"."""
    text = unicodedata.normalize("NFC", text.strip())
    if any(unicodedata.category(character) in FORBIDDEN for character in text):
        raise ValueError(f"{what} contains a line break or an invisible control character. Type it again without it.")
    return _measured(text, what, limit, required)


def lines(text: str, what: str, limit: int, required: bool = False) -> str:
    """Several lines, with \\n as line ends."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").strip())
    if any(unicodedata.category(character) in FORBIDDEN and character not in "\n\t" for character in text):
        raise ValueError(f"{what} contains an invisible control character. Type it again without it.")
    return _measured(text, what, limit, required)


def address(text: str) -> str:
    """One e-mail address in ASCII, so that every mail server accepts it and it cannot break a header."""
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise ValueError(f"“{_excerpt(text.strip())}” is not an e-mail address. {error}") from None
    return str(found.ascii_email)


def ascii_domain(name: str) -> str:
    """A domain as it is in DNS: in lower case, an international one in Punycode (UTS 46). ValueError if there is none.

    Python's own "idna" codec is older, and another domain for some: it turns straße.example into strasse.example.
    """
    return name.lower() if name.isascii() else idna.encode(name, uts46=True).decode()


def sender(entry: str) -> str:
    """The one form in which senders are compared: an e-mail address or a domain, without regard to case and encoding.

    What is neither, for example an IP address, stays as it is.
    """
    local, at, domain = unicodedata.normalize("NFC", entry).rpartition("@")
    with suppress(ValueError):
        domain = ascii_domain(domain)
    return f"{local.casefold()}{at}{domain.casefold()}"


def typed_address(text: str) -> str:
    """The address typed at sign-in, in the form that is looked up: in lower case, without NULs. It is never refused.

    Rate limits by typed address must use this form too, or a NUL in the address would start a new count.
    """
    return text.replace("\0", "").strip().lower()[:320]


def addresses(text: str) -> list[str]:
    """The addresses of a comma-separated list, in order, without duplicates; ValueError names the first wrong one."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        kept = address(part)
        found.setdefault(kept.lower(), kept)
    if len(found) > MAX_ADDRESSES:
        raise ValueError(f"You can list at most {MAX_ADDRESSES} addresses; there are {len(found)}.")
    return list(found.values())


def bare_url(url: str) -> str:
    """A URL to show: scheme, host and path.

    The credentials, query and fragment are left out, because they may contain a secret.
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _measured(text: str, what: str, limit: int, required: bool) -> str:
    if required and not any(unicodedata.category(character)[0] in VISIBLE for character in text):
        raise ValueError(f"{what} cannot be empty.")
    if len(text) > limit:
        raise ValueError(f"{what} can have at most {limit:,} characters; this has {len(text):,}.")
    return text


def _excerpt(text: str) -> str:
    shown = "".join(character for character in text if unicodedata.category(character) not in FORBIDDEN)
    return shown if len(shown) <= 60 else shown[:59] + "…"
