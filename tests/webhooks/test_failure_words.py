"""Every sentence about a request without an answer: a real counterpart brings it about, and the pages have it.

The table is webapp/webhooks/advice.py. A sentence without a row fails here, and so does a row without a trial.
"""

import html
import json
import re
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.support import lost_names
from tests.support.counterparts import (
    issued,
    nginx,
    nginx_version,
    node_http2,
    openssl,
    s_server,
    self_made_authority,
)
from tests.support.receiver import Behaviour, Line, Receiver, answering, closing, free_port, hanging, raw, resetting
from tests.support.tls import Authority
from tests.support.tree import ROOT
from webapp.services.reports.report_words import EXCERPT
from webapp.webhooks import advice
from webapp.webhooks.advice import ROWS, Failure
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.oauth2 import OAuth2
from webapp.webhooks.authentications.tokens import TokenSource
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender

LOOPBACK = (ip_network("127.0.0.0/8"),)
PAGE = ROOT / "docs" / "receivers" / "failures.md"
OK = b"HTTP/1.1 200 OK\r\n"


class World:
    """Counterparts, made when a trial asks for them, and a sender that trusts their authority."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory, self.stack = directory, stack
        self.authority = Authority(directory)
        self.authority.valid()
        self.pem = directory / "leaf-1.pem"
        self.receiver = stack.enter_context(Receiver())
        self._network: dict[str, list[str]] = {}

    def post(self, url: str, headers: dict[str, str] | None = None, **limits: Any) -> Outcome:
        settings = {"allowed_networks": LOOPBACK, "ca_file": self.authority.ca_file, **limits}
        sender = self.stack.enter_context(_closing(Sender(Limits(**settings))))
        return sender.send(1, url, b"{}", headers or {})

    def answered(self, answer: bytes) -> Outcome:
        self.receiver.queue(raw(answer))
        return self.post(self.receiver.url)

    def serving(self, context: ssl.SSLContext, host: str = "localhost") -> Outcome:
        with Receiver(context) as receiver:
            return self.post(f"https://{host}:{receiver.port}/")

    def openssl(self, *options: object) -> Outcome:
        with s_server(self.pem, *options) as port:
            return self.post(f"https://localhost:{port}/")

    def taking_once(self, answer: bytes | None, scheme: str = "https") -> Outcome:
        """A port that reads what comes, sends these bytes, and closes; or (None) resets the connection."""

        def serve() -> None:
            sock, _ = server.accept()
            with sock:
                sock.recv(65536)
                behave = resetting() if answer is None else raw(answer)
                behave(Line(sock, Event()))

        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = Thread(target=serve)
            thread.start()
            outcome = self.post(f"{scheme}://localhost:{server.getsockname()[1]}/")
            thread.join()
        return outcome

    def network(self, trial: str) -> Outcome:
        """One of the trials of tests/support/lost_names.py, which run together."""
        if not self._network:
            self._network.update(lost_names.outcomes())
        kind, body = self._network[trial]
        return Outcome(999, body, False, (), ErrorKind(kind), 0, None)


class _closing:  # noqa: N801 - as contextlib's
    def __init__(self, sender: Sender) -> None:
        self.sender = sender

    def __enter__(self) -> Sender:
        return self.sender

    def __exit__(self, *_: object) -> None:
        self.sender.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path_factory.mktemp("world"), stack)


Trial = Callable[[World], Outcome]
TRIALS: dict[str, list[Trial]] = {}  # by the words of the row


def trial(words: str) -> Callable[[Trial], Trial]:
    def keep(brought_about: Trial) -> Trial:
        TRIALS.setdefault(words, []).append(brought_about)
        return brought_about

    return keep


@trial("Timed out: no address was found for {host} port {port} within {limit} s")
def a_silent_name_server(world: World) -> Outcome:
    return world.network("silent")


@trial("Timed out: no connection to {host} port {port} within {limit} s")
def a_port_that_drops_packets(world: World) -> Outcome:
    port, kept = lost_names.full_port()
    try:
        return world.post(f"http://127.0.0.1:{port}/", connect_timeout=0.3)
    finally:
        for sock in kept:
            sock.close()


@trial("Timed out: no encrypted connection to {host} port {port} within {limit} s")
def a_silent_port(world: World) -> Outcome:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        return world.post(f"https://127.0.0.1:{silent.getsockname()[1]}/", connect_timeout=0.2)


@trial("Timed out: no complete response within {seconds} s")
def a_receiver_that_works_before_it_answers(world: World) -> Outcome:
    world.receiver.queue(hanging())
    return world.post(world.receiver.url, deadline=0.3, connect_timeout=0.3)


@trial("Timed out: {host} port {port} stopped responding")
def a_network_that_loses_the_receiver(world: World) -> Outcome:
    return world.network("lost")


@trial("The name {host} does not resolve: the DNS has no address for it")
def a_name_without_an_address(world: World) -> Outcome:
    return world.network(lost_names.EMPTY)


@trial("The name {host} does not resolve: the DNS has no such name")
def a_name_that_its_name_server_does_not_know(world: World) -> Outcome:
    return world.network("missing")


@trial("The name {host} cannot be looked up at the moment: its name servers answer with errors, or not at all")
def a_name_server_that_answers_with_an_error(world: World) -> Outcome:
    return world.network("broken")


@trial("Connection refused by {host} port {port}")
def a_port_where_nothing_listens(world: World) -> Outcome:
    return world.post(f"http://127.0.0.1:{free_port()}/")


@trial("{host} port {port} closed the connection before its response was complete")
def a_receiver_that_closes(world: World) -> Outcome:
    world.receiver.queue(closing())
    return world.post(world.receiver.url)


@trial("{host} port {port} closed the connection before its response was complete")
def an_nginx_that_closes(world: World) -> Outcome:
    directory = world.directory / "closing"
    directory.mkdir()
    with nginx(directory, "server { listen 127.0.0.1:{port}; return 444; }") as port:
        return world.post(f"http://127.0.0.1:{port}/")


def first_of_two(world: World, *behaviours: Any) -> Outcome:
    """The outcome of a request on a kept connection, where the same try sent a second one."""
    with Receiver() as receiver, _closing(Sender(Limits(allowed_networks=LOOPBACK))) as sender:
        receiver.queue(answering(), *behaviours, answering())
        assert sender.send(1, receiver.url, b"{}", {}).delivered
        outcome = sender.send(1, receiver.url, b"{}", {})
    assert outcome.delivered
    assert outcome.first
    return outcome.first


@trial("{host} port {port} ended a kept connection without an answer")
def a_kept_connection_that_is_closed(world: World) -> Outcome:
    return first_of_two(world, closing())


@trial("{host} port {port} ended a kept connection with the code 408, as if no request had come")
def a_kept_connection_that_ends_with_408(world: World) -> Outcome:
    return first_of_two(world, raw(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))


@trial("{host} port {port} sent bytes on a kept connection that are no answer, maybe of an old one")
def a_kept_connection_with_old_bytes(world: World) -> Outcome:
    return first_of_two(world, raw(b"Thank you!" + OK + b"content-length: 0\r\n\r\n"))


@trial("Could not reach {host} port {port}: {other}")
def an_address_without_a_route(world: World) -> Outcome:
    return world.post("http://127.255.255.255/")


@trial("The URL {other}")
def a_url_with_a_password(world: World) -> Outcome:
    return world.post("https://ada:secret@crm.example/")


@trial("The URL {other}")
def a_url_of_another_scheme(world: World) -> Outcome:
    return world.post("ftp://crm.example/")


@trial("The address of {host} is not public, and this installation does not allow it")
def a_private_address(world: World) -> Outcome:
    return world.post(world.receiver.url, allowed_networks=())


@trial("The address of {host} is not public, and this installation does not allow it")
def a_name_of_a_private_address(world: World) -> Outcome:
    return world.network("private")


@trial("Port {port} of {host} is not a port for webhooks")
def a_port_of_mail(world: World) -> Outcome:
    return world.post("http://93.184.216.34:25/", allowed_networks=())


@trial("{host} did not answer in HTTP")
def an_ssh_server(world: World) -> Outcome:
    return world.taking_once(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", scheme="http")


@trial("{host} did not answer in HTTP/1.1")
def a_blank_line_before_the_status_line(world: World) -> Outcome:
    return world.answered(b"\r\nhttp/1.1 200 ok\r\n\r\n")


@trial("{host} did not answer in HTTP/1.1")
def a_status_line_of_http_2(world: World) -> Outcome:
    return world.answered(b"HTTP/2 200\r\n\r\n")


@trial("{host} answered in TLS")
def a_port_that_wants_tls(world: World) -> Outcome:
    """As servers in Java and Rust refuse a request without encryption: with an alert."""
    return world.taking_once(b"\x15\x03\x03\x00\x02\x02\x50", scheme="http")


@trial("{host} answered in HTTP/2")
def a_node_that_speaks_http_2_only(world: World) -> Outcome:
    with node_http2() as port:
        return world.post(f"http://127.0.0.1:{port}/")


@trial("{host} answered in HTTP/2")
def an_nginx_that_speaks_http_2_only(world: World) -> Outcome:
    directory = world.directory / "h2c"
    directory.mkdir()
    if nginx_version() >= (1, 25):
        pytest.skip("this nginx also takes HTTP/1.1 there")
    with nginx(directory, "server { listen 127.0.0.1:{port} http2; return 200; }") as port:
        return world.post(f"http://127.0.0.1:{port}/")


@trial("{host} sent more than 64 KB of headers")
def a_receiver_with_endless_headers(world: World) -> Outcome:
    return world.answered(OK + b"set-cookie: x=y\r\n" * 9000)


@trial("{host} answered with the code {code}, which is not valid here")
def a_code_of_three_digits_that_means_nothing(world: World) -> Outcome:
    return world.answered(b"HTTP/1.1 600 Well\r\n\r\n")


@trial("The request to {host} failed: {other}")
def a_header_that_cannot_be_sent(world: World) -> Outcome:
    return world.post(world.receiver.url, {"x-a": "a\nb"})


@trial("The certificate of {host} is not valid yet")
def a_certificate_from_tomorrow(world: World) -> Outcome:
    return world.serving(world.authority.not_yet_valid())


@trial("The certificate of {host} has expired")
def a_certificate_until_yesterday(world: World) -> Outcome:
    return world.serving(world.authority.expired())


@trial("The certificate of {host} is self-signed, so it cannot be trusted")
def a_self_signed_certificate(world: World) -> Outcome:
    return world.serving(world.authority.self_signed())


@trial("The certificate of {host} comes from an unknown authority")
def an_unknown_authority(world: World) -> Outcome:
    directory = world.directory / "other"
    directory.mkdir()
    return world.serving(Authority(directory, "Another authority").valid())


@trial("The certificate of {host} was issued for another name")
def a_certificate_for_elsewhere(world: World) -> Outcome:
    return world.serving(world.authority.wrong_host())


@trial("The certificate of {host} was issued for another address")
def a_certificate_for_a_name_at_an_address(world: World) -> Outcome:
    return world.serving(world.authority.wrong_host(), host="127.0.0.1")


@trial("The certificate of {host} cannot be trusted: {other}")
def a_certificate_with_a_short_key(world: World) -> Outcome:
    pem = world.directory / "short.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", *names, "-keyout", f"{pem}.key", "-out", pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(pem, f"{pem}.key")
    with Receiver(context) as receiver:
        return world.post(f"https://localhost:{receiver.port}/", ca_file=str(pem))


@trial("{host} port {port} closed the connection while encryption was being set up")
def a_port_that_hangs_up(world: World) -> Outcome:
    return world.taking_once(b"")


@trial("{host} port {port} closed the connection while encryption was being set up")
def a_port_that_resets(world: World) -> Outcome:
    """As firewalls do that look for names they do not allow."""
    return world.taking_once(None)


@trial("{host} port {port} does not speak TLS")
def an_nginx_without_tls(world: World) -> Outcome:
    directory = world.directory / "plain"
    directory.mkdir()
    with nginx(directory, "server { listen 127.0.0.1:{port}; return 200; }") as port:
        return world.post(f"https://localhost:{port}/")


@trial("{host} port {port} asks for a client certificate that it trusts")
def an_openssl_that_wants_a_client_certificate(world: World) -> Outcome:
    return world.openssl("-Verify", 1, "-tls1_3")


@trial("{host} port {port} speaks HTTP/2 only")
def an_openssl_that_offers_h2(world: World) -> Outcome:
    return world.openssl("-alpn", "h2")


@trial("{host} port {port} speaks HTTP/2 only")
def a_node_that_offers_h2(world: World) -> Outcome:
    with node_http2(world.pem) as port:
        return world.post(f"https://localhost:{port}/")


@trial("{host} port {port} speaks only old versions of TLS")
def an_openssl_of_tls_1_1(world: World) -> Outcome:
    return world.openssl("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")


@trial("{host} port {port} and Leadhook have no way of encryption in common")
def an_openssl_with_one_old_cipher(world: World) -> Outcome:
    return world.openssl("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA")


@trial("{host} port {port} does not know this name")
def an_nginx_without_a_site_of_this_name(world: World) -> Outcome:
    directory = world.directory / "names"
    directory.mkdir()
    block = "server { listen 127.0.0.1:{port} ssl default_server; ssl_reject_handshake on; }"
    with nginx(directory, block) as port:
        return world.post(f"https://localhost:{port}/")


@trial("The encrypted connection to {host} failed: {other}")
def an_openssl_that_denies_access(world: World) -> Outcome:
    context = world.authority.valid()
    context.sni_callback = lambda sock, name, context: ssl.ALERT_DESCRIPTION_ACCESS_DENIED
    return world.serving(context)


# Client certificates: what a server says about the one that it got, or did not get.


def client_certificate(world: World, *extensions: str) -> tuple[Path, ClientCertificate]:
    """A new authority, and a client certificate that it has issued."""
    directory = Path(tempfile.mkdtemp(dir=world.directory))
    authority = self_made_authority(directory, "authority")
    certificate, key = issued(directory, "client", authority, *extensions)
    return authority[0], ClientCertificate.of(key.read_text() + certificate.read_text())


def showing(world: World, identity: ClientCertificate, context: ssl.SSLContext) -> Outcome:
    context.verify_mode = ssl.CERT_REQUIRED
    limits = Limits(allowed_networks=LOOPBACK, ca_file=world.authority.ca_file)
    sender = world.stack.enter_context(_closing(Sender(limits)))
    with Receiver(context) as receiver:
        return sender.send(1, f"https://localhost:{receiver.port}/", b"{}", {}, identity=identity)


@trial("{host} port {port} asks for a client certificate that it trusts")
def a_server_that_wants_another_client_certificate(world: World) -> Outcome:
    """OpenSSL's word for one that begins tomorrow."""
    context = world.authority.valid()
    world.authority.not_yet_valid()
    file = max(world.directory.glob("leaf-*.pem"), key=lambda path: int(path.stem.partition("-")[2]))
    context.load_verify_locations(world.authority.ca_file)
    return showing(world, ClientCertificate.of(file.read_text()), context)


