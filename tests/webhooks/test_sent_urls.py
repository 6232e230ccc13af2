"""The URL that is stored, shown and signed is the one that is sent, character for character."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.receiver import Receiver
from tests.webhooks.authentications.messages import MESSAGE
from webapp.webhooks.addresses import MAX_URL_LENGTH, UnusableURL, check_url, parse_url, sent_url
from webapp.webhooks.connectors import Connector
from webapp.webhooks.sender import Sender


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("https://example.com/hook", "https://example.com/hook"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com?a=1", "https://example.com/?a=1"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com:80", "http://example.com/"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("https://example.com:08443/", "https://example.com:8443/"),
        ("https://example.com:/a", "https://example.com/a"),
        ("https://example.com/?", "https://example.com/"),
        ("https://example.com/a?", "https://example.com/a"),
        ("https://example.com/a?&", "https://example.com/a?&"),
        ("https://example.com/a?b#frag", "https://example.com/a?b"),
        ("https://example.com/#frag?x", "https://example.com/"),
        ("https://example.com#frag", "https://example.com/"),
        ("https://example.com/a?#", "https://example.com/a"),
        ("https://example.com/%7Euser/%2f", "https://example.com/~user/%2F"),
        ("https://example.com/%41%2d%5f?%7e", "https://example.com/A-_?~"),
        ("https://example.com/%c3%bc", "https://example.com/%C3%BC"),
        ("https://example.com/ü?ü=é", "https://example.com/%C3%BC?%C3%BC=%C3%A9"),
        ("https://example.com/a%zz%41", "https://example.com/a%25zz%2541"),
        ("https://example.com/100%", "https://example.com/100%25"),
        ("https://example.com/{id}?x={y}", "https://example.com/%7Bid%7D?x=%7By%7D"),
        ("https://example.com/a?x=[1]|2", "https://example.com/a?x=%5B1%5D%7C2"),
        ("https://example.com/a+b?c+d=%20", "https://example.com/a+b?c+d=%20"),
        ("https://example.com/a;b=c,d@e:f!$&'()*", "https://example.com/a;b=c,d@e:f!$&'()*"),
        ("https://example.com/a/../b/./c", "https://example.com/b/c"),
        ("https://example.com//a//", "https://example.com//a//"),
        ("HTTPS://EXAMPLE.COM/Hook", "https://example.com/Hook"),
        ("https://example.com./a", "https://example.com./a"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://BÜCHER.example:8443/", "https://xn--bcher-kva.example:8443/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://例え.テスト/x", "https://xn--r8jz45g.xn--zckzah/x"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://under_score.example/", "https://under_score.example/"),
        ("http://[2606:4700::1111]", "http://[2606:4700::1111]/"),
        ("http://[2606:4700::1111]:80/a", "http://[2606:4700::1111]/a"),
        ("http://[2606:4700::ABCD]:8080/a", "http://[2606:4700::abcd]:8080/a"),
        ("http://127.1:9000/", "http://127.1:9000/"),
    ],
)
def test_the_url_as_it_is_sent(typed, sent):
    assert sent_url(typed) == sent
    assert sent_url(sent) == sent
    assert parse_url(sent) == parse_url(typed)


ODD = st.text(alphabet="aZ9%7eE2fF~/?&=;:@#[]{}|\\^`'\"<>+ .,!$*()-_üß😀", max_size=20)


@given(ODD, st.sampled_from(["example.com", "bücher.example:80", "[2606:4700::1111]:443", "a.example."]))
def test_what_is_sent_stays_as_it_is(rest, host):
    try:
        sent = sent_url(f"http://{host}/{rest}")
    except UnusableURL:
        return
    assert sent.isascii()
    assert sent_url(sent) == sent


@pytest.mark.parametrize(
    "rest", ["", "/", "/%7Euser/%2f?", "/a?b=%c3%bc&c=ü#frag", "?x=1", "/{a}?b=[c]", "/a/../b?c#d", "/a%zz", "//a/?&"]
)
def test_the_receiver_sees_it(sender: Sender, receiver: Receiver, rest: str) -> None:
    typed = receiver.url.rstrip("/") + rest
    assert sender.send(1, typed, b"{}", {}).delivered
    [seen] = receiver.wait_for(1)
    assert f"http://{seen.headers['host']}{seen.path}" == sent_url(typed)


def test_a_url_from_before_is_signed_as_it_is_sent(sender: Sender, receiver: Receiver) -> None:
    """It is stored as it was typed."""
    options = {"headers": "X-Of: {url}\nX-Signature: {signature}"}
    connector = Connector.of("signature", {"authentication": options}, {"authentication": {"secret": "geheim-geheim"}})
    typed = f"{receiver.url.rstrip('/')}/%7Euser/%2f?q=ü#part"
    message = connector.proven(replace(MESSAGE, url=typed))
    assert sender.send(1, message.url, message.body, message.headers).delivered
    [seen] = receiver.wait_for(1)
    assert seen.headers["x-of"] == f"http://{seen.headers['host']}{seen.path}" == sent_url(typed)
    unusable = replace(MESSAGE, url="ftp://example.com/")
    assert connector.proven(unusable).url == "ftp://example.com/"


def test_a_url_that_becomes_too_long_is_refused_when_it_is_saved():
    start = "https://example.com/"
    assert check_url(start + "a" * (MAX_URL_LENGTH - len(start))) is None
    wrong = check_url(start + "ü" * 400)
    assert wrong
    assert str(MAX_URL_LENGTH) in wrong
    assert sent_url(start + "ü" * 400)  # one from before is still sent
