"""Reads a response from untrusted bytes, and turns it into the outcome of an attempt, which is safe to store."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from webapp.webhooks.answer_text import text_of
from webapp.webhooks.error_kinds import ErrorKind as ErrorKind
from webapp.webhooks.error_kinds import Stop as Stop
from webapp.webhooks.rate_limits import HEADERS as RATE_LIMITS
from webapp.webhooks.rate_limits import seconds_until_more
from webapp.webhooks.response import BadResponse, HttpResponse, NotHttp
from webapp.webhooks.schedule import seconds_to_wait
from webapp.webhooks.signing import HOPS
from webapp.webhooks.strangers import no_http

NO_ANSWER = 999
GONE = 410
LOOP = 508
ASK_FOR_REST = (429, 503)
MAX_HEAD = 65536  # bytes of status lines and headers, those of interim (1xx) responses included
MAX_LINE = 4096  # bytes of a chunk's size line or of a trailer
MAX_TRAILERS = 64
MAX_HEADERS = 64
MAX_HEADER_NAME = 128
MAX_HEADER_VALUE = 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt. `body` is the response as text or, with code 999, a sentence that says what happened.

    `truncated`: the body is incomplete, because of its size, the deadline or an early end. `headers`: at most 64 pairs
    as received, each value cut to 1,024 characters. No text contains NUL, which PostgreSQL refuses. `retry_after`:
    seconds, at most a day. `unended`: the code is known, but the receiver stopped sending without an end of the answer.

    `first`: the outcome of the request before this one, if the same try sent several: each of them is an attempt.

    `error` is None if the receiver accepted the lead: with 2xx, or as the webhook's Success rule says. `stop` and its
    words are such a rule's, too.
    """

    code: int
    body: str
    truncated: bool
    headers: tuple[tuple[str, str], ...]
    error: ErrorKind | None
    duration_ms: int
    retry_after: float | None
    unended: bool = False
    first: "Outcome | None" = None
    stop: Stop | None = None
    stop_words: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the receiver accepted the lead."""
        return self.error is None

    @property
    def pauses(self) -> bool:
        """Whether the receiver wants no more leads of this webhook."""
        return self.stop == Stop.PAUSED or (self.code == GONE and self.stop is None and self.error is not None)

    def before(self) -> "list[Outcome]":
        """The outcomes of the same try's earlier requests, in order."""
        return [*self.first.before(), self.first] if self.first else []

    @property
    def asks_for_rest(self) -> bool:
        """Whether the receiver wants no lead at all for `retry_after` seconds. With other codes it means this lead.

        A good answer has it only where nothing remains of the receiver's rate limit.
        """
        return bool(self.retry_after) and (self.code < 300 or self.code in ASK_FOR_REST)

    @property
    def loops(self) -> bool:
        """Whether a Leadhook refused the lead, because it goes round in a circle.

        The code alone does not say it: shared hosting answers 508 too, while a site uses too much of its server.
        """
        return self.code == LOOP and any(name.lower() == HOPS for name, _ in self.headers)


