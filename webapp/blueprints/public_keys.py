"""The public keys of webhooks that are signed with a private one, for their receivers."""

from flask import Blueprint, Response, abort, jsonify

from webapp.services.webhooks import shown
from webapp.web.security import public

blueprint = Blueprint("public_keys", __name__)


@blueprint.get("/.well-known/leadhook/<webhook_id>.json")
@public
def show(webhook_id: str) -> Response:
    """404 for a webhook that is not signed so, that was removed, or that never was."""
    published = shown.published_keys(webhook_id)
    if published is None:
        abort(404)
    answer = jsonify(published)
    answer.cache_control.public, answer.cache_control.max_age = True, 300
    return answer
