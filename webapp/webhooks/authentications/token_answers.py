"""What a token server answered: a token, or why there is none, in a sentence of the table in failure_rows.py."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webapp.webhooks.advice import row_of, with_step
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome
from webapp.webhooks.shown_addresses import MASK

LASTS = 600.0  # seconds that a token lasts whose server does not say how long
LONGEST = 86400.0
QUOTED = 200  # characters of a token server's own words
_TOKEN = re.compile(r"[\x21-\x7e]+")
# Tokens of these types need more than a header: a signature, or a proof of possession. Others are sent as Bearer.
_OTHER_TYPES = frozenset({"mac", "dpop", "pop", "n_a"})
_NO_GRANT = frozenset({"unauthorized_client", "unsupported_grant_type"})
_KNOWS_THE_CLIENT = frozenset({"unauthorized_client", "invalid_scope", "invalid_target"})


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token, and the seconds that it lasts from the moment when it was asked for."""

    value: str = field(repr=False)
    lasts: float


class NoToken(Exception):
    """There is no token. `sentence` says why, without a secret.

    `may_be_the_way`: another way of sending the credentials may work. `knows_the_client`: they were right, and
    something else is not. `retry_after`: seconds for which the token server wants to be left alone.
    """

    def __init__(
        self, words: str, may_be_the_way: bool = False, knows_the_client: bool = False, retry_after: float = 0
    ) -> None:
        self.sentence = with_step(words, ErrorKind.NO_TOKEN).replace("\0", "")
        super().__init__(self.sentence)
        self.words = words
        self.may_be_the_way = may_be_the_way
        self.knows_the_client = knows_the_client
        self.retry_after = retry_after

    def outcome(self, duration_ms: int) -> Outcome:
        """The outcome of an attempt that could not be made."""
        return Outcome(NO_ANSWER, self.sentence, False, (), ErrorKind.NO_TOKEN, duration_ms, None)


def read_answer(outcome: Outcome, host: str, hidden: tuple[str, ...] = ()) -> AccessToken:
    """The token, or NoToken. `host`: the token server's; `hidden`: what no sentence may quote."""
    server = f"The token server {host}"
    if outcome.code == NO_ANSWER:
        row = row_of(outcome.body, outcome.error)
        words = outcome.body.removesuffix(f". {row.step}") if row else outcome.body
        raise NoToken(f"{server} did not answer: {words}")
    answer = _json_of(outcome.body)
    found = answer if isinstance(answer, Mapping) else {}
    error, said = _error_in(found, outcome.code, hidden)
    if error or outcome.code >= 300:
        raise _refusal(server, outcome, error, said)
    value = found.get("access_token")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value.strip()):
        raise NoToken(_without_token(server, outcome, answer), may_be_the_way=False)
    kind = found.get("token_type")
    if isinstance(kind, str) and kind.strip().lower() in _OTHER_TYPES:
        raise NoToken(f"{server} gave a token of the type {kind.strip()}, and Leadhook sends Bearer tokens only")
    return AccessToken(value.strip(), _lasts(found.get("expires_in")))


def _json_of(text: str) -> Any:
    try:
        return json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None


def _lasts(given: object) -> float:
    """From a number or a text of one; what is not positive or missing is LASTS."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return LASTS
    try:
        seconds = float(given)
    except (ValueError, OverflowError):
        return LASTS
    return min(seconds, LONGEST) if math.isfinite(seconds) and seconds > 0 else LASTS


def _error_in(answer: Mapping[str, Any], status: int, hidden: tuple[str, ...]) -> tuple[str, str]:
    """The error's code (RFC 6749, 5.2), "" if there is none, and what the server says. Some have names of their own."""
    inner = answer.get("error")
    source = inner if isinstance(inner, Mapping) else answer
    more = ("code", "status", "type") if source is inner or status >= 300 else ()
    code = _first(source, "error", "errorCode", "error_code", *more)
    words = _first(source, "error_description", "errorSummary", "message", "msg", "detail", "title", "reason")
    said = " ".join(f"{code} ({words})".split()) if code and words else code or words
    for secret in hidden:
        said, code = said.replace(secret, MASK), code.replace(secret, MASK)
    said = said if len(said) <= QUOTED else f"{said[:QUOTED]}…"
    return code, said.replace("\0", "")


def _first(answer: Mapping[str, Any], *names: str) -> str:
    return next((value.strip() for name in names if isinstance(value := answer.get(name), str) and value.strip()), "")


def _refusal(server: str, outcome: Outcome, error: str, said: str) -> NoToken:
    """Sentences by the error, or else by the code."""
    known, other = error.lower() in _KNOWS_THE_CLIENT, said or str(outcome.code)
    if error == "invalid_client" or (outcome.code == 401 and not known):
        return NoToken(f"{server} refuses the client: {other}", may_be_the_way=True)
    if error in _NO_GRANT:
        return NoToken(f"{server} does not allow client credentials: {other}", knows_the_client=known)
    if error == "invalid_scope":
        return NoToken(f"{server} refuses the scope: {other}", knows_the_client=True)
    if error == "invalid_target":
        return NoToken(f"{server} refuses the audience or resource: {other}", knows_the_client=True)
    may_be_the_way = 400 <= outcome.code < 500 and outcome.code not in (404, 405, 429)
    if said:
        return NoToken(f"{server} refuses the request: {other}", may_be_the_way, retry_after=outcome.retry_after or 0)
    if _is_page(outcome):
        return NoToken(f"{server} gave no token, but a web page: it answered {outcome.code}", may_be_the_way)
    words = f"{server} gave no token: it answered {outcome.code}"
    return NoToken(words, may_be_the_way, retry_after=outcome.retry_after or 0)


def _without_token(server: str, outcome: Outcome, answer: Any) -> str:
    if answer is not None or not outcome.body.strip():
        return f"{server} answered {outcome.code} without an access_token that can be used"
    if _is_page(outcome):
        return f"{server} gave no token, but a web page: it answered {outcome.code}"
    return f"{server} did not answer in JSON: it answered {outcome.code}"


def _is_page(outcome: Outcome) -> bool:
    types = [value for name, value in outcome.headers if name.lower() == "content-type"]
    return any("html" in kind.lower() for kind in types) or outcome.body.lstrip("\ufeff \t\r\n").startswith("<")
