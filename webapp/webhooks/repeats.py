"""A kept connection that ends without an answer: whether the same try may send once more, and what is on record.

A receiver may close a connection at any time, also while our request is on its way. Then no one knows whether it read
the request. RFC 9112, section 9.3.1, has clients repeat such a request only if that does no harm. Here it does none:
every request of a delivery has the same `webhook-id`. So it is sent once more, and both requests are on record.
"""

from webapp.webhooks.advice import with_step
from webapp.webhooks.connections import HttpConnection
from webapp.webhooks.failures import explain
from webapp.webhooks.lookups import NoTurn
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome
from webapp.webhooks.response import BadResponse, NotHttp

REQUEST_TIMEOUT = 408


class IdleTimeout(BadResponse):
    """408 and the end of a kept connection: the receiver had waited too long, and may have sent it before our request.

    RFC 9110, section 15.5.9, allows to repeat the request on a new connection.
    """


def may_repeat(kept: HttpConnection, error: Exception) -> bool:
    """Whether this error on a kept connection may come from the connection, not from the receiver's answer.

    It may if the connection ended before the first byte of an answer, or with a 408, which receivers send to idle
    connections, or if the bytes are no answer in HTTP: they can be the rest of the answer before. A time-out is not
    repeated: a second request would wait as long.
    """
    if isinstance(error, (NotHttp, IdleTimeout)):
        return True
    return isinstance(error, OSError) and not (isinstance(error, TimeoutError) or kept.has_received)


def unanswered(error: Exception, host: str, port: int, duration_ms: int) -> Outcome:
    """The outcome of the request on the kept connection, where the same try sends another one."""
    words = with_step(_what(error, host, port), ErrorKind.SENT_AGAIN)
    return _outcome(words, ErrorKind.SENT_AGAIN, duration_ms)


def not_repeated(error: Exception, problem: Exception, host: str, port: int, duration_ms: int) -> Outcome:
    """The outcome of the request on the kept connection, where `problem` kept a new connection from being opened."""
    kind, why = ErrorKind.RESET, "too many look-ups of names do not end at the moment"
    if not isinstance(problem, NoTurn):
        kind, why = explain(problem, host, port)
    return _outcome(f"{_what(error, host, port)}. The request could not be sent once more: {why}", kind, duration_ms)


def _what(error: Exception, host: str, port: int) -> str:
    if isinstance(error, NotHttp):
        return f"{host} port {port} sent bytes on a kept connection that are no answer, maybe of an old one"
    if isinstance(error, IdleTimeout):
        return f"{host} port {port} ended a kept connection with the code 408, as if no request had come"
    return f"{host} port {port} ended a kept connection without an answer"


def _outcome(words: str, kind: ErrorKind, duration_ms: int) -> Outcome:
    return Outcome(NO_ANSWER, words.replace("\0", ""), False, (), kind, duration_ms, None)
