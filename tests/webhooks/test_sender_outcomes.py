"""Any response, well-formed or hostile, becomes an outcome that is true, safe to store and clear to people."""

import errno
import gzip
import socket
from collections.abc import Iterator
from ipaddress import ip_network
from itertools import pairwise
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.receiver import Receiver, answering, closing, free_port, raw, resetting
from tests.support.tls import Authority
from webapp.webhooks import sender as sender_module
from webapp.webhooks.advice import with_step
from webapp.webhooks.connections import HttpConnection
from webapp.webhooks.outcome import ErrorKind, Outcome, read_response
from webapp.webhooks.response import BadResponse
from webapp.webhooks.sender import Limits, Sender

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def sender(authority: Authority) -> Iterator[Sender]:
    sender = Sender(Limits(allowed_networks=LOOPBACK, ca_file=authority.ca_file))
    yield sender
    sender.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def post(sender: Sender, url: str) -> Outcome:
    return sender.send(1, url, b"{}", {"webhook-id": "msg_1"})


def answer_to(sender: Sender, receiver: Receiver, answer: bytes) -> Outcome:
    receiver.queue(raw(answer))
    return post(sender, receiver.url)


@pytest.mark.parametrize(
    ("code", "delivered", "error"),
    [
        (200, True, None),
        (201, True, None),
        (204, True, None),
        (299, True, None),
        (300, False, ErrorKind.REDIRECT),
        (304, False, ErrorKind.REDIRECT),
        (400, False, ErrorKind.HTTP_4XX),
        (410, False, ErrorKind.HTTP_4XX),
        (429, False, ErrorKind.HTTP_4XX),
        (500, False, ErrorKind.HTTP_5XX),
        (599, False, ErrorKind.HTTP_5XX),
    ],
)
def test_only_200_to_299_is_a_delivery(sender, receiver, code, delivered, error):
    receiver.answer(code)
    outcome = post(sender, receiver.url)
    assert (outcome.code, outcome.delivered, outcome.error) == (code, delivered, error)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(sender, receiver, code):
    with Receiver() as elsewhere:
        receiver.answer(code, headers=[("location", elsewhere.url)])
        outcome = post(sender, receiver.url)
        assert (outcome.code, outcome.error) == (code, ErrorKind.REDIRECT)
        assert ("location", elsewhere.url) in outcome.headers
        assert elsewhere.connections == 0


@pytest.mark.parametrize(("code", "kept"), [(429, 120), (503, 120), (500, 120), (404, 120), (200, None), (301, 120)])
def test_retry_after_counts_on_every_answer_that_is_not_good(sender, receiver, code, kept):
    receiver.answer(code, headers=[("Retry-After", "120")])
    assert post(sender, receiver.url).retry_after == kept


def test_a_date_in_retry_after_becomes_seconds(sender, receiver):
    receiver.answer(503, headers=[("Retry-After", "Fri, 31 Dec 2199 23:59:59 GMT")])
    assert post(sender, receiver.url).retry_after == 86400


def test_retry_after_that_is_sent_twice_or_counts_from_the_receivers_clock(sender, receiver):
    receiver.answer(429, headers=[("Retry-After", "30"), ("retry-after", "30.5")])
    assert post(sender, receiver.url).retry_after == 30.5
    for hour in ("05", "23"):  # its clock is hours off, to either side
        receiver.answer(
            503,
            headers=[
                ("Date", f"Fri, 27 Nov 2026 {hour}:00:00 GMT"),
                ("Retry-After", f"Fri, 27 Nov 2026 {hour}:00:30 GMT"),
            ],
        )
        assert post(sender, receiver.url).retry_after == 30


def test_the_response_is_kept_as_text(sender, receiver):
    receiver.answer(422, "Schön, aber nein".encode(), [("content-type", "text/plain")])
    outcome = post(sender, receiver.url)
    assert (outcome.body, outcome.truncated) == ("Schön, aber nein", False)
    assert outcome.headers == (("content-type", "text/plain"), ("content-length", "17"))


