"""Posts that webhooks send to a form: they are taken like others, unless they go round in a circle."""

from flask import Response, after_this_request
from werkzeug.exceptions import HTTPException

from webapp.services.intake import hops
from webapp.webhooks.signing import HOPS


class LoopDetected(HTTPException):
    code = 508


def read_hops(message_id: str, sent: str) -> int:
    """How many webhooks brought this post here. Aborts with 508 and a sentence if it must not become a lead.

    The answer has the header `leadhook-hops`. So a Leadhook that gets it knows that trying again does not help.
    """
    try:
        return hops.of_post(message_id, sent)
    except hops.Loop as loop:
        count = str(loop.hops)
        sentence = str(loop)

    def tell(response: Response) -> Response:
        response.headers[HOPS] = count
        return response

    after_this_request(tell)
    raise LoopDetected(sentence)
