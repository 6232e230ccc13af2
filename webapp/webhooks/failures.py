"""Why a request got no response: the kind of error, and sentences for people with what to do about it (advice.py)."""

import logging
import re
import socket
import ssl

from webapp.webhooks.addresses import BlockedAddress, BlockedName, UnusableURL
from webapp.webhooks.advice import with_step
from webapp.webhooks.identities import UnusableCertificate
from webapp.webhooks.names import NO_DATA
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome
from webapp.webhooks.response import BadResponse
from webapp.webhooks.tls import EndedEarly, OtherName

log = logging.getLogger(__name__)


def explain(error: Exception, host: str, port: int) -> tuple[ErrorKind, str]:
    """The kind of a failure; what happened, and what to do about it. `host` and `port` are the receiver's."""
    kind, sentence = _explain(error, host, port)
    return kind, with_step(sentence, kind)


def no_answer(error: Exception, host: str, port: int, duration_ms: int) -> Outcome:
    """The outcome of a request that got no response."""
    kind, sentence = explain(error, host, port)
    return Outcome(NO_ANSWER, sentence.replace("\0", ""), False, (), kind, duration_ms, None)


def _explain(error: Exception, host: str, port: int) -> tuple[ErrorKind, str]:
    if isinstance(error, TimeoutError):
        ours = len(error.args) == 1  # the kernel's timeouts also have an error number
        return ErrorKind.TIMEOUT, str(error) if ours else f"Timed out: {host} port {port} stopped responding"
    if isinstance(error, UnusableURL):
        return ErrorKind.UNREACHABLE, str(error)
    if isinstance(error, BlockedAddress):
        kind = ErrorKind.BLOCKED_NAME if isinstance(error, BlockedName) else ErrorKind.BLOCKED_ADDRESS
        return kind, str(error)
    if isinstance(error, BadResponse):
        return ErrorKind.BAD_RESPONSE, f"{host} {error}"
    if isinstance(error, socket.gaierror):
        return ErrorKind.DNS, f"The name {host} {_NAME_FAULTS.get(error.errno or 0, _NO_NAME)}"
    if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return ErrorKind.TLS, _explain_tls(error, host, port)
    if isinstance(error, ConnectionRefusedError):
        return ErrorKind.REFUSED, f"Connection refused by {host} port {port}"
    if isinstance(error, (ConnectionError, ssl.SSLError)):
        return ErrorKind.RESET, f"{host} port {port} closed the connection before its response was complete"
    if isinstance(error, OSError):
        return ErrorKind.UNREACHABLE, f"Could not reach {host} port {port}: {error.strerror or type(error).__name__}"
    log.error("A webhook could not be sent", exc_info=error)
    return ErrorKind.BAD_RESPONSE, f"The request to {host} failed: {type(error).__name__}"


_NO_NAME = "does not resolve: the DNS has no such name"
_NAME_FAULTS = {
    NO_DATA: "does not resolve: the DNS has no address for it",
    socket.EAI_NONAME: _NO_NAME,  # on some systems the same number
    socket.EAI_AGAIN: "cannot be looked up at the moment: its name servers answer with errors, or not at all",
}


_CERTIFICATE_FAULTS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed, so it cannot be trusted",
    19: "comes from an unknown authority",
    20: "comes from an unknown authority",
    21: "comes from an unknown authority",
    62: "was issued for another name",
    64: "was issued for another address",
}  # keys: OpenSSL's X509_V_ERR_ numbers
# OpenSSL's reasons, in the order in which they are looked for, and what follows host and port. Python has no name for
# some alerts: then OpenSSL's words are in the text of the error. Java calls a certificate bad that we do not send, Go
# calls one expired that is not valid yet.
_FAULTS = {
    "does not speak TLS": "WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG",
    "asks for a client certificate that it trusts": "CERTIFICATE_REQUIRED|ALERT_BAD_CERTIFICATE",
    "says that the client certificate has expired, or is not valid yet": "ALERT_CERTIFICATE_EXPIRED",
    "does not know the authority of the client certificate": "ALERT_UNKNOWN_CA",
    "says that the client certificate is not made for clients": "ALERT_UNSUPPORTED_CERTIFICATE",
    "refuses the client certificate": "ALERT_CERTIFICATE_REVOKED|ALERT_CERTIFICATE_UNKNOWN",
    "speaks HTTP/2 only": "NO_APPLICATION_PROTOCOL",
    "speaks only old versions of TLS": "ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|WRONG_SSL_VERSION",
    "and Leadhook have no way of encryption in common": "HANDSHAKE_FAILURE|INSUFFICIENT_SECURITY|NO_SHARED_CIPHER",
    "does not know this name": "UNRECOGNIZED_NAME",
}


def _explain_tls(error: ssl.SSLError, host: str, port: int) -> str:
    if isinstance(error, UnusableCertificate):
        return f"The client certificate for {host} cannot be used: {_reason_of(error)}"
    if isinstance(error, OtherName):
        return f"The certificate of {host} {_CERTIFICATE_FAULTS[62]}"
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = _CERTIFICATE_FAULTS.get(error.verify_code) or f"cannot be trusted: {error.verify_message}"
        return f"The certificate of {host} {fault}"
    if isinstance(error, EndedEarly):
        return f"{host} port {port} closed the connection while encryption was being set up"
    reason = error.reason or _reason_in(error)
    for words, reasons in _FAULTS.items():
        if re.search(reasons, reason):
            return f"{host} port {port} {words}"
    return f"The encrypted connection to {host} failed: {_reason_of(error)}"


def _reason_of(error: ssl.SSLError) -> str:
    return (error.reason or _reason_in(error)).replace("_", " ").lower() or "unknown reason"


def _reason_in(error: ssl.SSLError) -> str:
    """From a text such as "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)"."""
    text = re.sub(r"\[.*?\]|\(_ssl\.c:\d+\)", "", str(error.args[-1] if error.args else ""))
    return "_".join(text.split()).upper()