def test_characters_that_cannot_be_stored_are_removed_from_text_and_headers(sender, receiver):
    receiver.answer(200, b"a\x00b\xff\xfec", [("x-\x00name", "v\x00alue"), ("x-umlaut", "\xfc\xff")])
    outcome = post(sender, receiver.url)
    assert outcome.body == "ab\ufffd\ufffdc"
    assert outcome.headers[:2] == (("x-name", "value"), ("x-umlaut", "\xfc\xff"))


def test_headers_are_limited_in_number_and_size(sender, receiver):
    receiver.answer(200, headers=[("x" * 5000, "y" * 5000), *((f"x-{number}", "1") for number in range(500))])
    headers = post(sender, receiver.url).headers
    assert len(headers) == 64
    assert (len(headers[0][0]), len(headers[0][1])) == (128, 1024)


CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("size", [0, 16383, 16384])
@pytest.mark.parametrize("framing", ["sized", "chunked", "closed"])
def test_up_to_16_kb_of_body_is_kept_whole(sender, receiver, size, framing):
    outcome = answer_to(sender, receiver, framed(b"x" * size, framing))
    assert (outcome.code, len(outcome.body), outcome.truncated) == (200, size, False)


@pytest.mark.parametrize("size", [16385, 1_000_000])
@pytest.mark.parametrize("framing", ["sized", "chunked", "closed"])
def test_a_longer_body_is_cut_and_marked_and_its_connection_is_not_reused(sender, receiver, size, framing):
    outcome = answer_to(sender, receiver, framed(b"x" * size, framing))
    assert (outcome.code, len(outcome.body), outcome.truncated) == (200, 16384, True)
    assert post(sender, receiver.url).delivered
    assert receiver.connections == 2


def framed(body: bytes, framing: str) -> bytes:
    if framing == "sized":
        return OK + b"content-length: %d\r\n\r\n" % len(body) + body
    if framing == "closed":
        return b"HTTP/1.0 200 OK\r\n\r\n" + body
    pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    return CHUNKED + b"".join(b"%x;a=b\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nx-t: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (answering(200, b"ok"), True),
        (answering(204), True),
        (answering(500, b"no"), True),
        (raw(CHUNKED + b"2\r\nok\r\n0\r\n\r\n", keep_open=True), True),
        (raw(b"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 0\r\n\r\n", keep_open=True), True),
        (raw(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", keep_open=True), False),
        (raw(OK + b"connection: close\r\ncontent-length: 0\r\n\r\n", keep_open=True), False),
        (raw(OK + b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", keep_open=True), False),
    ],
)
def test_a_connection_is_reused_only_if_the_end_of_the_response_is_certain(sender, receiver, answer, kept):
    receiver.queue(answer)
    post(sender, receiver.url)
    post(sender, receiver.url)
    assert receiver.connections == (1 if kept else 2)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK + b"content-length: 100\r\n\r\nshort", "short"),
        (CHUNKED + b"64\r\nshort", "short"),
        (CHUNKED + b"5\r\nshort\r\n", "short"),
        (CHUNKED + b"5\r\nshortened\r\n0\r\n\r\n", "short"),
        (CHUNKED + b"5\r\nshort\r\nzz\r\n", "short"),
        (CHUNKED + b"5\r\nshort\r\n-5\r\n", "short"),
        (CHUNKED + b"5\r\nshort\r\n" + b"f" * 9999, "short"),
        (CHUNKED + b"5\r\nshort\r\n0\r\n" + b"x: y\r\n" * 9999, "short"),
    ],
)
def test_an_incomplete_or_invalid_body_is_cut_and_the_code_still_counts(sender, receiver, answer, body):
    outcome = answer_to(sender, receiver, answer)
    assert (outcome.code, outcome.body, outcome.truncated) == (200, body, True)


def test_a_reset_within_the_body_truncates_it(sender, receiver):
    receiver.queue(resetting(OK + b"content-length: 100\r\n\r\nshort"))
    outcome = post(sender, receiver.url)
    assert (outcome.code, outcome.truncated) == (200, True)


