"""What people see of a webhook's address if they may not see it whole, and of answers that repeat it."""

import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webapp.webhooks.shown_addresses import CUT, MASK, WHOLE

# Addresses whose path, query or credentials are the secret, with what must not be seen of them.
SECRETS = {
    "https://hooks.slack.com/services/T0BRIGHT1/B0WATER22/x7Kq9": ["T0BRIGHT1", "B0WATER22", "x7Kq9"],
    "https://hooks.zapier.com/hooks/catch/1234567/3a9bc2d/": ["1234567", "3a9bc2d"],
    "https://hook.eu2.make.com/q8w7e6r5t4y3u2i1": ["q8w7e6r5t4y3u2i1"],
    "https://api.telegram.org/bot123456:AAF-x9_y/sendMessage": ["bot123456", "AAF-x9_y"],
    "https://discord.com/api/webhooks/998877665544/zXcV-bNm": ["998877665544", "zXcV-bNm"],
    "https://n8n.example.com/webhook/8c7f2d10-aaaa-bbbb": ["8c7f2d10-aaaa-bbbb"],
    "https://maker.ifttt.com/trigger/lead/with/key/c0ffee-Key": ["c0ffee-Key"],
    "https://acme.webhook.office.com/webhookb2/1f2e@3d4c/IncomingWebhook/9a8b/7c6d": ["1f2e", "3d4c", "9a8b", "7c6d"],
    "https://crm.example.com/leads?key=s3same": ["s3same", "key=s3same"],
    "https://crm.example.com?s3same": ["s3same"],
    "https://crm.example.com/in?sig=a%2Bb%2Fc%3D%3D&v=1": ["a+b/c==", "a%2Bb%2Fc%3D%3D"],
    "https://crm.example.com/in?auth=Bearer+s3same": ["s3same", "Bearer s3same"],
    "https://crm.example.com/in;session=s3same": ["s3same"],
    "https://crm.example.com/in#s3same": ["s3same"],
    "https://ada:s3same@crm.example.com/in": ["s3same"],
    "https://s3same@crm.example.com/in": ["s3same"],
    "http://[2001:db8::1]:8080/s3same?x=Zürich-1": ["s3same", "Zürich-1"],
    "https://example.com/in?next=https%3A%2F%2Fb.example%2F%3Fk%3Ds3same": ["s3same"],
}
HOSTS = {
    "https://hooks.slack.com/services/T0BRIGHT1/B0WATER22/x7Kq9": "https://hooks.slack.com/…",
    "https://crm.example.com?s3same": "https://crm.example.com/…",
    "https://crm.example.com#s3same": "https://crm.example.com/…",
    "https://ada:s3same@crm.example.com/in": "https://crm.example.com/…",
    "http://[2001:db8::1]:8080/s3same": "http://[2001:db8::1]:8080/…",
    "https://bücher.example/s3same": "https://bücher.example/…",
    "https://crm.example.com:8443": "https://crm.example.com:8443",
    "https://crm.example.com/": "https://crm.example.com",
    "https://crm.example.com\\s3same": "…",
    "https://crm.example.com&key=s3same": "…",
    "https://crm.example.com;s3same": "…",
    "https://ada:s3same@": "…",
    "http://[s3same": "…",
    "s3same": "…",
    "": "…",
}
WAYS = {
    "as it is": str,
    "in upper case": str.upper,
    "for a URL": lambda text: quote(text, safe=""),
    "for a form": quote_plus,
    "for a URL, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "in HTML": html.escape,
    "in JSON": lambda text: json.dumps(text),
    "in PHP's JSON": lambda text: json.dumps(text).replace("/", "\\/"),
    "in JSON for HTML": lambda text: json.dumps(text).replace("&", "\\u0026").replace("=", "\\u003d"),
    "in references": lambda text: "".join(c if c.isalnum() else f"&#{ord(c)};" for c in text),
}
ANSWERS = ("Cannot POST {}", "{}", '{{"url": "{}"}}', "<a href='{}'>gone</a>", "no such hook: {}.\nBye", "k%3D{}")


@pytest.mark.parametrize(("url", "shown"), HOSTS.items())
def test_a_cut_address_has_its_host_and_nothing_else(url: str, shown: str) -> None:
    assert CUT.address(url) == shown
    assert WHOLE.address(url) == url


