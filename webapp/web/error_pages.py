"""Error pages, and the same errors as JSON for clients that prefer it: sentences for the person who can act on them."""

import time

import structlog
from flask import Flask, Response, jsonify, render_template, request
from flask.globals import request_ctx
from flask_wtf.csrf import CSRFError
from sqlalchemy.orm.exc import ObjectDeletedError
from werkzeug.exceptions import HTTPException, NotFound

from webapp.extensions import db, limiter
from webapp.ids import ulid
from webapp.web.api import problems
from webapp.web.api.problems import Problem

log = structlog.get_logger()

# These replace werkzeug's own texts, which are for programmers. A text that a view gives is kept.
WORDS = {
    400: "The request could not be read.",
    405: "This address does not accept this kind of request.",
    413: "This is too much for one request: at most 256 KB in 500 fields are accepted.",
    415: "This address does not accept this kind of content.",
    429: "Too many requests came from your network just now. Wait a moment, then try again.",
}


CRASHED = "Something went wrong on our side."


def init_app(app: Flask) -> None:
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Problem, problems.response)
    app.register_error_handler(ObjectDeletedError, _deleted)
    app.register_error_handler(Exception, _crash)
    app.after_request(_set_retry_after)


def wants_json() -> bool:
    """Whether the client prefers JSON to a page."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], default="text/html")
    return best == "application/json"


def _csrf(error: CSRFError) -> tuple[str | Response, int]:
    words = (
        "This page was open for too long, or the request came from another site. "
        "Nothing was changed. Go back, reload the page and try again."
    )
    if wants_json():
        return jsonify(error=words), 400
    return render_template("errors/error.html", title="Please try that again", text=words), 400


def http_error(error: HTTPException) -> Response | tuple[str | Response, int]:
    """The error as a page or as JSON, with its code and its headers (such as Retry-After)."""
    code = error.code or 500
    words = _words(error)
    if request_ctx.url_adapter is None:  # the Host header is not valid, so no page with links can be made
        response = Response(f"{words}\n", code, mimetype="text/plain")
    elif problems.applies():
        is_ours = code == 404 and error.description == NotFound.description
        response = problems.response(Problem(code, problems.not_found() if is_ours else words))
    elif wants_json():
        response = jsonify(error=words)
        response.status_code = code
    elif code == 404:
        response = Response(render_template("errors/404.html"), 404)
    else:
        response = Response(render_template("errors/error.html", title=error.name, text=words), code)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _deleted(error: ObjectDeletedError) -> Response | tuple[str | Response, int]:
    """404: another request deleted a row after a view loaded it and before the view's transaction began."""
    db.session.rollback()
    return http_error(NotFound())


def _set_retry_after(response: Response) -> Response:
    """Adds to a 429 the seconds until the next request is accepted."""
    limit = limiter.current_limit if response.status_code == 429 else None
    if limit:
        response.headers["Retry-After"] = str(max(1, int(limit.reset_at - time.time())))
    return response


def _words(error: HTTPException) -> str:
    """The text that the view gave, else ours for the code."""
    theirs = error.description or ""
    return WORDS.get(error.code or 500, theirs) if theirs == (type(error).description or "") else theirs


def note_crash(error: Exception) -> str:
    """Writes the traceback to the log; the request id under which it is there. What the request changed is undone."""
    db.session.rollback()
    request_id = f"req_{ulid()}"
    log.error("request failed", request_id=request_id, endpoint=request.endpoint, exc_info=error)
    return request_id


def _crash(error: Exception) -> tuple[str | Response, int]:
    """The 500 page needs no database and no session. Its request id is in the log with the traceback."""
    request_id = note_crash(error)
    if problems.applies():
        return problems.response(Problem(500, CRASHED, more={"request_id": request_id})), 500
    if wants_json():
        return jsonify(error=CRASHED, request_id=request_id), 500
    return render_template("errors/500.html", request_id=request_id), 500
