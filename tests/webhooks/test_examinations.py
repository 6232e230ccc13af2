"""Receivers are examined over HTTP: one is right, others are each wrong in another way: tests/support/examined.py."""

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support.examined import Examined
from webapp.webhooks.authentications import signature_presets
from webapp.webhooks.authentications.keys import generate_private_key
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.signature import TemplateSignature
from webapp.webhooks.authentications.v1a import V1a
from webapp.webhooks.examinations import FORGED, TITLES, Case, Examination, changed, messages, verdict
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Sender
from webapp.webhooks.signing import Signer, generate_secret, message_headers
from webapp.webhooks.success_rules import SuccessRule

SECRET = "whsec_" + base64.b64encode(b"a key of 32 bytes, for the tests").decode()
BODY = json.dumps(
    {
        "type": "lead.test",
        "data": {"lead": {"id": "lead_1", "fields": {"name": "Ada", "message": "Please call", "n": 5}}},
    },
    separators=(",", ":"),
).encode()
OK = Outcome(200, "", False, (), None, 1, None)
LETTERS = [(f"msg_{number}", BODY) for number in range(7)]


def standard(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> Message:
    """Signed with a Shared Token."""
    signature = Signer(secrets).sign(message_id, timestamp, body)
    headers = message_headers(message_id, timestamp, signature)
    return Message("POST", "", headers, body, message_id, timestamp, timestamp * 1000)


def all_of(now: int | None = None, secrets: Sequence[str] = (SECRET,)) -> dict[Case, Message]:
    another = [generate_secret(), generate_secret()]
    return messages(standard, secrets, another, LETTERS, now or int(time.time()))


@pytest.fixture(scope="module")
def receivers() -> Iterator[Examined]:
    with Examined(SECRET) as receivers:
        yield receivers


def examine(sender: Sender, url: str, rule: Mapping[str, Any] | None = None, **of: Any) -> Examination:
    outcomes: dict[Case, Outcome] = {}
    for number, (case, message) in enumerate(all_of(**of).items()):
        outcome = sender.send(number, url, message.body, message.headers)
        outcomes[case] = SuccessRule.of(rule or {}).judge(outcome)
    return verdict(outcomes)


RIGHT = "Your endpoint verifies signatures: it took what is right, and refused what is forged"


@pytest.mark.parametrize(
    ("name", "verified", "headline"),
    [
        ("right", True, f"{RIGHT}."),
        ("verifies_nothing", False, "Your endpoint answered 200 to a forged lead: it does not verify signatures."),
        (
            "looks_at_the_form",
            False,
            "Your endpoint answered 200 to a lead signed with another token: it looks at the form of a signature only.",
        ),
        (
            "lets_unsigned_in",
            False,
            "Your endpoint answered 200 to a lead without a signature: anyone who leaves the header out gets in.",
        ),
        (
            "compares_as_much_as_it_is_given",
            False,
            "Your endpoint answered 200 to a lead with an empty signature: it compares no more than it is given.",
        ),
        (
            "does_not_look_at_the_time",
            False,
            "Your endpoint answered 200 to a lead that is ten minutes old: it does not look at the time. A recorded "
            "lead can be sent again: refuse what is more than 5 minutes off.",
        ),
        (
            "looks_at_the_first_signature",
            False,
            "Your endpoint answered 401 to a lead with two signatures: it looks at the first one only. While a token "
            "is rotated, it refuses leads.",
        ),
        (
            "has_another_token",
            False,
            "Your endpoint answered 401 to a good lead, so the others say nothing. Compare the token, and read its "
            "log.",
        ),
        ("refuses_what_it_has", True, f"{RIGHT}. But it answered 409 to a webhook-id that it has: answer 200."),
        (
            "closes_on_what_is_forged",
            False,
            "Your endpoint gave no clear answer to this: a lead whose body was changed after signing. Examine it "
            "again.",
        ),
        ("fails_on_what_is_forged", True, f"{RIGHT}."),
        (
            "is_too_busy",
            False,
            "Your endpoint gave no clear answer to this: a lead signed with another token. Examine it again.",
        ),
        (
            "is_down",
            False,
            "Your endpoint answered 502 to a good lead, so the others say nothing. Compare the token, and read its "
            "log.",
        ),
        ("verifies_what_it_prints_again", True, f"{RIGHT}."),
    ],
)
def test_the_verdict_is_right_about_each_receiver(
    sender: Sender, receivers: Examined, name: str, verified: bool, headline: str
) -> None:
    found = examine(sender, receivers.url(name))
    assert (found.verified, found.headline) == (verified, headline)
    assert [finding.case for finding in found.findings] == list(Case)


def test_a_receiver_that_does_not_answer_is_not_judged(sender: Sender, receivers: Examined) -> None:
    found = examine(sender, "http://127.0.0.1:9/")
    assert not found.verified
    assert found.headline == "Your endpoint did not take the good lead (no answer), so the others say nothing."


def test_each_answer_is_said_in_words(sender: Sender, receivers: Examined) -> None:
    words = {finding.case: finding for finding in examine(sender, receivers.url("lets_unsigned_in")).findings}
    assert words[Case.GOOD].words == "Answered 204. It took it."
    assert words[Case.BODY_CHANGED].words == "Answered 401. It refused it."
    assert words[Case.UNSIGNED].words == "Answered 200. It took it, and should have refused it."
    assert [words[case].is_good for case in FORGED] == [True, True, False, True]
    assert words[Case.REPEATED].words == (
        "Answered 204. Whether it made one record or two cannot be seen from outside: look there."
    )
    assert words[Case.REPEATED].is_good is None
    crashes = {one.case: one.words for one in examine(sender, receivers.url("fails_on_what_is_forged")).findings}
    assert crashes[Case.EMPTY].endswith("401 would be clearer: it looks like a fault of its own.")


def test_during_a_rotation_a_receiver_with_the_older_token_is_right_too(sender: Sender, receivers: Examined) -> None:
    found = examine(sender, receivers.url("right"), secrets=[generate_secret(), SECRET])
    good = {finding.case: finding.is_good for finding in found.findings}
    assert good[Case.GOOD]
    assert all(good[case] for case in FORGED)


def test_the_success_rule_decides_what_was_taken(sender: Sender, receivers: Examined) -> None:
    """It must find a body, and this receiver sends none: so the good lead was not taken."""
    rule = {"body": {"is": "contains", "text": "ok"}}
    assert examine(sender, receivers.url("verifies_nothing"), rule).headline.startswith(
        "Your endpoint answered 200 to a good"
    )


def test_the_result_can_be_stored(sender: Sender, receivers: Examined) -> None:
    stored = json.loads(json.dumps(examine(sender, receivers.url("right")).stored()))
    assert stored["verified"] is True
    assert stored["findings"][0] == {"case": "good", "code": 204, "is_good": True, "words": "Answered 204. It took it."}


def outcomes_of(*forged: Case) -> dict[Case, Outcome]:
    """Of a receiver that is right, but for these forged leads, which it takes."""
    denied = replace(OK, code=401, error=ErrorKind.HTTP_4XX)
    return {case: OK if case in (Case.GOOD, Case.ROTATED, Case.REPEATED, *forged) else denied for case in Case}


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        ((Case.BODY_CHANGED,), "200 to a lead whose body was changed: it does not verify the body."),
        ((Case.BODY_CHANGED, Case.OLD), "200 to a lead whose body was changed: it does not verify the body."),
        ((Case.WRONG_TOKEN, Case.OLD), "200 to a lead signed with another token: it looks at the form"),
        ((Case.UNSIGNED, Case.EMPTY), "200 to a lead without a signature: anyone"),
    ],
)
def test_the_headline_names_the_worst(forged: tuple[Case, ...], words: str) -> None:
    found = verdict(outcomes_of(*forged))
    assert not found.verified
    assert words in found.headline


