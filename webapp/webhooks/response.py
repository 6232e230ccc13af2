"""What the bytes of a receiver are read as: a response, or none."""

from typing import NamedTuple


class BadResponse(Exception):
    """The receiver did not send a valid HTTP/1.1 response. The text continues a sentence that begins with the host."""


class NotHttp(BadResponse):
    """These bytes begin no response. On a kept connection they may be the rest of the response before."""


class HttpResponse(NamedTuple):
    """A response. `fields`: the headers used here, by lower-case name. `reusable`: the connection can be kept.

    `unended`: the receiver stopped sending before the end of the body. `out_of_step`: bytes came after its end.
    """

    code: int
    headers: list[tuple[str, str]]
    fields: dict[str, str]
    body: bytes
    truncated: bool
    reusable: bool
    unended: bool = False
    out_of_step: bool = False