@trial("{host} port {port} says that the client certificate has expired, or is not valid yet")
def a_client_certificate_until_yesterday(world: World) -> Outcome:
    context = world.authority.valid()
    world.authority.expired()
    file = max(world.directory.glob("leaf-*.pem"), key=lambda path: int(path.stem.partition("-")[2]))
    context.load_verify_locations(world.authority.ca_file)
    return showing(world, ClientCertificate.of(file.read_text()), context)


@trial("{host} port {port} does not know the authority of the client certificate")
def a_client_certificate_of_another_authority(world: World) -> Outcome:
    _, identity = client_certificate(world)
    context = world.authority.valid()
    context.load_verify_locations(world.authority.ca_file)
    return showing(world, identity, context)


@trial("{host} port {port} says that the client certificate is not made for clients")
def a_client_certificate_that_is_one_of_a_server(world: World) -> Outcome:
    authority, identity = client_certificate(world, "extendedKeyUsage=serverAuth")
    context = world.authority.valid()
    context.load_verify_locations(authority)
    return showing(world, identity, context)


@trial("{host} port {port} refuses the client certificate")
def a_client_certificate_that_was_revoked(world: World) -> Outcome:
    authority, identity = client_certificate(world)
    directory = authority.parent
    (directory / "index.txt").touch()
    (directory / "crlnumber").write_text("01\n")
    configuration = directory / "ca.cnf"
    lines = ("[ca]", "default_ca = own", "[own]", f"database = {directory}/index.txt", "default_md = sha256")
    lines += (f"crlnumber = {directory}/crlnumber", "default_crl_days = 5", "unique_subject = no")
    configuration.write_text("\n".join(lines))
    signer = ("-config", configuration, "-cert", authority, "-keyfile", directory / "authority.key")
    openssl("ca", *signer, "-revoke", directory / "client.pem")
    openssl("ca", *signer, "-gencrl", "-out", directory / "revoked.pem")
    context = world.authority.valid()
    context.load_verify_locations(authority)
    context.load_verify_locations(directory / "revoked.pem")
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return showing(world, identity, context)


