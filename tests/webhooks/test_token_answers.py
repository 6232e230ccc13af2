"""What is asked of a token server, byte for byte, and what its answers mean: a token, or a sentence that says why not.

The answers of Authlib, django-oauth-toolkit, oidc-provider and node-oauth2-server were recorded by
tests/receivers/oauth.py.
"""

import base64
import json
from typing import Any

import pytest

from tests.support.tree import ROOT
from webapp.webhooks.advice import row_of
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.oauth2 import OAuth2
from webapp.webhooks.authentications.token_answers import LASTS, LONGEST, NoToken, read_answer
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.settings import WrongSetting

GIVEN = {"token_url": "https://auth.example/token", "client_id": "leadhook"}
HOST = "auth.example"
DAY = 86400


def scheme(secret: str = "secret", **options: str) -> OAuth2:
    return OAuth2.of({**GIVEN, **options}, {"client_secret": secret})


def credentials(scheme: OAuth2) -> str:
    headers, _ = scheme.token_request()
    return base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode()


# What is asked.


def test_the_usual_request() -> None:
    assert scheme().token_request() == (
        {
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
            "authorization": "Basic bGVhZGhvb2s6c2VjcmV0",
        },
        b"grant_type=client_credentials",
    )


@pytest.mark.parametrize(
    ("secret", "encoded"),
    [
        ("a+b", "a%2Bb"),
        ("a%2Bb", "a%252Bb"),
        ("a b", "a%20b"),
        ("a:b", "a%3Ab"),
        ("é", "%C3%A9"),
        ("€", "%E2%82%AC"),
        ("a/b=c&d", "a%2Fb%3Dc%26d"),
        ("-._~", "-._~"),
        (" a ", "%20a%20"),
    ],
)
def test_credentials_are_percent_encoded_or_raw_or_in_the_body(secret: str, encoded: str) -> None:
    assert credentials(scheme(secret)) == f"leadhook:{encoded}"
    assert credentials(scheme(secret, client_id=secret)) == f"{encoded}:{encoded}"
    assert credentials(scheme(secret, credentials="raw")) == f"leadhook:{secret}"
    headers, body = scheme(secret, credentials="body").token_request()
    assert "authorization" not in headers
    assert body == f"grant_type=client_credentials&client_id=leadhook&client_secret={encoded}".encode()


def test_what_is_empty_is_left_out_and_spaces_are_never_a_plus() -> None:
    assert scheme(scope=" ", audience="", resource="\n").token_request()[1] == b"grant_type=client_credentials"
    body = scheme(scope="a  b:c\tread/all", audience="https://api.example/a b", resource="urn:x").token_request()[1]
    assert body == (
        b"grant_type=client_credentials&scope=a%20b%3Ac%20read%2Fall"
        b"&audience=https%3A%2F%2Fapi.example%2Fa%20b&resource=urn%3Ax"
    )


def test_line_breaks_around_a_pasted_secret_are_left_out() -> None:
    assert credentials(scheme("secret\r\n", client_id="\nid")) == "id:secret"


