"""Addresses and host names as SMTP needs them. Many servers take only ASCII; a server with SMTPUTF8 (RFC 6531) takes
any letters.
"""

import re
from collections.abc import Sequence

from webapp import text

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)


def written(address: str, utf8: bool) -> str | None:
    """The address with its domain in ASCII. None if the part before the @ is not ASCII and the server has no SMTPUTF8.

    Also None for a domain that cannot exist.
    """
    local, _, domain = address.rpartition("@")
    if not (utf8 or is_ascii(address)):
        return None
    try:
        return address if domain.isascii() else f"{local}@{text.ascii_domain(domain)}"
    except ValueError:
        return None


def is_ascii(address: str) -> bool:
    """Whether any mail server can write to it: the part before the @ is ASCII. Domains have a form in ASCII."""
    return address.rpartition("@")[0].isascii()


def header(addresses: Sequence[str]) -> str:
    """The value of a header with these addresses.

    UTF-8 is passed as bytes that the email package writes as they are. It would turn text into encoded words, which are
    not allowed in an address.
    """
    if all(map(str.isascii, addresses)):
        return ", ".join(addresses)
    return ",\r\n ".join(addresses).encode().decode("ascii", "surrogateescape")  # a line has at most 998 bytes


def greeting(host: str) -> str | None:
    """The name with which to greet a mail server (EHLO): the host's own, or its IP address in brackets.

    None for a name that servers refuse, for example with an underscore.
    """
    if ":" in host:
        return f"[IPv6:{host}]"
    if host.isascii() and host.replace(".", "").isdigit():
        return f"[{host}]"
    try:
        name = text.ascii_domain(host)
    except ValueError:
        return None
    return name if _HOST.fullmatch(name) else None