@trial("The client certificate for {host} cannot be used: {other}")
def a_client_certificate_that_is_damaged(world: World) -> Outcome:
    return showing(world, ClientCertificate.of("-----BEGIN CERTIFICATE-----"), world.authority.valid())


# OAuth: what a token server says instead of giving a token.


def token_server(world: World, answer: Behaviour, again: bool = False) -> Outcome:
    with Receiver() as server, _closing(Sender(Limits(allowed_networks=LOOPBACK))) as sender:
        server.behave(answer)
        scheme = OAuth2.of({"token_url": server.url, "client_id": "a"}, {"client_secret": "b"})
        message = Message("POST", world.receiver.url, {}, b"{}", "msg_1", 1, 1000)
        source = TokenSource(sender)
        outcomes = [source.send(1, scheme, message) for _ in range(2)]
    return outcomes[again]


def refusing(error: str) -> Behaviour:
    return answering(400, json.dumps({"error": error}).encode())


TOKEN_SERVERS: dict[str, Behaviour] = {
    "did not answer: {other}": closing(),
    "refuses the client: {other}": refusing("invalid_client"),
    "does not allow client credentials: {other}": refusing("unauthorized_client"),
    "refuses the scope: {other}": refusing("invalid_scope"),
    "refuses the audience or resource: {other}": refusing("invalid_target"),
    "refuses the request: {other}": refusing("invalid_request"),
    "gave no token, but a web page: it answered {other}": answering(404, b"<html>"),
    "gave no token: it answered {other}": answering(503),
    "did not answer in JSON: it answered {other}": answering(200, b"access_token=abc"),
    "answered {code} without an access_token that can be used": answering(200, b"{}"),
    "gave a token of the type {other}, and Leadhook sends Bearer tokens only": answering(
        200, b'{"access_token":"abc","token_type":"DPoP"}'
    ),
}
for _words, _answer in TOKEN_SERVERS.items():
    trial(f"The token server {{host}} {_words}")(partial(token_server, answer=_answer))


