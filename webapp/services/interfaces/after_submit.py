"""The page that visitors go to after they sent a form."""

import re
from ipaddress import IPv4Address
from urllib.parse import urlsplit

from webapp.webhooks.addresses import check_url

EXAMPLE = "Write the address of a page, such as https://example.com/thanks. It begins with https:// and has no spaces."
# Its host goes into a policy, and all of it into a header: no ; in the host, and only ASCII.
NO_HOST = "The URL has no valid host name."
_PAGE = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][!-~]{0,2000})?")


def fault(url: str) -> str | None:
    """Why visitors cannot be sent to this address, as a sentence; None if they can.

    Host and port are judged as those of webhooks are.
    """
    if not _PAGE.fullmatch(url):
        return EXAMPLE
    wrong = check_url(url)
    if wrong:
        return f"{wrong.rstrip('.')}."
    host = (urlsplit(url).hostname or "").removesuffix(".")
    return None if _is_taken(host) else NO_HOST


def _is_taken(host: str) -> bool:
    """Whether browsers take the host: one that ends in a number is an IPv4 address, and `xn--` begins real Punycode."""
    *_, last = labels = host.split(".")
    try:
        if re.fullmatch("[0-9]+|0x[0-9a-f]*", last):
            IPv4Address(host)
        return all(map(_is_punycode, (label[4:] for label in labels if label.startswith("xn--"))))
    except ValueError:  # UnicodeError is one
        return False


def _is_punycode(text: str) -> bool:
    decoded = text.encode().decode("punycode")
    return not decoded.isascii() and decoded.isprintable() and decoded.encode("punycode").decode() == text
