"""For load balancers and monitoring: does the process answer, can it accept leads, how much work is waiting."""

from ipaddress import ip_address

from flask import Blueprint, Response, abort, jsonify, request
from flask_login import current_user
from prometheus_client import CONTENT_TYPE_LATEST

from webapp.services import health
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
    """200 while leads can be captured: the database answers and is migrated. Redis is not needed for that."""
    database, redis = health.database(), health.redis()
    state = "unavailable" if database != "ok" else "degraded" if redis != "ok" else "ready"
    return jsonify(status=state, database=database, redis=redis), 503 if database != "ok" else 200


@blueprint.get("/metrics")
@public
def metrics() -> Response:
    """Metrics for Prometheus: only for the operator and for a scraper on this machine; 404 for everyone else."""
    if not (_from_this_machine() or (current_user.is_authenticated and current_user.is_operator)):
        abort(404)
    return Response(health.exposition(), content_type=CONTENT_TYPE_LATEST)


def _from_this_machine() -> bool:
    """Whether the client is on this machine, and the request did not come through an unconfigured proxy."""
    forwarded = any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"))
    try:
        return not forwarded and ip_address(request.remote_addr or "").is_loopback
    except ValueError:  # a unix socket has no address, and some servers set a name instead
        return False
