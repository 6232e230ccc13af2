"""IPv4 addresses inside IPv6 ones, on networks that translate between them (NAT64 with DNS64).

A name server of such a network answers for a receiver that has only IPv4 with an IPv6 address that contains it. The
network sends what is sent there to the IPv4 address. So that one decides whether a webhook may go there.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

WELL_KNOWN = IPv6Network("64:ff9b::/96")
LENGTHS = (32, 40, 48, 56, 64, 96)  # of a prefix: RFC 6052, section 2.2
# Other addresses that contain IPv4 ones (IPv4-compatible, mapped, translated, Teredo, 6to4), one link's, multicast.
OF_OTHER_KINDS = tuple(IPv6Network(each) for each in ("::/64", "2001::/32", "2002::/16", "fe80::/10", "ff00::/8"))
ALWAYS_ZERO = 8  # the place of the octet that is zero in every such address; no part of the IPv4 address is in it


def embedded(ip: IPv6Address, prefix: IPv6Network | None) -> IPv4Address | None:
    """The IPv4 address inside an address of the well-known prefix or of this one; None if it is of neither.

    0.0.0.0, which is never public, if the address is not formed as RFC 6052 says.
    """
    for translated in (WELL_KNOWN, prefix):
        if translated is not None and ip in translated:
            return _inside(ip.packed, translated.prefixlen)
    return None


def parse_prefix(text: str) -> IPv6Network | None:
    """The prefix that an operator names; None for an empty text. ValueError says what is wrong with it."""
    if not text:
        return None
    try:
        prefix = IPv6Network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IPv6 prefix such as 2001:db8:64::/96 ({error})") from None
    if prefix.prefixlen not in LENGTHS:
        lengths = ", ".join(str(length) for length in LENGTHS)
        raise ValueError(f"{text!r} has none of the lengths of a NAT64 prefix ({lengths})")
    if prefix.network_address.packed[ALWAYS_ZERO]:
        raise ValueError(f"{text!r} is not a NAT64 prefix: its bits 64 to 71 must be zero")
    if any(prefix.overlaps(other) for other in OF_OTHER_KINDS):
        raise ValueError(f"{text!r} is not a NAT64 prefix: these addresses have another meaning")
    return prefix


def _inside(packed: bytes, length: int) -> IPv4Address:
    if packed[ALWAYS_ZERO]:
        return IPv4Address(0)
    octets = [octet for place, octet in enumerate(packed) if place != ALWAYS_ZERO]
    # Without that octet the address follows the prefix directly; a prefix of 96 bits contains it.
    first = length // 8 if length <= 64 else length // 8 - 1
    return IPv4Address(bytes(octets[first : first + 4]))
