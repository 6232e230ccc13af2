"""ETag, If-None-Match and If-Match: so that what somebody else changed meanwhile is not overwritten unseen.

An ETag is made of the representation: if a client would read the same, it is the same.
"""

import hashlib
import json
from typing import Any

import msgspec
from flask import Response, request

from webapp.web.api.problems import Problem
from webapp.webhooks.payload import whole_characters

IF_MATCH = {"If-Match": "The ETag that you read: then a change that somebody else made meanwhile is a 412."}
CHANGED = "It was changed since you read it. Read it again, then send your change."


def encoded(resource: Any) -> bytes:
    """Its JSON. Answers of visitors may have half a surrogate pair, which becomes U+FFFD as in a payload."""
    try:
        return msgspec.json.encode(resource)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(resource), ensure_ascii=False, separators=(",", ":"))
        return whole_characters(text).encode()


def etag(body: bytes) -> str:
    """Without the quotes."""
    return hashlib.blake2b(body, digest_size=12).hexdigest()


def check(resource: Any) -> None:
    """412 unless the request's If-Match, if there is one, names this state of the resource."""
    if "If-Match" in request.headers and not request.if_match.contains(etag(encoded(resource))):
        raise Problem(412, CHANGED)


def response(resource: Any, status: int) -> Response:
    """The resource as an answer with its ETag; 304 without it where the client has it already."""
    body = encoded(resource)
    answer = Response(body, status, content_type="application/json")
    if status == 200:
        answer.set_etag(etag(body))
        if request.method in ("GET", "HEAD") and request.if_none_match.contains_weak(etag(body)):
            answer = Response(status=304)
            answer.set_etag(etag(body))
    return answer
