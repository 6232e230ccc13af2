"""Links in disguise: full-width signs, characters that are not seen, numbers instead of a host. None can be clicked."""

import re
import unicodedata

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.mail.test_unlinked import CLICKABLE, NAMES, TEXTS
from tests.support.mailing import fields, the_mail
from webapp.db.transactions import transaction
from webapp.models import Interface
from webapp.services.interfaces import interface_mails
from webapp.services.interfaces.interface_mails import Words
from webapp.services.mail.unlinked import unlinked

pytestmark = pytest.mark.once

GIVEN = {  # as an attacker typed them, and as they are shown
    "evil\u00ad.com/win": "evil. com/win",
    "evil\u200b.com/win": "evil. com/win",
    "evil\u2060.com/win": "evil. com/win",
    "evil\ufe0f.com/win": "evil\ufe0f. com/win",
    "evil。com": "evil。 com",
    "evil．com": "evil． com",
    "evil｡com": "evil｡ com",
    "1.2.3.4:8080/win": "1. 2. 3. 4:8080/win",
    "localhost/x": "localhost/ x",
}
UNSEEN_NEIGHBOURS = [
    *("evil.\ufe0fcom/win", "evil\u034f.com", "evil.\u034fcom", "evil.\u061ccom", "evil.\u180ecom", "evil.\u115fcom"),
    *(
        "evil.\u3164com",
        "evil.\uffa0com",
        "evil.\u2800com",
        "evil.\U000e0001com",
        "evil.\U000e0101com",
        "evil.\u206acom",
    ),
    *("evil.\u200d\u200ccom", "evil.\x00com", "evil.\x08com", "evil.\x7fcom", "evil.\ufff9com", "evil.\U0001d173com"),
    *(
        "http\u00ad://evil",
        "http:\u2060//evil",
        "http:/\ufe0f/evil",
        "ada@\ufe0fevil",
        "ada\u200b@evil.com",
        "w\u00adww.evil",
    ),
    *(
        "local\u00adhost/x",
        "1\u00ad.2.3.4",
        "1.\ufe0f2.3.4",
        "mail\u2060to:ada",
        "[\u200b::1]/x",
        "e\u200dv\u200dil.c\u200dom",
    ),
]
COMPATIBLE_NEIGHBOURS = [
    *(
        "evil﹒com",
        "evil․com",
        "evil。ｃｏｍ",
        "ｅｖｉｌ．ｃｏｍ",
        "evil.㏄",
        "evil⒈com",
        "evil.ﬁ",
        "𝐞𝐯𝐢𝐥.𝐜𝐨𝐦",
        "evil.ⓒⓞⓜ",
    ),
    *(
        "ｈｔｔｐ：／／evil",
        "http：//evil",
        "http:／／evil",
        "／／evil",
        "＼＼evil＼x",
        "ada＠evil",
        "ada﹫evil",
        "ｍａｉｌｔｏ：ada",
    ),
    *(
        "１．２．３．４",
        "１.2．3。4:８０８０/x",
        "①.②.③.④",
        "ｗｗｗ．evil",
        "ｌｏｃａｌｈｏｓｔ／x",
        "localhost：8080",
        "［::1］/x",
    ),
]
NUMBER_NEIGHBOURS = [
    *("1.2.3.4", "1.2.3.4:8080", "1.2.3.4/win", "(1.2.3.4:80/win)", "0x7f.0.0.1/x", "0177.0.0.01/x", "١.٢.٣.٤/x"),
    *(
        "3232235521/win",
        "3232235521:8080/win",
        "0x7f000001/win",
        "0x7f000001:80",
        "127.1/win",
        "127.1:8080/win",
        "10.0.1/x",
    ),
    *(
        "[2001:db8::1]",
        "[2001:db8::1]:8080/win",
        "[::1]/x",
        "[::ffff:1.2.3.4]/x",
        "[fe80::1%eth0]/x",
        "[1:2:3:4:5:6:7:8]",
    ),
    *(
        "localhost:8080",
        "localhost:8080/x",
        "localhost?x",
        "LOCALHOST/x",
        "ip6-localhost/x",
        "intranet:8080/x",
        "a@localhost",
    ),
]
HOST_NEIGHBOURS = [
    *("www.1688.com", "www2.evil", "www.1.2", "user@host", "user@1.2.3.4", "user@[::1]", "пример.рф/x", "例え。テスト"),
    *("xn--e1afmkfd.xn--p1ai", "bücher.de", "उदाहरण。भारत", "مثال.إختبار", "💩．la", "evil.com。", "。evil。com"),
]
STILL = {  # what stays as it was typed
    **{text: text for text in ("4.5/5", "24/7", "50/50", "27/11/2026", "3.5 km", "1.5:1", "[12:30]", "[12:30:45]")},
    **{
        text: text
        for text in ("12:30:45", "Well…yes", "…and", "¼ of it", "№ 7", "Ⅳ. Akt", "ﬁve", "x²", "１２時３０分", "ＡＢＣ")
    },
    **{
        text: text
        for text in (
            "🏴\U000e0067\U000e0062\U000e007f",
            "❤️",
            "👩‍🚀",
            "می‌خواهم",
            "क्‍ष",
            "ㅋㅋㅋ",
            "a. b",
            "Ltd.",
            "5 €/m²",
        )
    },
    "Ｄr．Ada": "Ｄr． Ada",
    "Müller．Schmidt": "Müller． Schmidt",
}
UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]"
)
HIDDEN = re.compile(
    r"localhost[:/\\?#]\S|(?<![\w.])(?:\d{8,}|0x[0-9a-f]{4,})[:/]\S|(?<![\w.])\d+\.\d+(?:\.\d+)?(?::\d\d|/[^\W\d])"
    r"|0x[0-9a-f]+(?:\.\d+){2,3}/"
    r"|\[[0-9a-f:.]*::[0-9a-f:.]*(?:%\w+)?\]|\[(?:[0-9a-f]+:){3,}",
    re.IGNORECASE,
)


