"""Errors of the REST API: problem+json (RFC 9457), with sentences for the person who can act on them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec
from flask import Response, request
from werkzeug.exceptions import NotFound

from webapp.services.errors import Refused

MEDIA_TYPE = "application/problem+json"
BELOW, ALSO = "/api/", "/mcp"  # errors below the one path and at the other are problems
# By status: the last part of the problem's type, and when it comes. /docs/api explains the same.
KINDS = {
    400: ("bad-request", "The request could not be read: the body is not JSON, or a header is not valid."),
    401: ("unauthorized", "There is no key, or it is unknown, revoked or expired."),
    403: ("forbidden", "The key does not have the scope, or the site may not send leads to this form."),
    404: ("not-found", "Nothing of yours is at this address, or the key does not reach it."),
    405: ("method-not-allowed", "The address takes other methods: see the header Allow."),
    409: ("conflict", "It cannot be done in the present state; detail says why. With Retry-After: not yet."),
    410: ("deleted", "The lead of this Idempotency-Key was deleted. A new key makes a new lead."),
    412: ("changed-meanwhile", "If-Match names an older version: read it again, then change it."),
    413: ("too-large", "A body has at most 256 KB."),
    415: ("not-json", "A body must be sent as application/json, and not packed."),
    422: ("invalid", "A value is not valid or not known; errors says which."),
    429: ("quota-exceeded", "Too many requests: wait as long as Retry-After says."),
    500: ("our-fault", "Something went wrong on our side. The request id is in the log."),
    503: ("busy", "It could not be done just now. Try again as Retry-After says."),
}
NO_ADDRESS = "The API has no such address. See /docs/api."
IANA_QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class Fault(msgspec.Struct, omit_defaults=True):
    """What is wrong with one value."""

    detail: str
    pointer: str | None = None  # into the body
    parameter: str | None = None  # of the query
    header: str | None = None


class Problem(Exception):
    """The request is answered with this problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        faults: Sequence[Fault] = (),
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """`more`: other members of the answer."""
        super().__init__(detail)
        self.status, self.detail, self.faults, self.headers, self.more = status, detail, faults, headers, more


def invalid(faults: Sequence[Fault]) -> Problem:
    """422, with the sentence of the first fault."""
    return Problem(422, faults[0].detail, faults)


def of_refusal(refusal: Refused, fields: Iterable[str] = ()) -> Problem:
    """422 where a service refuses a value of the body, and 409 where it refuses because of how things are.

    `fields`: the names that the body can have.
    """
    if refusal.field is None:
        return Problem(409, str(refusal))
    pointer = f"#/{refusal.field}" if refusal.field.partition("/")[0] in fields else "#"
    return invalid([Fault(str(refusal), pointer=pointer)])


@contextmanager
def named_in_body(name: str) -> Iterator[None]:
    """404 where what the body names so is not found: at its place there, because the address is right."""
    try:
        yield
    except NotFound:
        words = f"There is no {name} with this id, or the key does not reach it."
        raise Problem(404, words, [Fault(words, pointer=f"#/{name}")]) from None


def not_found() -> str:
    """The sentence of a 404: whether the address is wrong, or the id in it."""
    return KINDS[404][1] if request.url_rule else NO_ADDRESS


def response(problem: Problem) -> Response:
    name, _ = KINDS.get(problem.status, ("other", ""))
    kind = IANA_QUOTA if problem.status == 429 else f"/docs/api#problem-{name}"
    content: dict[str, Any] = {"type": kind, "title": HTTPStatus(problem.status).phrase, "status": problem.status}
    content["detail"] = problem.detail
    if problem.faults:
        content["errors"] = problem.faults
    answer = Response(msgspec.json.encode({**content, **problem.more}), problem.status, content_type=MEDIA_TYPE)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers.update(problem.headers)
    return answer


def applies() -> bool:
    """Whether an error of this request is answered as a problem."""
    return request.path.startswith(BELOW) or request.path == ALSO
