"""Sends with OAuth tokens: fetches them, keeps them in this process, and replaces one that the receiver refuses.

    source = TokenSource(sender)  # one per process, like the sender
    outcome = source.send(webhook_id, OAuth2.of(options, secrets), message, account, identity)

`message.url`, `method`, `headers` and `body` are sent as they are, with `authorization: Bearer …` added; that header is
the last thing that is added, so a scheme of another kind must have added its own before. The token server is asked
through the same sender, and all requests of a call together end within the sender's deadline.

If the receiver answers 401 or 403, a new token is fetched and the request is sent once more: `Outcome.before()` has the
requests before the last one, in order, and each of them is an attempt. The token server is asked at most once a minute
for each webhook, also if it gives no token; only the very first token may be replaced at once.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from time import monotonic

from webapp.webhooks.authentications.echoes import without_echo
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.oauth2 import OAuth2
from webapp.webhooks.authentications.token_answers import AccessToken, NoToken, read_answer
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.lookups import NoTurn
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.sender import Sender

REFUSED = (401, 403)  # django-oauth-toolkit answers 403 for a token that has expired
ASKED_AGAIN_AFTER = 60.0  # seconds
LEFT_ALONE = 600.0  # the most seconds for which a token server can ask to be left alone
RENEWED_BEFORE = 60.0  # seconds before the end of a token, or a fifth of its time
MOST_KEPT = 512  # webhooks and settings
FOR_TOKEN = 2 / 3  # of the time that is left: the rest is for the lead
LEAST = 0.05  # seconds for a request


class Held:
    """A token and its times. Compared by identity: a new token may have the same text."""

    __slots__ = ("ends_at", "renew_at", "value")

    def __init__(self, token: AccessToken, asked_at: float) -> None:
        self.value = token.value
        self.ends_at = asked_at + token.lasts
        self.renew_at = self.ends_at - min(RENEWED_BEFORE, token.lasts / 5)


class _Kept:
    """What is known of one webhook with certain settings. `lock` is held while the token server is asked."""

    __slots__ = ("failure", "lock", "may_ask_at", "refused", "token")

    def __init__(self) -> None:
        self.lock = Lock()
        self.token: Held | None = None
        self.refused: Held | None = None
        self.failure = ""  # what the token server said when it gave no token the last time
        self.may_ask_at = 0.0

    def good(self, now: float) -> Held | None:
        """The token, if the receiver has not refused it and it is not to be renewed yet."""
        token = self.token
        return token if token and token is not self.refused and now < token.renew_at else None


@dataclass(frozen=True, slots=True)
class Asking:
    """One call: for which webhook, and until when (monotonic seconds)."""

    webhook_id: int
    scheme: OAuth2
    expires: float
    account: int = 0
    identity: ClientCertificate | None = None


def fetch(sender: Sender, asking: Asking, seconds: float) -> AccessToken:
    """Asks the token server. NoToken if it gives none; NoTurn as `Sender.send`."""
    scheme = asking.scheme
    headers, body = scheme.token_request()
    outcome = sender.within(seconds).send(
        asking.webhook_id, scheme.token_url, body, headers, asking.account, identity=asking.identity
    )
    return read_answer(outcome, scheme.destination.host, scheme.hidden)


class TokenSource:
    """Sends with tokens. Thread-safe; create one per process, after forking. `now`: monotonic seconds."""

    def __init__(self, sender: Sender, now: Callable[[], float] = monotonic) -> None:
        self._sender = sender
        self._now = now
        self._lock = Lock()
        self._all: OrderedDict[tuple[int, str], _Kept] = OrderedDict()

    def send(
        self,
        webhook_id: int,
        scheme: OAuth2,
        message: Message,
        account: int = 0,
        identity: ClientCertificate | None = None,
    ) -> Outcome:
        """Sends the message with a token, at most twice. NoTurn as `Sender.send`: nothing was sent.

        Without a token nothing is sent, and the outcome has ErrorKind.NO_TOKEN. No outcome has the token in it.
        """
        started = self._now()
        asking = Asking(webhook_id, scheme, started + self._sender.deadline, account, identity)
        kept = self._kept(webhook_id, scheme)
        try:
            token = self._token(kept, asking)
        except NoToken as problem:
            return problem.outcome(round((self._now() - started) * 1000))
        outcome = self._post(asking, message, token)
        if outcome.code not in REFUSED:
            return outcome
        kept.refused = token if kept.token is token else kept.refused
        try:
            newer = self._token(kept, asking)
            return outcome if newer is token else _after(outcome, self._post(asking, message, newer))
        except (NoToken, NoTurn):
            return outcome

    def _post(self, asking: Asking, message: Message, token: Held) -> Outcome:
        sent = asking.scheme.with_token(message, token.value)
        sender = self._sender.within(max(asking.expires - self._now(), LEAST))
        outcome = sender.send(
            asking.webhook_id, sent.url, sent.body, sent.headers, asking.account, sent.method, asking.identity
        )
        return without_echo(outcome, (token.value,))  # a receiver may repeat what it got

    def _kept(self, webhook_id: int, scheme: OAuth2) -> _Kept:
        key = (webhook_id, scheme.fingerprint)
        with self._lock:
            kept = self._all.setdefault(key, _Kept())
            self._all.move_to_end(key)
            if len(self._all) > MOST_KEPT:
                self._all.popitem(last=False)
        return kept

    def _token(self, kept: _Kept, asking: Asking) -> Held:
        """The token to send; an old one where no new one may be fetched yet. One thread asks, others wait for it."""
        if good := kept.good(self._now()):
            return good
        seconds = max((asking.expires - self._now()) * FOR_TOKEN, LEAST)
        if not kept.lock.acquire(timeout=seconds):
            host = asking.scheme.destination.host
            raise NoToken(f"The token server {host} did not answer: Timed out: no token within {seconds:.3g} s")
        try:
            if good := kept.good(self._now()):
                return good
            if asked := self._now() >= kept.may_ask_at:
                self._ask(kept, asking)
            return _best(kept, asking.scheme, self._now(), asked)
        finally:
            kept.lock.release()

    def _ask(self, kept: _Kept, asking: Asking) -> None:
        now, is_first = self._now(), kept.token is None and not kept.failure
        try:
            token = fetch(self._sender, asking, max((asking.expires - now) * FOR_TOKEN, LEAST))
        except NoToken as problem:
            kept.failure = problem.words
            kept.may_ask_at = now + min(max(problem.retry_after, ASKED_AGAIN_AFTER), LEFT_ALONE)
            return
        kept.token, kept.failure = Held(token, now), ""
        kept.may_ask_at = now if is_first else now + ASKED_AGAIN_AFTER


def _best(kept: _Kept, scheme: OAuth2, now: float, asked: bool) -> Held:
    """What there is after the token server was asked, or may not be asked yet."""
    token = kept.token
    if token and (not kept.failure or (token is not kept.refused and now < token.ends_at)):
        return token
    if asked:
        raise NoToken(kept.failure)
    host = scheme.destination.host
    raise NoToken(f"The token server {host} is asked once a minute at most. What it said before: {kept.failure}")


def _after(earlier: Outcome, later: Outcome) -> Outcome:
    """The later outcome, with the earlier one before it."""
    return replace(later, first=_after(earlier, later.first) if later.first else earlier)
