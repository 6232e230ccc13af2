"""What one attempt came to, and how an answer is read: from hostile bytes to an outcome that is safe to store."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from webapp.webhooks.schedule import seconds_to_wait

NO_ANSWER = 999
MAX_HEAD = 65536  # bytes of status lines and headers, interim answers included
MAX_LINE = 4096  # bytes of a chunk's size line or of a trailer
MAX_TRAILERS = 64
MAX_HEADERS = 64
MAX_HEADER_NAME = 128
MAX_HEADER_VALUE = 1024


class ErrorKind(StrEnum):
    """Why an attempt failed, for machines. TIMEOUT to BAD_RESPONSE, but for the three with a code, come with 999."""

    TIMEOUT = "timeout"
    TLS = "tls"
    DNS = "dns"
    REFUSED = "refused"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    BLOCKED_ADDRESS = "blocked_address"
    REDIRECT = "redirect"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    BAD_RESPONSE = "bad_response"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's result. `body` is the answer as text or, with code 999, a sentence for people.

    `truncated`: the body was cut, by size, by time or by its end. `headers` are at most 64 pairs, as received, cut to
    1,024 characters. No text here holds NUL, which PostgreSQL refuses. `retry_after` is in seconds, at most a day.
    """

    code: int
    body: str
    truncated: bool
    headers: tuple[tuple[str, str], ...]
    error: ErrorKind | None
    duration_ms: int
    retry_after: float | None

    @property
    def delivered(self) -> bool:
        """Whether the receiver took the lead."""
        return 200 <= self.code < 300


class BadAnswer(Exception):
    """What came is not an answer in HTTP/1.1; the text continues a sentence that begins with the host."""


class Reply(NamedTuple):
    """An answer as read: `fields` are the last headers by lower-case name, `reusable` whether another may follow."""

    code: int
    headers: list[tuple[str, str]]
    fields: dict[str, str]
    body: bytes
    truncated: bool
    reusable: bool


