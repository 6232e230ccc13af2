"""The limits of one attempt."""

from dataclasses import dataclass
from ipaddress import IPv6Network

from webapp.webhooks.addresses import Network


@dataclass(frozen=True)
class Limits:
    """Limits of an attempt, in seconds and bytes. `connect_timeout` covers connection and TLS handshake.

    `nat64`: the prefix of this network's NAT64, if it has one of its own. `ca_file`: PEM file of authorities trusted in
    addition to the public ones. `max_idle`: kept connections per process.
    """

    lookup_timeout: float = 5
    connect_timeout: float = 5
    deadline: float = 15
    allowed_networks: tuple[Network, ...] = ()
    nat64: IPv6Network | None = None
    max_body: int = 16384
    ca_file: str | None = None
    max_idle: int = 256
    idle_seconds: float = 5
    age_seconds: float = 60
