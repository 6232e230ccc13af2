"""Unpacks an answer that is compressed although the request asked for `identity`.

The answer is untrusted: no more than MOST bytes are made of it, and what a damaged or cut one begins with is kept.
Sources: RFC 1950 to 1952 (zlib, deflate, gzip), RFC 7932 (brotli), RFC 8878 and 9659 (zstd).
"""

import sys
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

MOST = 16384  # bytes: as many as are read of an answer that is not compressed
MEMBERS = 64  # parts of one answer, one behind the other
DEEPEST = 5  # codings over each other; urllib3 takes as many
ZSTD_WINDOW = 23  # a power of two: 8 MB, the most that RFC 9659 allows; without a limit it is 128 MB
GZIP, ZSTD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"  # how these begin


class NotPacked(Exception):
    """The bytes are not packed in this way, or so damaged that nothing can be read."""


class _Stream(Protocol):
    """As zlib's decompressobj and bz2's BZ2Decompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def unpack(body: bytes, codings: Sequence[str]) -> tuple[bytes, bool]:
    """The bytes before they were packed, MOST at most, and whether some are missing. NotPacked if it is not possible.

    `codings`: of Content-Encoding, in the order of that header. Those that are not in UNPACKERS are passed over. If
    there are no others, the bytes are looked at: some servers forget the header.
    """
    known = [coding for coding in codings if coding in UNPACKERS]
    if not known:
        known = ["gzip"] if body.startswith(GZIP) else ["zstd"] if body.startswith(ZSTD) else []
    if len(known) > DEEPEST:
        raise NotPacked
    is_cut = False
    for coding in reversed(known):
        body, cut_here = UNPACKERS[coding](body)
        is_cut = is_cut or cut_here
    return body, is_cut


def _read(begin: Callable[[], _Stream], body: bytes, by: int = MOST) -> tuple[bytes, bool]:
    """`by`: bytes that are given at a time. Of a piece that is damaged, a library returns nothing."""
    found, stream, at, members = bytearray(), begin(), 0, 0
    while at < len(body):
        piece = body[at : at + by]
        at += len(piece)
        try:
            found += stream.decompress(piece, MOST + 1 - len(found))
        except Exception as error:
            if members:  # after the end, some servers fill with zeros
                return bytes(found), False
            if by > 1:
                return _read(begin, body, 1)
            if not found:
                raise NotPacked from error
            return bytes(found), True
        if len(found) > MOST:
            return bytes(found[:MOST]), True
        if stream.eof:
            at -= len(stream.unused_data)
            members += 1
            if members == MEMBERS:
                return bytes(found), at < len(body)
            if at < len(body):
                stream = begin()  # gzip and zstd may have several
    return bytes(found), not stream.eof


def _gzip(body: bytes) -> tuple[bytes, bool]:
    return _read(partial(zlib.decompressobj, 16 + zlib.MAX_WBITS), body)


def _deflate(body: bytes) -> tuple[bytes, bool]:
    """With zlib's header, as RFC 9110 says, or without, as some servers send it."""
    if len(body) > 1 and body[0] & 15 == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0:
        try:
            return _read(zlib.decompressobj, body)
        except NotPacked:
            pass
    return _read(partial(zlib.decompressobj, -zlib.MAX_WBITS), body)


def _brotli(body: bytes) -> tuple[bytes, bool]:
    return _read(_Brotli, body)


class _Brotli:
    """Brotli's decompressor with the names of zlib's. It is loaded when the first such answer comes."""

    unused_data = b""

    def __init__(self) -> None:
        import brotli

        self._stream = brotli.Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._stream.is_finished())

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return bytes(self._stream.process(data, output_buffer_limit=max_length))


def _zstd(body: bytes) -> tuple[bytes, bool]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    limits = {int(zstd.DecompressionParameter.window_log_max): ZSTD_WINDOW}
    return _read(partial(zstd.ZstdDecompressor, options=limits), body)


UNPACKERS: dict[str, Callable[[bytes], tuple[bytes, bool]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
