"""Error pages, and the same errors as JSON where JSON was asked for: sentences for the person who can act on them."""

import time

import structlog
from flask import Flask, Response, jsonify, render_template, request
from flask.globals import request_ctx
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from webapp.extensions import db, limiter
from webapp.ids import ulid

log = structlog.get_logger()

# Instead of werkzeug's own, which speak to programmers; what a view says itself stays.
WORDS = {
    400: "The request could not be read.",
    405: "This address does not take requests of that kind.",
    413: "That is more than can be taken at once: 256 KB, in at most 500 fields.",
    415: "This address does not take content of that kind.",
    429: "Too many requests came from your network just now. Wait a moment, then try again.",
}


def init_app(app: Flask) -> None:
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, _crash)
    app.after_request(_say_when)


def wants_json() -> bool:
    """Whether the client prefers JSON to a page."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], default="text/html")
    return best == "application/json"


def _csrf(error: CSRFError) -> tuple[str | Response, int]:
    words = "This page was open for too long or came from elsewhere. Nothing was changed: go back, reload, try again."
    if wants_json():
        return jsonify(error=words), 400
    return render_template("errors/error.html", title="Please try that again", text=words), 400


def http_error(error: HTTPException) -> Response | tuple[str | Response, int]:
    """What went wrong, under its code, as a page or as JSON, with the headers that belong to it (Retry-After)."""
    code = error.code or 500
    words = _words(error)
    if request_ctx.url_adapter is None:  # a Host that is none: no page can be made, for none of its links can
        response = Response(f"{words}\n", code, mimetype="text/plain")
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


def _say_when(response: Response) -> Response:
    """Gives a 429 the seconds until there is room again."""
    limit = limiter.current_limit if response.status_code == 429 else None
    if limit:
        response.headers["Retry-After"] = str(max(1, int(limit.reset_at - time.time())))
    return response


def _words(error: HTTPException) -> str:
    """What the view said of it, or else ours for its code."""
    theirs = error.description or ""
    return WORDS.get(error.code or 500, theirs) if theirs == (type(error).description or "") else theirs


def _crash(error: Exception) -> tuple[str | Response, int]:
    """500 needs no database and no session; its id stands in the log beside the traceback."""
    db.session.rollback()
    request_id = f"req_{ulid()}"
    log.error("request failed", request_id=request_id, endpoint=request.endpoint, exc_info=error)
    if wants_json():
        return jsonify(error="Something went wrong on our side.", request_id=request_id), 500
    return render_template("errors/500.html", request_id=request_id), 500
