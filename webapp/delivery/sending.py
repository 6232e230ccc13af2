"""Sending one batch: no database is open while a socket is. The one way to send, whatever the reason for a try."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import structlog
from flask import Flask

from webapp.clock import utcnow
from webapp.config import config_of
from webapp.delivery.ledger import Batch, Due, Target
from webapp.delivery.moves import GONE, Sent, Unsendable
from webapp.delivery.slots import waiting
from webapp.encryption import CannotDecrypt, decrypt
from webapp.ids import attempt_id
from webapp.per_app import per_app
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender
from webapp.webhooks.signing import Signer

log = structlog.get_logger()


def _sender(app: Flask) -> Sender:
    config = config_of(app)
    return Sender(
        Limits(
            connect_timeout=config.connect_timeout,
            deadline=config.deadline,
            allowed_networks=config.allowed_networks,
            ca_file=config.webhook_ca_file,
        )
    )


sender = per_app("sender", _sender)  # one for all threads of a process: it keeps the open connections


class Sending:
    """One pass over a batch. `tries` and `unsendable` hold what was done, also when the pass ends early or fails."""

    def __init__(self, batch: Batch, turn_is_over: Callable[[], bool]) -> None:
        self.batch = batch
        self.tries: list[Sent] = []
        self.unsendable: list[Unsendable] = []
        self.ended = False  # after a time-out, or 410 Gone: the rest waits, or is held
        self._begun = False
        self._turn_is_over = turn_is_over

    def run(self) -> None:
        """Sends the rows in order, Parallel requests at a time; stops before the next one when the turn is over, and
        after a time-out, so that a batch lasts no longer than a slice and one deadline; and where none is wanted."""
        target = self.batch.target
        try:
            signer = self._signer()
        except _CannotSign as error:
            self.unsendable = [Unsendable(due, str(error)) for due in self.batch.rows]
            return
        self._send = sender.send
        if target.parallel_requests == 1:
            for due in self.batch.rows:
                self._try(due, signer, waiting)
            return
        # Its threads are no slots: it is this one that waits, for all of them.
        with waiting(), ThreadPoolExecutor(target.parallel_requests) as pool:
            list(pool.map(lambda due: self._try(due, signer), self.batch.rows))

    def _signer(self) -> "_Signing | None":
        target = self.batch.target
        if not target.url:
            raise _CannotSign("The interface has no Lead Webhook URL any more.")
        if not target.signed:
            return None
        if target.token_encrypted is None:
            raise _CannotSign("The Shared Token was revoked: choose another one, or no authentication.")
        try:
            return _Signing(target, decrypt(target.token_encrypted))
        except CannotDecrypt:
            raise _CannotSign("The Shared Token cannot be decrypted: ENCRYPTION_KEYS lacks its key.") from None

    def _try(
        self, due: Due, signer: "_Signing | None", around: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        if self._begun and (self.ended or self._turn_is_over()):
            return
        self._begun = True
        target = self.batch.target
        one, started_at, timestamp = attempt_id(), utcnow(), int(time.time())
        try:
            headers = {
                "content-type": "application/json",
                "webhook-id": due.message_id,
                "webhook-timestamp": str(timestamp),
            }
            if signer:
                headers["webhook-signature"] = signer.sign(due.message_id, timestamp, due.payload)
            with around():
                outcome = self._send(target.webhook_id, target.url or "", due.payload, headers)
        except Exception as error:  # whatever it is, it is this try's outcome and not the end of the batch
            log.error("a try failed in our own code", message=due.message_id, exc_info=error)
            words = f"Leadhook could not send this ({type(error).__name__}); the server's log says more."
            outcome = Outcome(NO_ANSWER, words, False, (), ErrorKind.BAD_RESPONSE, 0, None)
        if outcome.error == ErrorKind.TIMEOUT or outcome.code == GONE:
            self.ended = True
        self.tries.append(Sent(due, one, started_at, timestamp, outcome))


class _Signing:
    """Signs with the token's secret, and until the end of a rotation's overlap, to the try, with the one before it."""

    def __init__(self, target: Target, secret: str) -> None:
        self._newest, self._both = Signer([secret]), None
        self._until = target.previous_until or 0.0
        if target.previous_encrypted is None:
            return
        try:
            self._both = Signer([secret, decrypt(target.previous_encrypted)])
        except CannotDecrypt:  # the newest signs all the same, and a receiver may know it by now
            log.warning("the secret before the rotation cannot be decrypted", webhook=target.webhook_id)

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """As `Signer.sign`."""
        overlaps = self._both is not None and time.time() < self._until
        return (self._both if self._both and overlaps else self._newest).sign(message_id, timestamp, body)


class _CannotSign(Exception):
    """Why nothing of the batch can be sent, in words."""