@trial("The token server {host} is asked once a minute at most. What it said before: {other}")
def a_token_server_that_was_asked_just_now(world: World) -> Outcome:
    return token_server(world, answering(503), again=True)


CASES = [(words, brought_about) for words, trials in TRIALS.items() for brought_about in trials]


def _name_of(words: str, brought_about: Trial) -> str:
    return getattr(brought_about, "__name__", words)


@pytest.mark.parametrize(("words", "brought_about"), CASES, ids=[_name_of(*case) for case in CASES])
def test_a_trial_ends_in_its_sentence_and_says_what_to_do(world: World, words: str, brought_about: Trial) -> None:
    outcome = brought_about(world)
    row = advice.row_of(outcome.body, outcome.error)
    assert row is not None, f"no row for: {outcome.body}"
    assert (row.words, row.kind, outcome.code) == (words, outcome.error, 999), outcome.body
    assert outcome.body.endswith(f". {row.step}")
    assert "unknown reason" not in outcome.body


def test_every_row_has_a_trial() -> None:
    assert TRIALS.keys() == {row.words for row in ROWS}


ANSWERS = {301: ErrorKind.REDIRECT, 404: ErrorKind.HTTP_4XX, 413: ErrorKind.HTTP_4XX, 502: ErrorKind.HTTP_5XX}


