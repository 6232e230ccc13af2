"""What each preset makes of the answers that its service documents: taken, tried again, held or paused."""

import pytest

from tests.support.receiver import Receiver
from webapp.webhooks.outcome import Stop
from webapp.webhooks.presets.catalogue import PRESETS
from webapp.webhooks.sender import Sender
from webapp.webhooks.success_rules import SuccessRule

TAKEN, AGAIN, HELD, PAUSED = "taken", None, Stop.HELD, Stop.PAUSED
ECHO = "https://script.googleusercontent.com/macros/echo?user_content_key=x"
SIGN_IN = "https://accounts.google.com/ServiceLogin"


@pytest.mark.parametrize("name", PRESETS)
def test_the_answer_rule_of_each_preset_can_be_used(name: str) -> None:
    rule = SuccessRule.of(PRESETS[name].answer)
    assert rule.in_words().startswith("A lead is delivered if the code is ")
    assert all(stop.words for stop in rule.stops)


@pytest.mark.parametrize(
    ("name", "code", "body", "headers", "expected"),
    [
        ("slack", 200, "ok", {}, TAKEN),
        ("slack", 400, "invalid_payload", {}, HELD),
        ("slack", 410, "channel_is_archived", {}, PAUSED),
        ("slack", 403, "action_prohibited", {}, PAUSED),
        ("slack", 500, "rollup_error", {}, AGAIN),
        ("slack", 429, "", {"Retry-After": "1"}, AGAIN),
        ("microsoft_teams", 202, "", {}, TAKEN),
        ("microsoft_teams", 200, "Webhook message delivery failed with error: 413", {}, AGAIN),
        ("microsoft_teams", 404, "", {}, PAUSED),
        ("microsoft_teams", 429, "", {}, AGAIN),
        ("discord", 200, '{"id": "1"}', {}, TAKEN),
        ("discord", 404, '{"message": "Unknown Webhook", "code": 10015}', {}, PAUSED),
        ("discord", 401, '{"message": "Invalid Webhook Token", "code": 50027}', {}, PAUSED),
        ("discord", 400, '{"code": 50035, "message": "Invalid Form Body"}', {}, HELD),
        ("discord", 429, '{"retry_after": 1.5}', {"Retry-After": "2"}, AGAIN),
        ("google_chat", 200, '{"name": "spaces/x/messages/y"}', {}, TAKEN),
        ("google_chat", 429, "", {}, AGAIN),
        ("hubspot_forms", 200, '{"inlineMessage":"Thanks"}', {}, TAKEN),
        ("hubspot_forms", 400, '{"status":"error"}', {}, HELD),
        ("salesforce_web_to_lead", 200, "", {}, TAKEN),
        ("salesforce_web_to_lead", 200, "", {"Is-Processed": "true"}, TAKEN),
        ("salesforce_web_to_lead", 200, "", {"Is-Processed": "true Exception:common.exception.Generic"}, HELD),
        ("salesforce_web_to_lead", 500, "", {}, AGAIN),
        ("salesforce_rest", 201, '{"id":"x","success":true}', {}, TAKEN),
        ("salesforce_rest", 400, '[{"errorCode":"REQUIRED_FIELD_MISSING"}]', {}, HELD),
        ("salesforce_rest", 503, "", {}, AGAIN),
        ("pipedrive_person", 201, '{"success":true}', {}, TAKEN),
        ("pipedrive_person", 403, '{"code":"feature_capping_deals_limit"}', {}, PAUSED),
        ("pipedrive_person", 429, "", {}, AGAIN),
        ("zapier", 200, '{"status":"success"}', {}, TAKEN),
        ("zapier", 429, "", {}, AGAIN),
        ("make", 200, "Accepted", {}, TAKEN),
        ("make", 400, "Queue is full.", {}, AGAIN),
        ("make", 410, "", {}, PAUSED),
        ("google_sheets", 302, "", {"Location": ECHO}, TAKEN),
        ("google_sheets", 302, "", {"Location": SIGN_IN}, PAUSED),
        ("google_sheets", 200, "<title>Error</title>", {}, PAUSED),
        ("google_sheets", 500, "", {}, AGAIN),
    ],
)
def test_an_answer_is_understood_as_its_service_means_it(
    sender: Sender,
    receiver: Receiver,
    name: str,
    code: int,
    body: str,
    headers: dict[str, str],
    expected: str | None,
) -> None:
    receiver.answer(code, body.encode(), headers.items())
    judged = SuccessRule.of(PRESETS[name].answer).judge(sender.send(1, receiver.url, b"{}", {}))
    assert judged.delivered is (expected == TAKEN)
    assert judged.stop == (None if expected == TAKEN else expected)