@pytest.mark.parametrize("length", [b"-1", b"ten", b"1e3", b"5, 6", b"9" * 40, b""])
def test_an_invalid_content_length_is_ignored(sender, receiver, length):
    outcome = answer_to(sender, receiver, OK + b"content-length: " + length + b"\r\n\r\nhello")
    assert (outcome.code, outcome.body) == (200, "hello")


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>from the days of HTTP/0.9</html>\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2oo OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 999 Request denied\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
        OK + b"x: " + b"y" * 1_000_000,
        OK + b"x: y\r\n" * 200_000,
    ],
    ids=range(13),
)
def test_anything_but_http_is_a_bad_response_with_a_sentence(sender, receiver, answer):
    outcome = answer_to(sender, receiver, answer)
    assert (outcome.code, outcome.error) == (999, ErrorKind.BAD_RESPONSE)
    assert outcome.body.startswith("127.0.0.1 ")
    assert outcome.duration_ms < 5000


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_interim_responses_are_skipped(sender, receiver, line_end):
    lines = [b"HTTP/1.1 100 Continue", b"", b"HTTP/1.1 103 Early Hints", b"link: </a>", b"", b"HTTP/1.1 201 Yes", b""]
    outcome = answer_to(sender, receiver, line_end.join([*lines, b"done"]))
    assert (outcome.code, outcome.body, outcome.headers) == (201, "done", ())


def test_invalid_header_lines_are_ignored(sender, receiver):
    outcome = answer_to(sender, receiver, b"HTTP/1.1 200\r\nnonsense\r\n: x\r\n folded\r\nx:y\r\n\r\nok")
    assert (outcome.code, outcome.body, outcome.headers) == (200, "ok", (("x", "y"),))


def test_a_compressed_bomb_is_unpacked_to_16_kb(sender, receiver):
    receiver.answer(200, gzip.compress(b"x" * 10_000_000), [("content-encoding", "gzip")])
    outcome = post(sender, receiver.url)
    assert (outcome.delivered, outcome.body, outcome.truncated) == (True, "x" * 16384, True)


def test_a_refusal_that_arrives_while_we_still_send_is_read():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        theirs.close()
        connection = HttpConnection(ours, (1, False, "crm.example", 80))
        connection.begin(b"x" * 1_000_000)
        assert connection.answer(100).code == 413


def test_each_kind_of_failure_has_its_sentence(sender, receiver):
    port = free_port()
    refused = post(sender, f"http://127.0.0.1:{port}/")
    assert (refused.code, refused.error) == (999, ErrorKind.REFUSED)
    assert refused.body == with_step(f"Connection refused by 127.0.0.1 port {port}")
    for behaviour in (closing(), resetting(), resetting(OK)):
        receiver.queue(behaviour)
        reset = post(sender, receiver.url)
        assert (reset.code, reset.error) == (999, ErrorKind.RESET)
        words = f"127.0.0.1 port {receiver.port} closed the connection before its response was complete"
        assert reset.body == with_step(words)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (socket.EAI_NONAME, "does not resolve: the DNS has no such name"),
        (
            socket.EAI_NODATA,
            "does not resolve: the DNS has no address for it",
        ),
        (
            socket.EAI_AGAIN,
            "cannot be looked up at the moment: its name servers answer with errors, or not at all",
        ),
        (socket.EAI_FAIL, "does not resolve: the DNS has no such name"),
    ],
)
def test_the_outcome_names_the_name_that_does_not_resolve(problem, words):
    def resolver(*arguments: object) -> None:
        raise socket.gaierror(problem, "nothing found")

    outcome = post(Sender(Limits(), resolver=resolver), "https://crm.example/")
    assert (outcome.code, outcome.error, outcome.body) == (
        999,
        ErrorKind.DNS,
        with_step(f"The name crm.example {words}"),
    )


def test_an_unreachable_network_is_reported(sender, monkeypatch):
    def dial(*arguments: object) -> None:
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(sender_module, "dial", dial)
    outcome = post(sender, "http://127.0.0.1:9000/")
    assert (outcome.code, outcome.error) == (999, ErrorKind.UNREACHABLE)
    assert outcome.body == with_step("Could not reach 127.0.0.1 port 9000: No route to host")


