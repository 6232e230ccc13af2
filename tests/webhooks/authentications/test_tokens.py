"""Bearer, Basic, and keys in a header or in the URL's query: what is sent, and what cannot be."""

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from requests.auth import _basic_auth_str
from werkzeug.datastructures import Authorization

from tests.webhooks.authentications.messages import MESSAGE, added, refusal
from webapp.webhooks.addresses import sent_url
from webapp.webhooks.authentications.query import with_parameter
from webapp.webhooks.authentications.schemes import SCHEMES

AWKWARD = ["a+b", "50%", "a:b", "two words", "é", "pässwörd", "a%2Bb", "a&b=c#d?e", '"quoted"', "it's", "/", "~-_."]


@pytest.mark.parametrize("token", [*AWKWARD, "eyJhbGciOiJIUzI1NiJ9.e30.x-_", "a" * 4096])
def test_a_bearer_token_is_sent_as_it_is(token):
    assert added("bearer", {}, {"token": token}) == {"authorization": f"Bearer {token}"}


def test_the_word_bearer_that_people_paste_is_not_sent_twice():
    for pasted in ("Bearer abc.def", "bearer abc.def", "Bearer  abc.def"):
        assert added("bearer", {}, {"token": pasted}) == {"authorization": "Bearer abc.def"}
    assert added("bearer", {}, {"token": "Bearerabc"}) == {"authorization": "Bearer Bearerabc"}


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "missing"),
        ("Bearer\tabcd", "line break"),
        ("geheim\r\nHost: evil", "line break"),
        ("geheim\n", "line break"),
        ("geheim\x00", "line break"),
        (" geheim", "space"),
        ("geheim ", "space"),
        ("geheim€", "€"),
        ("geheim\u0085geheim", "€"),
        ("geheim\ud800", "€"),
        ("密钥密钥密钥", "€"),
        ("a" * 4097, "longer"),
    ],
)
@pytest.mark.parametrize(("scheme", "setting"), [("bearer", "token"), ("header", "value")])
def test_a_token_that_no_header_can_have_is_refused(scheme, setting, token, reason):
    error = refusal(scheme, {}, {setting: token})
    assert reason in str(error)
    assert error.setting == setting


@pytest.mark.parametrize("password", [*AWKWARD, "€", "密钥", ""])
@pytest.mark.parametrize("user", ["ada", "", "é+%", "two words", "密"])
def test_basic_is_read_by_werkzeug_as_it_was_meant(user, password):
    if not user and not password:
        return
    value = added("basic", {"user": user}, {"password": password})["authorization"]
    read = Authorization.from_header(value)
    assert read
    assert (read.username, read.password) == (user, password)


def test_basic_is_the_example_of_the_rfc():
    assert added("basic", {"user": "Aladdin"}, {"password": "open sesame"}) == {
        "authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617, 2
    }
    assert added("basic", {"user": "test"}, {"password": "123£"}) == {
        "authorization": "Basic dGVzdDoxMjPCow=="  # RFC 7617, 2.1
    }
    assert added("basic", {"user": "ada"}, {"password": "a:b"})["authorization"] == _basic_auth_str("ada", "a:b")


@pytest.mark.parametrize(
    ("user", "password", "setting"),
    [
        ("", "", "user"),
        ("a:b", "geheim", "user"),
        (":", "geheim", "user"),
        ("a\nb", "geheim", "user"),
        ("ada", "geheim\r\n", "password"),
        ("ada", "geheim\x00", "password"),
        ("ada", "geheim\x85", "password"),
        ("ada", "geheim\ud800", "password"),
    ],
)
def test_what_basic_cannot_carry_is_refused(user, password, setting):
    assert refusal("basic", {"user": user}, {"password": password}).setting == setting


def test_a_key_is_sent_in_the_header_that_the_receiver_names():
    assert added("header", {}, {"value": "k-1"}) == {"x-api-key": "k-1"}
    assert added("header", {"name": "Api-Token"}, {"value": "a b:+%é"}) == {"api-token": "a b:+%é"}
    assert added("header", {"name": "Authorization"}, {"value": "Token k-1"}) == {"authorization": "Token k-1"}


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "host", "Content-Length", "CONTENT-TYPE", "Transfer-Encoding", "Connection", "Accept-Encoding"),
        *("Keep-Alive", "TE", "Trailer", "Upgrade", "Expect", "Proxy-Authorization", "Content-Encoding"),
        *("webhook-id", "Webhook-Signature", "webhook-anything", "leadhook-hops", "Leadhook-New"),
        *("X Key", "X-Key:", "X-Kéy", "X-Key\r\nHost", "(x)", "a" * 201, "\u212aey", ":authority"),
    ],
)
def test_a_name_that_is_ours_or_is_no_name_is_refused(name):
    assert refusal("header", {"name": name}, {"value": "geheim"}).setting == "name"


@pytest.mark.parametrize("key", [*AWKWARD, "€", "密钥 😀", "+ +"])
def test_a_key_in_the_query_arrives_as_it_was_meant(key):
    message = SCHEMES["query"].of({"name": "api key"}, {"value": key}).add_to(MESSAGE)
    assert parse_qsl(urlsplit(message.url).query, keep_blank_values=True) == [("api key", key)]
    assert "+" not in message.url  # some servers do not read it as a space
    assert sent_url(message.url) == message.url
    assert message.headers == MESSAGE.headers


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://crm.example/", "https://crm.example/?key=v"),
        ("https://crm.example/?a=1", "https://crm.example/?a=1&key=v"),
        ("https://crm.example/?a=%2f&b", "https://crm.example/?a=%2f&b&key=v"),
        ("https://crm.example/?key=old&a=1", "https://crm.example/?a=1&key=v"),
        ("https://crm.example/?%6Bey=old", "https://crm.example/?key=v"),
        ("https://crm.example/?key", "https://crm.example/?key=v"),
        ("https://crm.example/?keys=1", "https://crm.example/?keys=1&key=v"),
        ("https://crm.example/?a=?key=1", "https://crm.example/?a=?key=1&key=v"),
    ],
)
def test_a_parameter_is_added_once_and_the_rest_stays(url, sent):
    assert with_parameter(url, "key", "v") == sent


@pytest.mark.parametrize(
    ("name", "value", "setting"),
    [("key", "", "value"), ("key", "geheim\n", "value"), ("k\ney", "geheim", "name"), ("key", "g" * 1025, "value")],
)
def test_a_key_that_cannot_stand_in_a_url_is_refused(name, value, setting):
    assert refusal("query", {"name": name}, {"value": value}).setting == setting


def test_a_message_is_a_copy_and_the_scheme_can_be_used_again():
    scheme = SCHEMES["header"].of({}, {"value": "k-1"})
    other = replace(MESSAGE, message_id="msg_2", headers={})
    assert scheme.add_to(other).headers == {"x-api-key": "k-1"}
    assert "x-api-key" in scheme.add_to(MESSAGE).headers
    assert "x-api-key" not in MESSAGE.headers
