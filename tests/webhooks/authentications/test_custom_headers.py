"""Custom headers: up to 20 lines, none of ours, no value quoted."""

import pytest

from tests.webhooks.authentications.messages import MESSAGE
from webapp.webhooks.authentications.custom_headers import CustomHeaders
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.settings import WrongSetting


def test_lines_become_headers():
    text = "X-Source: Leadhook\r\n\r\n  X-Tenant:acme\nAuthorization: Token a:b=c  \nX-Late: \tnear \rX-Umlaut: é"
    assert CustomHeaders.of(text).headers == {
        "x-source": "Leadhook",
        "x-tenant": "acme",
        "authorization": "Token a:b=c",
        "x-late": "near",
        "x-umlaut": "é",
    }
    assert CustomHeaders.of("").headers == {}


def test_a_custom_header_never_replaces_what_the_message_has():
    signed = SCHEMES["bearer"].of({}, {"token": "t-1"}).add_to(MESSAGE)
    headers = CustomHeaders.of("Authorization: mine\nX-Source: web").add_to(signed).headers
    assert headers == {**signed.headers, "x-source": "web"}


def test_twenty_are_enough_and_not_too_many():
    lines = [f"X-Number-{number}: {number}" for number in range(21)]
    assert len(CustomHeaders.of("\n".join(lines[:20])).headers) == 20
    with pytest.raises(WrongSetting, match="more than 20"):
        CustomHeaders.of("\n".join(lines))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("geheim", "no colon"),
        ("X-Key:", "no value"),
        ("X-Key:   ", "no value"),
        (": geheim", "letters"),
        ("X Key: geheim", "letters"),
        ("X-Key : geheim", "letters"),
        ("X-Kéy: geheim", "letters"),
        ("Host: geheim", "sets the header host itself"),
        ("content-length: geheim", "sets"),
        ("Content-Type: geheim", "sets"),
        ("Transfer-Encoding: geheim", "sets"),
        ("Connection: geheim", "sets"),
        ("Accept-Encoding: geheim", "sets"),
        ("Expect: geheim", "sets"),
        ("Webhook-Id: geheim", "sets"),
        ("webhook-future: geheim", "sets"),
        ("Leadhook-Hops: geheim", "sets"),
        ("X-Key: geheim\x00", "invisible"),
        ("X-Key: geheim\x0bgeheim", "invisible"),
        ("X-Key: geheim\x85geheim", "€"),
        ("X-Key: geheim €", "€"),
        ("X-Key: geheim\u2028geheim", "€"),
        ("X-Key: geheim 😀", "€"),
        ("X-Key: " + "geheim" * 700, "longer"),
        ("x-first: geheim", "twice"),
        ("X-FIRST: geheim", "twice"),
    ],
)
def test_a_line_that_cannot_be_sent_is_refused_with_its_number(line, reason):
    with pytest.raises(WrongSetting) as refused:
        CustomHeaders.of(f"X-First: 1\n\n{line}")
    assert "line 3" in str(refused.value)
    assert reason in str(refused.value)
    assert "geheim" not in str(refused.value)
    assert refused.value.setting == "custom_headers"
