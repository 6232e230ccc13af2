"""Operations of the REST API: one declaration makes the route, reads what is sent, and writes the document's entry.

    @operation("GET", "/leads/<lead_id>", "Get a lead", tag="Leads", scope=Scope.READ, answer=LeadResource, example={…})
    def get_lead(lead_id: str) -> LeadResource: …

The function's name is the operationId and the endpoint. It gets the parts of the path, and what `query` and `body` say,
as structs, under these names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from webapp.extensions import csrf
from webapp.models import Scope
from webapp.services.errors import Refused
from webapp.web.api import changes, cursors, inputs, keys, problems
from webapp.web.busy import takes_turns
from webapp.web.security import takes_key

F = TypeVar("F", bound=Callable[..., Any])

BASE = "/api/v1"
LONGEST_PART = 64  # characters of a part of the path: a public id, or a field's key
OPERATIONS: list["Operation"] = []  # all of them, in the order of the document


class Answered(NamedTuple):
    """An answer with another status than the declared one, or with headers of its own."""

    resource: Any
    status: int | None = None
    headers: Mapping[str, str] = {}


@dataclass(frozen=True)
class Operation:
    """`answer`, `query`, `body`: the structs of what is sent and read. `example`: an answer; `sends`: a body that gets
    it. `statuses`: others than `status` that are no problem. `about`: Markdown, for the document."""

    method: str
    path: str
    summary: str
    run: Callable[..., Any]
    tag: str
    scope: Scope
    answer: Any
    example: Any
    status: int = 200
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    sends: Mapping[str, Any] | None = None
    about: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # that it reads itself, with what each is for
    statuses: Mapping[int, str] = field(default_factory=dict)
    searches: bool = False  # it may read for long, so it waits for a turn
    of_account: bool = False  # it is about the whole account: a key for some interfaces may not
    cursor: str = "cursor"  # the parameter that takes `next`

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def is_list(self) -> bool:
        return "next" in getattr(self.answer, "__struct_fields__", ())

    @property
    def changed(self) -> "Operation | None":
        """The GET of what it changes: an If-Match names its ETag. None where it creates something, and where it checks
        the ETag itself, in its transaction: else a change in the same instant is not seen."""
        if self.method == "GET" or "If-Match" in self.headers:
            return None
        reads = [each for each in OPERATIONS if each.method == "GET" and f"{self.path}/".startswith(f"{each.path}/")]
        nearest = max(reads, key=lambda each: len(each.path), default=None)
        return None if nearest is None or nearest.is_list else nearest

    @property
    def all_headers(self) -> Mapping[str, str]:
        """What it reads, with what each is for."""
        return {**self.headers, **changes.IF_MATCH} if self.changed else self.headers

    @property
    def for_browsers(self) -> bool:
        """Whether a public key may call it, from pages of other sites."""
        return self.scope == Scope.CAPTURE


def operation(method: str, path: str, summary: str, **more: Any) -> Callable[[F], F]:
    """Declares an operation; `more` as in Operation."""

    def declare(run: F) -> F:
        OPERATIONS.append(Operation(method, path, summary, run, **more))
        return run

    return declare


def register(blueprint: Blueprint, operations: Sequence[Operation]) -> None:
    """Adds the routes of these operations."""
    for each in operations:
        view = takes_key(_view(each))
        view = csrf.exempt(takes_turns(view) if each.searches else view)
        blueprint.add_url_rule(each.path, each.name, view, methods=[each.method])


def methods_at(path: str) -> str:
    """The header Allow of this path; Flask would add the methods of /hooks/<hook_id> to those of /hooks/sample."""
    found = {each.method for each in OPERATIONS if each.path == path} | {"OPTIONS"}
    return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))


def _view(operation: Operation) -> Callable[..., Response]:
    def view(**parts: str) -> Response:
        keys.admit(operation.scope, operation.of_account)
        if any(len(part) > LONGEST_PART for part in parts.values()):
            raise NotFound
        given: dict[str, Any] = dict(parts)
        asked = inputs.query(operation.query)
        if operation.query:
            given["query"] = asked
        if operation.body:
            given["body"] = inputs.body(operation.body)
        if "If-Match" in request.headers and (read := operation.changed):
            changes.check(read.run(**parts))
        return _answer(operation, given)

    # Flask-WTF knows an exempt view by its module and name, which must be its own.
    view.__module__, view.__name__, view.__doc__ = operation.run.__module__, operation.name, operation.summary
    return view


def _answer(operation: Operation, given: Mapping[str, Any]) -> Response:
    try:
        answer = operation.run(**given)
    except Refused as refusal:
        names = operation.body.__struct_encode_fields__ if operation.body else ()
        raise problems.of_refusal(refusal, names) from None
    resource, status, headers = answer if isinstance(answer, Answered) else (answer, None, {})
    response = changes.response(resource, status or operation.status)
    response.headers.update(headers)
    if operation.is_list and resource.next:
        response.headers.update(cursors.link(resource.next, operation.cursor))
    return response
