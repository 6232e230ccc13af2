"""A temporary certificate authority: server contexts with valid and invalid certificates, and a file to trust them."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

YEAR = timedelta(days=365)
LOCAL_NAMES = ("localhost", "127.0.0.1")


class Authority:
    """Writes certificates into a directory. `ca_file` is its own certificate as PEM, for `Limits(ca_file=...)`."""

    def __init__(self, directory: Path, name: str = "Leadhook test authority") -> None:
        self.directory = directory
        self.name = name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.ca_file = str(directory / "authority.pem")
        self._numbers = count(1)
        now = datetime.now(UTC)
        ca = self._builder(name, self.key, now - YEAR, now + YEAR)
        ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        Path(self.ca_file).write_bytes(_pem(ca.sign(self.key, hashes.SHA256())))

    def valid(self) -> ssl.SSLContext:
        """For `localhost` and 127.0.0.1, currently valid."""
        return self.context()

    def expired(self) -> ssl.SSLContext:
        """For the right names, valid until yesterday."""
        now = datetime.now(UTC)
        return self.context(since=now - YEAR / 2, until=now - timedelta(days=1))

    def not_yet_valid(self) -> ssl.SSLContext:
        """For the right names, valid from tomorrow."""
        now = datetime.now(UTC)
        return self.context(since=now + timedelta(days=1), until=now + YEAR / 2)

    def wrong_host(self) -> ssl.SSLContext:
        """For another name than that of the server."""
        return self.context(names=("elsewhere.example",))

    def self_signed(self) -> ssl.SSLContext:
        """For the right names, signed only by itself."""
        return self.context(self_signed=True)

    def context(
        self,
        names: Sequence[str] = LOCAL_NAMES,
        since: datetime | None = None,
        until: datetime | None = None,
        self_signed: bool = False,
    ) -> ssl.SSLContext:
        """A server's context with a new certificate, by default valid from a month ago to half a year from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        issuer = names[0] if self_signed else self.name
        leaf = self._builder(names[0], key, since or now - YEAR / 12, until or now + YEAR / 2, issuer)
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        leaf = leaf.add_extension(alternatives, critical=False)
        leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        path = self.directory / f"leaf-{next(self._numbers)}.pem"
        path.write_bytes(_pem(leaf.sign(key if self_signed else self.key, hashes.SHA256())) + _private_pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        since: datetime,
        until: datetime,
        issuer: str | None = None,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(name))
            .issuer_name(_common_name(issuer or name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
        )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
