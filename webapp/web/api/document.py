"""The document of the API: OpenAPI 3.1, made of the same declarations as the routes."""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from flask import current_app

from webapp.config import current_config
from webapp.models.api_key import ACCESS_WORDS, ENDS, HEADER, LIMITED, SCOPE_WORDS
from webapp.web.api import problems, rates
from webapp.web.api.operations import BASE, OPERATIONS, Operation

ABOUT = (
    "Times are UTC. Lists are newest first: `next` is the cursor of the next page, and the header `Link` its address. "
    "A value that is described with “later versions may have more” is open: expect ones that you do not know."
)
PARAMETER_TEXTS = {
    "lead_id": "Such as lead_01m83pph3v0019fd3g78e43pkn.",
    "interface_id": "Such as if_8Kx2vQ4mTzPa.",
    "field_key": "Its name in a lead’s fields, such as email.",
    "webhook_id": "Such as wh_3fWq8Zt0LmXa.",
    "token_id": "Such as key_9dKq2LmXa7Tz.",
    "delivery_id": "The webhook-id, such as msg_01m83pph3v2r0yfay9n7db9hyk.",
    "hook_id": "Such as wh_3fWq8Zt0LmXa: a hook is a webhook.",
}
TEXT = {"type": "string"}
# As in services/intake/idempotency.py: a word, or the same in quotes.
HEADER_SCHEMAS = {
    "Idempotency-Key": {"type": "string", "pattern": r'^("[!#-\[\]-~]{1,255}"|[!#-~][!-~]{0,254})$'},
}
PROBLEM = {
    "type": "object",
    "description": "An error as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for the person who can act on it."},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
}
FAULT = {
    "type": "object",
    "description": "What is wrong with one value.",
    "required": ["detail"],
    "properties": {
        "detail": {"type": "string"},
        "pointer": {"type": "string", "description": "Where in the body: #/fields/email."},
        "parameter": {"type": "string", "description": "Of the query."},
        "header": {"type": "string"},
    },
}
LINK = {"Link": {"description": "The next page, with rel=next; missing where next is null.", "schema": TEXT}}


def schemas() -> dict[str, Any]:
    """The schema of every struct, by its name."""
    kinds = {struct_of(kind) for each in OPERATIONS for kind in (each.answer, each.body, each.query) if kind}
    ordered = sorted(kinds, key=lambda kind: str(kind.__name__))
    _, found = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    return {**_explicit(found), "Problem": PROBLEM, "Fault": FAULT}


def struct_of(kind: Any) -> Any:
    """A struct, or that of a list's items."""
    return get_args(kind)[0] if get_origin(kind) is list else kind


def _explicit(schema: Any) -> Any:
    """The schema with what some generators of clients need: the type of each enum, the values of free objects."""
    if isinstance(schema, list):
        return [_explicit(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    more: dict[str, Any] = {"type": "string"} if "enum" in schema and "type" not in schema else {}
    if schema.get("type") == "object" and "properties" not in schema:
        more["additionalProperties"] = True
    return {**more, **{name: _explicit(value) for name, value in schema.items()}}


def build() -> dict[str, Any]:
    """The whole document."""
    known = schemas()
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(template_of(each), {})[each.method.lower()] = _operation(each, known)
    queries = {each.query.__name__ for each in OPERATIONS if each.query}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leadhook",
            "version": current_app.config["LEADHOOK_VERSION"],
            "summary": "Leads, and the webhooks that deliver them.",
            "description": f"{ABOUT} {rates.words(current_config.api_rate_limit)}",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": f"{current_config.public_url}{BASE}"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in OPERATIONS)],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in known.items() if name not in queries},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": _about_keys()}},
        },
    }


def _about_keys() -> str:
    """What the page says of keys."""
    scopes = [f"{scope}: {words}" for scope, words in SCOPE_WORDS.items()]
    kinds = [f"{access.capitalize()} keys: {words}." for access, words in ACCESS_WORDS.items()]
    made = f"An API Key, of My User Profile, API Keys, in the header {HEADER}. Scopes: {'; '.join(scopes)}."
    return " ".join([made, *kinds, ENDS, LIMITED])


def as_json() -> bytes:
    return msgspec.json.format(msgspec.json.encode(build()), indent=1)  # json takes ten times as long to indent


def template_of(operation: Operation) -> str:
    """Its path as the document writes it: /leads/{lead_id}."""
    return re.sub(r"<(\w+)>", r"{\1}", operation.path)


def _operation(operation: Operation, known: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "description": " ".join(filter(None, [operation.about, _needs(operation)])),
        "security": [{"key": [operation.scope.value]}],
        "parameters": parameters(operation, known),
        "responses": _responses(operation),
    }
    if operation.body:
        entry["requestBody"] = {
            "required": bool(known[operation.body.__name__].get("required")),
            "content": {"application/json": {"schema": _ref(operation.body), "example": operation.sends}},
        }
    return entry


