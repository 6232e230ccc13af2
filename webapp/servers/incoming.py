"""What a client has sent of its request so far: whether a thread may begin with it, and until when more must come."""

import contextlib
import re
import socket
import time
from enum import Enum, auto
from typing import Any

from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

from webapp.servers.everyday import Everyday, common_environ
from webapp.servers.outgoing import AnswerSocket, time_value
from webapp.servers.waits import EarlierAnswer, Wait

PATIENCE = 10.0  # seconds for the head of a request; and for its body, besides what LEAST_RATE gives it
LEAST_RATE = 4096  # bytes a second that a body must bring
MOMENT = 0.5  # seconds for a body whose client had time while it waited for a thread
BUFFER = 64 * 1024  # bytes of a request that wait in memory until all of it is there
MOST_KEPT = 4000  # bytes of a request that is kept while it is answered, so that it can wait
MOST_UNREAD = 64 * 1024  # bytes of earlier answers, while the next request is answered

# A line feed alone ends a head: gunicorn refuses such a line, so it need not see the rest. Patterns take long: each is
# only searched where there is something to find.
_ALONE = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]{0,18})", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_SIZE = re.compile(rb"(?=[0-9a-fA-F])0*([0-9a-fA-F]{0,8})")  # of a chunk; the first digits of one that is too large
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Arrival(Enum):
    WAITS = auto()  # more must come
    WHOLE = auto()  # it is all there; or gunicorn will refuse it, or find that the client has left
    LARGE = auto()  # a thread must read the rest
    TOO_LONG = auto()  # the head
    GONE = auto()  # the client left without a request


class Reader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Where gunicorn reads a request: first what has come, then from the socket, as long as it comes at LEAST_RATE."""

    def begin(self, received: bytes) -> None:
        self._begun_at = time.monotonic()
        self._read = 0
        self.unread(received)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """NoMoreData if the client has left or is too slow. Shorter time-outs of the socket hold, too."""
        left = self._begun_at + PATIENCE + self._read / LEAST_RATE - time.monotonic()
        if not self._read:  # it may have waited for a thread; a client that has not stalled has sent more meanwhile
            left = max(left, MOMENT)
        if left <= 0:
            raise NoMoreData
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time_value(left))
        try:
            piece: bytes = super().chunk(size_hint)
        except (BlockingIOError, TimeoutError):
            raise NoMoreData from None
        if not piece:
            raise NoMoreData
        self._begun_at = self._begun_at if self._read else time.monotonic()
        self._read += len(piece)
        return piece


class ChecksChunks:
    """Reads a body. Chunks that are not valid are an error of the client, as if it had left: the app answers 400. The
    errors that gunicorn raises for them are none that werkzeug knows, and would be a 500 with a traceback."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._reader.read(size))
        except (OSError, ParseException) as error:
            raise NoMoreData from error


class Parser(RequestParser):  # type: ignore[misc]
    """gunicorn's. `ready`: a request that it need not read."""

    ready: Everyday | None = None

    def __next__(self) -> Any:
        if not self.ready:
            return super().__next__()
        ready, self.ready, self.mesg = self.ready, None, None
        return ready


