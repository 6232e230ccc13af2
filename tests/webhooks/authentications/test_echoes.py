"""What an answer repeats of the secrets that were sent is not stored."""

import json
from dataclasses import replace
from urllib.parse import quote

import pytest

from tests.support.receiver import Receiver
from tests.webhooks.authentications.messages import MESSAGE
from webapp.webhooks.connectors import Connector
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.sender import Sender

SECRET = 'a+b%20 "geheim"<é'
WAYS = {
    "bearer": ({}, {"token": SECRET}),
    "basic": ({"user": "ada"}, {"password": SECRET}),
    "header": ({"name": "X-Key"}, {"value": SECRET}),
    "query": ({"name": "key"}, {"value": SECRET}),
}


def judged(body: str, way: str = "bearer", custom: str = "", **secrets: str) -> Outcome:
    options, own = WAYS.get(way, ({}, {}))
    connector = Connector.of(
        way, {"authentication": options}, {"authentication": secrets or own, "custom_headers": custom}
    )
    answer = Outcome(404, body, False, (("x-echo", body),), None, 1, None)
    outcome = connector.judged(answer, MESSAGE)
    assert outcome.headers == (("x-echo", outcome.body),)
    assert outcome.code == 404
    return outcome


@pytest.mark.parametrize("way", WAYS)
def test_a_receiver_that_repeats_the_request_shows_no_secret(sender: Sender, receiver: Receiver, way: str) -> None:
    options, secrets = WAYS[way]
    connector = Connector.of(way, {"authentication": options}, {"authentication": secrets})
    message = connector.proven(MESSAGE)
    request = f"POST {message.url}\n{json.dumps(dict(message.headers))}\n{dict(message.headers)}"
    receiver.answer(body=request.encode(), headers=[("content-type", "text/plain; charset=utf-8")])
    outcome = sender.send(1, receiver.url, b"{}", {})
    shown = connector.judged(outcome, MESSAGE).body
    assert outcome.body == request
    assert "•••" in shown
    for spelled in (
        SECRET,
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        message.headers.get("authorization", "none"),
    ):
        assert spelled not in shown
    assert "msg_1" in shown
    assert SECRET not in connector.judged(replace(outcome, body=f"Hello {SECRET}!"), MESSAGE).body


def test_ordinary_answers_stay_as_they_are() -> None:
    body = '{"ok":true,"id":"msg_1","at":1700000000,"by":"sales"}'
    for way in WAYS:
        assert judged(body, way, "X-Team: sales").body == body


def test_custom_headers_that_are_long_enough_to_be_secrets_are_masked() -> None:
    assert judged("you sent lhk_0123456789ab", custom="X-Key: lhk_0123456789ab").body == "you sent •••"
    assert judged("thank you, sales", custom="X-Team: sales").body == "thank you, sales"


def test_a_signature_is_no_secret_and_stays() -> None:
    for way in ("signature", "metalocator"):
        assert judged("1700000000 msg_1 v1", way, secret="geheim-geheim").body == "1700000000 msg_1 v1"


def test_a_success_rule_reads_the_answer_before() -> None:
    rule = {"body": {"is": "contains", "text": "abc.defghi"}}
    connector = Connector.of("bearer", {"success": rule}, {"authentication": {"token": "abc.defghi"}})
    outcome = connector.judged(Outcome(200, "for abc.defghi", False, (), None, 1, None), MESSAGE)
    assert (outcome.error, outcome.body) == (None, "for •••")