def seen(text: str) -> str:
    """The text as the most eager mail program reads it, written without the product's own code."""
    there = "".join(each for each in text if unicodedata.category(each) != "Cf" and not UNSEEN.match(each))
    return unicodedata.normalize("NFKC", there.replace("…", "\x01")).replace("。", ".").replace("\x01", "…")


def clickable(text: str) -> bool:
    return any(pattern.search(each) for each in (text, seen(text)) for pattern in (CLICKABLE, HIDDEN))


def letters(text: str) -> str:
    """All that is seen of a text, without spaces and as it was typed."""
    there = (each for each in text if unicodedata.category(each) != "Cf" and not UNSEEN.match(each))
    return "".join("".join(there).split())


@pytest.mark.parametrize(("typed", "shown"), GIVEN.items())
def test_a_link_in_disguise_gets_a_space(typed: str, shown: str) -> None:
    assert unlinked(typed) == shown
    assert not clickable(shown)


@pytest.mark.parametrize(
    "typed", [*UNSEEN_NEIGHBOURS, *COMPATIBLE_NEIGHBOURS, *NUMBER_NEIGHBOURS, *HOST_NEIGHBOURS], ids=ascii
)
def test_neighbours_of_it_cannot_be_clicked_and_keep_all_that_is_seen(typed: str) -> None:
    assert clickable(typed)
    shown = unlinked(typed)
    assert not clickable(shown), ascii(shown)
    assert letters(shown) == letters(typed)


@pytest.mark.parametrize(("typed", "shown"), [*STILL.items(), *NAMES.items(), *TEXTS.items()], ids=ascii)
def test_what_is_no_link_stays_as_it_was_typed(typed: str, shown: str) -> None:
    assert unlinked(typed) == shown


def test_no_mixture_can_be_clicked_or_loses_what_is_seen(app: Flask) -> None:
    pieces = [
        *".。．｡․﹒@＠:：/／\\[]%#?-_ …",
        *("www", "http", "localhost", "evil", "com", "ａ", "𝐜𝐨𝐦", "1", "0x7f000001", "192.168.0.1", "3232235521", "::"),
        *(
            "\u00ad",
            "\u200b",
            "\u2060",
            "\ufe0f",
            "\u034f",
            "\u3164",
            "\u2800",
            "\x00",
            "\u200d",
            "рф",
            "例",
            "㏄",
            "⒈",
        ),
    ]

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.sampled_from(pieces) | st.characters(), max_size=14).map("".join))
    def look(typed: str) -> None:
        shown = unlinked(typed)
        assert letters(shown) == letters(typed)
        assert not clickable(shown), ascii(shown)
        assert unlinked(shown) == shown

    look()


@pytest.mark.parametrize("typed", ["", " ", "\ud800", "\U0010ffff", "." * 5000, "1" * 20_000, "[" * 5000, "w.w" * 5000])
def test_bad_input_is_only_text(typed: str) -> None:
    assert letters(unlinked(typed)) == letters(typed)


@pytest.mark.parametrize("typed", [*GIVEN, "evil.㏄", "ｗｗｗ．evil", "[::1]/x", "3232235521/win"], ids=ascii)
def test_a_stranger_gets_no_link_through_the_form(client: FlaskClient, interface: Interface, typed: str) -> None:
    with transaction():
        words = Words(autoresponds=True, autoresponse_subject="Hi {{ name }}", autoresponse_body="{{ answers }}")
        interface_mails.update(interface, words)
    sent = fields(name=typed, message=f"Look at {typed} now")
    assert client.post(f"/f/{interface.public_id}", data=sent).status_code == 303
    mail = the_mail()
    assert mail.recipients == ["ada@example.com"]
    assert not clickable(mail.subject)
    message = mail.body_text.partition("Message: ")[2].partition("\n")[0]
    assert message.startswith("Look at ")
    assert not clickable(message)
    assert letters(mail.subject) == letters(f"Hi {typed}")
