"""Pages that search take turns (db/slow_reads.py), and say so where there is none.

Where too many search already, the answer is made before anything is read, even before the user: it must cost far less
than a page, because somebody may ask again and again.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, request

from webapp.db.slow_reads import Busy, searches
from webapp.extensions import db
from webapp.web.error_pages import http_error

V = TypeVar("V", bound=Callable[..., Any])


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
        searches.refuse_if_full()


def _may_read_long() -> bool:
    given = request.args.get
    return bool(given("q", "").strip() or (given("status") and given("interface")))


def _busy(error: Busy) -> Response | tuple[str | Response, int]:
    db.session.rollback()  # a read that was stopped has ended its transaction
    return http_error(error)
