"""All that is known of htmx (4.0.1) headers. One URL serves the page and its partial, told apart by HX-Request."""

import json

from flask import Flask, Response, render_template, request


def asked() -> bool:
    """Whether htmx asks, and wants the partial and not the page."""
    return request.headers.get("HX-Request") == "true"


def target_tag() -> str:
    """The tag of the element that will be replaced, such as `tr`; empty where htmx did not say."""
    return request.headers.get("HX-Target", "").partition("#")[0].lower()


def toast(response: Response, words: str) -> Response:
    """Has the words shown, and read aloud, once the response has been swapped in (app.js)."""
    response.headers["HX-Trigger"] = json.dumps({"toast": words})
    return response


def focus(response: Response, element_id: str, address: str) -> Response:
    """Gives the focus to an element once the response has been swapped in (app.js), and has the address shown."""
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


def page_or_partial(page: str, partial: str, **context: object) -> str:
    """Renders the partial for htmx, else the whole page."""
    return render_template(partial if asked() else page, **context)
