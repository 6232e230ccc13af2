"""MCP at /mcp: language models read leads and retry them with an API Key, by the functions of the REST API.

answers.py answers a message, messages.py reads what clients of both eras send, tools.py declares tools. There is no
stream, so a GET is a 405, and no session, so nothing is kept between two requests.
"""

from flask import Blueprint, Response, jsonify, request

from webapp.extensions import csrf
from webapp.models.api_key import HEADER
from webapp.web.api import rates
from webapp.web.security import cross_site, public, takes_json, takes_key

NO_OAUTH = f"Leadhook has no OAuth. Send an API Key of My User Profile: {HEADER}"

blueprint = Blueprint("mcp", __name__)


@blueprint.post("/mcp")
@takes_key
def call() -> Response:
    """One message of MCP."""
    from webapp.blueprints.mcp import answers  # few processes are asked for it

    return answers.answer()


@blueprint.after_request
def _set_headers(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(rates.headers(request.environ))
    return response


@blueprint.get("/.well-known/oauth-protected-resource")
@blueprint.get("/.well-known/oauth-protected-resource/mcp")
@blueprint.get("/.well-known/oauth-authorization-server")
@blueprint.get("/.well-known/oauth-authorization-server/mcp")
@blueprint.get("/.well-known/openid-configuration")
@blueprint.get("/.well-known/openid-configuration/mcp")
@blueprint.get("/mcp/.well-known/openid-configuration")
@public
def discovery() -> tuple[Response, int]:
    return _no_oauth()


@blueprint.post("/register")
@public
@takes_json
@cross_site
def registration() -> tuple[Response, int]:
    return _no_oauth()


def _no_oauth() -> tuple[Response, int]:
    """404 as JSON where clients look for OAuth: of a page of ours they would only say that it is no JSON."""
    return jsonify(error="not_supported", error_description=NO_OAUTH), 404


for view in (call, registration):  # they read no cookie
    csrf.exempt(view)
