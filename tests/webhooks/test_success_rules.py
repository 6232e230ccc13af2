"""What counts as a success of a webhook. Answers that services really give come first, then what cannot be saved."""

from typing import Any

import pytest

from tests.support.receiver import Receiver, answering
from webapp.webhooks.outcome import ErrorKind, Outcome, Stop
from webapp.webhooks.sender import Sender
from webapp.webhooks.settings import WrongSetting
from webapp.webhooks.success_rules import SuccessRule

SALESFORCE = {"header": {"name": "Is-Processed", "is": "contains_not", "text": "Exception"}}
APPS_SCRIPT = {"codes": "302", "header": {"name": "location", "is": "contains", "text": "script.googleusercontent.com"}}
OLD_TEAMS = {"body": {"is": "contains_not", "text": "error"}}
DAEMON = {"body": {"is": "contains_not", "text": "Hook rules were not satisfied"}}
ACCEPTS = {"body": {"is": "contains", "text": '"success":true'}}
SLACK = {"stops": [{"code": 410, "text": "channel_is_archived", "then": "pause", "words": "The channel is archived."}]}
DISCORD = {"stops": [{"code": 404, "text": "10015", "then": "pause", "words": "Discord has deleted this webhook."}]}
FIREWALL = {"give_up": "403"}

REFUSED = ErrorKind.NOT_ACCEPTED


def ask(sender: Sender, receiver: Receiver, code: int, body: str = "", **headers: str) -> Outcome:
    """The outcome of a real request, before any rule."""
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    receiver.answer(code, body.encode(), [*pairs, ("content-type", "text/plain; charset=utf-8")])
    return sender.send(1, receiver.url, b"{}", {})


@pytest.mark.parametrize(
    ("rule", "code", "body", "headers", "error"),
    [
        ({}, 200, "", {}, None),
        ({}, 204, "", {}, None),
        ({}, 302, "", {}, ErrorKind.REDIRECT),
        ({}, 500, "", {}, ErrorKind.HTTP_5XX),
        (SALESFORCE, 200, "", {}, None),
        (SALESFORCE, 200, "", {"Is_Processed": "true"}, None),
        (SALESFORCE, 200, "", {"Is_Processed": "true Exception:common.exception.SalesforceGenericException"}, REFUSED),
        (SALESFORCE, 503, "", {}, ErrorKind.HTTP_5XX),
        (
            APPS_SCRIPT,
            302,
            "",
            {"Location": "https://script.googleusercontent.com/macros/echo?user_content_key=x"},
            None,
        ),
        (APPS_SCRIPT, 302, "", {"Location": "https://accounts.google.com/ServiceLogin"}, REFUSED),
        (APPS_SCRIPT, 302, "", {}, REFUSED),
        (APPS_SCRIPT, 200, "Error: exception", {}, REFUSED),
        (OLD_TEAMS, 200, "1", {}, None),
        (OLD_TEAMS, 200, "Webhook message delivery failed with ERROR: 413", {}, REFUSED),
        (DAEMON, 200, "Hook rules were not satisfied.", {}, REFUSED),
        (ACCEPTS, 201, '{"id":5,"success":true}', {}, None),
        (ACCEPTS, 201, '{"success":false}', {}, REFUSED),
        (ACCEPTS, 201, "", {}, REFUSED),
        ({"codes": "200-299,409"}, 409, "", {}, None),
        ({"codes": "202"}, 200, "", {}, REFUSED),
        ({"codes": "202"}, 202, "", {}, None),
        ({"codes": "2xx, 302"}, 302, "", {}, None),
        ({"body": {"is": "contains", "text": "grüße"}}, 200, "Schöne GRÜSSE", {}, None),
    ],
)
def test_a_rule_says_what_a_success_is(
    sender: Sender,
    receiver: Receiver,
    rule: dict[str, Any],
    code: int,
    body: str,
    headers: dict[str, str],
    error: ErrorKind | None,
) -> None:
    judged = SuccessRule.of(rule).judge(ask(sender, receiver, code, body, **headers))
    assert (judged.error, judged.delivered) == (error, error is None)
    assert (judged.code, judged.stop) == (code, None)


