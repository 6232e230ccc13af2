"""For load balancers and monitoring: does the process answer, can it accept leads, how much work is waiting."""

import hmac

from flask import Blueprint, Response, abort, g, jsonify, request
from flask_login import current_user
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError

from webapp.config import current_config
from webapp.extensions import db
from webapp.services.signs import metrics as figures
from webapp.services.signs.counters import post_counters, result_of
from webapp.services.signs.readiness import probe
from webapp.web.security import public

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
def alive() -> Response:
    """200 if the process answers. It does not ask the database or Redis: their failure must restart no web process."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
@public
def ready() -> tuple[Response, int]:
    """200 while a lead can be written, which a probe finds out. Redis is not needed for that. Why not: in the log."""
    found = probe.readiness()
    state = "unavailable" if not found.writable else "degraded" if found.redis != "ok" else "ready"
    offset = None if found.clock_offset is None else round(found.clock_offset, 3)
    answer = jsonify(
        status=state,
        database=found.database,
        writable=found.writable,
        redis=found.redis,
        clock_offset_seconds=offset,
    )
    return answer, 200 if found.writable else 503


@blueprint.after_app_request
def _count(response: Response) -> Response:
    if request.endpoint == "lead_form.submit" or (request.endpoint == "api.create_lead" and request.method == "POST"):
        post_counters.add(result_of(response.status_code, g.get("is_spam")))
    return response


@blueprint.get("/metrics")
@public
def metrics() -> Response:
    """Metrics for Prometheus: for a client that sends METRICS_TOKEN as Bearer, and for the operator. Else 404."""
    try:
        may_read = _has_token() or (current_user.is_authenticated and current_user.is_operator)
    except SQLAlchemyError:  # for a browser that was signed in; our own pages would ask for its user again
        db.session.rollback()
        return Response("The database does not answer. Use METRICS_TOKEN.\n", 503, mimetype="text/plain")
    if not may_read:
        abort(404)
    return Response(figures.exposition(), content_type=CONTENT_TYPE_LATEST)


def _has_token() -> bool:
    """Whether the request has the token. Where it comes from says nothing: a proxy may be on this machine."""
    expected, (scheme, _, given) = current_config.metrics_token, request.headers.get("Authorization", "").partition(" ")
    if expected is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected.encode())
