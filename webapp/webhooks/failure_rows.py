"""Rows of the table in advice.py: failures of encryption, and of the server that gives tokens (OAuth)."""

from typing import NamedTuple

from webapp.webhooks.outcome import ErrorKind


class Failure(NamedTuple):
    """`words` may have the names of EXAMPLE in braces. `cause` and `step` are sentences; `step` is for people who can
    change the receiver, or ask its operator or ours."""

    kind: ErrorKind
    words: str
    cause: str
    step: str


TLS_ROWS = (
    Failure(
        ErrorKind.TLS,
        "The certificate of {host} is not valid yet",
        "The certificate begins later, or a clock is wrong.",
        "Check the dates of the certificate, and the clocks.",
    ),
    Failure(
        ErrorKind.TLS,
        "The certificate of {host} has expired",
        "It was not renewed, or the server was not restarted since.",
        "Renew it, and restart the server.",
    ),
    Failure(
        ErrorKind.TLS,
        "The certificate of {host} is self-signed, so it cannot be trusted",
        "No authority has signed it.",
        "Get one from a public authority, or ask the operator to add it to WEBHOOK_CA_FILE.",
    ),
    Failure(
        ErrorKind.TLS,
        "The certificate of {host} comes from an unknown authority",
        "The server does not send its intermediate certificate, or the authority is a private one.",
        "Install the whole chain, or ask the operator to add the authority to WEBHOOK_CA_FILE.",
    ),
    Failure(
        ErrorKind.TLS,
        "The certificate of {host} was issued for another name",
        "The server has no certificate for this name.",
        "Get a certificate for this name, or use the name it is for.",
    ),
    Failure(
        ErrorKind.TLS,
        "The certificate of {host} was issued for another address",
        "The URL has an IP address, and certificates are mostly for names.",
        "Use the name that the certificate is for.",
    ),
    Failure(
        ErrorKind.TLS,
        "The certificate of {host} cannot be trusted: {other}",
        "The certificate or one of its authorities is too weak, or is for another purpose.",
        "Get a new certificate from a public authority.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} closed the connection while encryption was being set up",
        "The server or a proxy before it has no certificate for this name, or refuses us.",
        "See the log of the receiver.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} does not speak TLS",
        "The port answers without encryption.",
        "Begin the Lead Webhook URL with http://, or turn on TLS.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} asks for a client certificate that it trusts",
        "The server only lets in clients that it gave a certificate to, and got none, or another one.",
        "Give the webhook the certificate that the server trusts, or turn this off there.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} says that the client certificate has expired, or is not valid yet",
        "It was not renewed, or a clock is wrong.",
        "Get a new certificate, and give it to the webhook.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} does not know the authority of the client certificate",
        "The server trusts another authority, or needs an intermediate certificate that was not entered.",
        "Enter the whole chain, or a certificate of an authority that it trusts.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} says that the client certificate is not made for clients",
        "It is the certificate of a server: its extended key usage lacks client authentication.",
        "Ask for a certificate for client authentication.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} refuses the client certificate",
        "Its authority has revoked it, or the server has a rule against it.",
        "Ask the operator of the receiver for a new certificate.",
    ),
    Failure(
        ErrorKind.TLS,
        "The client certificate for {host} cannot be used: {other}",
        "The stored certificate is damaged, or too weak for this server's OpenSSL.",
        "Enter the certificate and its key again.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} speaks HTTP/2 only",
        "The server refuses HTTP/1.1, which Leadhook sends.",
        "Turn on HTTP/1.1 on the server.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} speaks only old versions of TLS",
        "Leadhook takes TLS 1.2 and 1.3.",
        "Turn on TLS 1.2 or 1.3 on the server.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} and Leadhook have no way of encryption in common",
        "The server allows only few ciphers, has no certificate, or wants a certificate of the client that it trusts.",
        "Allow the usual ciphers on the server, or enter the client certificate it wants.",
    ),
    Failure(
        ErrorKind.TLS,
        "{host} port {port} does not know this name",
        "The server has no site with the host name of the URL.",
        "Set up this name on the server, or correct the URL.",
    ),
    Failure(
        ErrorKind.TLS,
        "The encrypted connection to {host} failed: {other}",
        "The server ended the handshake for another reason.",
        "See the log of the receiver.",
    ),
)
TOKEN_ROWS = (
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} did not answer: {other}",
        "The server that gives tokens cannot be reached, or its address is wrong.",
        "Check the token URL, and the network to it.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} refuses the client: {other}",
        "The client ID or the secret is wrong, or the server wants them sent in another way.",
        "Compare both, or try the other ways of sending them.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} does not allow client credentials: {other}",
        "The client is not set up there for the grant client_credentials.",
        "Allow this grant for the client at the token server.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} refuses the scope: {other}",
        "The scope is not known there, or the client may not have it.",
        "Correct the scope, or leave it empty.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} refuses the audience or resource: {other}",
        "It is not known there, or the client may not use it.",
        "Correct it, or leave it empty.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} refuses the request: {other}",
        "It wants a scope, an audience or a resource, or does not want one.",
        "Compare the settings with the documentation of the token server.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} gave no token, but a web page: it answered {other}",
        "The address is one for people, or a firewall takes us for a bot.",
        "Check the token URL.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} gave no token: it answered {other}",
        "The address is wrong, or the server has a fault.",
        "Check the token URL, or ask the operator of the token server.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} did not answer in JSON: it answered {other}",
        "The address is not that of a token server.",
        "Check the token URL.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} answered {code} without an access_token that can be used",
        "The address is not that of a token server, or the token cannot stand in a header.",
        "Check the token URL.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} gave a token of the type {other}, and Leadhook sends Bearer tokens only",
        "The server is set up for tokens that need a proof with each request.",
        "Have the token server give Bearer tokens to this client.",
    ),
    Failure(
        ErrorKind.NO_TOKEN,
        "The token server {host} is asked once a minute at most. What it said before: {other}",
        "It gave no token, and is not asked again for each lead.",
        "Wait for a minute after a correction, then retry.",
    ),
)
