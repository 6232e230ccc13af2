"""Long polling: a request that found nothing waits in the server, without a thread (servers/parking.py), and is
asked once more when there is news. A server that cannot do that sends the empty answer at once, with Retry-After."""

from collections.abc import Callable, Mapping

from flask import Flask, current_app, request

from webapp.servers.waits import WAIT, WAITED
from webapp.services.webhooks.feed_watch import Waiter, watch

RETRY_AFTER = 2  # seconds


class FeedWait:
    """What the server waits for: news of a webhook, or the end of these seconds."""

    def __init__(self, app: Flask, webhook_id: int, after: int, seconds: int) -> None:
        self.seconds = seconds
        self._app, self._webhook_id, self._after = app, webhook_id, after
        self._waiter: Waiter | None = None

    def begin(self, wake: Callable[[], object]) -> None:
        self._waiter = Waiter(self._webhook_id, self._after, wake)
        with self._app.app_context():
            watch.add(self._waiter, self._app)

    def end(self) -> None:
        if self._waiter:
            with self._app.app_context():
                watch.remove(self._waiter)


def wait_for(webhook_id: int, after: int, seconds: int) -> Mapping[str, str]:
    """Has the server hold this request, if it has not waited yet; the headers for the answer that it may send instead.
    If the server waits, it sends the answer only where nothing comes in time."""
    has_waited = request.environ.get(WAITED)
    if has_waited is False:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        request.environ[WAIT] = FeedWait(app, webhook_id, after, seconds)
    return {"Retry-After": str(RETRY_AFTER)} if has_waited is None else {}
