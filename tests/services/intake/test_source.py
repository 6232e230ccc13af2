"""Where a visitor came from: by name, or as one opaque value that no firewall takes for an attack."""

import base64
import json
import re

import pytest

from webapp.services.intake import packed_source, visitor

REFERRERS = [  # the first two were refused by firewalls (rules 931120 and 931100)
    "https://shop.example/search?",
    "http://192.0.2.7:8000/f/if_x",
    "http://[2001:db8::1]/",
    "https://shop.example/?file=/etc/passwd&x=../../..",
    "https://shop.example/?q=' OR 1=1 --",
    "https://shop.example/?next=https://other.example/?",
    "https://shop.example/<script>alert(1)</script>",
    "https://bücher.example/größe?q=日本語&🚀=1",
]


def sealed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize("referrer", REFERRERS)
def test_what_is_tracked_is_one_opaque_value_and_comes_back_unchanged(referrer: str) -> None:
    known = {"referrer": referrer, "page_title": "Größe -- 日本語 🚀", "gclid": "Cj0K_x-y"}
    value = packed_source.packed(known)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", value)
    assert visitor.tracked({visitor.SOURCE: value}, {}, None, None) == known
    assert visitor.tracked({}, {visitor.SOURCE: value}, None, None) == known


def test_the_opaque_value_may_be_padded_and_escaped() -> None:
    for value in (sealed({"page_title": "é"}), sealed({"page_title": "é"}).rstrip("=")):
        assert visitor.tracked({visitor.SOURCE: value}, {}, None, None) == {"page_title": "é"}


def test_names_of_older_loaders_still_count_and_come_first() -> None:
    value = packed_source.packed({"page_title": "packed", "utm_source": "packed"})
    query = {"page_title": "plain", "page_url": "https://a.example/", "referrer": "https://b.example/"}
    assert visitor.tracked({}, {**query, visitor.SOURCE: value}, None, None) == {**query, "utm_source": "packed"}
    assert visitor.tracked({visitor.SOURCE: value}, query, None, None)["page_title"] == "packed", "the post comes first"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "%%%",
        "é",
        "abc",
        "AAAA",
        sealed([]),
        sealed("text"),
        sealed(None),
        sealed(7),
        base64.urlsafe_b64encode(b'{"page_title":').decode(),
        base64.urlsafe_b64encode(b'{"page_title":"\xff"}').decode(),
        base64.urlsafe_b64encode(b"[" * 50_000).decode(),
        base64.urlsafe_b64encode(b'{"at":' + b"9" * 9_999 + b"}").decode(),
        7,
        ["x"],
        {"page_title": "x"},
        None,
    ],
)
def test_a_value_that_cannot_be_read_holds_nothing(value: object) -> None:
    assert visitor.tracked({visitor.SOURCE: value}, {}, "https://a.example/", None) == {
        "page_url": "https://a.example/"
    }


def test_what_is_not_text_or_not_a_page_is_left_out() -> None:
    sent = {"page_url": "javascript:alert(1)", "referrer": "file:///home/ada", "page_title": ["x"], "gclid": 7}
    sent |= {"utm_source": "\x00news\ud83d", "first_page_url": {"a": 1}, "unknown": "x"}
    assert visitor.tracked({visitor.SOURCE: sealed(sent)}, {}, None, None) == {"utm_source": "news\ufffd"}


HERE = "https://shop.example/contact"


@pytest.mark.parametrize(
    ("referrer", "page", "campaign"),
    [
        ("https://shop.example/landing?utm_source=news&gclid=g1", HERE, "news"),
        ("https://shop.example/?utm_source=news#top", HERE, "news"),
        ("https://shop.example/?utm_source=news", f"{HERE}?utm_source=page", "page"),
        ("https://search.example/?utm_source=theirs", HERE, None),
        ("http://shop.example/?utm_source=theirs", HERE, None),
        ("https://shop.example:8443/?utm_source=theirs", HERE, None),
        ("https://shop.example/?utm_source=", HERE, None),
        ("https://shop.example/?", HERE, None),
        ("", HERE, None),
    ],
)
def test_the_campaign_of_the_landing_page_comes_with_the_next_page(
    referrer: str, page: str, campaign: str | None
) -> None:
    known = visitor.tracked({"page_url": page, "referrer": referrer}, {}, None, None)
    assert known.get("utm_source") == campaign


def test_the_first_touch_is_an_object_of_its_own() -> None:
    sent = {"page_url": HERE, "utm_source": "mail", "first_page_url": "https://shop.example/landing"}
    sent |= {"first_referrer": "https://search.example/", "first_utm_source": "ad", "first_gclid": "g1"}
    sent |= {"first_at": "2026-11-23T09:00:00+01:00", "first_page_title": "Landing"}
    source = visitor.source(visitor.tracked({visitor.SOURCE: sealed(sent)}, {}, None, None), None, None)
    assert (source["page_url"], source["utm"]["source"], source["click_ids"]) == (HERE, "mail", {})
    assert source["first_touch"] == {
        "page_url": "https://shop.example/landing",
        "page_title": "Landing",
        "referrer": "https://search.example/",
        "utm": {"source": "ad", "medium": None, "campaign": None, "term": None, "content": None},
        "click_ids": {"gclid": "g1"},
        "at": "2026-11-23T08:00:00.000Z",
    }


@pytest.mark.parametrize(
    "at", ["", "yesterday", "2026-11-23", "2026-11-23T09:00:00", "0001-01-01T00:00:00Z", "9" * 400]
)
def test_a_time_that_is_no_time_is_left_out(at: str) -> None:
    sent = {"first_page_url": HERE, "first_at": at}
    source = visitor.source(visitor.tracked({visitor.SOURCE: sealed(sent)}, {}, None, None), None, None)
    assert (source["first_touch"]["page_url"], source["first_touch"]["at"]) == (HERE, None)


def test_without_a_first_touch_there_is_none() -> None:
    assert "first_touch" not in visitor.source(visitor.tracked({"first_page_url": HERE}, {}, None, None), None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("referrer", "A friend told me"),
        ("referrer", "android-app://com.example"),
        ("referrer", ["https://a.example/"]),
        ("page_url", "/contact"),
        ("page_url", "https://[broken"),
        ("page_url", "https://a.example/" + "p" * 3000),
        ("page_title", {"a": "b"}),
        ("utm_source", "u" * 4001),
        ("gclid", "g" * 4001),
        ("fbclid", 7),
    ],
)
def test_what_cannot_be_used_is_found(name: str, value: object) -> None:
    sent = {"name": "Ada", "utm_medium": "mail", "msclkid": "", name: value}
    assert visitor.unread(sent, visitor.tracked(sent, {}, None, None)) == {name: value}
    assert name not in visitor.tracked(sent, {}, None, None)


def test_what_is_used_also_shortened_is_not_found() -> None:
    sent = {"page_url": f"https://a.example/?q={'x' * 3000}", "page_title": "t" * 400, "referrer": "http://b.example"}
    sent |= {"utm_source": "u" * 4000, "gclid": "g", "utm_term": ""}
    assert visitor.unread(sent, visitor.tracked(sent, {}, None, None)) == {}
