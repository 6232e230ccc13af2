"""gunicorn's threaded worker, but a thread is taken by a request that has arrived, not by a client that stalls.

gunicorn's own worker gives a connection a thread when its first byte comes. The thread waits for the rest as long as
the client likes, and closing a connection may hold up the whole process for two seconds. So 32 clients that stop in the
middle would stop Leadhook. Here one loop waits for all clients of a process (docs/adr/0016-clients-that-stall.md):

- A request of up to 64 KB gets a thread when all of it is there. A larger one is read by a few threads of its own, so
  uploads wait only for one another. A head of more than 64 KB is refused.
- Posts of forms that come at the same time share one thread, and views of forms another one: together.py.
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
from contextlib import suppress
from functools import partial
from re import Pattern
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from webapp.servers import open_files
from webapp.servers.answering import Answering
from webapp.servers.even_share import EvenShare
from webapp.servers.incoming import Arrival, Connection
from webapp.servers.request_threads import RequestThreads
from webapp.servers.together import TOGETHER, Elsewhere, Together, beginnings
from webapp.servers.waits import Waits

SEND_BUFFER = 256 * 1024  # bytes; more than any page, style or script that a visitor gets
MOST_UPLOADS = 64  # large requests that wait for a thread: they cannot be closed for new connections
LINGER = 2.0  # seconds to read our last answer before the connection is closed
MOST_DISCARDED = 64 * 1024  # bytes that a client may still send meanwhile
PAUSE = 0.0005  # seconds that the loop stands still while a thread works on many requests, so that the thread gets on
LOOK = 0.5  # seconds between two looks for clients that are late
OPEN_FILES = 4096  # a process has up to 1,000 connections, and needs files for the rest
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
TOO_LATE = frozenset({errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK})
TOO_SLOW = 408, "Request Timeout", "The request did not arrive in time."
TOO_LONG = 431, "Request Header Fields Too Large", "The head of the request is too long."
TOO_MANY = 503, "Service Unavailable", "Too many large requests arrive just now. Send it again in a moment."


class PatientWorker(Answering):
    """The loop looks at what has come, without waiting, and hands a whole request to a thread. The thread gives a kept
    connection back to the loop itself: all that the loop does for such a request is to see that it comes.

    Methods run in the loop's thread, except `_work`, `_keep`, `handle` and what they call. `waiting` has the
    connections that the loop waits for. Threads only add to it, in one step, once the poller knows the connection; the
    loop alone takes out. What else a thread wants done, it defers to the loop.
    """

    def init_process(self) -> None:
        self.waiting = {}
        upload_threads = max(1, self.cfg.threads // 2)
        self.threads = RequestThreads(self.cfg.threads, "request", self._work)
        self.uploads = RequestThreads(upload_threads, "upload", self._work)
        self.woken = RequestThreads(1, "woken", self._work)
        self.together: dict[Pattern[bytes], Together] = {}
        self._free_uploads = MOST_UPLOADS + upload_threads
        self.cfg.set("sendfile", False)  # Python's waits for a reader without a limit
        self._share = EvenShare(self.age)
        self._looked_at = 0.0
        self._keepalive = self.cfg.keepalive
        open_files.allow(OPEN_FILES)
        try:
            super().init_process()  # until the process ends
        finally:
            for threads in (self.threads, self.uploads, self.woken, *self.together.values()):
                threads.end()

    def run(self) -> None:
        for beginning in beginnings(self.wsgi):
            self.together[beginning] = Together(partial(self._work, beside=True))
        super().run()

    def accept(self, listener: Any) -> None:
        if self.cfg.is_ssl or self.cfg.protocol != "http":
            super().accept(listener)
            return
        if self._share.steps_back(self.nr_conns):
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
        self._look(Connection(self.cfg, client, address, listener.getsockname()))

    def _look(self, conn: Connection) -> None:
        arrival = conn.receive()
        if arrival is not Arrival.WHOLE:
            self._go_on(conn, arrival)
            return
        threads: RequestThreads = self.threads
        for beginning, together in self.together.items():
            if conn.begins_with(beginning):
                self.threads.begin()  # for what goes on there
                threads = together
        threads.put(conn)

    def _begins_beside(self, conn: Connection) -> bool:
        """In the thread that works on several: whether it may. What gunicorn must read may wait for the client."""
        if conn.is_behind():
            return False
        conn.hand_over()
        if conn.everyday:
            conn.everyday.environ[TOGETHER] = True
        return conn.everyday is not None

    def _work(self, conn: Connection, beside: bool = False) -> None:
        """In a thread. Never raises: the thread goes on with the next connection."""
        try:
            if beside and not self._begins_beside(conn):
                self.threads.put(conn)
                return
            result = self.handle(conn)
        except Elsewhere:
            self.threads.put(conn)
            return
        except Waits as waits:
            self._park(conn, waits)
            return
        except BaseException:  # noqa: BLE001
            result = conn.end()
        if result is True and not conn.is_large:
            self._keep(conn)
        else:
            self.method_queue.defer(self._go_on, conn, result)

    def _keep(self, conn: Connection) -> None:
        """In any thread. Until the next request comes, or the client leaves."""
        if leftover := conn.leftover():
            conn.begin(leftover)
            self.method_queue.defer(self._look, conn)
            return
        seconds = self._keepalive if self.alive else min(self._keepalive, STOP_KEEPALIVE_LINGER)
        conn.timeout = time.monotonic() + seconds
        self._wait(conn, self._next_came)

    def handle(self, conn: Any) -> Any:
        """In a thread. Whether the connection is kept."""
        if not isinstance(conn, Connection):
            return super().handle(conn)
        if not conn.is_handed_over:
            if conn.is_behind():
                return conn.end()
            conn.hand_over()
        return super().handle(conn) or conn.end()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """gunicorn looks at its parent, its file and its clocks after each call. While requests come, that would cost
        more than all else in this loop, so it does so every LOOK seconds."""
        looks_at = time.monotonic() + LOOK
        has_come = self._dispatch(timeout if self.alive else min(timeout, LOOK))
        while has_come and self.alive and self.nr_conns < self.worker_connections:
            if (left := looks_at - time.monotonic()) <= 0:
                return
            has_come = self._dispatch(left)

    def _dispatch(self, timeout: float) -> bool:
        """Whether anything came."""
        if self.alive:
            self._share.say(self.nr_conns)
        else:
            self._share.end()
        if any(each.has_many for each in self.together.values()):
            time.sleep(PAUSE)  # each of its answers brings a client's next request: some of them are taken at once
        events = self.poller.select(timeout)
        for key, _ in events:
            key.data(key.fileobj)
        return bool(events)

    def murder_pending(self) -> None:
        """gunicorn's loop calls this at least once a second."""
        super().murder_pending()
        now = time.monotonic()
        if now < self._looked_at + LOOK:
            return
        self._looked_at = now
        # Once the process stops, none waits for news, also none that began to wait after `_cap_keepalive`.
        stops = not self.alive
        for conn in [each for each in list(self.waiting) if each.timeout <= now or (stops and each.wait)]:
            if conn.wait:
                self._resume(conn)
                continue
            self._stop_waiting(conn)
            if conn.is_closing or conn.is_empty:
                self._close(conn)
            else:
                self._refuse(conn, *TOO_SLOW)

    def _cap_keepalive(self, deadline: float) -> None:
        """The process stops. A client that has begun to send a request may finish it."""
        super()._cap_keepalive(deadline)
        for conn in list(self.waiting):
            if conn.is_empty:
                conn.timeout = min(conn.timeout, deadline)

    def _go_on(self, conn: Connection, result: Arrival | bool) -> None:
        """After a thread had the connection. `result`: as `handle` returns it."""
        if conn.is_large:
            self._free_uploads += 1
        if result is True:
            self._keep(conn)
        elif result is False:
            self._close_gently(conn)
        elif result is Arrival.GONE:
            self._close(conn)
        elif result is Arrival.TOO_LONG:
            self._refuse(conn, *TOO_LONG)
        elif result is Arrival.LARGE and self._free_uploads <= 0:
            self._refuse(conn, *TOO_MANY)
        elif result is Arrival.LARGE:
            conn.is_large = True
            self._free_uploads -= 1
            self.uploads.put(conn)
        elif conn.timeout <= time.monotonic():
            self._refuse(conn, *TOO_SLOW)
        else:
            self._wait(conn, self._more_came)

    def _next_came(self, conn: Connection) -> None:
        conn.begin()
        self._more_came(conn)

    def _more_came(self, conn: Connection) -> None:
        self._stop_waiting(conn)
        self._look(conn)

    def _refuse(self, conn: Connection, code: int, name: str, words: str) -> None:
        with suppress(OSError):
            head = f"HTTP/1.1 {code} {name}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
            text = f"{head}Content-Length: {len(words) + 1}\r\n\r\n{words}\n"
            conn.sock.send(text.encode(), socket.MSG_DONTWAIT)
        self._close_gently(conn)

    def _close_gently(self, conn: Connection) -> None:
        """Closes a connection once its client has read the answer, or has left: unread bytes would take it away."""
        if not conn.is_ended:
            conn.end()
        conn.is_closing, conn.timeout = True, time.monotonic() + LINGER
        self._wait(conn, self._discard)

    def _discard(self, conn: Connection) -> None:
        try:
            piece = conn.sock.recv(MOST_DISCARDED, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        conn.discarded += len(piece)
        if not piece or conn.discarded > MOST_DISCARDED:
            self._stop_waiting(conn)
            self._close(conn)
