"""*Examine my receiver*: eight test leads, some of them forged, and what the answers to them say.

Pure: `messages` makes what is sent, for any way of signing, and `verdict` says in words what the outcomes mean. For the
way of signing it gets a function of (message id, timestamp in Unix seconds, body, secrets) that returns the complete
Message; of the secrets, newest first, each signs where the scheme can have several signatures.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import takewhile
from typing import Any

from webapp.webhooks.authentications.message import Message
from webapp.webhooks.outcome import ASK_FOR_REST, NO_ANSWER, Outcome

TEN_MINUTES = 600  # seconds; the libraries take five
Signed = Callable[[str, int, bytes, Sequence[str]], Message]


class Case(StrEnum):
    """The eight leads, in the order of sending."""

    GOOD = "good"
    BODY_CHANGED = "body_changed"
    WRONG_TOKEN = "wrong_token"
    OLD = "old"
    UNSIGNED = "unsigned"
    EMPTY = "empty"
    ROTATED = "rotated"
    REPEATED = "repeated"


TITLES = {
    Case.GOOD: "A good lead",
    Case.BODY_CHANGED: "A lead whose body was changed after signing",
    Case.WRONG_TOKEN: "A lead signed with another token",
    Case.OLD: "A lead that is ten minutes old",
    Case.UNSIGNED: "A lead without a signature",
    Case.EMPTY: "A lead with an empty signature",
    Case.ROTATED: "A lead with two signatures, of which the second is right",
    Case.REPEATED: "The good lead again, with the same webhook-id",
}
FORGED = (Case.BODY_CHANGED, Case.WRONG_TOKEN, Case.UNSIGNED, Case.EMPTY)
WARNING = "A receiver that does not verify may make eight records."


@dataclass(frozen=True, slots=True)
class Finding:
    """What one answer says. `code` is None where the lead was not sent; `is_good` where it says nothing."""

    case: Case
    code: int | None
    is_good: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class Examination:
    """The result. `verified`: the receiver takes good leads, and refuses forged and old ones."""

    verified: bool
    headline: str
    findings: tuple[Finding, ...]

    def stored(self) -> dict[str, Any]:
        """As JSON: verified, headline, findings (case, code, is_good, words)."""
        return asdict(self)


# What is sent --------------------------------------------------------------------------------------------------------


def messages(
    signed: Signed, secrets: Sequence[str], another: Sequence[str], letters: Sequence[tuple[str, bytes]], now: int
) -> dict[Case, Message]:
    """The leads by case, in the order of sending; without those that this way of signing cannot have.

    `another`: two or more fresh secrets of the same kind, which the receiver does not know. `letters`: seven pairs of
    message id and body, one for each case but the last, which repeats the first. ValueError if nothing in the messages
    depends on the secret: then there is nothing to examine.
    """
    of_case = dict(zip(Case, [*letters, letters[0]], strict=True))

    def of(case: Case, at: int = now, keys: Sequence[str] = secrets) -> Message:
        message_id, body = of_case[case]
        return signed(message_id, at, body, keys)

    wrong = [of(Case.EMPTY, keys=[secret]) for secret in another]
    carriers, unsigned = _carriers(*wrong[:2]), of(Case.UNSIGNED)
    found = {
        Case.GOOD: of(Case.GOOD),
        Case.BODY_CHANGED: replace(of(Case.BODY_CHANGED), body=changed(of_case[Case.BODY_CHANGED][1])),
        Case.WRONG_TOKEN: of(Case.WRONG_TOKEN, keys=another[:1]),
        Case.OLD: of(Case.OLD, now - TEN_MINUTES),
        Case.UNSIGNED: replace(unsigned, headers=_without(unsigned.headers, carriers)),
        Case.EMPTY: _emptied(of(Case.EMPTY), wrong, carriers),
        Case.ROTATED: of(Case.ROTATED, keys=[another[0], secrets[0]]),
        Case.REPEATED: of(Case.REPEATED),
    }
    if not _has_time(signed, secrets, letters[0], now):
        del found[Case.OLD]
    if not _grows(found[Case.ROTATED], of(Case.ROTATED, keys=secrets[:1]), carriers):
        del found[Case.ROTATED]
    return found


def _carriers(first: Message, second: Message) -> tuple[str, ...]:
    """The headers that have the signature: two secrets give them two values."""
    found = tuple(name for name, value in first.headers.items() if second.headers.get(name) != value)
    if not found:
        raise ValueError("No header depends on the secret")
    return found


def _without(headers: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


def _emptied(right: Message, wrong: Sequence[Message], carriers: Sequence[str]) -> Message:
    """With what stands before every signature, such as `v1,`."""
    starts = {name: _shared_start([one.headers[name] for one in (right, *wrong)]) for name in carriers}
    return replace(right, headers={**right.headers, **starts})


def _shared_start(texts: Sequence[str]) -> str:
    return "".join(letters[0] for letters in takewhile(lambda one: len(set(one)) == 1, zip(*texts, strict=False)))


def _has_time(signed: Signed, secrets: Sequence[str], letter: tuple[str, bytes], now: int) -> bool:
    """Whether the signature depends on the time. One that is new each time is taken for one that does."""
    now_and_again = [signed(letter[0], at, letter[1], secrets) for at in (now, now, now - TEN_MINUTES)]
    signatures = [{**one.headers, "webhook-timestamp": ""} for one in now_and_again]
    return signatures[0] != signatures[1] or signatures[0] != signatures[2]


def _grows(two: Message, one: Message, carriers: Sequence[str]) -> bool:
    """Whether a second secret makes a second signature."""
    return any(len(two.headers[name]) > 1.5 * len(one.headers[name]) for name in carriers)


_VALUES = (
    re.compile(rb':\s*"([^"\\]*)"'),  # of JSON
    re.compile(rb"(?:^|&)[^=&]+=([^&%]*)"),  # of a form
    re.compile(rb"(.+)", re.DOTALL),
)
_LETTER = re.compile(rb"[A-Za-z]")


def changed(body: bytes) -> bytes:
    """The body with one letter changed, in the longest answer: so it can be read as before, and means something else.

    Not in what names the kind of the message: a receiver may answer 200 to a kind that it does not know.
    """
    start = max(body.find(b'"fields"'), 0)
    for pattern in _VALUES:
        found = [match for match in pattern.finditer(body, start) if _LETTER.search(match[1])]
        if found:
            match = max(found, key=lambda one: len(one[1]))
            at = [letter.start() for letter in _LETTER.finditer(match[1])][-1] + match.start(1)
            return body[:at] + (b"e" if body[at : at + 1] in b"aA" else b"a") + body[at + 1 :]
    return body + b"a"


# What the answers say ------------------------------------------------------------------------------------------------


def verdict(outcomes: Mapping[Case, Outcome]) -> Examination:
    """What the outcomes say together; cases that were not sent are missing. Each outcome is as the webhook's Success
    rule judged it."""
    findings = tuple(_finding(case, outcomes.get(case)) for case in Case)
    headline, verified = _headline(outcomes, {finding.case: finding.is_good for finding in findings})
    return Examination(verified, headline, findings)


def _finding(case: Case, outcome: Outcome | None) -> Finding:
    if outcome is None:
        what = "has no time" if case == Case.OLD else "has one signature only"
        return Finding(case, None, None, f"Not sent: this authentication {what}.")
    if case == Case.REPEATED:
        return _repeated(outcome)
    should_be_taken, answer = case in (Case.GOOD, Case.ROTATED), _answer(outcome)
    if outcome.delivered:
        right = "It took it." if should_be_taken else "It took it, and should have refused it."
        return Finding(case, outcome.code, should_be_taken, f"{answer}. {right}")
    if _is_unclear(outcome):
        return Finding(case, outcome.code, None, f"{answer}. That says nothing about the lead.")
    if should_be_taken:
        return Finding(case, outcome.code, False, f"{answer}. It refused it, and should have taken it.")
    hint = " 401 would be clearer: it looks like a fault of its own." if outcome.code >= 500 else ""
    return Finding(case, outcome.code, True, f"{answer}. It refused it.{hint}")


def _repeated(outcome: Outcome) -> Finding:
    if outcome.delivered:
        words = "Whether it made one record or two cannot be seen from outside: look there."
        return Finding(Case.REPEATED, outcome.code, None, f"{_answer(outcome)}. {words}")
    if _is_unclear(outcome):
        return Finding(Case.REPEATED, outcome.code, None, f"{_answer(outcome)}. That says nothing about the lead.")
    words = "Leadhook takes that for a failure, and sends the lead again: answer 200 to a lead that you have."
    return Finding(Case.REPEATED, outcome.code, False, f"{_answer(outcome)}. {words}")


def _answer(outcome: Outcome) -> str:
    return "No answer" if outcome.code == NO_ANSWER else f"Answered {outcome.code}"


def _is_unclear(outcome: Outcome) -> bool:
    return outcome.code == NO_ANSWER or outcome.code in ASK_FOR_REST


def _headline(outcomes: Mapping[Case, Outcome], good: Mapping[Case, bool | None]) -> tuple[str, bool]:
    """The most important of the findings in one sentence, and whether the receiver verifies."""
    if not good[Case.GOOD]:
        return _of_refused(outcomes[Case.GOOD]), False
    taken = [case for case in FORGED if case in outcomes and outcomes[case].delivered]
    if taken:
        return _of_forged(taken, outcomes[taken[0]].code), False
    if good[Case.OLD] is False:
        words = (
            "it does not look at the time. A recorded lead can be sent again: refuse what is more than 5 minutes off"
        )
        return f"Your endpoint answered {outcomes[Case.OLD].code} to a lead that is ten minutes old: {words}.", False
    if good[Case.ROTATED] is False:
        words = "it looks at the first one only. While a token is rotated, it refuses leads"
        return f"Your endpoint answered {outcomes[Case.ROTATED].code} to a lead with two signatures: {words}.", False
    unclear = [case for case in outcomes if good[case] is None and case != Case.REPEATED]
    if unclear:
        return f"Your endpoint gave no clear answer to this: {TITLES[unclear[0]].lower()}. Examine it again.", False
    words = "Your endpoint verifies signatures: it took what is right, and refused what is forged"
    if good[Case.REPEATED] is False:
        return f"{words}. But it answered {outcomes[Case.REPEATED].code} to a webhook-id that it has: answer 200.", True
    return f"{words}.", True


def _of_refused(outcome: Outcome) -> str:
    if _is_unclear(outcome):
        return f"Your endpoint did not take the good lead ({_answer(outcome).lower()}), so the others say nothing."
    words = "the others say nothing. Compare the token, and read its log"
    return f"Your endpoint answered {outcome.code} to a good lead, so {words}."


def _of_forged(taken: Sequence[Case], code: int) -> str:
    start = f"Your endpoint answered {code} to"
    if len(taken) == len(FORGED):
        return f"{start} a forged lead: it does not verify signatures."
    if Case.WRONG_TOKEN in taken:
        return f"{start} a lead signed with another token: it looks at the form of a signature only."
    if Case.BODY_CHANGED in taken:
        return f"{start} a lead whose body was changed: it does not verify the body."
    if Case.UNSIGNED in taken:
        return f"{start} a lead without a signature: anyone who leaves the header out gets in."
    return f"{start} a lead with an empty signature: it compares no more than it is given."
