"""A message that the tests of schemes sign, and what they ask of its copy."""

from collections.abc import Mapping

import pytest

from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.settings import WrongSetting

AT = 1_700_000_000
BODY = '{"type":"lead.created","data":{"name":"Zoë 😀"}}'.encode()
MESSAGE = Message(
    method="POST",
    url="https://crm.example/hook",
    headers={"content-type": "application/json", "webhook-id": "msg_1", "webhook-timestamp": str(AT)},
    body=BODY,
    message_id="msg_1",
    timestamp=AT,
    timestamp_ms=AT * 1000 + 123,
)


def added(
    name: str, options: Mapping[str, str], secrets: Mapping[str, str], message: Message = MESSAGE
) -> dict[str, str]:
    """The headers that a scheme adds. All else of the message must be as it was."""
    after = SCHEMES[name].of(options, secrets).add_to(message)
    assert (after.method, after.body, after.message_id, after.timestamp) == (
        message.method,
        message.body,
        message.message_id,
        message.timestamp,
    )
    assert message.headers.items() <= after.headers.items()
    return {header: value for header, value in after.headers.items() if header not in message.headers}


def refusal(name: str, options: Mapping[str, str], secrets: Mapping[str, str]) -> WrongSetting:
    """Why the scheme cannot have these settings. The sentence must quote no secret."""
    with pytest.raises(WrongSetting) as refused:
        SCHEMES[name].of(options, secrets)
    error = refused.value
    for secret in secrets.values():
        assert len(secret) < 4 or secret not in f"{error} {error!r} {error.__cause__!r}"
    assert error.__cause__ is None
    assert str(error).endswith(".")
    return error