def test_codes_of_a_real_server_are_the_other_kinds(world: World) -> None:
    directory = world.directory / "codes"
    directory.mkdir()
    places = f"location /301 {{ return 301 /there; }} location /502 {{ proxy_pass http://127.0.0.1:{free_port()}; }}"
    places += " location /413 { client_max_body_size 1; proxy_pass http://127.0.0.1:1; }"
    with nginx(directory, f"server {{ listen 127.0.0.1:{{port}}; {places} }}") as port:
        for code, kind in ANSWERS.items():
            outcome = world.post(f"http://127.0.0.1:{port}/{code}")
            assert (outcome.code, outcome.error) == (code, kind)
            assert outcome.body.startswith("<html>")


def test_every_kind_has_a_trial() -> None:
    of_rules = {ErrorKind.NOT_ACCEPTED}  # test_success_rules.py
    assert {row.kind for row in ROWS} | set(ANSWERS.values()) | of_rules == set(ErrorKind)


def test_an_example_does_not_say_what_its_row_denies() -> None:
    said = {row.words: advice.example(row) for row in ROWS}
    [code] = [re.findall(r"code (\d+)", words)[0] for words in said.values() if "answered with the code" in words]
    assert not 200 <= int(code) <= 599
    assert all("5 s" in example for words, example in said.items() if "limit" in words)


