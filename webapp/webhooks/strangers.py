"""What a receiver speaks that does not answer in HTTP/1.1, by its first bytes."""

import struct

_SETTINGS, _GO_AWAY = 4, 7  # the frames with which a server begins or refuses a connection in HTTP/2 (RFC 9113)


def no_http(first: bytes) -> str:
    """Continues a sentence that begins with the host."""
    if first[:2] in (b"\x15\x03", b"\x16\x03"):  # a TLS record: an alert, or a handshake
        return "answered in TLS"
    if len(first) >= 9:
        _, kind, _, stream = struct.unpack(">3sBBI", first[:9])
        if kind in (_SETTINGS, _GO_AWAY) and stream == 0:
            return "answered in HTTP/2"
    is_like_it = first.lstrip()[:5].upper() == b"HTTP/"  # in lower case, or behind a blank line
    return "did not answer in HTTP/1.1" if is_like_it else "did not answer in HTTP"
