"""Pages that search take turns (db/slow_reads.py), and say so where there is none.

Where too many search already, the answer is made before anything is read, even before the user: it must cost far less
than a page, because somebody may ask again and again. So Flask makes it once, and it is kept.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import parse_qsl

from flask import Flask, Response, current_app, request
from werkzeug.wsgi import ClosingIterator

from webapp.db.slow_reads import Busy, searches
from webapp.extensions import db
from webapp.web.error_pages import http_error

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

V = TypeVar("V", bound=Callable[..., Any])
MOST_KEPT = 32  # answers
_EARLY = "leadhook.refused_early"  # in the WSGI environment
# What an answer depends on.
_KIND = ("HTTP_HOST", "HTTP_ACCEPT", "HTTP_HX_REQUEST", "wsgi.url_scheme", "SCRIPT_NAME", "REQUEST_METHOD", "PATH_INFO")


def takes_turns(view: V) -> V:
    """Marks a view that may read for long: with a `q` in its address, or a status and an interface, it waits for its
    turn. An interface with a million leads and none of the status is read to its end."""

    @wraps(view)
    def waiting(*args: Any, **kwargs: Any) -> Any:
        with searches.turn(_may_read_long()):
            return view(*args, **kwargs)

    waiting.takes_turns = True  # type: ignore[attr-defined]
    return cast(V, waiting)


def init_app(app: Flask) -> None:
    """Must come before security.py, which reads the user."""
    app.before_request(_refuse_early)
    app.register_error_handler(Busy, _busy)


def _refuse_early() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "takes_turns", False) and _may_read_long():
        try:
            searches.refuse_if_full()
        except Busy:
            request.environ[_EARLY] = True
            raise


def _may_read_long() -> bool:
    return _is_long(request.args)


def _is_long(query: Mapping[str, str]) -> bool:
    return bool(query.get("q", "").strip() or (query.get("status") and query.get("interface")))


def _busy(error: Busy) -> Response | tuple[str | Response, int]:
    db.session.rollback()  # a read that was stopped has ended its transaction
    return http_error(error)


class RefusesEarly:
    """WSGI middleware around Flask: a search that is refused early gets the answer that the first one got."""

    def __init__(self, app: Flask) -> None:
        self._app, self._flask = app, app.wsgi_app
        self._kept: dict[tuple[str | None, ...], tuple[str, list[tuple[str, str]], bytes]] = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not environ.get("QUERY_STRING"):
            return self._flask(environ, start_response)
        kind = tuple(map(environ.get, _KIND))
        kept = self._kept.get(kind)
        if kept and self._is_refused(environ["QUERY_STRING"]):
            start_response(*kept[:2])
            return [kept[2]]
        begun: list[Any] = []

        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            begun[:] = status, headers
            return start_response(status, headers, *error)

        answer = self._flask(environ, begin)
        if _EARLY not in environ:  # a page of somebody, never to be kept
            return answer
        with closing(ClosingIterator(answer)) as parts:
            body = b"".join(parts)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[kind] = begun[0], begun[1], body
        return [body]

    def _is_refused(self, query: str) -> bool:
        is_full: bool = self._app.extensions["leadhook_searches"].is_full
        return is_full and _is_long(
            dict(parse_qsl(query, keep_blank_values=True)[::-1])
        )  # of several values the first counts, as in Flask