@pytest.mark.parametrize(
    ("options", "secret", "setting", "said"),
    [
        ({"token_url": ""}, "s", "token_url", "Token URL is missing."),
        ({"token_url": "auth.example/token"}, "s", "token_url", "must begin with https:// or http://"),
        ({"token_url": "https://id:secret@auth.example/"}, "s", "token_url", "must not contain a user name"),
        ({"token_url": "https://auth.example/to ken"}, "s", "token_url", "contains a space"),
        ({"token_url": "ftp://auth.example/"}, "s", "token_url", "must begin with"),
        ({"client_id": "  "}, "s", "client_id", "Client ID is missing."),
        ({}, "", "client_secret", "Client secret is missing."),
        ({}, "top\nsecret", "client_secret", "has a line break or an invisible character."),
        ({}, "top\x00secret", "client_secret", "has a line break or an invisible character."),
        ({}, "s" * 4097, "client_secret", "longer than 4096 characters"),
        ({"credentials": "both"}, "s", "credentials", "must be one of: in the header"),
        ({"credentials": "raw", "client_id": "a:b"}, "s", "credentials", "has a colon"),
        ({"scope": 'a"b'}, "s", "scope", "a character that no scope can have"),
        ({"scope": "a é"}, "s", "scope", "a character that no scope can have"),
        ({"audience": "a\x07"}, "s", "audience", "invisible character"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    options: dict[str, str], secret: str, setting: str, said: str
) -> None:
    with pytest.raises(WrongSetting, match=said) as wrong:
        scheme(secret, **options)
    assert wrong.value.setting == setting
    assert "top" not in str(wrong.value)


def test_only_the_secret_is_a_secret_and_it_is_shown_nowhere() -> None:
    assert [setting.name for setting in OAuth2.SETTINGS if setting.secret] == ["client_secret"]
    assert "s3cr3t" not in repr(scheme("s3cr3t")) + scheme("s3cr3t").fingerprint
    assert scheme("s3cr3t").fingerprint == scheme("s3cr3t").fingerprint != scheme("s3cr3t2").fingerprint
    assert len({scheme(**{name: "raw"}).fingerprint for name in ("credentials", "scope", "audience", "resource")}) == 4


def test_pages_show_the_request_without_a_token() -> None:
    message = Message("POST", "https://crm.example/", {"webhook-id": "msg_1"}, b"{}", "msg_1", 1, 1000)
    shown = scheme().add_to(message)
    assert shown.headers == {"webhook-id": "msg_1", "authorization": "Bearer <fetched when it is sent>"}
    assert scheme().with_token(message, "abc").headers["authorization"] == "Bearer abc"


# What it answers.


def answer(given: Any, code: int = 200, kind: str = "application/json") -> Outcome:
    body = given if isinstance(given, str) else json.dumps(given)
    error = None if code < 300 else ErrorKind.HTTP_4XX
    return Outcome(code, body, False, (("Content-Type", kind),), error, 5, None)


@pytest.mark.parametrize(
    ("given", "lasts"),
    [
        ({"expires_in": 3600}, 3600),
        ({"expires_in": "3600"}, 3600),
        ({"expires_in": 3600.5}, 3600.5),
        ({"expires_in": "3600.0"}, 3600),
        ({"expires_in": " 60 "}, 60),
        ({"expires_in": 1}, 1),
        ({"expires_in": 10**9}, DAY),
        ({"expires_in": 10**400}, LASTS),
        ({"expires_in": ""}, LASTS),
        ({"expires_in": "soon"}, LASTS),
        ({"expires_in": 0}, LASTS),
        ({"expires_in": "0"}, LASTS),
        ({"expires_in": -5}, LASTS),
        ({"expires_in": None}, LASTS),
        ({"expires_in": True}, LASTS),
        ({"expires_in": [60]}, LASTS),
        ({"expires_in": "inf"}, LASTS),
        ({"expires_in": "nan"}, LASTS),
        ({}, LASTS),
    ],
)
def test_the_lifetime_is_read_leniently(given: dict[str, Any], lasts: float) -> None:
    assert LONGEST == DAY
    assert read_answer(answer({"access_token": "abc", "token_type": "Bearer", **given}), HOST).lasts == lasts


@pytest.mark.parametrize(
    "kind", ["Bearer", "bearer", "BEARER", "BearerToken", "JWT", "", None, 7, "absent", " bearer\n"]
)
def test_the_type_is_read_leniently(kind: object) -> None:
    given = {"access_token": "abc"} | ({} if kind == "absent" else {"token_type": kind})
    assert read_answer(answer(given), HOST).value == "abc"


@pytest.mark.parametrize("kind", ["mac", "DPoP", "PoP", "N_A"])
def test_a_token_that_needs_another_proof_is_refused(kind: str) -> None:
    with pytest.raises(NoToken, match=f"gave a token of the type {kind}, and Leadhook sends Bearer tokens only"):
        read_answer(answer({"access_token": "abc", "token_type": kind}), HOST)


@pytest.mark.parametrize("code", [200, 201, 203])
@pytest.mark.parametrize(
    "text", ['{"access_token":"a.b-c_d~e+f/g=="}', '\ufeff {"access_token": " a.b-c_d~e+f/g== "}\n']
)
def test_a_token_is_read_from_any_success(code: int, text: str) -> None:
    assert read_answer(answer(text, code, "text/plain"), HOST).value == "a.b-c_d~e+f/g=="


def test_words_that_some_servers_add_to_a_token_are_no_error() -> None:
    given = {"access_token": "abc", "error": None, "code": "0", "message": "ok", "scope": "less", "status": "approved"}
    assert read_answer(answer(given), HOST).value == "abc"


WITHOUT = "answered {code} without an access_token that can be used"
PAGE = "gave no token, but a web page: it answered {code}"
REFUSED: list[tuple[object, int, str, str]] = [
    ({}, 200, "application/json", WITHOUT),
    ([], 200, "application/json", WITHOUT),
    ("", 200, "application/json", WITHOUT),
    ("", 204, "", WITHOUT),
    ({"access_token": ""}, 200, "application/json", WITHOUT),
    ({"access_token": "  "}, 200, "application/json", WITHOUT),
    ({"access_token": None}, 200, "application/json", WITHOUT),
    ({"access_token": 7}, 200, "application/json", WITHOUT),
    ({"access_token": {"value": "abc"}}, 200, "application/json", WITHOUT),
    ({"access_token": "a b"}, 200, "application/json", WITHOUT),
    ({"access_token": "a\r\nx: y"}, 200, "application/json", WITHOUT),
    ({"access_token": "é"}, 200, "application/json", WITHOUT),
    ({"token": "abc"}, 200, "application/json", WITHOUT),
    ({"data": {"access_token": "abc"}, "status": "ok"}, 200, "application/json", WITHOUT),
    (
        "access_token=abc&token_type=bearer",
        200,
        "application/x-www-form-urlencoded",
        "did not answer in JSON: it answered 200",
    ),
    ("[" * 100_000, 200, "application/json", "did not answer in JSON: it answered 200"),
    ('{"access_token":"ab', 200, "application/json", "did not answer in JSON: it answered 200"),
    ("<html><title>Sign in</title>", 200, "text/html; charset=utf-8", PAGE),
    ("  <!doctype html>", 200, "", PAGE),
    ("<h1>Server Error</h1>", 500, "text/html", PAGE),
    ("<h1>Not Found</h1>", 404, "text/html", PAGE),
    ("Moved", 302, "text/plain", "gave no token: it answered 302"),
    ("", 503, "", "gave no token: it answered 503"),
    ("Too many requests", 429, "text/plain", "gave no token: it answered 429"),
    ({}, 405, "application/json", "gave no token: it answered 405"),
    ("", 401, "", "refuses the client: 401"),
    ("<h1>401</h1>", 401, "text/html", "refuses the client: 401"),
    ({"error": "invalid_client"}, 401, "application/json", "refuses the client: invalid_client"),
    ({"error": "invalid_client"}, 400, "application/json", "refuses the client: invalid_client"),
    ({"error": "invalid_client"}, 200, "application/json", "refuses the client: invalid_client"),
    (
        {"error": "invalid_client", "error_description": "Unknown\n  client"},
        *(401, "application/json", "refuses the client: invalid_client (Unknown client)"),
    ),
    (
        {"errorCode": "invalid_client", "errorSummary": "No."},
        401,
        "application/json",
        "refuses the client: invalid_client (No.)",
    ),
    (
        {"error": "unauthorized_client"},
        400,
        "application/json",
        "does not allow client credentials: unauthorized_client",
    ),
    (
        {"error": "unauthorized_client"},
        401,
        "application/json",
        "does not allow client credentials: unauthorized_client",
    ),
    (
        {"error": "unsupported_grant_type"},
        400,
        "application/json",
        "does not allow client credentials: unsupported_grant_type",
    ),
    ({"error": "invalid_scope"}, 400, "application/json", "refuses the scope: invalid_scope"),
    ({"error": "invalid_target"}, 400, "application/json", "refuses the audience or resource: invalid_target"),
    (
        {"error": "access_denied", "error_description": "Client is not authorized to access"},
        *(403, "application/json", "refuses the request: access_denied (Client is not authorized to access)"),
    ),
    ({"error": "invalid_request"}, 400, "application/json", "refuses the request: invalid_request"),
    ({"error": "server_error"}, 500, "application/json", "refuses the request: server_error"),
    ({"error": {"code": "x1", "message": "No"}}, 400, "application/json", "refuses the request: x1 (No)"),
    ({"message": "Forbidden"}, 403, "application/json", "refuses the request: Forbidden"),
    ({"ok": False, "error": "bad_client_secret"}, 200, "application/json", "refuses the request: bad_client_secret"),
    ({"error": 7}, 418, "application/json", "gave no token: it answered 418"),
]


@pytest.mark.parametrize(("given", "code", "kind", "said"), REFUSED)
def test_a_refusal_is_said_in_a_sentence_with_a_step(given: object, code: int, kind: str, said: str) -> None:
    with pytest.raises(NoToken) as refused:
        read_answer(answer(given, code, kind), HOST)
    sentence = refused.value.sentence
    assert sentence.startswith(f"The token server {HOST} {said.format(code=code)}. "), sentence
    row = row_of(sentence, ErrorKind.NO_TOKEN)
    assert row
    assert sentence.endswith(row.step)
    outcome = refused.value.outcome(7)
    assert (outcome.code, outcome.error, outcome.body, outcome.duration_ms) == (999, ErrorKind.NO_TOKEN, sentence, 7)


def test_a_server_that_did_not_answer_is_quoted_without_advice_about_receivers() -> None:
    words = (
        "Timed out: no complete response within 10 s. The receiver may have the lead: answer first, then do the work."
    )
    silent = Outcome(999, words, False, (), ErrorKind.TIMEOUT, 10_000, None)
    with pytest.raises(NoToken) as refused:
        read_answer(silent, HOST)
    assert refused.value.sentence == (
        "The token server auth.example did not answer: Timed out: no complete response within 10 s. "
        "Check the token URL, and the network to it."
    )


def test_no_sentence_repeats_the_secret_and_none_is_long() -> None:
    oauth = scheme("to+p s%ecret")
    encoded = oauth.token_request()[0]["authorization"].removeprefix("Basic ")
    for form in ("to+p s%ecret", "to%2Bp%20s%25ecret", encoded, credentials_of(oauth, "raw")):
        said = {"error": f"no_{form}", "error_description": f"The secret {form} is wrong. " + "x" * 9000}
        with pytest.raises(NoToken) as refused:
            read_answer(answer(said, 400), HOST, oauth.hidden)
        assert form not in refused.value.sentence
        assert "no_••• (The secret ••• is wrong. xxx" in refused.value.sentence
        assert len(refused.value.sentence) < 400


def credentials_of(oauth: OAuth2, way: str) -> str:
    return base64.b64encode(f"{oauth.client_id}:{oauth.client_secret}".encode()).decode() if way == "raw" else ""


@pytest.mark.parametrize(
    ("given", "code", "other_way", "known"),
    [
        ({"error": "invalid_client"}, 401, True, False),
        ({"error": "invalid_request"}, 400, True, False),
        ("", 401, True, False),
        ("", 400, True, False),
        ({"error": "invalid_scope"}, 400, False, True),
        ({"error": "invalid_target"}, 400, False, True),
        ({"error": "unauthorized_client"}, 400, False, True),
        ({"error": "unsupported_grant_type"}, 400, False, False),
        ("", 404, False, False),
        ("", 429, False, False),
        ("", 502, False, False),
        ({}, 200, False, False),
    ],
)
def test_what_a_refusal_means_for_the_way_of_sending(given: object, code: int, other_way: bool, known: bool) -> None:
    with pytest.raises(NoToken) as refused:
        read_answer(answer(given, code), HOST)
    assert (refused.value.may_be_the_way, refused.value.knows_the_client) == (other_way, known)


# Recorded answers of real servers.

RECORDED = json.loads((ROOT / "tests" / "webhooks" / "token_answers.json").read_text())


@pytest.mark.parametrize("one", RECORDED["answers"], ids=lambda one: f"{one['server']}: {one['asked']}")
def test_a_recorded_answer_means_the_same_today(one: dict[str, Any]) -> None:
    outcome = Outcome(one["code"], one["body"], False, tuple(map(tuple, one["headers"])), None, 1, None)
    if one["lasts"] is not None:
        token = read_answer(outcome, HOST)
        assert (token.lasts, bool(token.value)) == (one["lasts"], True)
        return
    with pytest.raises(NoToken) as refused:
        read_answer(outcome, HOST)
    assert refused.value.words == f"The token server {HOST} {one['said']}"
