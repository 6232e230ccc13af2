"""Client certificates on the wire: nginx and OpenSSL servers that ask for one, in TLS 1.2 and 1.3."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.support.counterparts import issued, nginx, openssl, self_made_authority
from tests.support.receiver import Line, Receiver, answering
from tests.webhooks.conftest import LOOPBACK
from webapp.webhooks import identities, tls
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender
from webapp.webhooks.tls import Trust

Files = tuple[Path, Path]  # certificate, key
VERSIONS = ["TLSv1.2", "TLSv1.3"]


class Certificates:
    """An authority, what it issued, and another authority that the servers do not know."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = self_made_authority(directory, "authority")
        self.server = issued(directory, "localhost", self.authority, "subjectAltName=DNS:localhost")
        self.good = _identity(issued(directory, "leadhook", self.authority))
        self.second = _identity(issued(directory, "second", self.authority))
        for_servers = issued(directory, "servers", self.authority, "extendedKeyUsage=serverAuth")
        self.for_servers = _identity(for_servers)
        (directory / "elsewhere").mkdir()
        elsewhere = self_made_authority(directory / "elsewhere", "elsewhere")
        self.stranger = _identity(issued(directory / "elsewhere", "stranger", elsewhere))
        self.expired = _identity(_expired(directory, self.authority))

    def asking(self, version: str = "TLSv1.3", mode: ssl.VerifyMode = ssl.CERT_REQUIRED) -> ssl.SSLContext:
        """A server of Python's ssl module that asks for a client certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = {
            "TLSv1.2": ssl.TLSVersion.TLSv1_2,
            "TLSv1.3": ssl.TLSVersion.TLSv1_3,
        }[version]
        context.load_cert_chain(*self.server)
        context.load_verify_locations(self.authority[0])
        context.verify_mode = mode
        return context


def _identity(files: Files) -> ClientCertificate:
    return ClientCertificate.of(files[1].read_text() + files[0].read_text())


def _expired(directory: Path, authority: Files) -> Files:
    key_of = serialization.load_pem_private_key
    by, signer = x509.load_pem_x509_certificate(authority[0].read_bytes()), key_of(authority[1].read_bytes(), None)
    own = key_of((directory / "leadhook.key").read_bytes(), None)
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(by.subject, x509.Name([]), own.public_key(), x509.random_serial_number())
    dated = made.not_valid_before(now - timedelta(days=60)).not_valid_after(now - timedelta(days=1))
    certificate = directory / "expired.pem"
    certificate.write_bytes(dated.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return certificate, directory / "leadhook.key"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def sender(certificates: Certificates) -> Iterator[Sender]:
    with sending(certificates) as sender:
        yield sender


@contextmanager
def sending(certificates: Certificates) -> Iterator[Sender]:
    sender = Sender(Limits(allowed_networks=LOOPBACK, ca_file=str(certificates.authority[0])))
    yield sender
    sender.close()


def post(sender: Sender, port: int, identity: ClientCertificate | None, body: bytes = b"{}") -> Outcome:
    return sender.send(1, f"https://localhost:{port}/hook", body, {}, identity=identity)


# nginx, as operators set it up.


@pytest.fixture(scope="module", params=VERSIONS)
def nginx_port(request: Any, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    certificate, key = certificates.server
    block = f"listen 127.0.0.1:{{port}} ssl; ssl_certificate '{certificate}'; ssl_certificate_key '{key}';"
    block += f" ssl_protocols {request.param}; ssl_verify_client on;"
    block += f" ssl_client_certificate '{certificates.authority[0]}'; return 200 $ssl_protocol:$ssl_client_s_dn;"
    with nginx(tmp_path_factory.mktemp("nginx"), f"server {{ {block} }}") as port:
        yield port


def test_nginx_lets_in_the_certificate_that_it_trusts(sender: Sender, nginx_port: int, certificates: Any) -> None:
    outcome = post(sender, nginx_port, certificates.good)
    assert outcome.delivered
    assert outcome.body in ("TLSv1.2:CN=leadhook", "TLSv1.3:CN=leadhook")


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("none", "No required SSL certificate was sent"),
        ("expired", "The SSL certificate error"),
        ("stranger", "The SSL certificate error"),
        ("for_servers", "The SSL certificate error"),
    ],
)
def test_nginx_refuses_others_in_its_answer(
    sender: Sender, nginx_port: int, certificates: Any, which: str, said: str
) -> None:
    outcome = post(sender, nginx_port, getattr(certificates, which, None))
    assert (outcome.code, outcome.error) == (400, ErrorKind.HTTP_4XX)
    assert said in outcome.body


# OpenSSL servers, which refuse with an alert.


@pytest.mark.parametrize("version", VERSIONS)
def test_an_openssl_server_lets_in_the_certificate_that_it_trusts(
    sender: Sender, certificates: Certificates, version: str
) -> None:
    with Receiver(certificates.asking(version)) as receiver:
        assert all(post(sender, receiver.port, certificates.good).delivered for _ in range(3))
        assert [request.connection for request in receiver.requests] == [1, 1, 1]


REFUSED = {
    "none": "asks for a client certificate that it trusts",
    "expired": "says that the client certificate has expired, or is not valid yet",
    "stranger": "does not know the authority of the client certificate",
    "for_servers": "says that the client certificate is not made for clients",
}


@pytest.mark.parametrize("which", REFUSED)
def test_in_tls_1_3_each_refusal_is_named_each_time(sender: Sender, certificates: Certificates, which: str) -> None:
    """The handshake is over for the sender when the alert comes: it may meet the write, the read, or neither."""
    identity = getattr(certificates, which, None)
    with Receiver(certificates.asking()) as receiver:
        said = {post(sender, receiver.port, identity, body).body for body in [b"{}", b"x" * 200_000] * 10}
        assert receiver.requests == []
    assert len(said) == 1
    assert said.pop().startswith(f"localhost port {receiver.port} {REFUSED[which]}. ")


@pytest.mark.parametrize("which", REFUSED)
def test_in_tls_1_2_too_but_for_a_missing_one(sender: Sender, certificates: Certificates, which: str) -> None:
    with Receiver(certificates.asking("TLSv1.2")) as receiver:
        outcome = post(sender, receiver.port, getattr(certificates, which, None))
    words = REFUSED[which] if which != "none" else "and Leadhook have no way of encryption in common"
    assert outcome.error is ErrorKind.TLS
    assert outcome.body.startswith(f"localhost port {receiver.port} {words}. ")


def test_a_server_may_ask_after_the_handshake(sender: Sender, certificates: Certificates) -> None:
    """As Apache does in TLS 1.3 where only some paths need a certificate."""
    context = certificates.asking()
    context.post_handshake_auth = True
    context.num_tickets = 0  # they would end the kept connection
    shown: list[object] = []

    def ask(line: Line) -> bool:
        assert isinstance(line.sock, ssl.SSLSocket)
        shown.append(line.sock.getpeercert())
        line.sock.verify_client_post_handshake()
        return answering(200, b"who?")(line)

    def look(line: Line) -> bool:
        assert isinstance(line.sock, ssl.SSLSocket)
        shown.append(line.sock.getpeercert())  # it came before the second request
        return answering(200)(line)

    with Receiver(context) as receiver:
        receiver.queue(ask, look)
        assert [post(sender, receiver.port, certificates.good).code for _ in range(2)] == [200, 200]
        assert [request.connection for request in receiver.requests] == [1, 1]
    assert shown[0] is None
    assert "leadhook" in str(shown[1])


# What is kept.


def test_a_connection_is_used_with_its_own_certificate_only(sender: Sender, certificates: Certificates) -> None:
    order = [certificates.good, certificates.second, None, certificates.good, None, certificates.second]
    with Receiver(certificates.asking(mode=ssl.CERT_OPTIONAL)) as receiver:
        for identity in order:
            assert post(sender, receiver.port, identity).delivered
        assert [request.connection for request in receiver.requests] == [1, 2, 3, 1, 3, 2]


def test_the_contexts_are_bounded_and_the_ones_in_use_stay(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tls.MOST_IDENTITIES == 32
    monkeypatch.setattr(tls, "MOST_IDENTITIES", 2)
    trust, good = Trust(None), certificates.good
    first = trust.context(identity=good)
    for number in range(4):
        trust.context(identity=ClientCertificate.of(good.pem.decode() + "\n" * number + "\n"))
        assert trust.context(identity=good) is first
    assert len(trust._with_identity) == 2


def test_a_changed_file_of_authorities_is_read_for_them_too(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOKED_AT_AFTER", 0)
    file = tmp_path / "authorities.pem"
    file.write_bytes((certificates.directory / "elsewhere" / "elsewhere.pem").read_bytes())
    trust = Trust(str(file))
    before = trust.context(identity=certificates.good)
    file.write_bytes(certificates.authority[0].read_bytes() + b"\n")
    after = trust.context(identity=certificates.good)
    assert after is not before
    subjects = [str(each["subject"]) for each in after.get_ca_certs()]
    assert any("'authority'" in subject for subject in subjects)


def test_no_key_is_on_the_disk(certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = []
    monkeypatch.setattr(tempfile, "mkstemp", lambda: made.append(1))
    certificates.good.load_into(ssl.create_default_context())
    assert made == []


@pytest.mark.parametrize("missing", ["memfd_create", "/proc"])
def test_where_memory_has_no_path_a_private_file_is_deleted_at_once(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "/proc":
        monkeypatch.setattr(identities, "OPEN_FILES", "/proc/nowhere")
    else:
        monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[tuple[int, bool]] = []

    class Watching(ssl.SSLContext):
        def load_cert_chain(self, path: Any, *rest: Any, **named: Any) -> None:
            seen.append((os.stat(path).st_mode & 0o777, Path(path).parent == tmp_path))
            super().load_cert_chain(path, *rest, **named)

    certificates.good.load_into(Watching(ssl.PROTOCOL_TLS_CLIENT))
    with pytest.raises(identities.UnusableCertificate):
        ClientCertificate.of("no PEM").load_into(Watching(ssl.PROTOCOL_TLS_CLIENT))
    assert seen == [(0o600, True)] * 2
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_shows_no_key_in_logs(certificates: Certificates) -> None:
    assert "BEGIN" not in repr(certificates.good)


def test_an_encrypted_key_never_asks_for_its_pass_phrase(certificates: Certificates, tmp_path: Path) -> None:
    key = tmp_path / "encrypted.key"
    openssl("pkey", "-in", certificates.directory / "leadhook.key", "-aes256", "-passout", "pass:open", "-out", key)
    identity = _identity((certificates.directory / "leadhook.pem", key))
    with pytest.raises(identities.UnusableCertificate):
        identity.load_into(ssl.create_default_context())
