"""The browser's key pages, the documents, the API and the command say the same of keys and of the API.

Where it can be, a sentence stands in one place of the code. This compares what a reader gets, so it also fails where
only a template, a document or a help text is changed.
"""

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from click import Context
from flask import Flask
from flask.testing import FlaskClient

from tests.blueprints.api.test_leads import problem_of
from tests.blueprints.test_docs import text_of
from tests.support.api import BASE, Caller, caller, key_for
from tests.support.tree import ROOT
from webapp.blueprints import api
from webapp.blueprints.api import short_leads
from webapp.config import current_config
from webapp.models import SCOPES, Interface, KeyAccess, Scope, User
from webapp.models.api_key import ACCESS_WORDS, ENDS, HEADER, LIMITED, SCOPE_WORDS
from webapp.services.api_keys import PREFIXES
from webapp.web.api import problems
from webapp.web.api.operations import OPERATIONS

assert api.blueprint  # its import declares the operations
NEW, MADE, GUIDE, DOCUMENT = "the New key page", "the page of a new key", "/docs/api", "openapi.json"
HELP, PEOPLE, CONFIGURATION = "create-api-key --help", "docs/people.md", "docs/configuration.md"
OF_KEYS = (NEW, GUIDE, DOCUMENT, HELP, PEOPLE)

Texts = dict[str, str]


class Fact(NamedTuple):
    """Words that each of these places must have. `says` gets the place: a form has labels, a document has tables."""

    name: str
    places: tuple[str, ...]
    says: Callable[[str], str]


def scope_row(scope: Scope) -> Callable[[str], str]:
    words = SCOPE_WORDS[scope]
    other = {GUIDE: f"{scope} {words}", PEOPLE: f"{scope} | {words}", DOCUMENT: f"{scope}: {words}"}
    return lambda place: other.get(place, f"{scope.capitalize()}: {words}")


def access_row(access: KeyAccess) -> Callable[[str], str]:
    words, prefix = ACCESS_WORDS[access], PREFIXES[access]
    other = {DOCUMENT: f"{access.capitalize()} keys: {words}"}
    other |= dict.fromkeys((GUIDE, PEOPLE), f"{access.capitalize()} ({prefix}…): {words}")
    return lambda place: other.get(place, f"{access.capitalize()}: {words}")


def facts() -> list[Fact]:
    limit = current_config.api_rate_limit
    return [
        *(Fact(f"the scope {scope}", OF_KEYS, scope_row(scope)) for scope in Scope),
        *(Fact(f"a {access} key", OF_KEYS, access_row(access)) for access in KeyAccess),
        Fact("the end of a key", OF_KEYS, lambda _: ENDS),
        Fact("a key for some interfaces", OF_KEYS, lambda _: LIMITED),
        Fact("the header", (GUIDE, DOCUMENT, PEOPLE), lambda _: HEADER),
        Fact("the header of this key", (MADE,), lambda _: f"{HEADER.split(' lh')[0]} {PREFIXES[KeyAccess.PRIVATE]}…"),
        Fact("the address", (MADE, GUIDE, DOCUMENT), lambda _: f"{current_config.public_url}{BASE}"),
        Fact("the address below the installation’s", (PEOPLE,), lambda _: f"to {BASE} of your installation"),
        Fact("what a key opens", (NEW, PEOPLE), lambda _: "access to the REST API"),
        Fact("the limit", (GUIDE, DOCUMENT), lambda _: f"A private key may make {limit} requests; a public one as"),
        Fact("the limit unless it is changed", (PEOPLE,), lambda _: f"{limit} unless you change it"),
        Fact("the limit unless it is changed", (CONFIGURATION,), lambda _: f"API_RATE_LIMIT | {limit} |"),
        *(Fact(f"the resource {each.tag}", (GUIDE, DOCUMENT), lambda _, tag=each.tag: tag) for each in OPERATIONS),
        *(Fact(f"the problem {status}", (GUIDE,), lambda _, says=row: says) for status, row in problem_rows().items()),
    ]


def problem_rows() -> dict[int, str]:
    return {status: f"{status} {words}" for status, (_, words) in problems.KINDS.items()}


def differences(texts: Texts) -> list[str]:
    return [
        f"{place} does not say: {fact.says(place)}"
        for fact in facts()
        for place in fact.places
        if fact.says(place) not in texts[place]
    ]


@pytest.fixture
def texts(app: Flask, signed_in: FlaskClient, interface: Interface) -> Texts:
    """What a reader gets at each place, in one line."""
    made = signed_in.post("/profile/api-keys/new", data={"type": "api", "access": "private", "name": "CRM"}).text
    return {
        NEW: text_of(signed_in.get("/profile/api-keys/new").text),
        MADE: text_of(made),
        GUIDE: in_cells(signed_in.get("/docs/api").text),
        DOCUMENT: json.dumps(signed_in.get("/api/v1/openapi.json").json, ensure_ascii=False),
        HELP: help_of(app),
        PEOPLE: plain("docs/people.md"),
        CONFIGURATION: plain("docs/configuration.md"),
    }


def in_cells(page: str) -> str:
    """The text of a page whose tables have a space between the cells."""
    return text_of(page.replace("</th>", "</th> ").replace("</td>", "</td> "))


def plain(path: str) -> str:
    return " ".join((ROOT / path).read_text().replace("`", "").replace("*", "").split())


def help_of(app: Flask) -> str:
    command = app.cli.commands["create-api-key"]
    return " ".join(command.get_help(Context(command, info_name="create-api-key", max_content_width=100_000)).split())