class Connection(TConn):  # type: ignore[misc]
    """A client's connection. `timeout`: when to give up what it waits for, by time.monotonic().

    Its socket always blocks; what must not wait says so to the system (MSG_DONTWAIT). Changing that for each request
    would be calls to the system of their own.
    """

    wait: Wait | None  # what its request waits for: parking.py
    has_waited: bool
    late_answer: EarlierAnswer | None = None

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, AnswerSocket(sock), client, server)
        self.sock.setblocking(True)
        self.parser = Parser(cfg, self.sock, client)
        self.parser.unreader = self.reader = Reader(self.sock)
        self.initialized = self.data_ready = True  # gunicorn's threads need not wait for the first byte
        self._common = common_environ(cfg, client, server, self.sock)
        self.is_ended = self.is_closing = False
        self.discarded = 0
        self.begin()

    def begin(self, early: bytes = b"") -> None:
        """A new request. `early`: what the client has sent of it before the last one was answered."""
        self.is_large = self.has_waited = self.is_handed_over = False
        self.wait = None
        self._again = b""
        self._received, self._early = bytearray(early), bool(early)
        self._head = self._needs = 0  # bytes of the head, and of all; 0 while not known
        self._chunk = 0  # where the next chunk begins; 0 if the body has none
        self._begun_at = time.monotonic()
        self.timeout = self._begun_at + PATIENCE

    def begins_with(self, beginning: re.Pattern[bytes]) -> bool:
        """Whether the request begins so."""
        return beginning.match(self._received) is not None

    @property
    def everyday(self) -> Everyday | None:
        """The request that was handed over, where gunicorn need not read it."""
        return self.parser.ready

    @everyday.setter
    def everyday(self, request: Everyday) -> None:
        self.parser.ready = request

    @property
    def is_empty(self) -> bool:
        return not self._received

    def receive(self) -> Arrival:
        """Takes what has come, without waiting."""
        if self._early:
            self._early = False
            arrival = self.judge()
            if arrival is not Arrival.WAITS:
                return arrival
        while True:
            try:
                piece = self.sock.recv(BUFFER - len(self._received), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return Arrival.WAITS
            except OSError:
                return Arrival.GONE
            if not piece:
                return Arrival.WHOLE if self._received else Arrival.GONE
            searched = max(len(self._received) - 3, 0)
            self._received += piece
            arrival = self.judge(searched)
            if arrival is not Arrival.WAITS:
                return arrival

    def judge(self, searched: int = 0) -> Arrival:
        """Whether enough is there. `searched`: where the end of the head may begin at the earliest."""
        if not self._head and not self._find_head(searched):
            return Arrival.TOO_LONG if len(self._received) >= BUFFER else Arrival.WAITS
        if self._ends_in_chunks() if self._chunk else len(self._received) >= self._needs:
            return Arrival.WHOLE
        if len(self._received) >= BUFFER:
            return Arrival.LARGE
        self.timeout = self._begun_at + PATIENCE + (len(self._received) - self._head) / LEAST_RATE
        return Arrival.WAITS

    def _find_head(self, searched: int) -> bool:
        blank = self._received.find(b"\r\n\r\n", searched)
        end = blank + 4 if blank >= 0 else 0
        looked_at = searched, end or len(self._received)
        has_alone = self._received.count(b"\n", *looked_at) != self._received.count(b"\r\n", *looked_at)
        if has_alone and (alone := _ALONE.search(self._received, *looked_at)):
            self._head = self._needs = alone.end()
            self._begun_at = time.monotonic()
            return True
        if not end:
            return False
        self._head = self._needs = end
        self._begun_at = time.monotonic()
        head = bytes(self._received[:end])
        names = head.lower()
        if b"\r\nexpect:" in names:
            head = self._continue(head)
            names = head.lower()
        if b"\r\ntransfer-encoding:" in names and _CHUNKED.search(head):
            self._chunk = self._head
        elif (at := names.find(b"\r\ncontent-length:")) >= 0:
            length = _LENGTH.match(head, at)
            assert length
            self._needs += int(length[1] or b"0")
        return True

    def _continue(self, head: bytes) -> bytes:
        """Tells a client to go on that waits for it, so that no thread has to. gunicorn would do it, too, for every
        such request. So the header is cut out, and gunicorn does not do it again."""
        if _EXPECTS.search(head) and b" HTTP/1.1\r\n" in head:
            head = _EXPECTS.sub(b"", head)
            with contextlib.suppress(OSError):
                self.sock.send(CONTINUE, socket.MSG_DONTWAIT)
            self._received[: self._head] = head
            self._head = self._needs = len(head)
        return head

    def _ends_in_chunks(self) -> bool:
        """Whether the last chunk is there, or one that is not valid: gunicorn will refuse it."""
        while (line_end := self._received.find(b"\r\n", self._chunk)) >= 0:
            found = _SIZE.match(self._received, self._chunk)
            if found is None:
                return True
            size = int(found[1] or b"0", 16)
            if size == 0:  # trailers and an empty line follow
                return self._received.find(b"\r\n\r\n", line_end) >= 0
            self._chunk = line_end + 2 + size + 2
        return False

    def is_behind(self) -> bool:
        """Whether the client asks for more without reading what it got."""
        return bool(self.sock.unread(MOST_UNREAD) > MOST_UNREAD)

    def hand_over(self) -> None:
        """To gunicorn, which reads it from the beginning, unless it is an everyday request."""
        self.is_handed_over = True
        self.sock.begin_answer()
        received = bytes(self._received)
        self._received.clear()
        may_wait = len(received) == self._head <= MOST_KEPT  # it has no body, and nothing follows
        self._again = received if may_wait else b""
        self.sock.has_waited = self.has_waited if may_wait else None
        self.sock.late_answer, self.late_answer = self.late_answer, None
        if self._common and self._head and not self._chunk:
            self.parser.ready = Everyday.of(self._common, received, self._head)
        self._is_read = self.parser.ready is not None
        if not self._is_read:
            self.reader.begin(received)

    def ask_again(self, answer: EarlierAnswer | None) -> None:
        """The request begins once more, after it has waited: nothing of it was answered. `answer`: what it gets where
        the app is not asked again."""
        self.parser.mesg = None
        self.begin(self._again)
        self.has_waited, self.late_answer = True, answer

    def end(self) -> bool:
        """Says that no more comes from us. Returns False: the connection is not kept."""
        self.is_ended = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        return False

    def leftover(self) -> bytes:
        """What the client sent after the request that was answered."""
        return b"" if self._is_read else bytes(self.reader.take_buffered())
