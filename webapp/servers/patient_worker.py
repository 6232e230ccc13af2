"""gunicorn's threaded worker, but a thread is taken by a request that has arrived, not by a client that stalls.

gunicorn's own worker gives a connection a thread when its first byte comes. The thread waits for the rest as long as
the client likes, and closing a connection may hold up the whole process for two seconds. So 32 clients that stop in the
middle would stop Leadhook. Here one loop waits for all clients of a process (docs/adr/0016-clients-that-stall.md):

- A request of up to 64 KB gets a thread when all of it is there. A larger one is read by a few threads of its own, so
  uploads wait only for one another. A head of more than 64 KB is refused.
- A head must be there after 10 seconds. A body has 10 seconds and one more for every 4 KB that came. Else: 408.
- The system takes a whole page of an answer (SEND_BUFFER). For the rest of a longer one, a client may keep us waiting
  for 10 seconds, and one more for every 4 KB that it read. The next answer begins when the last one is read.
- If there are too many connections, the one that has waited longest is closed for a new one. Of large requests, at most
  64 wait for a thread.

Keep-alive, the graceful stop and all limits are gunicorn's. With TLS in gunicorn itself, its own behaviour stays.
"""

import errno
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import ThreadWorker

from webapp.servers import open_files
from webapp.servers.incoming import Arrival, ChecksChunks, Connection