@pytest.mark.parametrize(
    ("rule", "code", "body", "stop", "words"),
    [
        (SLACK, 410, "channel_is_archived", Stop.PAUSED, "The channel is archived."),
        (SLACK, 410, "no_such_thing", None, ""),
        (SLACK, 200, "channel_is_archived", None, ""),
        (
            DISCORD,
            404,
            '{"message": "Unknown Webhook", "code": 10015}',
            Stop.PAUSED,
            "Discord has deleted this webhook.",
        ),
        (DISCORD, 404, "no page", None, ""),
        (FIREWALL, 403, "<h1>Forbidden</h1>", Stop.FAILED, ""),
        (FIREWALL, 401, "", None, ""),
        ({"give_up": "400-404, 5xx"}, 503, "", Stop.FAILED, ""),
        ({**ACCEPTS, "give_up": "200"}, 200, "no", Stop.FAILED, ""),
        ({"stops": [{"code": 400, "then": "hold"}]}, 400, "", Stop.HELD, "The receiver answered with 400."),
        (
            {"stops": [{"text": "invalid_payload", "then": "hold"}], "give_up": "400"},
            400,
            "invalid_payload",
            Stop.HELD,
            "The receiver answered with “invalid_payload”.",
        ),
        (
            {"stops": [{"code": 400, "text": "X", "then": "fail"}]},
            400,
            "x",
            Stop.FAILED,
            "The receiver answered with 400 and “X”.",
        ),
    ],
)
def test_a_rule_says_what_is_not_tried_again(
    sender: Sender, receiver: Receiver, rule: dict[str, Any], code: int, body: str, stop: Stop | None, words: str
) -> None:
    judged = SuccessRule.of(rule).judge(ask(sender, receiver, code, body))
    assert (judged.stop, judged.stop_words) == (stop, words)


@pytest.mark.parametrize(
    ("code", "rule", "pauses"), [(410, {}, True), (404, {}, False), (410, {"codes": "200,410"}, False)]
)
def test_410_pauses_a_webhook_unless_it_is_a_success(
    sender: Sender, receiver: Receiver, code: int, rule: dict[str, Any], pauses: bool
) -> None:
    assert SuccessRule.of(rule).judge(ask(sender, receiver, code)).pauses is pauses


def test_a_stop_with_410_can_hold_the_lead_instead(sender: Sender, receiver: Receiver) -> None:
    judged = SuccessRule.of({"stops": [{"code": 410, "then": "hold"}]}).judge(ask(sender, receiver, 410))
    assert judged.stop == Stop.HELD
    assert not judged.pauses


def test_no_answer_is_a_failure_under_every_rule(sender: Sender, receiver: Receiver) -> None:
    receiver.close()
    outcome = sender.send(1, receiver.url, b"{}", {})
    assert SuccessRule.of({"give_up": "5xx", "stops": [{"text": "refused", "then": "pause"}]}).judge(outcome) == outcome


def test_the_first_request_of_a_try_that_sent_two_stays_as_it_was(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(answering(200), lambda line: False)
    assert sender.send(1, receiver.url, b"{}", {}).delivered
    judged = SuccessRule.of({"codes": "202"}).judge(sender.send(1, receiver.url, b"{}", {}))
    assert judged.error == ErrorKind.NOT_ACCEPTED
    assert judged.first
    assert judged.first.error == ErrorKind.SENT_AGAIN


def test_a_text_behind_the_stored_part_of_the_body_is_not_found(sender: Sender, receiver: Receiver) -> None:
    outcome = ask(sender, receiver, 200, "x" * 16384 + "done")
    assert outcome.truncated
    assert not SuccessRule.of({"body": {"is": "contains", "text": "done"}}).judge(outcome).delivered
    assert SuccessRule.of({"body": {"is": "contains_not", "text": "done"}}).judge(outcome).delivered


def test_one_of_several_headers_with_the_name_is_enough(sender: Sender, receiver: Receiver) -> None:
    receiver.answer(200, b"", [("X-State", "one"), ("x-state", "Two")])
    outcome = sender.send(1, receiver.url, b"{}", {})
    for text, found in (("two", True), ("three", False)):
        rule = {"header": {"name": "X-STATE", "is": "contains", "text": text}}
        assert SuccessRule.of(rule).judge(outcome).delivered is found


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "A lead is delivered if the code is 200-299."),
        (
            {"codes": "2xx,302", "give_up": "403, 404", **DAEMON},
            "A lead is delivered if the code is 200-299 or 302, and the body does not contain “Hook rules were not "
            "satisfied”. After 403 or 404 it is not tried again.",
        ),
        (
            APPS_SCRIPT,
            "A lead is delivered if the code is 302, and the header location contains “script.googleusercontent.com”.",
        ),
    ],
)
def test_a_rule_is_said_in_words(rule: dict[str, Any], words: str) -> None:
    assert SuccessRule.of(rule).in_words() == words


