"""OAuth 2.0 client credentials against Authlib, a token server and a protected receiver in one, over TLS."""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.tls import Authority
from tests.support.token_server import TokenServer
from webapp.webhooks.authentications.credential_ways import TriedWay, find_the_way
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.oauth2 import OAuth2
from webapp.webhooks.authentications.tokens import TokenSource
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Sender

CLIENT, SECRET = "leadhook client", "a+b %2B:c é=&ß/?#~"
SECRETS = ["plain", "a+b", "a%2Bb", "a%b", "a b", "a:b", "pässwörd€", "a/b=c&d?e#f", "~!*'()\"\\<>", " a ", SECRET]
BODY = '{"name":"Ada 🙂"}'.encode()


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    return authority.valid()


@pytest.fixture
def server(context: ssl.SSLContext) -> Iterator[TokenServer]:
    with TokenServer(context, CLIENT, SECRET) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(sender: Sender, clock: Clock) -> TokenSource:
    return TokenSource(sender, clock)


def scheme(server: TokenServer, **options: str) -> OAuth2:
    secret = options.pop("client_secret", SECRET)
    given = {"token_url": server.token_url, "client_id": CLIENT, **options}
    return OAuth2.of(given, {"client_secret": secret})


def post(source: TokenSource, server: TokenServer, webhook: int = 1, **options: str) -> Outcome:
    message = Message("POST", server.lead_url, {"webhook-id": "msg_1"}, BODY, "msg_1", 1, 1000)
    return source.send(webhook, scheme(server, **options), message)


def test_a_lead_is_delivered_with_a_token_which_is_kept(source: TokenSource, server: TokenServer) -> None:
    for _ in range(3):
        outcome = post(source, server)
        assert (outcome.code, outcome.body, outcome.before()) == (200, "thank you", [])
    assert server.leads == [BODY] * 3
    assert server.asked == [{"grant_type": "client_credentials"}]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_of_all_kinds_are_taken_by_authlib(sender: Sender, server: TokenServer, secret: str) -> None:
    server.client.client_id, server.client.secret = "id:+ %2B é", secret
    server.methods = ("client_secret_basic", "client_secret_post")
    for credentials in ("basic", "body"):
        changed = {"client_id": "id:+ %2B é", "client_secret": secret, "credentials": credentials}
        assert post(TokenSource(sender), server, **changed).delivered
        assert ("client_secret" in server.asked[-1]) is (credentials == "body")


def test_scope_audience_and_resource_are_sent_where_they_are_given(source: TokenSource, server: TokenServer) -> None:
    assert post(
        source, server, scope=" leads   leads:write ", audience="crm é", resource="https://crm.example/"
    ).delivered
    [form] = server.asked
    assert (form["scope"], form["audience"], form["resource"]) == (
        *("leads leads:write", "crm é", "https://crm.example/"),
    )


def test_a_token_that_ended_unseen_is_replaced_within_the_same_try(source: TokenSource, server: TokenServer) -> None:
    assert post(source, server).delivered
    server.withdraw()
    outcome = post(source, server)
    assert outcome.delivered
    assert [(one.code, one.error) for one in outcome.before()] == [(401, ErrorKind.HTTP_4XX)]
    assert (len(server.asked), len(server.leads), server.refused) == (2, 2, 1)


def test_threads_whose_token_ended_fetch_one_new_one(source: TokenSource, server: TokenServer) -> None:
    assert post(source, server).delivered
    server.withdraw()
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: post(source, server), range(8)))
    assert all(outcome.delivered for outcome in outcomes)
    assert (len(server.asked), len(server.leads)) == (2, 9)
    assert server.refused == sum(len(outcome.before()) for outcome in outcomes) > 0


def test_at_most_one_new_token_a_minute_is_fetched(source: TokenSource, server: TokenServer, clock: Clock) -> None:
    for _ in range(2):  # the first one, and the one in its place
        assert post(source, server).delivered
        server.withdraw()
    for seconds in (0, 30, 29.9):
        clock.now += seconds
        outcome = post(source, server)
        assert (outcome.code, outcome.before(), len(server.asked)) == (401, [], 2)
    clock.now += 0.2
    outcome = post(source, server)
    assert (outcome.code, len(outcome.before()), len(server.asked)) == (200, 0, 3)


def test_a_token_is_renewed_before_its_end(source: TokenSource, server: TokenServer, clock: Clock) -> None:
    server.lasts = 600
    for seconds, asked in ((0, 1), (539, 1), (2, 2), (500, 2), (41, 3)):
        clock.now += seconds
        assert post(source, server).delivered
        assert len(server.asked) == asked
    assert server.refused == 0


