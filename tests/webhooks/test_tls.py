"""Encrypted connections: which certificates are good, and what is said of those that are not. Real servers."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.support.counterparts import issued, nginx, openssl, s_server, self_made_authority
from tests.support.receiver import Receiver
from tests.support.tls import Authority
from webapp.webhooks import tls
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender

LOOPBACK = (ip_network("127.0.0.0/8"),)
WANTS_ONE = "asks for a client certificate that it trusts"


def to_loopback(*arguments: Any) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", arguments[1]))]


@contextmanager
def sending(ca_file: object = None, **limits: Any) -> Iterator[Sender]:
    sender = Sender(
        Limits(allowed_networks=LOOPBACK, ca_file=str(ca_file) if ca_file else None, **limits), resolver=to_loopback
    )
    yield sender
    sender.close()


def post(sender: Sender, url: str, body: bytes = b"{}") -> Outcome:
    return sender.send(1, url, body, {"webhook-id": "msg_1"})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key of an authority that `openssl req -x509` made."""
    return self_made_authority(tmp_path_factory.mktemp("own"), "Own authority")


@pytest.fixture(scope="module")
def leaf(own: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return issued(tmp_path_factory.mktemp("leaf"), "localhost", own, "subjectAltName=DNS:localhost,IP:127.0.0.1")


def serving(certificate: tuple[Path, Path], chain: Path | None = None) -> ssl.SSLContext:
    """A server's context; `chain` is sent with the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = certificate[0]
    if chain:
        file = file.with_suffix(".chain.pem")
        file.write_text(certificate[0].read_text() + chain.read_text())
    context.load_cert_chain(file, certificate[1])
    return context


# A receiver that wants a client certificate.


def test_a_tls_1_3_server_that_wants_a_client_certificate_is_named_each_time(
    own: tuple[Path, Path], leaf: tuple[Path, Path]
) -> None:
    with s_server(leaf[0], "-Verify", 1, "-tls1_3", key=leaf[1]) as port, sending(own[0]) as sender:
        said = [post(sender, f"https://localhost:{port}/") for _ in range(64)]
    assert {(one.code, one.error) for one in said} == {(999, ErrorKind.TLS)}
    assert all(one.body.startswith(f"localhost port {port} {WANTS_ONE}. ") for one in said)


def test_also_when_the_lead_is_large(own: tuple[Path, Path], leaf: tuple[Path, Path]) -> None:
    with s_server(leaf[0], "-Verify", 1, "-tls1_3", key=leaf[1]) as port, sending(own[0]) as sender:
        said = {post(sender, f"https://localhost:{port}/", b"x" * 100_000).body for _ in range(8)}
    assert len(said) == 1
    assert WANTS_ONE in said.pop()


def test_python_s_server_that_wants_one_is_named_too(own: tuple[Path, Path], leaf: tuple[Path, Path]) -> None:
    context = serving(leaf)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(own[0])
    with Receiver(context) as receiver, sending(own[0]) as sender:
        assert WANTS_ONE in post(sender, receiver.url).body
        assert receiver.requests == []


def test_in_tls_1_2_nothing_is_said_but_that_there_is_no_way(own: tuple[Path, Path], leaf: tuple[Path, Path]) -> None:
    with s_server(leaf[0], "-Verify", 1, "-tls1_2", key=leaf[1]) as port, sending(own[0]) as sender:
        outcome = post(sender, f"https://localhost:{port}/")
    assert outcome.error is ErrorKind.TLS
    assert "no way of encryption in common" in outcome.body
    assert "wants a certificate of the client" not in outcome.body


def test_nginx_says_it_in_its_answer(own: tuple[Path, Path], leaf: tuple[Path, Path], tmp_path: Path) -> None:
    block = f"listen 127.0.0.1:{{port}} ssl; ssl_certificate '{leaf[0]}'; ssl_certificate_key '{leaf[1]}';"
    block += f" ssl_verify_client on; ssl_client_certificate '{own[0]}';"
    with nginx(tmp_path, f"server {{ {block} }}") as port, sending(own[0]) as sender:
        outcome = post(sender, f"https://localhost:{port}/")
    assert (outcome.code, outcome.error) == (400, ErrorKind.HTTP_4XX)
    assert "No required SSL certificate was sent" in outcome.body


def test_a_server_that_closes_after_the_handshake_is_not_said_to_have_closed_in_it(authority: Authority) -> None:
    def close(line: Any) -> bool:
        socket.socket.shutdown(line.sock, socket.SHUT_RDWR)  # no close_notify
        return False

    with Receiver(authority.valid()) as receiver, sending(authority.ca_file) as sender:
        receiver.behave(close)
        outcome = post(sender, receiver.url)
    assert outcome.error is ErrorKind.RESET
    assert outcome.body.startswith(f"127.0.0.1 port {receiver.port} closed the connection before its response was")


# Names with an underscore.


@pytest.mark.parametrize(
    ("certified", "host"),
    [
        (["*.example.test"], "my_hook.example.test"),
        (["*.example.test"], "MY_HOOK.Example.TEST"),
        (["*.example.test"], "my_hook.example.test."),
        (["*.EXAMPLE.test"], "_acme.example.test"),
        (["other.test", "*.example.test"], "my_hook.example.test"),
        (["my_hook.example.test"], "my_hook.example.test"),
        (["*.my_zone.example.test"], "crm.my_zone.example.test"),
        (["*.my_zone.example.test"], "my_crm.my_zone.example.test"),
    ],
)
def test_a_wildcard_is_good_for_a_name_with_an_underscore(
    authority: Authority, certified: list[str], host: str
) -> None:
    with Receiver(authority.context(names=certified)) as receiver, sending(authority.ca_file) as sender:
        for _ in range(2):
            assert post(sender, f"https://{host}:{receiver.port}/").delivered
        assert receiver.connections == 1


@pytest.mark.parametrize(
    ("certified", "host"),
    [
        (["*.example.test"], "my_hook.other.test"),
        (["*.example.test"], "my_hook.sub.example.test"),
        (["*.example.test"], "my_hook.example.test.other.test"),
        (["*.example.test"], "my_example.test"),
        (["my*.example.test"], "my_hook.example.test"),
        (["*hook.example.test"], "my_hook.example.test"),
        (["*.*.test"], "my_hook.example.test"),
        (["my_hook.*.test"], "my_hook.example.test"),
        (["*.test"], "my_hook.test"),
        (["*"], "my_hook"),
        (["my-hook.example.test"], "my_hook.example.test"),
        (["my_hook.example.test"], "my_hook2.example.test"),
        (["127.0.0.1"], "my_hook.example.test"),
    ],
)
def test_other_names_stay_refused(authority: Authority, certified: list[str], host: str) -> None:
    with Receiver(authority.context(names=certified)) as receiver, sending(authority.ca_file) as sender:
        outcome = post(sender, f"https://{host}:{receiver.port}/")
        assert receiver.requests == []
    assert outcome.error is ErrorKind.TLS
    assert outcome.body.startswith(f"The certificate of {host.lower()} was issued for another name. ")


@pytest.mark.parametrize(("certificate", "words"), [("expired", "has expired"), ("self_signed", "is self-signed")])
def test_a_name_with_an_underscore_excuses_no_other_fault(authority: Authority, certificate: str, words: str) -> None:
    with Receiver(getattr(authority, certificate)()) as receiver, sending(authority.ca_file) as sender:
        assert f"my_hook.example.test {words}" in post(sender, f"https://my_hook.example.test:{receiver.port}/").body
    with Receiver(authority.context(names=("my_hook.example.test",))) as receiver, sending() as sender:
        assert "unknown authority" in post(sender, f"https://my_hook.example.test:{receiver.port}/").body


@pytest.mark.parametrize("certified", [["my*.example.test"], ["*.test"], ["*.other.test"]])
def test_a_name_without_underscore_is_compared_by_openssl(authority: Authority, certified: list[str]) -> None:
    with Receiver(authority.context(names=certified)) as receiver, sending(authority.ca_file) as sender:
        assert "another name" in post(sender, f"https://myhook.example.test:{receiver.port}/").body


# WEBHOOK_CA_FILE.


@pytest.fixture
def looking_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new connection looks at the file, not only one in some seconds."""
    monkeypatch.setattr(tls, "LOOKED_AT_AFTER", 0.0)


class Site:
    """A receiver of each of two authorities, and a file of trusted ones."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.first, self.file = authority, directory / "trusted.pem"
        (directory / "second").mkdir()
        self.second = Authority(directory / "second", "Second authority")
        self.file.write_text(Path(authority.ca_file).read_text())
        self.receivers = (Receiver(self.first.valid()), Receiver(self.second.valid()))

    def tried(self, sender: Sender) -> tuple[bool, bool]:
        """Whether each of the two is trusted now."""
        first, second = (post(sender, receiver.url).delivered for receiver in self.receivers)
        return first, second


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Iterator[Site]:
    site = Site(tmp_path, authority)
    yield site
    for receiver in site.receivers:
        receiver.close()


@pytest.fixture
def sender(site: Site, looking_at_once: None) -> Iterator[Sender]:
    with sending(site.file, idle_seconds=0) as sender:
        yield sender


def test_an_authority_that_is_added_later_is_trusted_without_a_restart(site: Site, sender: Sender) -> None:
    assert site.tried(sender) == (True, False)
    with site.file.open("a") as file:
        file.write(Path(site.second.ca_file).read_text())
    assert site.tried(sender) == (True, True)


def test_one_that_is_taken_out_is_trusted_no_longer(site: Site, sender: Sender) -> None:
    assert site.tried(sender) == (True, False)
    site.file.write_text(Path(site.second.ca_file).read_text())
    assert site.tried(sender) == (False, True)


def test_a_file_that_takes_its_place_is_read_although_time_and_size_are_the_same(site: Site, sender: Sender) -> None:
    assert site.tried(sender) == (True, False)
    before = site.file.stat()
    other = site.file.with_suffix(".new")
    other.write_text(Path(site.second.ca_file).read_text().ljust(before.st_size, "\n"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(site.file)
    assert site.tried(sender) == (False, True)


@pytest.mark.parametrize(
    "broken", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_broken_file_changes_nothing_and_the_log_says_so_once(
    site: Site, sender: Sender, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    assert site.tried(sender) == (True, False)
    site.file.write_text(broken)
    for _ in range(3):
        assert site.tried(sender) == (True, False)
    assert caplog.text.count("WEBHOOK_CA_FILE cannot be read: what it held before stays trusted") == 1
    site.file.write_text(Path(site.second.ca_file).read_text())
    assert site.tried(sender) == (False, True)


def test_a_broken_certificate_behind_a_good_one_is_named_and_changes_nothing(
    site: Site, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    assert site.tried(sender) == (True, False)
    with site.file.open("a") as file:
        file.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert site.tried(sender) == (True, False)
    assert "stays trusted: it holds no certificates in PEM, or a broken one" in caplog.text


def test_a_file_that_is_away_for_a_while_changes_nothing(
    site: Site, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    assert site.tried(sender) == (True, False)
    site.file.rename(site.file.with_suffix(".away"))
    assert site.tried(sender) == (True, False)
    site.file.mkdir()
    assert site.tried(sender) == (True, False)
    assert "No such file or directory" in caplog.text
    site.file.rmdir()
    site.file.with_suffix(".away").rename(site.file)
    assert site.tried(sender) == (True, False)


def test_a_file_that_is_broken_when_the_process_begins_stops_nothing(
    site: Site, looking_at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    site.file.write_text("no certificate")
    with sending(site.file, idle_seconds=0) as sender, Receiver() as plain:
        assert site.tried(sender) == (False, False)
        assert post(sender, plain.url).delivered
        site.file.write_text(Path(site.first.ca_file).read_text())
        assert site.tried(sender) == (True, False)
    assert "only public authorities are trusted: it holds no certificates in PEM, or a broken one" in caplog.text


def test_a_name_with_an_underscore_sees_the_change_too(site: Site, sender: Sender) -> None:
    with Receiver(site.second.context(names=("my_hook.example.test",))) as receiver:
        url = f"https://my_hook.example.test:{receiver.port}/"
        assert not post(sender, url).delivered
        site.file.write_text(Path(site.second.ca_file).read_text())
        assert post(sender, url).delivered


def test_the_file_is_looked_at_once_in_three_seconds_and_only_for_new_encrypted_connections(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    look = os.stat

    def counting(path: Any, *arguments: Any, **more: Any) -> os.stat_result:
        if str(path) == str(site.file):
            looked.append(path)
        return look(path, *arguments, **more)

    monkeypatch.setattr(os, "stat", counting)
    with sending(site.file) as sender, Receiver() as plain:
        post(sender, plain.url)
        assert looked == []
        for _ in range(5):
            site.tried(sender)
        assert len(looked) == 1
        monkeypatch.setattr(tls, "LOOKED_AT_AFTER", 0.0)
        for _ in range(5):
            assert post(sender, site.receivers[0].url).delivered  # a kept connection
        assert len(looked) == 1


# Authorities that are no roots.


@pytest.fixture(scope="module")
def chain(
    own: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    """An intermediate authority, and what it has issued for localhost."""
    directory = tmp_path_factory.mktemp("chain")
    middle = issued(directory, "Issuing authority", own, "basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign")
    return middle, issued(directory, "localhost", middle, "subjectAltName=DNS:localhost")


@pytest.mark.parametrize("sends_chain", [True, False])
@pytest.mark.parametrize("trusted", ["middle", "root and middle"])
def test_an_intermediate_authority_in_the_file_is_trusted(
    own: tuple[Path, Path], chain: Any, tmp_path: Path, sends_chain: bool, trusted: str
) -> None:
    middle, end = chain
    file = tmp_path / "trusted.pem"
    file.write_text(middle[0].read_text() + (own[0].read_text() if "root" in trusted else ""))
    with Receiver(serving(end, middle[0] if sends_chain else None)) as receiver, sending(file) as sender:
        assert post(sender, f"https://localhost:{receiver.port}/").delivered


def test_the_certificate_itself_may_be_in_the_file(chain: Any, leaf: tuple[Path, Path]) -> None:
    with Receiver(serving(chain[1])) as receiver:
        with sending(chain[1][0]) as sender:
            assert post(sender, f"https://localhost:{receiver.port}/").delivered
        with sending(leaf[0]) as sender:  # another one of the same name
            assert "unknown authority" in post(sender, f"https://localhost:{receiver.port}/").body


def test_another_intermediate_of_the_same_root_is_not_trusted(
    own: tuple[Path, Path], chain: Any, tmp_path: Path
) -> None:
    other = issued(tmp_path, "Other authority", own, "basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign")
    with Receiver(serving(chain[1], chain[0][0])) as receiver, sending(other[0]) as sender:
        assert "unknown authority" in post(sender, f"https://localhost:{receiver.port}/").body


def test_a_certificate_that_is_no_authority_can_issue_none(chain: Any, tmp_path: Path) -> None:
    plain = issued(tmp_path, "no authority", chain[0], "basicConstraints=critical,CA:FALSE")
    end = issued(tmp_path, "localhost", plain, "subjectAltName=DNS:localhost")
    with Receiver(serving(end, plain[0])) as receiver:
        for trusted in (plain[0], chain[0][0]):
            with sending(trusted) as sender:
                assert post(sender, f"https://localhost:{receiver.port}/").error is ErrorKind.TLS


# Python 3.13's strict checks.


def without_key_usage(certificate: Path) -> bool:
    return "Key Usage" not in openssl("x509", "-in", certificate, "-noout", "-text")


def test_an_authority_made_by_openssl_is_trusted_also_with_the_flags_of_python_3_13(
    own: tuple[Path, Path], leaf: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert without_key_usage(own[0])
    made = ssl.create_default_context

    def strict(*arguments: Any, **more: Any) -> ssl.SSLContext:
        context = made(*arguments, **more)
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    fresh = own[0].with_suffix(".again.pem")  # no context was made for it before
    fresh.write_text(own[0].read_text())
    with Receiver(serving(leaf)) as receiver:
        with sending(fresh) as sender:
            assert post(sender, f"https://localhost:{receiver.port}/").delivered
        context = strict(cafile=str(own[0]))  # and it is these flags that refuse it
        with (
            socket.create_connection(("127.0.0.1", receiver.port)) as sock,
            pytest.raises(ssl.SSLCertVerificationError, match="key usage"),
        ):
            context.wrap_socket(sock, server_hostname="localhost")


ASK = """
import importlib.util, socket, ssl, sys
spec = importlib.util.spec_from_file_location("tls", sys.argv[1])
tls = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tls)
sock = tls.start(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), "localhost", 0, 5, sys.argv[3])
strict = bool(ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT)
print(sock.version(), strict == (sys.version_info >= (3, 13)), "%d.%d" % sys.version_info[:2])
"""


def interpreters() -> list[str]:
    """This Python, and those from 3.13 up that the machine has."""
    found = [shutil.which(f"python3.{minor}") for minor in range(13, 20)]
    found += [str(path) for path in Path.home().glob(".pyenv/versions/3.1[3-9]*/bin/python3")]
    return [sys.executable, *(path for path in found if path and _runs(path))]


def _runs(python: str) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def test_every_python_of_this_machine_trusts_it(own: tuple[Path, Path], leaf: tuple[Path, Path]) -> None:
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    for python in interpreters():
        with Receiver(serving(leaf)) as receiver:
            command = [python, "-c", ASK, str(tls.__file__), str(receiver.port), str(own[0])]
            environ = {"PYTHONPATH": packages, "PATH": os.environ["PATH"]}
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.startswith("TLSv1.3 True"), done.stderr


# Faults that Python has no name for.

Serve = Callable[[], Any]


def test_a_server_that_speaks_http_2_only_is_named(own: tuple[Path, Path], leaf: tuple[Path, Path]) -> None:
    with s_server(leaf[0], "-alpn", "h2", key=leaf[1]) as port, sending(own[0]) as sender:
        outcome = post(sender, f"https://localhost:{port}/")
    assert outcome.error is ErrorKind.TLS
    assert outcome.body == f"localhost port {port} speaks HTTP/2 only. Turn on HTTP/1.1 on the server."


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        (ssl.ALERT_DESCRIPTION_ACCESS_DENIED, "failed: tlsv1 alert access denied. "),
        (ssl.ALERT_DESCRIPTION_INTERNAL_ERROR, "failed: tlsv1 alert internal error. "),
        (ssl.ALERT_DESCRIPTION_BAD_CERTIFICATE, f"{WANTS_ONE}. "),  # as Java 17 says it, in TLS 1.2 and 1.3
        (ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME, "does not know this name. "),
        (ssl.ALERT_DESCRIPTION_INSUFFICIENT_SECURITY, "no way of encryption in common. "),
        (ssl.ALERT_DESCRIPTION_USER_CANCELLED, "failed: tlsv1 alert user cancelled. "),
    ],
)
def test_an_alert_is_named(authority: Authority, alert: int, words: str) -> None:
    context = authority.valid()
    context.sni_callback = lambda sock, name, context: alert
    with Receiver(context) as receiver, sending(authority.ca_file) as sender:
        outcome = post(sender, f"https://localhost:{receiver.port}/")
    assert outcome.error is ErrorKind.TLS
    assert words in outcome.body


@pytest.mark.parametrize("code", [255, 119, 117])
def test_an_alert_that_openssl_does_not_know_is_a_sentence_too(code: int) -> None:
    def refuse() -> None:
        sock, _ = server.accept()
        with sock:
            sock.recv(10_000)
            sock.sendall(bytes([21, 3, 3, 0, 2, 2, code]))

    from threading import Thread

    with socket.create_server(("127.0.0.1", 0)) as server, sending() as sender:
        thread = Thread(target=refuse)
        thread.start()
        outcome = post(sender, f"https://localhost:{server.getsockname()[1]}/")
        thread.join()
    assert outcome.error is ErrorKind.TLS
    assert "unknown reason" not in outcome.body
    assert outcome.body.startswith("The encrypted connection to localhost failed: ")
