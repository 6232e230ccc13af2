"""A request that waits for news without a thread: how the app says so, and what the server is told.

The server offers it in the environ: `leadhook.waited` is False, and True once there is news. An app that has nothing to
say yet puts a Wait into `leadhook.waits_for`, and answers as if there were no such server. That answer is sent if the
time is over before there is news; else the app is asked once more.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

WAITED, WAIT = "leadhook.waited", "leadhook.waits_for"


class Wait(Protocol):
    """What a request waits for, and for how many seconds at most."""

    seconds: int

    def begin(self, wake: Callable[[], object]) -> None:
        """Has `wake` called once, from any thread, when there is news."""

    def end(self) -> None:
        """Nothing needs to be called any more. Also without `begin`, and after `wake`."""


class EarlierAnswer(NamedTuple):
    """What the app answered before the wait."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Waits(BaseException):
    """The request waits."""

    def __init__(self, wait: Wait, answer: EarlierAnswer) -> None:
        super().__init__()
        self.wait, self.answer = wait, answer


def offered(app: Callable[..., Any]) -> Callable[..., Any]:
    """The WSGI app, with the offer to wait; raises Waits where the app takes it."""

    def ask(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        sock = environ.get("gunicorn.socket")
        if late := getattr(sock, "late_answer", None):
            start_response(late.status, late.headers)
            return [late.body]
        has_waited = getattr(sock, "has_waited", None)
        if has_waited is None:
            return app(environ, start_response)  # type: ignore[no-any-return]
        environ[WAITED] = has_waited
        said: list[Any] = []

        def begin(status: str, headers: Any, *error: Any) -> Any:
            said[:] = status, headers
            return start_response(status, headers, *error)

        body = app(environ, begin)
        if (wait := environ.get(WAIT)) is None:
            return body  # type: ignore[no-any-return]
        text = b"".join(body)
        if hasattr(body, "close"):
            body.close()
        raise Waits(wait, EarlierAnswer(said[0], list(said[1]), text))

    return ask