@pytest.mark.parametrize(
    ("certificate", "host", "words"),
    [
        ("expired", "localhost", "The certificate of localhost has expired"),
        ("not_yet_valid", "localhost", "The certificate of localhost is not valid yet"),
        ("wrong_host", "localhost", "The certificate of localhost was issued for another name"),
        ("wrong_host", "127.0.0.1", "The certificate of 127.0.0.1 was issued for another address"),
        ("self_signed", "localhost", "The certificate of localhost is self-signed, so it cannot be trusted"),
    ],
)
def test_each_bad_certificate_has_its_sentence_and_gets_no_lead(sender, authority, certificate, host, words):
    with Receiver(getattr(authority, certificate)()) as receiver:
        outcome = post(sender, f"https://{host}:{receiver.port}/")
        assert (outcome.code, outcome.error, outcome.body) == (999, ErrorKind.TLS, with_step(words))
        assert receiver.requests == []


def test_a_certificate_from_an_unknown_authority_is_reported(authority):
    with Receiver(authority.valid()) as receiver:
        outcome = post(Sender(Limits(allowed_networks=LOOPBACK)), receiver.url)
    assert (outcome.error, outcome.body) == (
        ErrorKind.TLS,
        with_step("The certificate of 127.0.0.1 comes from an unknown authority"),
    )


def test_https_to_a_port_that_does_not_speak_tls_is_reported(sender):
    def speak_plainly() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=speak_plainly)
        thread.start()
        port = server.getsockname()[1]
        outcome = post(sender, f"https://127.0.0.1:{port}/")
        thread.join()
    assert (outcome.error, outcome.body) == (ErrorKind.TLS, with_step(f"127.0.0.1 port {port} does not speak TLS"))


def test_http_to_a_port_that_speaks_tls_ends_in_an_outcome(sender, authority):
    with Receiver(authority.valid()) as receiver:
        outcome = post(sender, receiver.url.replace("https:", "http:"))
    assert outcome.error in (ErrorKind.BAD_RESPONSE, ErrorKind.RESET)


def test_an_unusable_url_is_an_outcome(sender):
    outcome = post(sender, "https://ada:secret@crm.example/")
    assert (outcome.code, outcome.error) == (999, ErrorKind.UNREACHABLE)
    assert outcome.body == with_step("The URL must not contain a user name or password")


@pytest.mark.parametrize("value", ["a\r\nx-injected: 1", "a\nb", "a\rb", "€"])
def test_a_header_value_cannot_add_another_header(sender, receiver, value, caplog):
    outcome = sender.send(1, receiver.url, b"{}", {"x-a": value})
    assert (outcome.code, outcome.error) == (999, ErrorKind.BAD_RESPONSE)
    assert receiver.connections == 0
    assert "A webhook could not be sent" in caplog.text


def reading(answer: bytes, cuts: list[int]) -> object:
    """The response to these bytes when they arrive in pieces, or the kind of error."""
    places = sorted({0, len(answer), *(cut % (len(answer) + 1) for cut in cuts)})
    pieces = iter([answer[start:end] for start, end in pairwise(places)])
    try:
        response = read_response(lambda: next(pieces, b""), 64)
    except (BadResponse, ConnectionResetError) as error:
        return type(error)
    # These depend on whether bytes after the response were already received.
    return response._replace(reusable=False, out_of_step=False)


FRAGMENTS = st.sampled_from(
    [
        *(
            OK,
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.0 404 No\n",
            b"\r\n",
            b"\n",
            b"\r\n\r\n",
            b"0\r\n\r\n",
            b"5\r\n",
        ),
        *(b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"hello", b"x" * 99),
        *(b"content-length: 7\r\n", b"\x00", b"\xff", b"retry-after: 9\r\n", b"ffffffffffffffff\r\n"),
    ]
)


@given(st.lists(FRAGMENTS | st.binary(max_size=20), max_size=12).map(b"".join), st.lists(st.integers(0), max_size=8))
def test_the_result_does_not_depend_on_how_the_bytes_are_split(answer, cuts):
    assert reading(answer, cuts) == reading(answer, [])


def test_a_response_that_arrives_byte_by_byte_is_read_the_same():
    answer = CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"
    assert reading(answer, list(range(len(answer)))).body == b"hello"
