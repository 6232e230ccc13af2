"""Sends one batch. No transaction is open meanwhile. First attempts, retries and tests are all sent here."""

import operator
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple, cast

import structlog
from flask import current_app
from werkzeug.local import LocalProxy

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.delivery import connecting
from webapp.delivery.ledger import Batch, Due, Sent, Unsendable, WebhookSettings
from webapp.delivery.shared_names import SharedNames
from webapp.delivery.slots import waiting
from webapp.delivery.spacing import Spacing
from webapp.encryption import CannotDecrypt, decrypt
from webapp.ids import attempt_id, attempt_id_after
from webapp.log import Trouble
from webapp.per_app import per_app
from webapp.webhooks.addresses import is_form_of, no_lookup_hangs
from webapp.webhooks.exchanges import Exchange
from webapp.webhooks.lookups import NoTurn
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender
from webapp.webhooks.signing import Signer, message_headers

log = structlog.get_logger()

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)  # seconds an attempt took, at most
UP_TO, MILLISECONDS = "up to ", "milliseconds"

_making = Lock()
hanging = Trouble("hosts are not looked up now", "hosts are looked up again")


def _sender_of_app() -> Sender:
    """Made when it is first used: web processes do not need it."""
    extensions = current_app.extensions
    with _making:
        if "leadhook_sender" not in extensions:
            limits = Limits(
                lookup_timeout=current_config.lookup_timeout,
                connect_timeout=current_config.connect_timeout,
                deadline=current_config.deadline,
                allowed_networks=current_config.allowed_networks,
                nat64=current_config.nat64_prefix,
                ca_file=current_config.webhook_ca_file,
            )
            names = SharedNames(current_app._get_current_object())  # type: ignore[attr-defined]
            extensions["leadhook_sender"] = Sender(limits, resolver=names)
    return cast(Sender, extensions["leadhook_sender"])


sender = cast(Sender, LocalProxy(_sender_of_app))  # one for all threads of a process: it keeps the open connections

MOST = 1024  # signers a process keeps
_signers: dict[int, tuple[Any, Signer | None]] = per_app("signers")  # by webhook id; each with what it is made of


class AttemptCounts:
    """The attempts of this process by result and duration, until a worker's heartbeat adds them up in Redis."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Counts one attempt."""
        place = bisect_left(BUCKETS, outcome.duration_ms / 1000)
        with self._lock:
            self._counts[outcome.error or f"{outcome.code // 100}xx"] += 1
            self._counts[f"{UP_TO}{BUCKETS[place] if place < len(BUCKETS) else 'inf'}"] += 1
            self._counts[MILLISECONDS] += outcome.duration_ms

    def take(self) -> Mapping[str, int]:
        """What was counted since the last call."""
        with self._lock:
            taken, self._counts = self._counts, Counter()
        return taken

    def put_back(self, taken: Mapping[str, int]) -> None:
        """For counts that did not reach Redis."""
        with self._lock:
            self._counts.update(taken)


attempt_counts = AttemptCounts()  # of the process: all its threads send


class Request(NamedTuple):
    """One attempt that begins: its id and times are made before it is sent."""

    due: Due
    attempt_id: str
    started_at: datetime
    timestamp: int


