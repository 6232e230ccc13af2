"""Everyday requests are read and answered as gunicorn does it: both are asked, with what hypothesis makes up."""

import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import example, given
from hypothesis import strategies as st

from webapp.servers.everyday import LONGEST, MOST_HEADERS, Everyday, EverydayAnswer, common_environ

pytestmark = pytest.mark.once

CLIENT, SERVER = ("192.0.2.7", 50_123), ("127.0.0.1", 8000)
POST = b"POST /f/if_1 HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /f/if_1?a=b HTTP/1.1\r\nHost: a\r\n\r\n"


def config(**settings: Any) -> Config:
    made = Config()
    for name, value in {"forwarded_allow_ips": "", **settings}.items():
        made.set(name, value)
    return made


@pytest.fixture(scope="module")
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def everyday(received: bytes, sock: Any = None, client: Any = CLIENT, **settings: Any) -> Everyday | None:
    common = common_environ(config(**settings), client, SERVER, sock)
    return Everyday.of(common, received, received.index(b"\r\n\r\n") + 4) if common else None


def gunicorns(received: bytes, sock: Any, **settings: Any) -> tuple[Request, dict[str, Any]]:
    made = config(**settings)
    request = Request(made, IterUnreader([received]), CLIENT)
    environ = wsgi.create(request, sock, CLIENT, SERVER, made)[1]
    environ["wsgi.multithread"] = True
    del environ["wsgi.early_hints"]
    return request, environ


def check_both(received: bytes, sock: socket.socket) -> bool:
    """Whether it is an everyday request: then gunicorn reads the same, and nothing is left."""
    ours = everyday(received, sock)
    if ours is None:
        return False
    theirs, environ = gunicorns(received, sock)
    for name in ("wsgi.errors", "wsgi.input"):
        assert type(environ.pop(name)).__name__
    body = ours.environ.pop("wsgi.input").read()
    ours.environ.pop("wsgi.errors")
    assert ours.environ == environ
    assert body == theirs.body.read()
    assert theirs.unreader.take_buffered() == b""
    assert ours.should_close() == theirs.should_close()
    assert (ours.method, ours.uri, ours.query, ours.version) == (
        theirs.method,
        theirs.uri,
        theirs.query,
        theirs.version,
    )
    assert sorted(ours.headers) == sorted(each for each in theirs.headers if not each[0].startswith("CONTENT-"))
    return True


names = st.sampled_from(
    b"Host Accept Cookie Connection Content-Length Content-Type Transfer-Encoding Expect X-Forwarded-For Upgrade TE "
    b"X-Forwarded-Proto X-Forwarded-Ssl Keep-Alive Script-Name Script_Name X_Y cOnTeNt-LeNgTh Trailer".split()
)
values = st.sampled_from(
    b"a;5;05;+5;5 ;5, 5;-1;0;keep-alive;close;Close ;keep-alive, close;chunked;identity;100-continue;https;on;"
    b"\xe9\xff;\tb\t;;a:b;a\x00b;a\rb;a\nb;a\r\n b;\xb2".split(b";")
)
lines = st.one_of(
    st.tuples(names, st.sampled_from([b": ", b":", b" : ", b":\t "]), values).map(b"".join),
    st.binary(max_size=12),
)
targets = st.one_of(
    st.sampled_from(
        [b"/", b"/f/if_1?a=%41&b", b"//x/y", b"*", b"http://a/b", b"/%2f%ff/\xe9", b"/a#b", b"/a?b#c", b""]
    ),
    st.binary(max_size=8).map(lambda found: b"/" + found),
    st.text("/?#%:;@[]{}|\\^~.=&+,'\"a1 ", max_size=10).map(lambda found: b"/" + found.encode()),
)
requests = st.tuples(
    st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"get", b"CONNECT", b"\r\nGET", b"P OST"]),
    targets,
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 "]),
    st.lists(lines, max_size=6),
    st.sampled_from([b"", b"hello", b"hello!", b"0\r\n\r\n", GET]),
)


def written(parts: tuple[bytes, bytes, bytes, list[bytes], bytes]) -> bytes:
    method, target, version, more, body = parts
    return b"".join([method, b" ", target, b" ", version, b"\r\n", *(line + b"\r\n" for line in more), b"\r\n", body])


@given(requests.map(written))
@example(POST)
@example(GET)
def test_what_is_read_here_is_read_by_gunicorn_in_the_same_way(sock: socket.socket, received: bytes) -> None:
    check_both(received, sock)


@given(st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=3), st.sampled_from([GET, POST]))
def test_an_everyday_request_with_other_bytes_in_it_too(
    sock: socket.socket, changes: Sequence[tuple[int, bytes]], received: bytes
) -> None:
    for at, new in changes:
        received = received[:at] + new + received[at + len(new) % 2 :]
    if b"\r\n\r\n" in received:
        check_both(received, sock)


def with_line(line: bytes, request: bytes = POST) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)


def test_everyday_requests_are_not_left_to_gunicorn(sock: socket.socket) -> None:
    browsers = b"User-Agent: Mozilla/5.0 (X11)\r\nAccept: text/html;q=0.9,*/*;q=0.8\r\nSec-Fetch-Mode: navigate"
    for received in (
        *(GET, POST, with_line(browsers, GET), with_line(browsers)),
        *(
            with_line(b"Connection: keep-alive"),
            with_line(b"Connection: Close"),
            with_line(b"X-Forwarded-Proto: https"),
        ),
        *(with_line(b"X-Name: caf\xe9"), GET.replace(b"/f/if_1", b"/a%20b"), POST.replace(b"Length: 5", b"Length: 05")),
    ):
        assert check_both(received, sock), received


