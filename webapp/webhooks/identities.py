"""Client certificates as connections use them: loaded into a TLS context without a key on the disk.

Runs only for webhooks that have one. client_certificates.py reads what people paste, and makes the PEM for here.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256

OPEN_FILES = "/proc/self/fd"


class UnusableCertificate(ssl.SSLError):
    """OpenSSL does not take this client certificate or its key. client_certificates.py finds that when it is saved."""

    def __init__(self, error: ssl.SSLError) -> None:
        super().__init__(*error.args)
        self.reason = error.reason


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a webhook shows to a receiver that asks for a client certificate (TLS 1.2 and 1.3).

    `pem`: the private key, not encrypted, then the certificate, then its authorities. Two are equal if their
    `fingerprint` is; it is no secret.
    """

    fingerprint: str
    pem: bytes = field(repr=False, compare=False)

    @classmethod
    def of(cls, pem: str) -> "ClientCertificate":
        """`pem`: as `client_certificates.read` makes it."""
        data = pem.encode()
        return cls(sha256(data).hexdigest(), data)

    def load_into(self, context: ssl.SSLContext) -> None:
        """UnusableCertificate if OpenSSL refuses it."""
        with _as_file(self.pem) as path:
            try:
                # An encrypted key without a pass phrase would make OpenSSL ask for one on the terminal, and wait.
                context.load_cert_chain(path, password="")
            except ssl.SSLError as error:
                raise UnusableCertificate(error) from None


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path to these bytes, as OpenSSL takes nothing else. In memory where the system can do that (Linux)."""
    descriptor = _in_memory()
    if descriptor is None:
        descriptor, path = tempfile.mkstemp()  # only its owner can read it
    else:
        path = ""
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            yield path or f"{OPEN_FILES}/{descriptor}"
    finally:
        if path:
            os.unlink(path)


def _in_memory() -> int | None:
    try:
        return os.memfd_create("certificate") if os.path.isdir(OPEN_FILES) else None
    except (AttributeError, OSError):  # another system, or a sandbox that forbids it
        return None
