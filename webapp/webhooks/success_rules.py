"""What counts as a success of a webhook, where 2xx alone does not say it, and which failures are not tried again.

Some services answer 200 to a lead that they did not take (Salesforce Web-to-Lead says so in a header, old Microsoft
Teams connectors in the body), and some answer 302 to one that they took (Apps Script). Stored, all keys optional:

    {"codes": "200-299,302",
     "header": {"name": "location", "is": "contains" or "contains_not", "text": "..."},
     "body": {"is": "contains" or "contains_not", "text": "..."},
     "give_up": "403,404",
     "stops": [{"code": 410, "text": "channel_is_archived", "then": "pause", "hold" or "fail", "words": "..."}]}

A body is searched in the part that is stored, its first 16 KB as text; headers in the 64 that are stored, each up to
1,024 characters. Texts are found without case. Answers without HTTP (999) are failures under every rule.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome, Stop
from webapp.webhooks.settings import WrongSetting

SUCCESS = ((200, 299),)
LONGEST_TEXT = 200  # characters to look for
LONGEST_WORDS = 300  # of what a stop says
MOST_PARTS = 50  # of a list of codes
MOST_STOPS = 20
THEN = {"pause": Stop.PAUSED, "hold": Stop.HELD, "fail": Stop.FAILED}
CONSEQUENCES = {
    Stop.PAUSED: "the webhook is paused",
    Stop.HELD: "the lead is held",
    Stop.FAILED: "the lead is not tried again",
}
SEARCHES = {"contains": "contains", "contains_not": "does not contain"}
_KEYS = ("codes", "header", "body", "give_up", "stops")
_PART = re.compile(r"([2-5])xx|([2-5]\d\d)(?:\s*-\s*([2-5]\d\d))?", re.ASCII | re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")

Codes = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Search:
    """A text that an answer must contain, or must not. `name`: of the header, in lower case; empty for the body."""

    name: str
    must_contain: bool
    text: str

    def fits(self, outcome: Outcome) -> bool:
        """Whether the answer is as wanted. Without the header, it contains nothing."""
        texts: Iterable[str] = [outcome.body]
        if self.name:
            texts = (value for name, value in outcome.headers if name.lower() == self.name)
        part = self.text.casefold()
        return any(part in text.casefold() for text in texts) is self.must_contain

    def in_words(self) -> str:
        """As in "the header location contains “example”"."""
        where = f"the header {self.name}" if self.name else "the body"
        return f"{where} {SEARCHES['contains' if self.must_contain else 'contains_not']} “{self.text}”"


@dataclass(frozen=True, slots=True)
class StopAfter:
    """A failure after which there is no automatic try, told by its code, a text in its body, or both."""

    code: int | None
    text: str
    then: Stop
    words: str

    def in_words(self) -> str:
        """As in "410 with “channel_is_archived”: the webhook is paused. The channel is archived."."""
        about = " with ".join(filter(None, [str(self.code or ""), f"“{self.text}”" if self.text else ""]))
        return f"{about}: {CONSEQUENCES[self.then]}. {self.words}"

    def fits(self, outcome: Outcome) -> bool:
        return self.code in (None, outcome.code) and self.text.casefold() in outcome.body.casefold()


@dataclass(frozen=True, slots=True)
class SuccessRule:
    """Make one with `of`."""

    codes: Codes = SUCCESS
    searches: tuple[Search, ...] = ()
    give_up: Codes = ()
    stops: tuple[StopAfter, ...] = ()

    @classmethod
    def of(cls, stored: object) -> "SuccessRule":
        """WrongSetting, with a sentence for the person who typed it, for what is no rule."""
        given = stored if isinstance(stored, dict) else None
        if given is None or not given.keys() <= set(_KEYS):
            raise _wrong(f"A Success rule has only these parts: {', '.join(_KEYS)}.", "codes")
        codes = _codes(given.get("codes") or "200-299", "codes")
        give_up = _codes(given["give_up"], "give_up") if given.get("give_up") else ()
        searches = tuple(_search(given[where], where) for where in ("header", "body") if given.get(where))
        if not searches and (both := _first_shared(codes, give_up)):
            raise _wrong(f"{both} is a success: then there is nothing to give up.", "give_up")
        stops = given.get("stops") or []
        if not isinstance(stops, list) or len(stops) > MOST_STOPS:
            raise _wrong(f"A Success rule can have at most {MOST_STOPS} answers that stop the tries.", "stops")
        return cls(codes, searches, give_up, tuple(map(_stop, stops)))

    def judge(self, outcome: Outcome) -> Outcome:
        """The outcome as this rule sees it: accepted, refused, and what a refusal leads to."""
        if outcome.code == NO_ANSWER:
            return outcome
        is_good_code = _has(self.codes, outcome.code)
        if is_good_code and all(search.fits(outcome) for search in self.searches):
            return outcome if outcome.error is None else replace(outcome, error=None)
        error = outcome.error
        if is_good_code or error is None:
            error = ErrorKind.NOT_ACCEPTED
        for stop in self.stops:
            if stop.fits(outcome):
                return replace(outcome, error=error, stop=stop.then, stop_words=stop.words)
        gives_up = Stop.FAILED if _has(self.give_up, outcome.code) else None
        return replace(outcome, error=error, stop=gives_up)

    def in_words(self) -> str:
        """What a page says about it: "A lead is delivered if the code is 200-299, and the body contains “ok”."."""
        parts = [f"the code is {_shown(self.codes)}", *(search.in_words() for search in self.searches)]
        sentence = f"A lead is delivered if {', and '.join(parts)}."
        return sentence + (f" After {_shown(self.give_up)} it is not tried again." if self.give_up else "")


def _codes(text: object, setting: str) -> Codes:
    parts = [part.strip() for part in text.split(",")] if isinstance(text, str) else [""]
    if len(parts) > MOST_PARTS:
        raise _wrong(f"At most {MOST_PARTS} codes and ranges of codes can be listed.", setting)
    return tuple(_range(part, setting) for part in parts)


def _range(part: str, setting: str) -> tuple[int, int]:
    found = _PART.fullmatch(part)
    if not found:
        raise _wrong(f"“{part[:20]}” is no code from 200 to 599. Write codes as in 200-299,302.", setting)
    hundreds, first, last = found.groups()
    low, high = (int(f"{hundreds}00"), int(f"{hundreds}99")) if hundreds else (int(first), int(last or first))
    if low > high:
        raise _wrong(f"“{part}” ends before it begins. Write codes as in 200-299,302.", setting)
    return low, high


def _has(codes: Codes, code: int) -> bool:
    return any(low <= code <= high for low, high in codes)


def _first_shared(codes: Codes, others: Codes) -> int | None:
    return next((code for low, high in others for code in range(low, high + 1) if _has(codes, code)), None)


def _shown(codes: Codes) -> str:
    return " or ".join(str(low) if low == high else f"{low}-{high}" for low, high in codes)


def _search(stored: object, where: str) -> Search:
    given: Mapping[str, Any] = stored if isinstance(stored, dict) else {}
    name = given.get("name", "") if where == "header" else ""
    if where == "header" and not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
        raise _wrong("Name the header that is looked at, such as location.", "header")
    if given.get("is") not in SEARCHES:
        raise _wrong(f"Choose whether the {where} must contain the text, or must not.", where)
    text = _text(given.get("text"), f"The text to look for in the {where}", LONGEST_TEXT, where)
    if not text:
        raise _wrong(f"Say which text the {where} must contain, or must not.", where)
    return Search(name.lower(), given["is"] == "contains", text)


def _stop(stored: object) -> StopAfter:
    given: Mapping[str, Any] = stored if isinstance(stored, dict) else {}
    code, then = given.get("code"), given.get("then")
    text = _text(given.get("text") or "", "The text of an answer that stops the tries", LONGEST_TEXT, "stops")
    if code is not None and (type(code) is not int or not 200 <= code <= 599):
        raise _wrong("An answer that stops the tries has a code from 200 to 599.", "stops")
    if code is None and not text:
        raise _wrong("An answer that stops the tries is known by its code, by a text, or by both.", "stops")
    if not isinstance(then, str) or then not in THEN:
        raise _wrong(f"After an answer that stops the tries comes one of: {', '.join(THEN)}.", "stops")
    words = _text(given.get("words") or "", "What a stop says", LONGEST_WORDS, "stops")
    about = " and ".join(filter(None, [str(code or ""), f"“{text}”" if text else ""]))
    return StopAfter(code, text, THEN[then], words or f"The receiver answered with {about}.")


def _text(text: object, what: str, limit: int, setting: str) -> str:
    if not isinstance(text, str):
        raise _wrong(f"{what} is a text.", setting)
    text = unicodedata.normalize("NFC", text.strip())
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise _wrong(f"{what} contains a line break or an invisible control character.", setting)
    if len(text) > limit:
        raise _wrong(f"{what} can have at most {limit} characters; this has {len(text):,}.", setting)
    return text


def _wrong(sentence: str, setting: str) -> WrongSetting:
    return WrongSetting(sentence, setting)