def _needs(operation: Operation) -> str:
    all_of_them = " and a key for all interfaces" if operation.of_account else ""
    return f"Needs the scope {operation.scope}{all_of_them}."


def parameters(operation: Operation, known: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the path, of the query and of the headers."""
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "description": PARAMETER_TEXTS[name], "schema": TEXT}
        for name in _parts(operation)
    ]
    asked = known[operation.query.__name__]["properties"] if operation.query else {}
    for name, schema in asked.items():
        plain = {key: value for key, value in schema.items() if key != "description"}
        found.append({"name": name, "in": "query", "description": schema["description"], "schema": plain})
    for name, text in operation.all_headers.items():
        found.append({"name": name, "in": "header", "description": text, "schema": HEADER_SCHEMAS.get(name, TEXT)})
    return found


def _responses(operation: Operation) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(operation.answer), "example": operation.example}}
    found: dict[str, Any] = {str(operation.status): {"description": operation.summary, "content": content}}
    if operation.is_list:
        found[str(operation.status)]["headers"] = LINK
    if links := _links(operation):
        found[str(operation.status)]["links"] = links
    for status, words in operation.statuses.items():
        found[str(status)] = {"description": words, "content": content}
    if operation.method == "GET":
        found["304"] = {"description": "If-None-Match names what is here still."}
    problem = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found["default"] = {"description": "A problem.", "content": problem}
    return found


def _links(operation: Operation) -> dict[str, Any]:
    """To what can be done next with what was created, or with the first of a list: by its id."""
    names = getattr(operation.answer, "__struct_fields__", ())
    if operation.method == "POST" and "id" in names:
        its_id = "$response.body#/id"
    elif operation.is_list and "data" in names:
        its_id = "$response.body#/data/0/id"
    else:
        return {}
    beginnings = f"{operation.path}/<", f"/{operation.path.rpartition('/')[2]}/<"
    found = {}
    for each in OPERATIONS:
        *before, last = _parts(each) or [""]
        if each.path.startswith(beginnings) and last.endswith("_id") and set(before) <= set(_parts(operation)):
            same = {name: f"$request.path.{name}" for name in before}
            found[each.name] = {"operationId": each.name, "parameters": {**same, last: its_id}}
    return found


def _parts(operation: Operation) -> list[str]:
    """The names in its path."""
    return re.findall(r"<(\w+)>", operation.path)


def _ref(kind: Any) -> dict[str, Any]:
    if struct_of(kind) is not kind:
        return {"type": "array", "items": _ref(struct_of(kind))}
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


class ShownValue(NamedTuple):
    """A value that is sent or read, as the page explains it."""

    name: str
    kind: str
    about: str
    required: bool


class ShownOperation(NamedTuple):
    """An operation as the page shows it."""

    operation: Operation
    address: str
    parameters: Sequence[ShownValue]
    body: Sequence[ShownValue]
    answer: Sequence[ShownValue]
    sends: str
    example: str


@cache
def sections() -> dict[str, list[ShownOperation]]:
    """What the page shows, by tag."""
    known, found = schemas(), dict[str, list[ShownOperation]]()
    for each in OPERATIONS:
        asked = [_parameter(one) for one in parameters(each, known)]
        body = _rows(each.body, known) if each.body else []
        sends = json.dumps(each.sends, indent=2, ensure_ascii=False) if each.sends else ""
        example = json.dumps(each.example, indent=2, ensure_ascii=False)
        address = f"{BASE}{template_of(each)}"
        section = ShownOperation(each, address, asked, body, _rows(each.answer, known), sends, example)
        found.setdefault(each.tag, []).append(section)
    return found


def _parameter(found: dict[str, Any]) -> ShownValue:
    where = {"path": "in the path", "query": "in the query", "header": "header"}[found["in"]]
    return ShownValue(
        found["name"], f"{_kind(found['schema'])}, {where}", found["description"], found.get("required", False)
    )


def _rows(kind: Any, known: dict[str, Any]) -> list[ShownValue]:
    return list(_flat(known[struct_of(kind).__name__], known))


def _flat(schema: dict[str, Any], known: dict[str, Any], before: str = "") -> Iterator[ShownValue]:
    """Every value, also those in objects: authentication.kind, condition.rules[].field."""
    required = schema.get("required", ())
    for name, each in schema["properties"].items():
        about = (str(part["description"]) for part in (each, *each.get("anyOf", ())) if "description" in part)
        yield ShownValue(f"{before}{name}", _kind(each), next(about, ""), name in required)
        for end, inner in _objects_in(each):
            yield from _flat(known[inner], known, f"{before}{name}{end}.")


def _objects_in(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of the schemas that it refers to, each after "[]" if it is one of a list."""
    for each in (schema, *schema.get("anyOf", ())):
        if "$ref" in each:
            yield "", each["$ref"].rpartition("/")[2]
        if "$ref" in each.get("items", {}):
            yield "[]", each["items"]["$ref"].rpartition("/")[2]


def _kind(schema: dict[str, Any]) -> str:
    """In words: string, number or null, list of object."""
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return "object"
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(kind)
