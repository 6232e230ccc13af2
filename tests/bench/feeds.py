"""Programs that follow the pull feed, each over a connection of its own, all on one thread."""

import json
import selectors
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread
from urllib.parse import urlsplit

WAIT = 30  # seconds, the most that the feed waits


class Feeds:
    """Feeds of these webhooks, by their public ids: each asks again as soon as it is answered.

    `events`: how many came. `failed`: what was answered instead of 200.
    """

    def __init__(self, url: str, key: str, webhooks: Sequence[str]) -> None:
        self._address = urlsplit(url)
        self._key = key
        self._selector = selectors.DefaultSelector()
        self._received: dict[socket.socket, bytes] = {}
        self.events = 0
        self.failed: list[str] = []
        with ExitStack() as stack:
            for webhook in webhooks:
                sock = stack.enter_context(
                    socket.create_connection((self._address.hostname or "", self._address.port or 80))
                )
                self._selector.register(sock, selectors.EVENT_READ, webhook)
                self._ask(sock, "now")
            self._closing = stack.pop_all()

    def _ask(self, sock: socket.socket, after: str) -> None:
        self._received[sock] = b""
        query = f"after={after}&webhook={self._selector.get_key(sock).data}&wait={WAIT}"
        lines = [f"GET /api/v1/events?{query} HTTP/1.1", f"host: {self._address.netloc}"]
        sock.sendall("\r\n".join([*lines, f"authorization: Bearer {self._key}", "\r\n"]).encode())

    def read(self, seconds: float) -> None:
        """Reads what comes within these seconds, or the first of it."""
        for key, _ in self._selector.select(seconds):
            sock: socket.socket = key.fileobj  # type: ignore[assignment]
            received = sock.recv(65536)
            self._received[sock] += received
            head, found, body = self._received[sock].partition(b"\r\n\r\n")
            if not received or (found and b" 200 " not in head.split(b"\r\n")[0]):
                self.failed.append((head or b"closed").decode("latin-1")[:200])
                self._selector.unregister(sock)
            elif found and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
                page = json.loads(body)
                self.events += len(page["data"])
                self._ask(sock, page["next"])

    def close(self) -> None:
        self._closing.close()
        self._selector.close()


@contextmanager
def following(url: str, key: str, webhooks: Sequence[str]) -> Iterator[Feeds]:
    """Feeds of these webhooks wait while the block runs. Fails if one of them was refused."""
    feeds, is_over = Feeds(url, key, webhooks), Event()

    def follow() -> None:
        while not is_over.is_set():
            with suppress(TimeoutError):
                feeds.read(0.2)

    thread = Thread(target=follow, name="feeds")
    thread.start()
    try:
        yield feeds
    finally:
        is_over.set()
        thread.join()
        feeds.close()
    assert not feeds.failed, feeds.failed[:3]
