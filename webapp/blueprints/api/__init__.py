"""The REST API: a module for each kind of resource, each a list of operations. web/api/ has what they share."""

from flask import Blueprint, Response, request

from webapp.blueprints.api import (
    account,
    blocklist,
    deliveries,
    events,
    fields,
    hooks,
    interfaces,
    leads,
    new_leads,
    reconcile,
    tokens,
    webhooks,
)
from webapp.web.api import operations, rates
from webapp.web.security import cross_site, public

# Their import declares the operations, in any order.
RESOURCES = (
    account,
    interfaces,
    fields,
    blocklist,
    webhooks,
    tokens,
    leads,
    new_leads,
    reconcile,
    deliveries,
    hooks,
    events,
)

blueprint = Blueprint("api", __name__, url_prefix=operations.BASE)
operations.OPERATIONS.sort(key=lambda each: [module.__name__ for module in RESOURCES].index(each.run.__module__))
operations.register(blueprint, operations.OPERATIONS)

FOR_BROWSERS = {f"{operations.BASE}{each.path}" for each in operations.OPERATIONS if each.for_browsers}


@blueprint.get("/openapi.json")
@public
@cross_site
def openapi() -> Response:
    """The document of the API, for generators of clients. It shows nothing of this installation but its address."""
    from webapp.web.api import document  # few processes are asked for it

    return Response(document.as_json(), content_type="application/json")


@blueprint.after_request
def _set_headers(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(rates.headers(request.environ))
    if request.method == "OPTIONS" and request.url_rule and request.endpoint != "api.openapi":
        response.headers["Allow"] = operations.methods_at(request.url_rule.rule.removeprefix(operations.BASE))
    if request.url_rule and request.url_rule.rule in FOR_BROWSERS:
        new_leads.let_browsers_read(response)
    elif request.endpoint == "api.openapi":
        response.headers["Access-Control-Allow-Origin"] = "*"
    return response
