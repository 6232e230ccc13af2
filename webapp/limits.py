"""What limits of sign-in and passwords count by. Of a person's address only a hash is kept in Redis."""

import hashlib
from ipaddress import ip_address, ip_network

from flask import request


def typed_account() -> str:
    """The account as the limiter keeps it: no address of a person's in Redis."""
    return hashlib.sha256(request.form.get("email", "").strip().lower().encode("utf-8", "replace")).hexdigest()


def network() -> str:
    """The client's address; of IPv6 the /64, for whoever has one address has them all."""
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:  # a unix socket has none, and some proxies say "unknown", or add a port
        return request.remote_addr or "unknown"
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))