def test_each_sentence_is_of_one_row_only() -> None:
    for row in ROWS:
        for said in (advice.example(row), advice.with_step(advice.example(row), row.kind)):
            assert [each for each in ROWS if each.kind == row.kind and advice._pattern(each).fullmatch(said)] == [row]


def test_a_sentence_with_its_step_fits_into_a_report() -> None:
    for row in ROWS:
        assert len(advice.with_step(advice.example(row), row.kind)) <= EXCERPT, row


# The pages.


def rows_of_the_document() -> list[tuple[str, str, str]]:
    text = PAGE.read_text().partition("\n## An answer")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [(said, cause, step) for said, cause, step in lines if not said.startswith(("you see", "code"))]


def expected(row: Failure) -> tuple[str, str, str]:
    return advice.example(row), row.cause, row.step


def test_the_document_has_each_row_and_no_other() -> None:
    assert rows_of_the_document() == [expected(row) for row in ROWS]


def test_the_page_for_receivers_has_each_row_and_no_other(client: Any) -> None:
    page = client.get("/docs/webhooks").text
    table = page[page.index('id="no-answer"') :]
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", table[: table.index("</table>")], re.DOTALL)
    found = [html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", cell))).strip() for cell in cells]
    assert found[:3] == ["You see", "Usual cause", "What to do"]
    assert found[3:] == [cell for row in ROWS for cell in expected(row)]