SEND_BUFFER = 256 * 1024  # bytes; more than any page, style or script that a visitor gets
MOST_UPLOADS = 64  # large requests that wait for a thread: they cannot be closed for new connections
LINGER = 2.0  # seconds to read our last answer before the connection is closed
MOST_DISCARDED = 64 * 1024  # bytes that a client may still send meanwhile
LOOK = 0.5  # seconds between two looks for clients that are late
OPEN_FILES = 4096  # a process has up to 1,000 connections, and needs files for the rest
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
TOO_LATE = frozenset({errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK})
TOO_SLOW = 408, "Request Timeout", "The request did not arrive in time."
TOO_LONG = 431, "Request Header Fields Too Large", "The head of the request is too long."
TOO_MANY = 503, "Service Unavailable", "Too many large requests arrive just now. Send it again in a moment."


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A thread looks at what has come, without waiting, and goes on if that is a whole request. So it is as quick as
    gunicorn's own worker: the loop, through which all requests pass, does no more than there. Else the connection goes
    back to the loop until more comes.

    Methods run in the loop's thread, except `handle` and `handle_request`.
    """

    def init_process(self) -> None:
        self.waiting: dict[Connection, None] = {}  # for their client, in the order in which they began to
        upload_threads = max(1, self.cfg.threads // 2)
        self.uploads = ThreadPoolExecutor(upload_threads, "upload")
        self._free_uploads = MOST_UPLOADS + upload_threads
        self.cfg.set("sendfile", False)  # Python's waits for a reader without a limit
        self._looked_at = 0.0
        open_files.allow(OPEN_FILES)
        super().init_process()

    def accept(self, listener: Any) -> None:
        if self.cfg.is_ssl or self.cfg.protocol != "http":
            super().accept(listener)
            return
        try:
            client, address = listener.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        except OSError as error:
            if error.errno in OUT_OF_FILES:
                self._make_room()
            elif error.errno not in (*TOO_LATE, errno.EINVAL):  # EINVAL: on macOS, of a client that has left
                raise
            return
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        self.enqueue_req(Connection(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """A connection that was kept alive has its next request, or was closed."""
        if isinstance(conn, Connection):
            conn.begin()
        super().on_client_socket_readable(conn, client)

    def enqueue_req(self, conn: Any) -> None:
        pool = self.uploads if getattr(conn, "is_large", False) else self.tpool
        future: Future[Any] = pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def handle(self, conn: Any) -> Any:
        """In a thread. An Arrival if the request is not all there, else whether the connection is kept."""
        if not isinstance(conn, Connection):
            return super().handle(conn)
        if not conn.is_large:
            arrival = conn.receive()
            if arrival is not Arrival.WHOLE:
                return arrival
        if conn.is_behind():
            return conn.end()
        conn.hand_over()
        return super().handle(conn) or conn.end()

    def handle_request(self, req: Any, conn: Any) -> bool:
        """In a thread. A client that does not read is like one that has left: no line in the log."""
        req.body.reader = ChecksChunks(req.body.reader)
        try:
            return bool(super().handle_request(req, conn))
        except BlockingIOError:  # the patience of AnswerSocket is over
            raise NoMoreData from None

    def finish_request(self, conn: Any, fs: "Future[Any]") -> None:
        if not isinstance(conn, Connection):
            super().finish_request(conn, fs)
            return
        if conn.is_large:
            self._free_uploads += 1
        result = False if fs.cancelled() or fs.exception() else fs.result()
        if isinstance(result, Arrival):
            self._go_on(conn, result)
        elif not result:
            self._close_gently(conn)
        elif leftover := conn.leftover():
            conn.sock.setblocking(False)
            conn.begin(leftover)
            self.enqueue_req(conn)
        else:
            super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """gunicorn's loop calls this at least once a second."""
        super().murder_pending()
        now = time.monotonic()
        if now < self._looked_at + LOOK:
            return
        self._looked_at = now
        for conn in [each for each in self.waiting if each.timeout <= now]:
            self._stop_waiting(conn)
            if conn.is_closing or conn.is_empty:
                self._close(conn)
            else:
                self._refuse(conn, *TOO_SLOW)

    def murder_keepalived(self, force: bool = False) -> None:
        super().murder_keepalived(force)
        if force:  # the end of the process
            self.uploads.shutdown(wait=False, cancel_futures=True)

    def _cap_keepalive(self, deadline: float) -> None:
        """The process stops. A client that has begun to send a request may finish it."""
        super()._cap_keepalive(deadline)
        for conn in self.waiting:
            if conn.is_empty:
                conn.timeout = min(conn.timeout, deadline)

    def _go_on(self, conn: Connection, arrival: Arrival) -> None:
        if arrival is Arrival.GONE:
            self._close(conn)
        elif arrival is Arrival.TOO_LONG:
            self._refuse(conn, *TOO_LONG)
        elif arrival is Arrival.LARGE and self._free_uploads <= 0:
            self._refuse(conn, *TOO_MANY)
        elif arrival is Arrival.LARGE:
            conn.is_large = True
            self._free_uploads -= 1
            self.enqueue_req(conn)
        elif conn.timeout <= time.monotonic():
            self._refuse(conn, *TOO_SLOW)
        else:
            self._wait(conn, self._more_came)

    def _more_came(self, conn: Connection) -> None:
        self._stop_waiting(conn)
        self.enqueue_req(conn)

    def _refuse(self, conn: Connection, code: int, name: str, words: str) -> None:
        with suppress(OSError):
            head = f"HTTP/1.1 {code} {name}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
            conn.sock.send(f"{head}Content-Length: {len(words) + 1}\r\n\r\n{words}\n".encode())
        self._close_gently(conn)

    def _close_gently(self, conn: Connection) -> None:
        """Closes a connection once its client has read the answer, or has left: unread bytes would take it away."""
        if not conn.is_ended:
            conn.end()
        conn.is_closing, conn.timeout = True, time.monotonic() + LINGER
        self._wait(conn, self._discard)

    def _discard(self, conn: Connection) -> None:
        try:
            piece = conn.sock.recv(MOST_DISCARDED)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        conn.discarded += len(piece)
        if not piece or conn.discarded > MOST_DISCARDED:
            self._stop_waiting(conn)
            self._close(conn)

    def _wait(self, conn: Connection, readable: Callable[[Connection], None]) -> None:
        try:
            self.poller.register(conn.sock, EVENT_READ, partial(self._when_readable, conn, readable))
        except (OSError, ValueError, KeyError):  # it is closed already, or the system has no more memory for it
            self._close(conn)
            return
        self.waiting[conn] = None
        if self.nr_conns >= self.worker_connections:  # the loop accepts none now, and there was none to close before
            self._make_room(but=conn)

    def _when_readable(self, conn: Connection, readable: Callable[[Connection], None], _: Any) -> None:
        if conn in self.waiting:  # else it was closed a moment ago, for a new connection
            readable(conn)

    def _stop_waiting(self, conn: Connection) -> None:
        del self.waiting[conn]
        self.poller.unregister(conn.sock)

    def _make_room(self, but: Connection | None = None) -> None:
        """Closes the connection that has waited longest for its client; else one between two requests."""
        conn = next((each for each in self.waiting if each is not but), None)
        if conn:
            self._stop_waiting(conn)
            self._close(conn)
        elif self.keepalived_conns:
            idle = self.keepalived_conns.popleft()
            self.poller.unregister(idle.sock)
            self._close(idle)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()
