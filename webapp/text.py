"""Text that people type into settings, made fit to keep: any script and emoji, but no invisible control characters.

Each function returns the text as it is to be kept, or raises ValueError with a sentence for whoever typed it.
"""

import unicodedata

from email_validator import EmailNotValidError, validate_email

MAX_ADDRESSES = 20
VISIBLE = frozenset("LNSP")  # letters, numbers, symbols, punctuation: what leaves a trace on the screen
FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, half surrogates, line and paragraph separators


def line(text: str, what: str, limit: int, required: bool = True) -> str:
    """One line of at most `limit` characters, composed (NFC) and stripped; `what` begins the sentence: "The name"."""
    text = unicodedata.normalize("NFC", text.strip())
    if any(unicodedata.category(character) in FORBIDDEN for character in text):
        raise ValueError(f"{what} contains a line break or an invisible control character. Type it again without.")
    return _measured(text, what, limit, required)


def lines(text: str, what: str, limit: int, required: bool = False) -> str:
    """Several lines, ended by \\n."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").strip())
    if any(unicodedata.category(character) in FORBIDDEN and character not in "\n\t" for character in text):
        raise ValueError(f"{what} contains an invisible control character. Type it again without.")
    return _measured(text, what, limit, required)


def address(text: str) -> str:
    """One e-mail address in ASCII, so that any mail server takes it and no header can be broken by it."""
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise ValueError(f"“{_excerpt(text.strip())}” is not an e-mail address. {error}") from None
    return str(found.ascii_email)


def typed_address(text: str) -> str:
    """An address as it is looked for where somebody signs in: in lower case, and whatever it is, never refused.

    Whoever counts tries by the address typed counts by this, or a NUL between would be another address.
    """
    return text.replace("\0", "").strip().lower()[:320]


def addresses(text: str) -> list[str]:
    """The e-mail addresses of a list with commas, each once, in order; the sentence names the first that is none."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        kept = address(part)
        found.setdefault(kept.lower(), kept)
    if len(found) > MAX_ADDRESSES:
        raise ValueError(f"At most {MAX_ADDRESSES} addresses can be given; these are {len(found)}.")
    return list(found.values())


def _measured(text: str, what: str, limit: int, required: bool) -> str:
    if required and not any(unicodedata.category(character)[0] in VISIBLE for character in text):
        raise ValueError(f"{what} cannot be empty.")
    if len(text) > limit:
        raise ValueError(f"{what} can have at most {limit:,} characters; this has {len(text):,}.")
    return text


def _excerpt(text: str) -> str:
    shown = "".join(character for character in text if unicodedata.category(character) not in FORBIDDEN)
    return shown if len(shown) <= 60 else shown[:59] + "…"
