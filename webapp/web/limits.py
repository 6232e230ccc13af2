"""What limits count by: a client's network, the account somebody signs in to.

Of a person's address only a hash is kept in Redis.
"""

import contextlib
import hashlib
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from flask import request

from webapp.text import typed_address


def typed_account() -> str:
    """The account as the limiter keeps it: no address of a person's in Redis."""
    return hashlib.sha256(typed_address(request.form.get("email", "")).encode("utf-8", "replace")).hexdigest()


def network() -> str:
    """The client's address; of IPv6 the /64, for whoever has one address has them all."""
    address = _address(request.remote_addr or "")
    if address is None:  # a unix socket has none, and some proxies say "unknown"
        return request.remote_addr or "unknown"
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Also of an IPv4 client on a listener for IPv6, and of one to whose address a proxy added the port."""
    for candidate in (text, text.rpartition(":")[0].strip("[]")):
        with contextlib.suppress(ValueError):
            found = ip_address(candidate)
            return getattr(found, "ipv4_mapped", None) or found
    return None
