"""The RQ dashboard at /rq, for the operator.

rq-dashboard 0.9 knows neither our sign-in nor JSON jobs nor unix sockets, posts without CSRF tokens and changes state
by one GET. All of that is put right here. Its blueprint is one object for all apps, so that happens once, on import.
"""

import secrets
from functools import partial
from typing import Any, cast

import rq_dashboard
from flask import Blueprint, Flask, Response, abort, current_app, jsonify, redirect, render_template, request, url_for
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

from webapp.config import config_of
from webapp.delivery import queues
from webapp.extensions import csrf
from webapp.web.error_pages import wants_json

REDIS_TIMEOUT = 3.0  # seconds; a person waits here, and the longest lists are read here
REGISTRIES = frozenset({"queued", "scheduled", "deferred", "started", "finished", "failed", "canceled"})
PER_PAGE = range(1, 201)

# Its templates are compiled in the browser (underscore: new Function), hence 'unsafe-eval'. Its one inline script gets
# a nonce rather than 'unsafe-inline', so that nothing which a job says of itself can run.
CSP = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self'; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
TOUCHES = (
    ('<script type="text/javascript">', '<script nonce="{nonce}">'),
    ("<%= d.", "<%- d."),  # its templates would put descriptions and tracebacks into the page unescaped
    ('"/static/favicon.ico"', '"{icon}"'),  # it asks the app, not itself, for one
    ("</head>", '<link rel="stylesheet" href="{css}"></head>'),
    ('<a class="navbar-brand">RQ-dashboard</a>', '<a class="navbar-brand" href="{home}">Leadhook</a>'),
)

blueprint = Blueprint("queue", __name__)


@blueprint.get("/rq")
def index() -> BaseResponse:
    return redirect(url_for("rq_dashboard.queues_overview"), 303)


class _JSONJob(Job):
    """A job fetched without naming a serializer is read as JSON: pickle would run what Redis holds."""

    @classmethod
    def fetch(cls, id: str, connection: "Redis | None" = None, serializer: Any = JSONSerializer) -> Job:  # noqa: A002
        return super().fetch(id, connection=connection, serializer=serializer)


class _OurQueue(Queue):
    """A queue of ours; all of ours are listed, also those that have never held a job."""

    def __init__(self, name: str = queues.FAST, *args: Any, **options: Any) -> None:
        super().__init__(name, *args, **{"serializer": JSONSerializer, **options})

    @classmethod
    def all(cls, connection: "Redis", *args: Any, **options: Any) -> list[Queue]:
        ours = [cls(name, connection=connection) for name in queues.NAMES]
        return ours + [queue for queue in super().all(connection, *args, **options) if queue.name not in queues.NAMES]

    def compact(self) -> None:
        if not self.is_empty():  # Redis would refuse to rename what is not there
            super().compact()  # type: ignore[no-untyped-call]


class _JSONWorker(Worker):
    @classmethod
    def all(cls, *args: Any, **options: Any) -> Any:
        return super().all(*args, **{"serializer": JSONSerializer, **options})


def _guard() -> None:
    """Before anything of the dashboard runs: from where it is asked, for what, and whether Redis is there. The table of
    roles has seen to who asks."""
    if request.endpoint == "rq_dashboard.static":
        return
    if request.method == "POST":
        if request.headers.get("Sec-Fetch-Site") != "same-origin":
            abort(403, "Jobs can be changed from the dashboard's own pages alone, in a browser and over HTTPS.")
    elif request.endpoint == "rq_dashboard.requeue_all":
        abort(405, valid_methods=["POST"])
    if not _makes_sense(request.view_args or {}):
        abort(404)
    current_app.redis_conn.ping()  # type: ignore[attr-defined]


def _makes_sense(asked: dict[str, Any]) -> bool:
    """Whether the parts of the address are ones that the dashboard can take without a traceback."""
    numbers = [str(asked.get(name, 1)) for name in ("page", "per_page")]
    if not all(number.isdecimal() and len(number) < 10 for number in numbers):
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


def _dress(response: Response) -> Response:
    """Gives a page of the dashboard the policy that it needs, our icon, and a way back."""
    if response.status_code == 200 and response.mimetype == "text/html":
        ours = {
            "nonce": secrets.token_urlsafe(16),
            "icon": url_for("static", filename="favicon.svg"),
            "css": url_for("static", filename="queue.css"),
            "home": url_for("interfaces.index"),
        }
        page = response.get_data(as_text=True)
        for theirs, touch in TOUCHES:
            page = page.replace(theirs, touch.format(**ours))
        response.set_data(page)
        response.headers["Content-Security-Policy"] = CSP.format(**ours)
    return response


def _away(error: Exception) -> tuple[Response | str, int]:
    words = (
        "The job queue cannot be shown, for Redis does not answer. Leads are still accepted and kept, "
        "and go out once it is back. Check that it runs and that REDIS_URL is right, then reload this page."
    )
    if wants_json():
        return jsonify(error=words), 503
    return render_template("errors/error.html", title="Redis is away", text=words), 503


def _gone(error: Exception) -> Any:
    return current_app.handle_user_exception(NotFound())


def _adapt(theirs: Blueprint) -> None:
    """Once per process, before the blueprint is registered for the first time."""
    dashboard.config.serializer = JSONSerializer
    dashboard.requeue_job = partial(requeue_job, serializer=JSONSerializer)
    dashboard.Job, dashboard.Queue, dashboard.Worker = _JSONJob, _OurQueue, _JSONWorker
    # It would open a connection of its own per request, by a URL parser that does not know unix sockets.
    theirs.before_request_funcs[None].remove(dashboard.push_rq_connection)
    theirs.before_request(_guard)
    theirs.after_request(_dress)
    for away in (RedisConnectionError, RedisTimeoutError):
        theirs.register_error_handler(away, _away)
    for gone in (NoSuchJobError, InvalidJobOperation):
        theirs.register_error_handler(gone, _gone)


def _mount(state: BlueprintSetupState) -> None:
    app = state.app
    url = config_of(cast(Flask, app)).redis_url
    app.redis_conn = Redis.from_url(  # type: ignore[attr-defined]
        url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
    )
    app.config["RQ_DASHBOARD_REDIS_URL"] = ("Redis",)  # what its menu shows; the real one may hold a password
    csrf.exempt(rq_dashboard.blueprint)  # it sends no tokens: _guard asks for Sec-Fetch-Site instead
    app.register_blueprint(rq_dashboard.blueprint, url_prefix="/rq")


_adapt(rq_dashboard.blueprint)
blueprint.record(_mount)
