"""What presets make of the answers that their services give, sent by a real receiver."""

import pytest

from tests.support.receiver import Receiver
from tests.webhooks.test_success_rules import ask
from webapp.webhooks.outcome import Outcome, Stop
from webapp.webhooks.presets.catalogue import PRESETS
from webapp.webhooks.sender import Sender
from webapp.webhooks.success_rules import SuccessRule

SCRIPT = "https://script.googleusercontent.com/macros/echo?user_content_key=x"
SIGN_IN = "https://accounts.google.com/ServiceLogin?continue=https://script.googleusercontent.com"
EXCEPTION = "true Exception:common.exception.SalesforceGenericException"
DELIVERED, RETRIED = "delivered", "retried"


def what_becomes(outcome: Outcome) -> str:
    if outcome.delivered:
        return DELIVERED
    return outcome.stop.value if outcome.stop else RETRIED


@pytest.mark.parametrize(
    ("name", "code", "body", "headers", "expected"),
    [
        ("slack", 200, "ok", {}, DELIVERED),
        ("slack", 410, "channel_is_archived", {}, Stop.PAUSED),
        ("slack", 404, "channel_not_found", {}, Stop.PAUSED),
        ("slack", 404, "No service", {}, Stop.PAUSED),
        ("slack", 403, "action_prohibited", {}, Stop.PAUSED),
        ("slack", 400, "invalid_payload", {}, Stop.HELD),
        ("slack", 400, "user_not_found", {}, Stop.PAUSED),
        ("slack", 429, "", {"Retry_After": "1"}, RETRIED),
        ("slack", 500, "rollup_error", {}, RETRIED),
        ("slack", 200, "", {}, RETRIED),
        ("microsoft_teams", 202, "", {}, DELIVERED),
        ("microsoft_teams", 200, "1", {}, DELIVERED),
        ("microsoft_teams", 200, "Webhook message delivery failed with error: HTTP error 413", {}, RETRIED),
        ("microsoft_teams", 404, '{"error":{"code":"WorkflowNotFound"}}', {}, Stop.PAUSED),
        ("microsoft_teams", 413, "", {}, Stop.HELD),
        ("microsoft_teams", 429, "", {}, RETRIED),
        ("discord", 200, '{"id": "1"}', {}, DELIVERED),
        ("discord", 404, '{"message": "Unknown Webhook", "code": 10015}', {}, Stop.PAUSED),
        ("discord", 401, '{"message": "Invalid Webhook Token", "code": 50027}', {}, Stop.PAUSED),
        ("discord", 400, '{"message": "Cannot send an empty message", "code": 50006}', {}, Stop.HELD),
        ("discord", 400, '{"code": 50035, "errors": {}, "message": "Invalid Form Body"}', {}, Stop.HELD),
        ("discord", 429, '{"retry_after": 0.5}', {}, RETRIED),
        ("google_chat", 200, '{"name": "spaces/A/messages/B"}', {}, DELIVERED),
        ("google_chat", 400, '{"error": {"status": "INVALID_ARGUMENT"}}', {}, Stop.HELD),
        ("google_chat", 429, "", {}, RETRIED),
        ("hubspot_forms", 200, '{"inlineMessage": "Thanks"}', {}, DELIVERED),
        ("hubspot_forms", 400, '{"status": "error"}', {}, Stop.HELD),
        ("hubspot_forms", 429, "", {}, RETRIED),
        ("salesforce_web_to_lead", 200, "", {}, DELIVERED),
        ("salesforce_web_to_lead", 200, "", {"Is_Processed": "true"}, DELIVERED),
        ("salesforce_web_to_lead", 200, "", {"Is_Processed": EXCEPTION}, Stop.HELD),
        ("salesforce_web_to_lead", 503, "", {}, RETRIED),
        ("salesforce_rest", 201, '{"id": "00Q", "success": true, "errors": []}', {}, DELIVERED),
        ("salesforce_rest", 400, '[{"errorCode": "REQUIRED_FIELD_MISSING"}]', {}, Stop.HELD),
        ("salesforce_rest", 401, '[{"errorCode": "INVALID_SESSION_ID"}]', {}, RETRIED),
        ("salesforce_rest", 403, '[{"errorCode": "REQUEST_LIMIT_EXCEEDED"}]', {}, RETRIED),
        ("pipedrive_person", 201, '{"success":true,"data":{"id":1}}', {}, DELIVERED),
        ("pipedrive_person", 200, '{"success":false,"error":"x"}', {}, RETRIED),
        ("pipedrive_person", 403, '{"success":false,"code":"feature_capping_persons_limit"}', {}, Stop.PAUSED),
        ("pipedrive_person", 429, "", {}, RETRIED),
        ("zapier", 200, '{"status": "success"}', {}, DELIVERED),
        ("zapier", 429, "", {}, RETRIED),
        ("zapier", 202, "", {}, RETRIED),
        ("make", 200, "Accepted", {}, DELIVERED),
        ("make", 400, "Queue is full.", {}, RETRIED),
        ("make", 410, "", {}, Stop.PAUSED),
        ("google_sheets", 302, "", {"Location": SCRIPT}, DELIVERED),
        ("google_sheets", 302, "", {"Location": SIGN_IN}, Stop.PAUSED),
        ("google_sheets", 302, "", {}, Stop.PAUSED),
        ("google_sheets", 200, "<html>TypeError</html>", {}, Stop.PAUSED),
        ("google_sheets", 500, "", {}, RETRIED),
    ],
)
def test_an_answer_is_judged(
    sender: Sender, receiver: Receiver, name: str, code: int, body: str, headers: dict[str, str], expected: str
) -> None:
    outcome = SuccessRule.of(PRESETS[name].answer).judge(ask(sender, receiver, code, body, **headers))
    assert what_becomes(outcome) == expected
    if outcome.stop:
        assert outcome.stop_words.endswith(".")
    assert len(receiver.requests) == 1, "a redirect is not followed"


def test_every_answer_rule_can_be_saved() -> None:
    for preset in PRESETS.values():
        assert SuccessRule.of(preset.answer).in_words()
