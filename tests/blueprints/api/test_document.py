"""The OpenAPI document and the page /docs/api say what the code does, and the same. test_same_words.py: of keys."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.blueprints.test_docs import text_of
from webapp.blueprints import api
from webapp.models import Scope
from webapp.web.api import document, problems
from webapp.web.api.operations import BASE, OPERATIONS, Operation
from webapp.web.security import CSP

pytestmark = pytest.mark.once
assert api.blueprint  # its import declares the operations


@pytest.fixture
def written(client: FlaskClient) -> dict[str, Any]:
    """The document as a generator of clients reads it."""
    answer = client.get("/api/v1/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert "Set-Cookie" not in answer.headers
    found: dict[str, Any] = answer.json
    return found


def parts(of: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document, with where it is."""
    if isinstance(of, dict):
        yield path, of
        for name, value in of.items():
            if name not in ("example", "examples"):
                yield from parts(value, f"{path}/{name}")
    elif isinstance(of, list):
        for number, value in enumerate(of):
            yield from parts(value, f"{path}/{number}")


def entries(written: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The operations by method and path."""
    return {
        f"{method.upper()} {path}": entry
        for path, methods in written["paths"].items()
        for method, entry in methods.items()
    }


def test_every_route_of_the_api_is_in_the_document_and_nothing_else(app: Flask, written: dict[str, Any]) -> None:
    routes = {
        f"{method} {str(rule).translate({60: '{', 62: '}'}).removeprefix(BASE)}"
        for rule in app.url_map.iter_rules()
        if str(rule).startswith(BASE)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes - {"GET /openapi.json"} == set(entries(written))
    assert {entry["operationId"] for entry in entries(written).values()} == {each.name for each in OPERATIONS}
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)


def test_it_is_in_the_form_that_generators_of_clients_need(written: dict[str, Any]) -> None:
    assert written["openapi"] == "3.1.0"
    known = written["components"]["schemas"]
    for path, part in parts(written):
        if isinstance(reference := part.get("$ref"), str):
            assert reference.removeprefix("#/components/schemas/") in known, path
        if "enum" in part or "const" in part:
            assert "type" in part, path
        if "/schemas/" in path and part.get("type") == "array":
            assert "items" in part, f"{path}: openapi-python-client leaves the whole schema out"
        if "/schemas/" in path and part.get("type") == "object":
            assert "properties" in part or "additionalProperties" in part, path
        if part.get("in") == "query":
            assert "null" not in json.dumps(part["schema"]), path
    for name, entry in entries(written).items():
        assert set(entry["responses"]["default"]["content"]) == {"application/problem+json"}, name
        assert entry["security"][0]["key"][0] in set(Scope), name
        in_path = re.findall(r"{(\w+)}", name)
        assert [each["name"] for each in entry["parameters"] if each["in"] == "path"] == in_path, name
        assert all(each["description"] for each in entry["parameters"]), name
        answer = entry["responses"].get("200", {})
        is_list = "next" in answer.get("content", {}).get("application/json", {}).get("example", {})
        assert ("Link" in answer.get("headers", {})) == is_list, name


def test_the_validator_of_openapi_finds_nothing(written: dict[str, Any]) -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(written).iter_errors()] == []


def test_what_was_created_leads_to_what_can_be_done_with_it(written: dict[str, Any]) -> None:
    named = {entry["operationId"]: name for name, entry in entries(written).items()}
    found: dict[str, set[str]] = {}
    for entry in entries(written).values():
        for answer in entry["responses"].values():
            for link in answer.get("links", {}).values():
                found.setdefault(entry["operationId"], set()).add(link["operationId"])
                assert set(link["parameters"]) == set(re.findall(r"{(\w+)}", named[link["operationId"]]))
    assert {"get_lead", "retry_lead", "not_spam"} <= found["create_lead"] & found["list_leads"]
    assert {"get_interface", "change_interface", "list_webhooks_of_interface"} <= found["create_interface"]
    assert {"get_webhook", "change_webhook", "test_webhook"} <= found["add_webhook"] & found["list_webhooks"]
    assert "add_field" not in found, "it answers with the interface, whose id is no key of a field"


def test_options_names_the_methods_of_the_document(client: FlaskClient, written: dict[str, Any]) -> None:
    for path, methods in written["paths"].items():
        answer = client.options(BASE + re.sub(r"{\w+}", "x", path))
        named = {method.upper() for method in methods}
        assert answer.allow.as_set(preserve_casing=True) - {"HEAD", "OPTIONS"} == named, path


def test_no_schema_is_left_unused(written: dict[str, Any]) -> None:
    text = json.dumps(written)
    for name in written["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, name


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_example_is_what_an_answer_can_be(operation: Operation) -> None:
    """That the examples of bodies are accepted is shown in test_keys.py, which sends them."""
    read = msgspec.convert(operation.example, operation.answer)
    whole = json.loads(msgspec.json.encode(read))
    for (path, part), (_, other) in zip(parts(whole), parts(operation.example), strict=True):
        assert part.keys() == other.keys(), path
    if operation.body:
        assert operation.sends is not None
        msgspec.json.decode(json.dumps(operation.sends), type=operation.body)


def test_the_page_shows_every_operation_and_every_problem(client: FlaskClient, written: dict[str, Any]) -> None:
    answer = client.get("/docs/api")
    assert answer.headers["Content-Security-Policy"] == CSP
    seen = text_of(answer.text)
    for name, entry in entries(written).items():
        method, path = name.split()
        assert f"{method} {BASE}{path}, needs the scope {entry['security'][0]['key'][0]}" in seen
        assert entry["summary"] in seen
    for status, (kind, words) in problems.KINDS.items():
        assert f'id="problem-{kind}"' in answer.text
        assert f"{status} {words}" in re.sub(r"(\d{3})(?=[A-Z])", r"\1 ", seen)
    anchors = re.findall(r'href="#([^"]+)"', answer.text)
    assert len(anchors) > 5
    assert [anchor for anchor in anchors if f'id="{anchor}"' not in answer.text] == []
    ids = re.findall(r'\sid="([^"]+)"', answer.text)
    assert len(ids) == len(set(ids))


def test_the_page_explains_the_values_in_objects_and_lists_too(client: FlaskClient) -> None:
    seen = text_of(client.get("/docs/api").text)
    for words in (
        "authentication.kind",
        "condition.rules[].is",
        "success.header.text",
        "look.accent",
        "null: automatic.",
    ):
        assert words in seen


def test_every_example_on_the_page_is_the_one_of_the_document(client: FlaskClient) -> None:
    page = client.get("/docs/api").text
    shown = [html.unescape(re.sub(r"<[^>]+>", "", code)) for code in re.findall(r"<pre><code>(.*?)</code>", page, re.S)]
    examples = [json.loads(code) for code in shown if code.strip().startswith(("{", "["))]
    for operation in OPERATIONS:
        assert operation.example in examples, operation.name
        assert not operation.sends or operation.sends in examples, operation.name


def test_the_limit_of_this_installation_is_named(make_app: Any) -> None:
    assert "600 per minute requests" in text_of(make_app().test_client().get("/docs/api").text)
    assert "not limited here" in text_of(make_app(API_RATE_LIMIT="").test_client().get("/docs/api").text)


def test_a_signed_in_reader_keeps_the_navigation(signed_in: FlaskClient) -> None:
    page = signed_in.get("/docs/api").text
    assert "My User Profile</span>" in page
    assert 'href="/docs/api"' in page


def test_the_document_is_made_of_what_is_declared(app: Flask) -> None:
    assert json.loads(document.as_json())["info"]["version"] == app.config["LEADHOOK_VERSION"]


def test_the_page_leads_to_each_operation_and_explains_its_answer(client: FlaskClient) -> None:
    page = client.get("/docs/api").text
    assert page.count("What the answer has") == len(OPERATIONS)
    for each in OPERATIONS:
        assert f'<a href="#{each.name}">{each.summary}</a>' in page.replace("&#39;", "'")
        section = page.partition(f'<h3 id="{each.name}">')[2].partition("<h3")[0]
        assert all(words in section for words in each.statuses.values())
        for name in document.struct_of(each.answer).__struct_encode_fields__:
            assert f"<code>{name}</code>" in section.partition("What the answer has")[2]
    assert "`" not in text_of(page)