def outcome_of(response: HttpResponse, duration_ms: int) -> Outcome:
    """The outcome of a response, with its body as text that is safe to store."""
    code, fields = response.code, response.fields
    wait = fields.get("retry-after") if code >= 300 else None
    retry_after = seconds_to_wait(wait, fields.get("date", "")) if wait else None
    if not (retry_after or RATE_LIMITS.isdisjoint(fields)) and (code < 300 or code in ASK_FOR_REST):
        retry_after = seconds_until_more(fields)
    body, truncated = _text(response)
    return Outcome(
        code=code,
        body=body,
        truncated=truncated,
        headers=tuple(response.headers),
        error=None if code < 300 else _KINDS[code // 100],
        duration_ms=duration_ms,
        retry_after=retry_after,
        unended=response.unended,
    )


def _text(response: HttpResponse) -> tuple[str, bool]:
    """The body as text, and whether its end is missing."""
    body, fields = response.body, response.fields
    if not body:
        return "", response.truncated
    # NUL: UTF-16; escape: ISO-2022-JP; the last is a byte order mark.
    is_usual = b"\0" not in body and b"\x1b" not in body and not body.startswith(b"\xef\xbb\xbf")
    charset = "" if body.isascii() else fields.get("content-type", "").lower().partition("charset")[2]
    if is_usual and fields.get("content-encoding", "") in ("", "identity") and (not charset or "utf" in charset):
        try:
            return body.decode(), response.truncated
        except UnicodeDecodeError:
            pass
    return text_of(body, fields, response.truncated)


_KINDS = {3: ErrorKind.REDIRECT, 4: ErrorKind.HTTP_4XX, 5: ErrorKind.HTTP_5XX}
_STATUS = re.compile(r"HTTP/1\.([0-9]) ([0-9]{3})(?: |\r?$)")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")
_USED_HEADERS = frozenset(
    ["connection", "content-encoding", "content-length", "content-type", "date", "retry-after", "transfer-encoding"]
).union(RATE_LIMITS)


def read_response(
    receive: Callable[[], bytes], max_body: int, receive_body: Callable[[], bytes] | None = None
) -> HttpResponse:
    """Reads one response. `receive` returns the next bytes, b"" at the end of the connection, or raises OSError.

    Once the headers are complete, the response counts: a later problem only truncates its body. `receive_body` is used
    from then on: its TimeoutError means that the body did not end in time. Before that, errors of `receive` pass
    through, BadResponse means it is not HTTP, and ConnectionResetError means an early end.
    """
    reader = _Reader(receive)
    version, code, lines = reader.read_head()
    while code < 200:
        version, code, lines = reader.read_head()
    headers, fields = _headers(lines)
    length = _length(fields)
    reader.receive = receive_body or receive
    unended = False
    try:
        complete = reader.read_body(code, fields, length, max_body)
    except (OSError, BadResponse) as problem:
        complete, unended = False, isinstance(problem, TimeoutError)
    out_of_step = complete and bool(reader.buffer)
    reusable = complete and not out_of_step and _keeps_alive(version, code, fields, length)
    return HttpResponse(code, headers, fields, reader.body, not complete, reusable, unended, out_of_step)


class _Closed(ConnectionResetError):
    """The receiver closed the connection in the normal way, without a reset."""


class _Reader:
    """Parses a response. `buffer`: bytes received but not used yet. `body`: the part of the body read so far."""

    __slots__ = ("_head_bytes", "body", "buffer", "receive")

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self.receive = receive
        self._head_bytes = 0
        self.buffer = b""
        self.body = b""

    def fill(self) -> None:
        if not (received := self.receive()):
            raise _Closed
        self.buffer += received

    def read_head(self) -> tuple[str, int, list[str]]:
        """Reads the next status line and headers, maybe of an interim (1xx) response: minor version, code, lines."""
        if not self._head_bytes:
            self.fill()
        searched = 0
        while (end := self._head_end(searched)) < 0:
            if not self.buffer.startswith(b"HTTP/"[: len(self.buffer)]):
                raise NotHttp(no_http(self.buffer))
            if self._head_bytes + len(self.buffer) > MAX_HEAD:
                raise BadResponse(f"sent more than {MAX_HEAD // 1024} KB of headers")
            searched = max(len(self.buffer) - 3, 0)
            self.fill()
        if not self.buffer.startswith(b"HTTP/"):  # here, too, so that it does not matter how the bytes were split
            raise NotHttp(no_http(self.buffer))
        # Interim responses count towards the limit, so that a flood of them ends before the deadline.
        lines = self.buffer[:end].removesuffix(b"\r").decode("latin-1").replace("\0", "").split("\n")
        end += 2 if self.buffer.startswith(b"\n", end + 1) else 3
        self._head_bytes += end
        self.buffer = self.buffer[end:]
        status = _STATUS.match(lines[0])
        if not status:
            raise NotHttp("did not answer in HTTP/1.1")
        version, code = status[1], int(status[2])
        if not 100 <= code < 600 or code == 101:
            raise BadResponse(f"answered with the code {code}, which is not valid here")
        return version, code, lines[1:]

    def _head_end(self, searched: int) -> int:
        """The place of the line feed before the first empty line; -1 if there is none. Lines end with CR LF, or LF."""
        usual = self.buffer.find(b"\n\r\n", searched)
        bare = self.buffer.find(b"\n\n", searched, usual + 1 if usual >= 0 else None)
        return usual if bare < 0 else bare

    def read_body(self, code: int, fields: dict[str, str], length: int | None, limit: int) -> bool:
        """Reads at most `limit` bytes; returns whether the body is complete. OSError or BadResponse if it is cut."""
        if code in (204, 304):
            return True
        if "chunked" in fields.get("transfer-encoding", "").lower():
            return self._read_chunks(limit)
        if length is not None and "transfer-encoding" not in fields:
            self._take(min(length, limit))
            return length <= limit
        try:
            self._take(limit)
            if not self.buffer:
                self.fill()
        except _Closed:
            return True
        return False

    def _read_chunks(self, limit: int) -> bool:
        while size := self._read_chunk_size():
            room = limit - len(self.body)
            self._take(min(size, room))
            if size > room:
                return False
            if self._read_line():
                raise BadResponse("sent a chunk longer than its size")
        for _ in range(MAX_TRAILERS):
            if not self._read_line():
                return True
        raise BadResponse("sent too many trailers")

    def _read_chunk_size(self) -> int:
        size = _CHUNK_SIZE.fullmatch(self._read_line())
        if not size:
            raise BadResponse("sent a chunk without a size")
        return int(size[1], 16)

    def _read_line(self) -> bytes:
        while (end := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > MAX_LINE:
                raise BadResponse("sent a line that is too long")
            self.fill()
        line, self.buffer = self.buffer[:end].removesuffix(b"\r"), self.buffer[end + 1 :]
        return line

    def _take(self, count: int) -> None:
        """Moves `count` bytes into the body as they arrive, so that they are kept if the rest never comes."""
        while count:
            if not self.buffer:
                self.fill()
            part = self.buffer[:count]
            self.body += part
            self.buffer = self.buffer[count:]
            count -= len(part)


def _headers(lines: list[str]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The first headers, cut to size; and the headers used here, whole, by lower-case name, repeated ones joined."""
    headers: list[tuple[str, str]] = []
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name[0] in " \t":
            continue  # a folded line or garbage: not a reason to reject the response
        value = value.strip()
        if len(line) <= MAX_HEADER_NAME and len(headers) < MAX_HEADERS:
            headers.append((name, value))
        elif len(headers) < MAX_HEADERS:
            headers.append((name[:MAX_HEADER_NAME], value[:MAX_HEADER_VALUE]))
        key = name.lower()
        if key in _USED_HEADERS:
            fields[key] = f"{fields[key]}, {value}" if key in fields else value
    return headers, fields


def _length(fields: dict[str, str]) -> int | None:
    """Content-Length, repeated or not; None if it is missing or not a number."""
    text = fields.get("content-length", "")
    if "," in text:
        values = {value.strip() for value in text.split(",")}
        text = values.pop() if len(values) == 1 else ""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 18 else None


def _keeps_alive(version: str, code: int, fields: dict[str, str], length: int | None) -> bool:
    """Whether the end of this response is certain, and the receiver keeps the connection open for the next one."""
    if code in (204, 304):
        if length or "transfer-encoding" in fields:
            return False  # these have no body, but this receiver announces one: it may still come
    elif ("transfer-encoding" in fields) == (length is not None):
        return False  # neither: the body ends when the connection does; both: one of them is wrong
    connection = fields.get("connection", "").lower()
    return "close" not in connection if version != "0" else "keep-alive" in connection