@pytest.mark.parametrize("lasts", [1, 2, 5])
def test_a_token_that_lasts_for_seconds_is_renewed_once_it_is_over(
    source: TokenSource, server: TokenServer, clock: Clock, lasts: int
) -> None:
    server.lasts = lasts
    assert post(source, server).delivered
    server.withdraw()
    clock.now += lasts
    assert post(source, server).delivered
    assert (len(server.asked), server.refused) == (2, 0)


def test_a_webhook_has_tokens_of_its_own_and_new_settings_get_a_new_one(
    source: TokenSource, server: TokenServer
) -> None:
    for webhook, scope in ((1, ""), (2, ""), (1, "leads"), (1, ""), (2, "")):
        assert post(source, server, webhook, scope=scope).delivered
    assert [form.get("scope") for form in server.asked] == [None, None, "leads"]


REFUSED = [
    ({"client_secret": "wrong"}, "refuses the client: invalid_client (The client cannot authenticate with methods: "),
    ({"client_id": "someone"}, "refuses the client: invalid_client"),
    ({"credentials": "body"}, "refuses the client: invalid_client"),
    ({"scope": "everything"}, "refuses the scope: invalid_scope"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_its_errors_are_told_apart(
    source: TokenSource, server: TokenServer, clock: Clock, options: dict[str, str], said: str
) -> None:
    outcome = post(source, server, **options)
    assert (outcome.code, outcome.error) == (999, ErrorKind.NO_TOKEN)
    assert outcome.body.startswith(f"The token server localhost {said}"), outcome.body
    assert SECRET not in outcome.body
    clock.now += 59
    again = post(source, server, **options)
    assert again.body.startswith("The token server localhost is asked once a minute at most. What it said before: ")
    assert said in again.body
    assert len(server.asked) == 1
    assert server.leads == []
    clock.now += 1
    assert post(source, server, **options).body == outcome.body
    assert len(server.asked) == 2


def test_corrected_settings_are_used_at_once(source: TokenSource, server: TokenServer) -> None:
    assert post(source, server, client_secret="wrong").error is ErrorKind.NO_TOKEN
    assert post(source, server).delivered


# The way in which the credentials are sent.


def ways(sender: Sender, server: TokenServer, **options: str) -> Any:
    secret = options.pop("client_secret", SECRET)
    given = {"token_url": server.token_url, "client_id": CLIENT, **options}
    return find_the_way(sender, 1, given, {"client_secret": secret})


def test_the_way_that_works_is_found(sender: Sender, server: TokenServer) -> None:
    assert ways(sender, server, credentials="body") == ("basic", (TriedWay("basic", ""),))
    server.methods = ("client_secret_post",)
    found = ways(sender, server)
    assert (found.works, [one.way for one in found.tried]) == ("body", ["basic", "raw", "body"])
    assert [one.sentence.partition(":")[0] for one in found.tried] == [
        *["The token server localhost refuses the client"] * 2,
        "",
    ]


def test_a_way_that_would_be_the_same_request_is_left_out(sender: Sender, context: ssl.SSLContext) -> None:
    with TokenServer(context, "plain", "words") as server:
        found = ways(sender, server, client_id="plain", client_secret="other")
        assert (found.works, [one.way for one in found.tried]) == (None, ["basic", "body"])
        assert len(server.asked) == 2


def test_a_way_is_found_although_the_scope_is_wrong(sender: Sender, server: TokenServer) -> None:
    found = ways(sender, server, scope="everything")
    assert found.works == "basic"
    assert "refuses the scope" in found.tried[0].sentence


def test_no_other_way_is_tried_where_the_server_cannot_be_reached(sender: Sender, server: TokenServer) -> None:
    found = ways(sender, server, token_url="https://localhost:9/token")
    assert (found.works, len(found.tried)) == (None, 1)
    assert "did not answer: Connection refused by localhost port 9" in found.tried[0].sentence


def test_a_client_id_that_cannot_be_sent_raw_is_tried_in_the_other_ways(
    sender: Sender, context: ssl.SSLContext
) -> None:
    with TokenServer(context, "a:b", SECRET) as server:
        server.methods = ("client_secret_post",)
        found = ways(sender, server, client_id="a:b")
    assert (found.works, [one.way for one in found.tried]) == ("body", ["basic", "raw", "body"])
    assert "has a colon" in found.tried[1].sentence