# The messages --------------------------------------------------------------------------------------------------------


def test_the_eight_leads_differ_as_their_names_say() -> None:
    now = 1795420800
    found = all_of(now)
    assert list(found) == list(Case) == list(TITLES)
    good = found[Case.GOOD]
    assert good == standard("msg_0", now, BODY, [SECRET])
    assert found[Case.BODY_CHANGED].headers == standard("msg_1", now, BODY, [SECRET]).headers
    assert found[Case.BODY_CHANGED].body != BODY
    assert found[Case.OLD] == standard("msg_3", now - 600, BODY, [SECRET])
    assert set(good.headers) - set(found[Case.UNSIGNED].headers) == {"webhook-signature"}
    assert found[Case.EMPTY].headers["webhook-signature"] == "v1,"
    first, second = found[Case.ROTATED].headers["webhook-signature"].split(" ")
    assert second == standard("msg_6", now, BODY, [SECRET]).headers["webhook-signature"]
    assert first != second
    assert found[Case.REPEATED] == good


def of_scheme(scheme: Any, options: Mapping[str, str], name: str) -> Any:
    def signed(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> Message:
        given = {name: secrets[0], "previous": secrets[1] if len(secrets) > 1 else ""}
        headers = message_headers(message_id, timestamp)
        message = Message("POST", "https://a.test/", headers, body, message_id, timestamp, timestamp * 1000)
        return scheme.of(options, given).add_to(message)  # type: ignore[no-any-return]

    return signed


@pytest.mark.parametrize(
    ("preset", "missing", "header", "empty"),
    [
        ("github", {Case.OLD, Case.ROTATED}, "x-hub-signature-256", "sha256="),
        ("calendly", {Case.ROTATED}, "calendly-webhook-signature", "t=1795420800,v1="),
        ("line", {Case.OLD, Case.ROTATED}, "x-line-signature", ""),
    ],
)
def test_a_signature_by_template_is_examined_as_far_as_it_goes(
    preset: str, missing: set[Case], header: str, empty: str
) -> None:
    signed = of_scheme(TemplateSignature, signature_presets.PRESETS[preset].options, "secret")
    secrets = [letter * 32 for letter in "abc"]
    found = messages(signed, secrets[:1], secrets[1:], LETTERS, 1795420800)
    assert set(Case) - set(found) == missing
    assert found[Case.EMPTY].headers[header] == empty
    assert header not in found[Case.UNSIGNED].headers
    assert (
        found[Case.WRONG_TOKEN].headers[header]
        != signed(*LETTERS[2][:1], 1795420800, BODY, secrets[:1]).headers[header]
    )
    left_out = [finding for finding in verdict(dict.fromkeys(found, OK)).findings if finding.code is None]
    assert {finding.case for finding in left_out} == missing
    assert all(finding.words.startswith("Not sent: this authentication has") for finding in left_out)


def test_a_public_key_signature_is_examined_like_a_token() -> None:
    keys = [generate_private_key() for _ in range(3)]
    found = messages(of_scheme(V1a, {}, "private_key"), keys[:1], keys[1:], LETTERS, 1795420800)
    assert list(found) == list(Case)
    assert found[Case.EMPTY].headers["webhook-signature"] == "v1a,"


def test_without_a_signature_there_is_nothing_to_examine() -> None:
    def unsigned(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> Message:
        return Message("POST", "", message_headers(message_id, timestamp), body, message_id, timestamp, 0)

    with pytest.raises(ValueError, match="No header depends on the secret"):
        messages(unsigned, ["a"], ["b", "c"], LETTERS, 1795420800)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (BODY, BODY.replace(b"Please call", b"Please cala")),
        (b'{"type":"lead.test","name":"Ad\xc3\xa9a"}', b'{"type":"lead.tesa","name":"Ad\xc3\xa9a"}'),
        (b'{"fields":{"n":1},"name":"Ada"}', b'{"fields":{"n":1},"name":"Ade"}'),
        (b"name=Ada&note=Hello+you%21", b"name=Ada&note=Hello+yoa%21"),
        (b"<lead>5</lead>", b"<lead>5</leaa>"),
        (b"[1,2]", b"[1,2]a"),
        (b"", b"a"),
    ],
)
def test_a_changed_body_can_be_read_as_before(body: bytes, expected: bytes) -> None:
    assert changed(body) == expected