def test_all_places_say_the_same(texts: Texts) -> None:
    assert differences(texts) == []


@pytest.mark.parametrize("place", [NEW, MADE, GUIDE, DOCUMENT, HELP, PEOPLE, CONFIGURATION])
def test_a_word_that_is_changed_in_one_place_alone_is_found(texts: Texts, place: str) -> None:
    mine = [fact for fact in facts() if place in fact.places]
    assert mine
    for fact in mine:
        words = fact.says(place)
        assert differences({**texts, place: texts[place].replace(words, words.swapcase())}), fact.name


@pytest.mark.parametrize("name", ["SCOPE_WORDS", "ACCESS_WORDS"])
def test_words_that_are_changed_in_the_code_alone_are_found(
    texts: Texts, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for each in {"SCOPE_WORDS": SCOPE_WORDS, "ACCESS_WORDS": ACCESS_WORDS}[name]:
        with monkeypatch.context() as patch:
            patch.setitem({"SCOPE_WORDS": SCOPE_WORDS, "ACCESS_WORDS": ACCESS_WORDS}[name], each, "anything")
            found = differences(texts)
        assert {line.partition(" does not say")[0] for line in found} == set(OF_KEYS)


# What the words promise -----------------------------------------------------------------------------------------------

# The kinds of resources that a scope opens, by a word of its explanation that stands for them.
READS = {
    "Account": "",
    "Interfaces": "interfaces",
    "Fields": "interfaces",
    "Blocked senders": "interfaces",
    "Webhooks": "webhooks",
    "Shared Tokens": "Shared Tokens",
    "Leads": "leads",
    "Deliveries": "deliveries",
    "Hooks": "webhooks",
    "Feed": "deliveries",
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_words_of_a_scope_name_what_it_opens(operation: Any) -> None:
    assert READS[operation.tag] in SCOPE_WORDS[operation.scope]


def test_the_scopes_and_kinds_of_keys_are_those_of_the_operations() -> None:
    assert set(SCOPE_WORDS) == {each.scope for each in OPERATIONS} == set(SCOPES[KeyAccess.PRIVATE])
    assert {each.scope for each in OPERATIONS if each.for_browsers} == set(SCOPES[KeyAccess.PUBLIC])
    assert set(ACCESS_WORDS) == set(KeyAccess)


def test_the_pages_name_the_resources_of_the_document_and_no_others(client: FlaskClient) -> None:
    tags = [each["name"] for each in client.get("/api/v1/openapi.json").json["tags"]]
    headings = re.findall(r'<h2 id="[^"]*">([^<]*)</h2>', client.get("/docs/api").text)
    assert headings == ["Start", "Lists and changes", "Errors and limits", *tags]


def test_a_key_ends_as_the_words_say(app: Flask, owner: User, interface: Interface) -> None:
    assert "(401)" in ENDS
    assert ("one second" in ENDS) == (short_leads.REVOKED_FOR == 1.0)
    problem_of(Caller(app.test_client(), "lhk_" + "x" * 43).get("/account"), 401)


def test_a_key_for_some_interfaces_is_limited_as_the_words_say(app: Flask, owner: User, interface: Interface) -> None:
    program = caller(app, owner.account_id, only=[interface.public_id])
    problem_of(program.get("/interfaces/if_000000000000"), 404)
    problem_of(program.get("/shared-tokens"), 403)
    assert ("(404)" in LIMITED, "(403)" in LIMITED) == (True, True)


def test_the_header_that_is_named_opens(app: Flask, owner: User) -> None:
    secret = key_for(owner.account_id)
    name, value = HEADER.split(": ")
    opened = {name: value.replace(f"{PREFIXES[KeyAccess.PRIVATE]}…", secret)}
    assert Caller(app.test_client(), None).get("/account", headers=opened).status_code == 200
    asked = problem_of(Caller(app.test_client(), None).get("/account"), 401)["detail"]
    assert HEADER in asked


@pytest.mark.parametrize("public", [False, True])
def test_the_list_of_keys_says_what_the_api_says_of_a_key(
    app: Flask, owner: User, signed_in: FlaskClient, interface: Interface, public: bool
) -> None:
    more: dict[str, Any] = {"only": [interface.public_id], "lasts": timedelta(days=30), "public": public}
    program = caller(app, owner.account_id, **more)
    listed = text_of(signed_in.get("/profile/api-keys").text)
    access = KeyAccess.PUBLIC if public else KeyAccess.PRIVATE
    assert f"REST, {access}" in listed
    assert f"{', '.join(SCOPES[access])}, 1 interface only" in listed
    if not public:
        key = program.get("/account").json["key"]
        assert (key["access"], key["scopes"]) == (access, list(SCOPES[access]))
        ends = html.unescape(signed_in.get("/profile/api-keys").text)
        assert key["expires_at"][:10] in ends


# Statuses that a document names and that are no problem of this API's.
OTHERS = {"docs/hooks.md": {410}, "docs/pull-feed.md": set(), "docs/people.md": set(), "docs/mcp.md": set()}


@pytest.mark.parametrize("path", OTHERS)
def test_a_document_names_only_statuses_that_the_guide_explains(path: str) -> None:
    named = {int(code) for code in re.findall(r"(?<![\d,.])[45]\d\d(?![\d,.]?\d)", plain(path))}
    assert named - OTHERS[path] <= set(problems.KINDS)
