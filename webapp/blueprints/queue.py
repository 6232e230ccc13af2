"""The RQ dashboard at /rq, for the operator.

rq-dashboard 0.9 does not support our sign-in, JSON jobs or unix sockets. It posts without CSRF tokens, and one of its
GETs changes state. This module corrects all of that. The dashboard's blueprint is one object for all apps, so the
corrections are made once, on import.
"""

import secrets
from functools import partial
from typing import Any

import rq_dashboard
from flask import Blueprint, Response, abort, current_app, jsonify, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue, Worker
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import JOB_ID_PATTERN, Job, requeue_job
from rq.serializers import JSONSerializer
from rq_dashboard import web as dashboard
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from webapp.delivery import rings
from webapp.extensions import csrf
from webapp.servers import redis_server
from webapp.web.error_pages import wants_json

REDIS_TIMEOUT = 3.0  # seconds; a person waits, but these pages read long lists
REGISTRIES = frozenset({"queued", "scheduled", "deferred", "started", "finished", "failed", "canceled"})
PER_PAGE = range(1, 201)

# The browser compiles its templates (underscore calls new Function), so it needs 'unsafe-eval'. Its one inline script
# gets a nonce instead of 'unsafe-inline', so that no text from a job can run as a script.
CSP = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self'; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
REPLACEMENTS = (
    ('<script type="text/javascript">', '<script nonce="{nonce}">'),
    ("<%= d.", "<%- d."),  # it does not escape descriptions and tracebacks
    ('"/static/favicon.ico"', '"{icon}"'),  # it asks the app, which has no such file
    ("</head>", '<link rel="stylesheet" href="{css}"></head>'),
    ('<a class="navbar-brand">RQ-dashboard</a>', '<a class="navbar-brand" href="{home}">Leadhook</a>'),
)

blueprint = Blueprint("queue", __name__)


@blueprint.get("/rq")
def index() -> BaseResponse:
    return redirect(url_for("rq_dashboard.queues_overview"), 303)


class _JSONJob(Job):
    """A job whose default serializer is JSON: pickle could run code that is stored in Redis."""

    @classmethod
    def fetch(cls, id: str, connection: "Redis | None" = None, serializer: Any = JSONSerializer) -> Job:  # noqa: A002
        return super().fetch(id, connection=connection, serializer=serializer)


class _OurQueue(Queue):
    """A queue with JSON jobs. The list has all of Leadhook's queues, including those that have never held a job."""

    def __init__(self, name: str = rings.FAST, *args: Any, **options: Any) -> None:
        super().__init__(name, *args, **{"serializer": JSONSerializer, **options})

    @classmethod
    def all(cls, connection: "Redis", *args: Any, **options: Any) -> list[Queue]:
        ours = [cls(name, connection=connection) for name in rings.NAMES]
        return ours + [queue for queue in super().all(connection, *args, **options) if queue.name not in rings.NAMES]

    def compact(self) -> None:
        if not self.is_empty():  # Redis refuses to rename a missing key
            super().compact()  # type: ignore[no-untyped-call]


class _JSONWorker(Worker):
    @classmethod
    def all(cls, *args: Any, **options: Any) -> Any:
        return super().all(*args, **{"serializer": JSONSerializer, **options})


def _guard() -> None:
    """Checks a request before the dashboard runs: its origin, its address, and whether Redis answers.

    The table of roles has already checked the user.
    """
    if request.endpoint == "rq_dashboard.static":
        return
    if request.method == "POST":
        if request.headers.get("Sec-Fetch-Site") != "same-origin":
            abort(403, "You can change jobs only from the dashboard's own pages, in a browser and over HTTPS.")
    elif request.endpoint == "rq_dashboard.requeue_all":
        abort(405, valid_methods=["POST"])
    if not _is_known_address(request.view_args or {}):
        abort(404)
    current_app.redis_conn.ping()  # type: ignore[attr-defined]


def _is_known_address(asked: dict[str, Any]) -> bool:
    """Whether the dashboard can handle these parts of the address; others would raise an exception."""
    numbers = [str(asked.get(name, 1)) for name in ("page", "per_page")]
    if not all(number.isascii() and number.isdecimal() and len(number) < 10 for number in numbers):
        return False
    page, per_page = map(int, numbers)
    return bool(
        asked.get("instance_number", 0) == 0
        and asked.get("registry_name", "queued") in REGISTRIES
        and asked.get("order", "asc") in ("asc", "dsc")
        and JOB_ID_PATTERN.fullmatch(asked.get("job_id", "x"))
        and page > 0
        and per_page in PER_PAGE
    )


def _adapt_page(response: Response) -> Response:
    """Gives a page of the dashboard the policy that it needs, Leadhook's icon, and a link back."""
    if response.status_code == 200 and response.mimetype == "text/html":
        ours = {
            "nonce": secrets.token_urlsafe(16),
            "icon": url_for("static", filename="favicon.svg"),
            "css": url_for("static", filename="queue.css"),
            "home": url_for("interfaces.index"),
        }
        page = response.get_data(as_text=True)
        for theirs, replacement in REPLACEMENTS:
            page = page.replace(theirs, replacement.format(**ours))
        response.set_data(page)
        response.headers["Content-Security-Policy"] = CSP.format(**ours)
    return response


def _redis_down(error: Exception) -> tuple[Response | str, int]:
    words = (
        "The job queue cannot be shown because Redis does not answer. Leads are still accepted and stored, "
        "and are sent once Redis is back. Check that it runs and that REDIS_URL is right, then reload this page."
    )
    if wants_json():
        return jsonify(error=words), 503
    return render_template("errors/error.html", title="Redis does not answer", text=words), 503


def _not_found(error: Exception) -> Any:
    return current_app.handle_user_exception(NotFound())


def _adapt(theirs: Blueprint) -> None:
    """Corrects the dashboard. Runs once per process, before the blueprint is first registered."""
    dashboard.config.serializer = JSONSerializer
    dashboard.requeue_job = partial(requeue_job, serializer=JSONSerializer)
    dashboard.Job, dashboard.Queue, dashboard.Worker = _JSONJob, _OurQueue, _JSONWorker
    # It would open a connection for each request, with a URL parser that does not support unix sockets.
    theirs.before_request_funcs[None].remove(dashboard.push_rq_connection)
    theirs.before_request(_guard)
    theirs.after_request(_adapt_page)
    for down in (RedisConnectionError, RedisTimeoutError):
        theirs.register_error_handler(down, _redis_down)
    for gone in (NoSuchJobError, InvalidJobOperation):
        theirs.register_error_handler(gone, _not_found)


def _mount(state: BlueprintSetupState) -> None:
    app = state.app
    url = app.extensions["leadhook_config"].redis_url
    app.redis_conn = redis_server.connect(  # type: ignore[attr-defined]
        url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
    )
    app.config["RQ_DASHBOARD_REDIS_URL"] = ("Redis",)  # shown in its menu; the real URL may hold a password
    csrf.exempt(rq_dashboard.blueprint)  # it sends no tokens: _guard checks Sec-Fetch-Site instead
    app.register_blueprint(rq_dashboard.blueprint, url_prefix="/rq")


_adapt(rq_dashboard.blueprint)
blueprint.record(_mount)