@pytest.mark.parametrize(
    ("stored", "words", "setting"),
    [
        (None, "has only these parts: codes, header", "codes"),
        ({"code": "200"}, "has only these parts", "codes"),
        ({"codes": "200-"}, "“200-” is no code from 200 to 599", "codes"),
        ({"codes": "200;302"}, "is no code", "codes"),
        ({"codes": "100"}, "“100” is no code", "codes"),
        ({"codes": "999"}, "“999” is no code", "codes"),
        ({"codes": "200,,302"}, "“” is no code", "codes"),
        ({"codes": "299-200"}, "ends before it begins", "codes"),
        ({"codes": "1xx"}, "is no code", "codes"),
        ({"codes": "٢٠٠"}, "is no code", "codes"),
        ({"codes": 200}, "is no code", "codes"),
        ({"codes": ",".join(["200"] * 51)}, "At most 50 codes", "codes"),
        ({"give_up": "never"}, "“never” is no code", "give_up"),
        ({"give_up": "403,204"}, "204 is a success", "give_up"),
        ({"codes": "200-403", "give_up": "4xx"}, "400 is a success", "give_up"),
        ({"header": {"name": "", "is": "contains", "text": "x"}}, "Name the header", "header"),
        ({"header": {"name": "a b", "is": "contains", "text": "x"}}, "Name the header", "header"),
        ({"header": {"name": "a:\r\nb", "is": "contains", "text": "x"}}, "Name the header", "header"),
        ({"header": {"name": "a", "is": "contains", "text": " "}}, "Say which text the header", "header"),
        ({"header": {"name": "a", "is": "equals", "text": "x"}}, "must contain the text, or must not", "header"),
        ({"body": {"is": "contains"}}, "The text to look for in the body is a text", "body"),
        ({"body": {"is": "contains", "text": "a\nb"}}, "line break", "body"),
        ({"body": {"is": "contains", "text": "x" * 201}}, "at most 200 characters; this has 201", "body"),
        ({"body": "ok"}, "must contain the text, or must not", "body"),
        ({"stops": {"code": 410}}, "at most 20 answers", "stops"),
        ({"stops": [{"code": 410, "then": "pause"}] * 21}, "at most 20 answers", "stops"),
        ({"stops": [{"then": "pause"}]}, "known by its code, by a text", "stops"),
        ({"stops": [{"code": 99, "then": "pause"}]}, "a code from 200 to 599", "stops"),
        ({"stops": [{"code": "410", "then": "pause"}]}, "a code from 200 to 599", "stops"),
        ({"stops": [{"code": True, "then": "pause"}]}, "a code from 200 to 599", "stops"),
        ({"stops": [{"code": 410, "then": "delete"}]}, "one of: pause, hold, fail", "stops"),
        ({"stops": ["410"]}, "known by its code", "stops"),
        ({"stops": [{"code": 410, "then": "hold", "words": "x" * 301}]}, "at most 300 characters", "stops"),
    ],
)
def test_what_is_no_rule_is_refused_in_words(stored: object, words: str, setting: str) -> None:
    with pytest.raises(WrongSetting, match=words) as refused:
        SuccessRule.of(stored)
    assert refused.value.setting == setting