class Sending:
    """Sends a batch once. `tries` and `unsendable` hold the results, also if sending ends early or raises.

    `unanswered` holds the requests of tries that sent another one after them: attempts on record that decide nothing.
    """

    def __init__(self, batch: Batch, turn_is_over: Callable[[], bool]) -> None:
        self.batch = batch
        self.tries: list[Sent] = []
        self.unanswered: list[Sent] = []
        self.unsendable: list[Unsendable] = []
        self.ended = False  # after a time-out or an ask for a rest the others wait; after 410 Gone they are held
        self.had_no_turn = False  # the host could not be looked up, so all that was not sent waits
        self.left = iter(batch.rows)
        # Set when widening.py is to take over what is left: waits until that is sent and recorded.
        self.wait_for_others: Callable[[], None] | None = None
        self.is_taken_over = False
        self.begun: tuple[Request, Exchange | None] | None = None  # what `begin` began and `end` did not end
        self._is_prepared = self._begun = False
        self._spacing: Spacing | None = None  # where the webhook has a rate
        self._turn_is_over = turn_is_over

    def run(self) -> None:
        """Sends the rows in order, as many at a time as *Parallel requests* says.

        Stops before the next row when the turn is over, after a time-out, a 410 or an ask for a rest, and if the host
        could not be looked up. So a batch lasts no longer than a slice and one deadline.
        """
        settings = self.batch.settings
        if not (self._is_prepared or self.prepare()):
            return
        if self.begun:
            self._ask(*self.begun, waiting)
        if settings.rate:
            self._spacing = Spacing(settings.rate, self._may_begin)
        if settings.parallel_requests == 1:
            for due in self.left:
                self._try(due, waiting)
        else:  # the pool's threads are not slots: this thread, which is one, waits for all of them
            with waiting(), ThreadPoolExecutor(settings.parallel_requests) as pool:
                list(pool.map(self.attempt, self.left))
        if self._spacing:
            with waiting():
                self._spacing.end()

    # For a thread that sends for several lanes: it begins and ends each request, and `run` does what is left then.

    def begin(self) -> Exchange | None:
        """Begins to send the next row, without waiting. None: `run` has to send it. Call it while `may_begin`."""
        request, settings, exchange = self._new(next(self.left)), self.batch.settings, None
        url, payload, account = settings.url or "", request.due.payload, settings.account_id
        with suppress(Exception):  # `run` finds it again, and then it is the attempt's outcome
            exchange = self._sender.begin(settings.webhook_id, url, payload, self._headers(request), account)
        self.begun = request, exchange
        return exchange

    @property
    def is_under_way(self) -> bool:
        """Whether a request has left."""
        return bool(self.tries or (self.begun and self.begun[1]))

    @property
    def may_begin(self) -> bool:
        """Whether rows are left, and the next one may be sent."""
        return operator.length_hint(self.left) > 0 and self._may_begin()

    def end(self, outcome: Outcome) -> None:
        """Notes the outcome of the request that was begun."""
        assert self.begun
        request, self.begun = self.begun[0], None
        self._note(request, outcome)

    def prepare(self) -> bool:
        """Finds out how to sign. False, and all rows are `unsendable`, if that is not possible."""
        settings = self.batch.settings
        try:
            self._signs, self._sender = self._signer(), _sender_of_app()  # other threads that send have no app
            self._connection = connecting.connection_of(settings, self._sender) if settings.connected else None
            if not all(due.payload for due in self.batch.rows):
                sendable, self.unsendable = connecting.rendered(self.batch.rows)
                self.left = iter(sendable)
        except (_CannotSign, connecting.UnusableSettings) as error:
            self.unsendable = [Unsendable(due, str(error)) for due in self.batch.rows]
            return False
        self._is_prepared = True
        return True

    def _signer(self) -> Signer | None:
        """Kept for as long as what it is made of: decrypting costs as much as all the rest of a request."""
        settings = self.batch.settings
        made_of = settings.url, settings.signed, settings.token_encrypted, settings.previous_encrypted
        kept = _signers.get(settings.webhook_id)
        if kept is None or kept[0] != made_of:
            if len(_signers) >= MOST:
                _signers.clear()
            kept = _signers[settings.webhook_id] = made_of, self._new_signer()
        return kept[1]

    def _new_signer(self) -> Signer | None:
        settings = self.batch.settings
        if not settings.url:
            raise _CannotSign("The webhook has no URL any more.")
        if is_form_of(current_config.public_url, settings.url):
            raise _CannotSign("The Lead Webhook URL is a form of this Leadhook: each lead would make another one.")
        if not settings.signed:
            return None
        if settings.token_encrypted is None:
            raise _CannotSign("The Shared Token was revoked: choose another one, or no authentication.")
        try:
            return _signer_of(settings, decrypt(settings.token_encrypted))
        except CannotDecrypt:
            raise _CannotSign("The Shared Token cannot be decrypted: ENCRYPTION_KEYS lacks its key.") from None

    def attempt(self, due: Due) -> None:
        """Sends one row on any thread, and notes what came of it. Call `prepare` before."""
        self._try(due)

    def _may_begin(self) -> bool:
        return not (self._begun and (self.ended or self._turn_is_over()))

    def _try(self, due: Due, around: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        if self._spacing.may_begin(around) if self._spacing else self._may_begin():
            self._ask(self._new(due), None, around)

    def _new(self, due: Due) -> Request:
        self._begun = True
        return Request(due, attempt_id(), utcnow(), int(time.time()))

    def _headers(self, request: Request) -> Mapping[str, str]:
        due, timestamp = request.due, request.timestamp
        signature = self._signs.sign(due.message_id, timestamp, due.payload) if self._signs else None
        return message_headers(due.message_id, timestamp, signature, due.hops, due.content_type)

    def _ask(
        self, request: Request, exchange: Exchange | None, around: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Sends a request, or goes on with the `exchange` that has begun to, and waits for the outcome."""
        self.begun = None
        try:
            headers = None if exchange else self._headers(request)
            with around():
                outcome = exchange.finish() if exchange else self._send(request, headers or {})
        except NoTurn:
            hanging.report("name servers do not answer")
            self.ended = self.had_no_turn = True
            return
        except Exception as error:  # it is this attempt's outcome, and must not end the batch
            log.error("an attempt failed in Leadhook's own code", message=request.due.message_id, exc_info=error)
            words = f"Leadhook could not send this ({type(error).__name__}); the server's log says more."
            outcome = Outcome(NO_ANSWER, words, False, (), ErrorKind.BAD_RESPONSE, 0, None)
        self._note(request, outcome)

    def _send(self, request: Request, headers: Mapping[str, str]) -> Outcome:
        due, settings = request.due, self.batch.settings
        if self._connection:
            return self._connection.send(due, headers, request.timestamp)
        return self._sender.send(settings.webhook_id, settings.url or "", due.payload, headers, settings.account_id)

    def _note(self, request: Request, outcome: Outcome) -> None:
        due, one, started_at, timestamp = request
        if outcome.error == ErrorKind.TIMEOUT or outcome.pauses or outcome.asks_for_rest:
            self.ended = True
        if hanging.reason and no_lookup_hangs():
            hanging.over()
        for first in outcome.before() if outcome.first else ():
            one, started_at = self._keep_first(Sent(due, one, started_at, timestamp, first))
        attempt_counts.add(outcome)
        self.tries.append(Sent(due, one, started_at, timestamp, outcome))

    def _keep_first(self, sent: Sent) -> tuple[str, datetime]:
        """Keeps a request of a try that sent another one after it; returns the id of that one, and when it began."""
        attempt_counts.add(sent.outcome)
        self.unanswered.append(sent)
        return attempt_id_after(sent.attempt_id), sent.started_at + timedelta(milliseconds=sent.outcome.duration_ms)


def _signer_of(settings: WebhookSettings, secret: str) -> Signer:
    """Signs with the token's secret and, while a rotation's overlap lasts, also with the secret before it.

    The database says whether it lasts, when the batch is read: this host's clock may be wrong.
    """
    if settings.previous_encrypted is not None:
        try:
            return Signer([secret, decrypt(settings.previous_encrypted)])
        except CannotDecrypt:  # the newest still signs, and the receiver may know it by now
            log.warning("the secret from before the rotation cannot be decrypted", webhook=settings.webhook_id)
    return Signer([secret])


class _CannotSign(Exception):
    """Why no row of the batch can be sent, in words."""
