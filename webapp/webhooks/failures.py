"""Why a request got no response: the kind of error, and a sentence for people."""

import logging
import socket
import ssl

from webapp.webhooks.addresses import BlockedAddress, BlockedName, UnusableURL
from webapp.webhooks.names import NO_DATA
from webapp.webhooks.outcome import BadResponse, ErrorKind

log = logging.getLogger(__name__)


def explain(error: Exception, host: str, port: int) -> tuple[ErrorKind, str]:
    """The kind of a failure, and a sentence that explains it. `host` and `port` are the receiver's."""
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
    if isinstance(error, ssl.SSLError):
        return ErrorKind.TLS, _explain_tls(error, host, port)
    if isinstance(error, ConnectionRefusedError):
        return ErrorKind.REFUSED, f"Connection refused by {host} port {port}"
    if isinstance(error, ConnectionError):
        return ErrorKind.RESET, f"{host} port {port} closed the connection before its response was complete"
    if isinstance(error, OSError):
        return ErrorKind.UNREACHABLE, f"Could not reach {host} port {port}: {error.strerror or type(error).__name__}"
    log.error("A webhook could not be sent", exc_info=error)
    return ErrorKind.BAD_RESPONSE, f"The request to {host} failed: {type(error).__name__}"


_NO_NAME = "does not resolve: the DNS has no such name. Check its spelling in the URL"
_NAME_FAULTS = {
    NO_DATA: "does not resolve: the DNS has no address for it. Add an A or AAAA record, or enter another URL",
    socket.EAI_NONAME: _NO_NAME,  # on some systems the same number
    socket.EAI_AGAIN: "cannot be looked up at the moment: its name servers answer with errors, or not at all. "
    "If this goes on, check the DNS of this domain",
}


_CERTIFICATE_FAULTS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed, so it cannot be trusted",
    19: "comes from an unknown authority",
    20: "comes from an unknown authority",
    21: "comes from an unknown authority",
    23: "has been revoked",
    62: "was issued for another name",
    64: "was issued for another address",
}  # keys: OpenSSL's X509_V_ERR_ numbers


def _explain_tls(error: ssl.SSLError, host: str, port: int) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = _CERTIFICATE_FAULTS.get(error.verify_code) or f"cannot be trusted: {error.verify_message}"
        return f"The certificate of {host} {fault}"
    if isinstance(error, ssl.SSLEOFError):
        return f"{host} port {port} closed the connection while encryption was being set up"
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return f"{host} port {port} does not speak TLS"
    return f"The encrypted connection to {host} failed: {(error.reason or 'unknown reason').replace('_', ' ').lower()}"