LEFT_TO_GUNICORN = {
    "another method": GET.replace(b"GET", b"HEAD"),
    "HTTP/1.0": GET.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "an absolute address": GET.replace(b"/f", b"http://a/f"),
    "two slashes": GET.replace(b"/f", b"//f"),
    "a fragment": GET.replace(b"a=b", b"a#b"),
    "no header": b"GET / HTTP/1.1\r\n\r\n",
    "an empty line before it": b"\r\n" + GET,
    "a name with an underscore": with_line(b"X_Y: a"),
    "a space before the colon": with_line(b"X : a"),
    "a line that goes on": with_line(b"X: a\r\n b"),
    "a line feed": with_line(b"X: a\nb"),
    "a header twice": with_line(b"X-A: a\r\nx-a: b"),
    "two hosts": with_line(b"Host: b"),
    "two lengths": with_line(b"Content-Length: 5"),
    "a length and chunks": with_line(b"Transfer-Encoding: chunked"),
    "chunks": POST.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "a sign in the length": POST.replace(b" 5\r\n", b" +5\r\n"),
    "no number": POST.replace(b" 5\r\n", b" 5a\r\n"),
    "too short a body": POST[:-1],
    "more after it": POST + GET,
    "a body without a length": POST.replace(b"Content-Length", b"Content-Long"),
    "an expectation": with_line(b"Expect: 100-continue"),
    "an upgrade": with_line(b"Upgrade: h2c"),
    "another connection": with_line(b"Connection: upgrade"),
    "a long head": with_line(b"X: " + b"y" * LONGEST),
    "many headers": with_line(b"\r\n".join(b"X-%d: a" % number for number in range(MOST_HEADERS))),
}


@pytest.mark.parametrize("name", LEFT_TO_GUNICORN)
def test_all_others_are_left_to_gunicorn(name: str) -> None:
    assert everyday(LEFT_TO_GUNICORN[name]) is None


def test_other_settings_leave_all_to_gunicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert everyday(GET)
    settings = {"limit_request_line": 1000, "limit_request_field_size": 900, "limit_request_fields": 10}
    for name, value in {**settings, "proxy_protocol": "auto", "forwarded_allow_ips": "192.0.2.7"}.items():
        assert everyday(GET, **{name: value}) is None, name
    assert everyday(GET, client="") is None, "a unix socket"
    monkeypatch.setenv("SCRIPT_NAME", "/leads")
    assert everyday(GET) is None


class Wire:
    """What is sent, and in how many pieces."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.pieces.append(bytes(data))


def answered(kind: type[Any], request: Any, status: str, headers: list[Any], body: list[bytes]) -> tuple[Any, ...]:
    """What leaves, or the error; and whether the connection ends with it."""
    wire = Wire()
    answer = kind(request, wire, config())
    try:
        answer.start_response(status, headers)
        for piece in body:
            answer.write(piece)
        answer.close()
    except Exception as error:
        return type(error), str(error)
    sent = re.sub(rb"Date: [^\r]+", b"Date: now", b"".join(wire.pieces))
    return sent, answer.should_close(), answer.headers, answer.sent, answer.headers_sent


header = st.one_of(
    st.sampled_from(
        [
            *(("Content-Length", "5"), ("content-length", "0"), ("Content-Length", "x"), ("Connection", "close")),
            *(("Connection", "upgrade"), ("Upgrade", "websocket"), ("Upgrade", "h2c"), ("Keep-Alive", "5")),
            *(("Transfer-Encoding", "chunked"), ("X-A", " a\t"), ("X-A", "a\r\nX-B: b"), ("X A", "a"), ("X-A", "é")),
            *(("X-A", "€"), ("", "a"), ("X-A", 5), (5, "a"), (b"X-A", "a")),
        ]
    ),
    st.tuples(st.text(max_size=4), st.text(max_size=6)),
)


@given(
    st.sampled_from(["200 OK", "303 SEE OTHER", "204 NO CONTENT", "304 NOT MODIFIED", "200", "20", "200 é", "200\r\n"]),
    st.lists(header, max_size=4),
    st.lists(st.binary(max_size=8), max_size=3),
    st.sampled_from([GET, POST, with_line(b"Connection: close", GET)]),
)
@example("200 OK", [("Content-Length", "5")], [b"hello"], GET)
@example("200 OK", [], [b"", b"hello"], GET)
def test_an_answer_is_the_same_as_gunicorns(
    status: str, headers: list[tuple[Any, Any]], body: list[bytes], received: bytes
) -> None:
    ours, theirs = everyday(received), gunicorns(received, None)[0]
    assert answered(EverydayAnswer, ours, status, headers, body) == answered(
        wsgi.Response, theirs, status, headers, body
    )


def test_a_short_answer_leaves_in_one_piece() -> None:
    wire = Wire()
    answer = EverydayAnswer(everyday(GET), wire, config())  # type: ignore[arg-type]
    answer.start_response("200 OK", [("Content-Length", "5")])
    answer.write(b"hello")
    answer.close()
    assert len(wire.pieces) == 1
    assert wire.pieces[0].endswith(b"\r\nContent-Length: 5\r\n\r\nhello")


def test_a_head_without_a_body_leaves_when_the_app_says_so() -> None:
    """A page that streams, and has nothing to send yet."""
    wire = Wire()
    answer = EverydayAnswer(everyday(GET), wire, config())  # type: ignore[arg-type]
    answer.start_response("200 OK", [])
    answer.write(b"")
    assert len(wire.pieces) == 1
    answer.write(b"hello")
    assert wire.pieces[1] == b"5\r\nhello\r\n"
