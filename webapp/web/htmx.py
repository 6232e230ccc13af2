"""Reads and writes the headers of htmx (4.0.1). One URL serves a page and its partial; HX-Request says which."""

import json

from flask import Flask, Response, request


def asked() -> bool:
    """Whether the request comes from htmx, which wants the partial and not the page."""
    return request.headers.get("HX-Request") == "true"


def target_tag() -> str:
    """The tag of the element that will be replaced, such as `tr`; empty if htmx did not send it."""
    return request.headers.get("HX-Target", "").partition("#")[0].lower()


def toast(response: Response, words: str) -> Response:
    """Makes app.js show the words, and screen readers read them, after the response is swapped in."""
    response.headers["HX-Trigger"] = json.dumps({"toast": words})
    return response


def focus(response: Response, element_id: str, address: str) -> Response:
    """Makes app.js focus an element after the response is swapped in, and the browser show the address."""
    events = json.loads(response.headers.get("HX-Trigger", "{}"))
    response.headers["HX-Trigger"] = json.dumps({**events, "focuson": element_id})
    response.headers["HX-Push-Url"] = address
    return response


def init_app(app: Flask) -> None:
    app.after_request(_vary)


def _vary(response: Response) -> Response:
    if response.mimetype == "text/html":
        response.vary.add("HX-Request")
    return response