@pytest.mark.parametrize("url", SECRETS)
def test_a_cut_address_has_no_secret(url: str) -> None:
    for secret in SECRETS[url]:
        assert secret not in CUT.address(url)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("url", SECRETS)
def test_an_answer_has_no_secret_that_it_repeats(url: str, way: str) -> None:
    for secret in (url, url.partition("://")[2].partition("/")[2], *SECRETS[url]):
        for answer in ANSWERS:
            text = answer.format(WAYS[way](secret))
            seen = CUT.answer(text, [url]).lower()
            for each in SECRETS[url]:
                assert WAYS[way](each).strip('"').lower() not in seen, text
            assert WHOLE.answer(text, [url]) == text


@pytest.mark.parametrize("url", SECRETS)
def test_an_answer_that_was_cut_short_does_not_end_with_a_beginning_of_a_secret(url: str) -> None:
    for secret in SECRETS[url]:
        for length in range(4, len(secret) if "%" not in secret else 0):
            for text in (f"No: {secret[:length]}", f"Location: {secret[:length]}\nServer: x"):
                assert secret[:length].lower() not in CUT.answer(text, [url]).lower()


@pytest.mark.parametrize(
    "text",
    ["", "OK", '{"ok":true}', "Service Unavailable: upstream is restarting", "42 leads created", "webhook received"],
)
def test_other_answers_stay_as_they_are(text: str) -> None:
    for url in SECRETS:
        assert CUT.answer(text, [url, None, ""]) == text
    assert CUT.answer(text, []) == text


@pytest.mark.parametrize(
    "url", ["", "https://", "http://[", "x", "https://a.example/%ff%00", "https://a.example/?&;=", "?"]
)
def test_an_address_that_is_none_breaks_nothing(url: str) -> None:
    assert CUT.answer("an answer", [url]) in ("an answer", MASK)
    assert "secret" not in CUT.address(f"{url}secret") or url == "https://"


def test_every_address_that_was_used_counts() -> None:
    urls = ["https://a.example/?key=first-one", "https://b.example/second-one"]
    assert CUT.answer("first-one and second-one", urls) == f"{MASK} and {MASK}"


def test_a_long_answer_and_a_long_address_take_no_time() -> None:
    url = f"https://a.example/{'/'.join(f'part{number}' for number in range(220))}?{'a=b&' * 90}"
    seen = CUT.answer("part part1 a=b /par \n" * 800, [url])
    assert "part1" not in seen


@given(st.text(alphabet="abcXYZ0189-_.~/+= %:?ü", min_size=4, max_size=80), st.sampled_from(sorted(WAYS)))
def test_any_value_of_a_query_is_found_in_any_spelling(value: str, way: str) -> None:
    assume(not (value.isdigit() and len(value) < 6))
    spelled = WAYS[way](value).strip('"')
    seen = CUT.answer(f"[{spelled}]", [f"https://a.example/?key={quote(value, safe='')}"])
    assert spelled.lower() not in seen.lower()


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("debug=true&format=json&y=2026", '{"success":true,"format":"json","id":2026}'),
        ("test=false", '{"ok":false}'),
        ("owner=null&team=None", '{"owner":null,"team":"none"}'),
        ("as=xml", '<?xml version="1.0"?><xml>'),
        ("pipeline=12345&form=4711", '{"pipeline":12345,"code":4711}'),
        ("y=2026&k=s3same", '{"id":2026}'),
    ],
)
def test_ordinary_words_and_short_numbers_stay_in_an_answer(query: str, answer: str) -> None:
    assert CUT.answer(answer, [f"https://crm.example.com/in?{query}"]) == answer


@pytest.mark.parametrize("secret", ["123456", "12345a", "true1", "jsonp-1", "٢٠٢٦١١", "20.26-1-x"])
def test_what_only_looks_like_them_is_hidden(secret: str) -> None:
    assert secret not in CUT.answer(f'{{"got":"{secret}"}}', [f"https://crm.example.com/in?k={secret}"])


def test_a_short_number_is_hidden_together_with_its_name() -> None:
    assert CUT.answer("pin=1234, id 1234", ["https://crm.example.com/in?pin=1234"]) == f"{MASK}, id 1234"
