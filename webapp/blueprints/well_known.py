"""Addresses below /.well-known (RFC 8615), for programs that know where to look."""

from flask import Blueprint, Response, jsonify

from webapp.services.webhooks import public_keys
from webapp.web.security import public

blueprint = Blueprint("well_known", __name__)

SECONDS = 300  # that a receiver may keep it: shorter than the overlap of a rotation by far


@blueprint.get("/.well-known/leadhook/<webhook_id>.json")
@public
def webhook_keys(webhook_id: str) -> Response:
    """The public keys of a webhook that signs with a private key. They are no secret, and say nothing else."""
    answer = jsonify(public_keys.document(webhook_id))
    answer.cache_control.public, answer.cache_control.max_age = True, SECONDS
    return answer