def answered(reply: Reply, duration_ms: int) -> Outcome:
    """The outcome of an answer: what was read, as text that is safe to store."""
    wait = reply.fields.get("retry-after") if reply.code in (429, 503) else None
    return Outcome(
        code=reply.code,
        body=_text(reply),
        truncated=reply.truncated,
        headers=tuple(reply.headers),
        error=None if reply.code < 300 else _KINDS[reply.code // 100],
        duration_ms=duration_ms,
        retry_after=seconds_to_wait(wait) if wait else None,
    )


def _text(reply: Reply) -> str:
    coding = reply.fields.get("content-encoding", "identity").lower()
    if coding not in ("", "identity") and reply.body:
        # Asked not to, it compressed all the same. Decoding would give a bomb its room; the bytes are no text.
        return f"({len(reply.body)} bytes, compressed although that was not asked for, are not shown)"
    return reply.body.decode("utf-8", "replace").replace("\0", "")


_KINDS = {3: ErrorKind.REDIRECT, 4: ErrorKind.HTTP_4XX, 5: ErrorKind.HTTP_5XX}
_STATUS = re.compile(r"HTTP/1\.([0-9]) ([0-9]{3})(?: |\r?$)")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")
_FRAMING = frozenset({"connection", "content-encoding", "content-length", "retry-after", "transfer-encoding"})


def read_reply(receive: Callable[[], bytes], max_body: int) -> Reply:
    """Reads one answer; `receive` gives the next bytes, b"" at their end, or raises OSError.

    Once the headers are complete the answer counts: what happens to its body only cuts it. Before that, the errors of
    `receive` go through, BadAnswer is raised for what is not HTTP, and ConnectionResetError for an early end.
    """
    reading = _Reading(receive)
    version, code, lines = reading.head()
    while code < 200:
        version, code, lines = reading.head()
    headers, fields = _headers(lines)
    length = _length(fields)
    try:
        complete = reading.read_body(code, fields, length, max_body)
    except (OSError, BadAnswer):
        complete = False
    reusable = complete and not reading.buffer and _keeps_alive(version, code, fields, length)
    return Reply(code, headers, fields, reading.body, not complete, reusable)


class _Ended(ConnectionResetError):
    """The connection was closed, in good order."""


class _Reading:
    """Takes an answer apart. `buffer`: bytes come and not yet used; `body`: as much of the body as has come."""

    __slots__ = ("_head_bytes", "_receive", "body", "buffer")

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._head_bytes = 0
        self.buffer = b""
        self.body = b""

    def fill(self) -> None:
        if not (received := self._receive()):
            raise _Ended
        self.buffer += received

    def head(self) -> tuple[str, int, list[str]]:
        """Minor version, code and header lines of the next head, an interim one (1xx) maybe."""
        searched = 0
        while not (end := _HEAD_END.search(self.buffer, searched)):
            if not self.buffer.startswith(b"HTTP/"[: len(self.buffer)]):
                raise BadAnswer("did not answer in HTTP")
            if self._head_bytes + len(self.buffer) > MAX_HEAD:
                raise BadAnswer(f"sent more than {MAX_HEAD // 1024} KB of headers")
            searched = max(len(self.buffer) - 3, 0)
            self.fill()
        # Interim heads count as well, so that a flood of them ends before the deadline.
        self._head_bytes += end.end()
        lines = self.buffer[: end.start()].decode("latin-1").replace("\0", "").split("\n")
        self.buffer = self.buffer[end.end() :]
        status = _STATUS.match(lines[0])
        if not status:
            raise BadAnswer("did not answer in HTTP/1.1")
        version, code = status[1], int(status[2])
        if not 100 <= code < 600 or code == 101:
            raise BadAnswer(f"answered with the code {code}, which has no meaning here")
        return version, code, lines[1:]

    def read_body(self, code: int, fields: dict[str, str], length: int | None, limit: int) -> bool:
        """Reads up to `limit` bytes of body; whether that was all of it. OSError or BadAnswer: the rest never came."""
        if code in (204, 304):
            return True
        if "chunked" in fields.get("transfer-encoding", "").lower():
            return self._chunks(limit)
        if length is not None and "transfer-encoding" not in fields:
            self._take(min(length, limit))
            return length <= limit
        try:
            self._take(limit)
            if not self.buffer:
                self.fill()
        except _Ended:
            return True
        return False

    def _chunks(self, limit: int) -> bool:
        while size := self._chunk_size():
            room = limit - len(self.body)
            self._take(min(size, room))
            if size > room:
                return False
            if self._line():
                raise BadAnswer("sent a chunk that is longer than it says")
        for _ in range(MAX_TRAILERS):
            if not self._line():
                return True
        raise BadAnswer("sent trailers without end")

    def _chunk_size(self) -> int:
        size = _CHUNK_SIZE.fullmatch(self._line())
        if not size:
            raise BadAnswer("sent a chunk without a size")
        return int(size[1], 16)

    def _line(self) -> bytes:
        while (end := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > MAX_LINE:
                raise BadAnswer("sent a line without end")
            self.fill()
        line, self.buffer = self.buffer[:end].removesuffix(b"\r"), self.buffer[end + 1 :]
        return line

    def _take(self, count: int) -> None:
        """Moves `count` bytes into the body as they come: what has come stays there when the rest does not."""
        while count:
            if not self.buffer:
                self.fill()
            part = self.buffer[:count]
            self.body += part
            self.buffer = self.buffer[count:]
            count -= len(part)


def _headers(lines: list[str]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The first headers, cut, and those that steer the reading by lower-case name, whole, repeated ones joined."""
    headers: list[tuple[str, str]] = []
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name[0] in " \t":
            continue  # a folded line, or rubbish: neither is worth losing an answer for
        value = value.strip()
        if len(headers) < MAX_HEADERS:
            headers.append((name[:MAX_HEADER_NAME], value[:MAX_HEADER_VALUE]))
        key = name.lower()
        if key in _FRAMING:
            fields[key] = f"{fields[key]}, {value}" if key in fields else value
    return headers, fields


def _length(fields: dict[str, str]) -> int | None:
    """Content-Length, also where it is repeated; None where there is none or it is no number."""
    text = fields.get("content-length", "")
    if "," in text:
        values = {value.strip() for value in text.split(",")}
        text = values.pop() if len(values) == 1 else ""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 18 else None


def _keeps_alive(version: str, code: int, fields: dict[str, str], length: int | None) -> bool:
    """Whether the next answer on this connection can be told from this one, and the receiver lets it come."""
    if ("transfer-encoding" in fields) == (length is not None) and code not in (204, 304):
        return False  # neither: the body ended with the connection; both: one of them lies
    connection = fields.get("connection", "").lower()
    return "close" not in connection if version != "0" else "keep-alive" in connection
