"""The kinds of failures of an attempt, and what a webhook's Success rule has them lead to."""

from enum import StrEnum


class ErrorKind(StrEnum):
    """Why an attempt failed, for machines. REDIRECT, HTTP_4XX, HTTP_5XX and NOT_ACCEPTED have the receiver's code, all
    others 999.

    SENT_AGAIN: a kept connection ended without an answer, and the same try sent the request once more. NOT_ACCEPTED:
    the webhook's Success rule refuses an answer whose code would be a success. NO_TOKEN: the token server (OAuth) gave
    no token, so nothing was sent.
    """

    TIMEOUT = "timeout"
    TLS = "tls"
    DNS = "dns"
    REFUSED = "refused"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    BLOCKED_ADDRESS = "blocked_address"
    BLOCKED_NAME = "blocked_name"
    REDIRECT = "redirect"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    BAD_RESPONSE = "bad_response"
    SENT_AGAIN = "sent_again"
    NOT_ACCEPTED = "not_accepted"
    NO_TOKEN = "no_token"


class Stop(StrEnum):
    """What a failure leads to instead of another automatic try."""

    FAILED = "failed"
    HELD = "held"
    PAUSED = "paused"
