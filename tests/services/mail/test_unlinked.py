"""What a visitor typed is in the answer to an unverified address, with all its letters and nothing to click."""

import re

import pytest
from flask import Flask
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webapp.services.mail.unlinked import unlinked

NAMES = {
    # As typed, and as shown.
    "A.Lovelace": "A. Lovelace",
    "Dr.Ada Lovelace": "Dr. Ada Lovelace",
    "Ada Lovelace, M.Sc.": "Ada Lovelace, M. Sc.",
    "Ada Lovelace": "Ada Lovelace",
    "Dr. J.R.R. O'Neil-Smith": "Dr. J.R.R. O'Neil-Smith",
    "J.R.R.Tolkien": "J.R.R. Tolkien",
    "A.O’Neil": "A.O’Neil",
    "St.John Smythe": "St. John Smythe",
    "Oliver St. John": "Oliver St. John",
    "Ms.Love": "Ms. Love",
    "B.Green": "B. Green",
    "Prof.Dr.med.Meyer": "Prof. Dr. med. Meyer",
    "Dipl.-Ing. Jörg Müller": "Dipl.-Ing. Jörg Müller",
    "Dipl.Ing.Müller": "Dipl. Ing. Müller",
    "Hans-Jürgen v.d.Heide": "Hans-Jürgen v.d. Heide",
    "M.A. Ph.D.": "M.A. Ph.D.",
    "Ph.D.Grace Hopper": "Ph.D. Grace Hopper",
    "J.-P. Sartre": "J.-P. Sartre",
    "Martin Luther King Jr.": "Martin Luther King Jr.",
    "Sra.María José": "Sra. María José",
    "D'Angelo": "D'Angelo",
    "d’Arcy McGee": "d’Arcy McGee",
    "Ada/Grace": "Ada/Grace",
    "Müller/Schmidt GbR": "Müller/Schmidt GbR",
    "Frau/Herr Özdemir": "Frau/Herr Özdemir",
    "Ada Lovelace (she/her)": "Ada Lovelace (she/her)",
    "Anna-Lena Meyer-Landrut": "Anna-Lena Meyer-Landrut",
    "Гр.Иванов": "Гр. Иванов",
    "И.И.Иванов": "И.И. Иванов",
    "Ν.Παπαδόπουλος": "Ν. Παπαδόπουλος",
    "डॉ.शर्मा": "डॉ. शर्मा",
    "דר.כהן": "דר. כהן",
    "د.أحمد": "د. أحمد",
    "エイダ・ラブレス": "エイダ・ラブレス",
    "田中 太郎": "田中 太郎",
    "김철수": "김철수",
    "X Æ A-12": "X Æ A-12",
    "Jean-Luc 🧑\u200d🚀 Picard": "Jean-Luc 🧑\u200d🚀 Picard",
    "Ada, Countess of Lovelace": "Ada, Countess of Lovelace",
    "Zoë “Zo” Smith": "Zoë “Zo” Smith",
    "N.N.": "N.N.",
    "Mr.& Mrs.Smith": "Mr.& Mrs. Smith",
    "Gal·la Coma": "Gal·la Coma",
    "Smith & Sons Ltd.": "Smith & Sons Ltd.",
    "Booking.com GmbH": "Booking. com GmbH",
}
TEXTS = {
    "At 12:30 or 3.5 km on 27.11.2026": "At 12:30 or 3.5 km on 27.11.2026",
    "1.234.567,89 € for 2.500 m²": "1.234.567,89 € for 2.500 m²",
    "e.g. this, i.e. that, z.B. so, 5 p.m.": "e.g. this, i.e. that, z.B. so, 5 p.m.",
    "Well... yes. And no.": "Well... yes. And no.",
    "We use .NET and C:\\Temp": "We use .NET and C:\\Temp",
    "No space.After a dot": "No space. After a dot",
    "Re: hello": "Re: hello",
    "and/or 50/50": "and/or 50/50",
}
LINKS = [
    *(
        "http://evil.com",
        "https://evil.com/x?y=1#z",
        "HTTP://EVIL.COM",
        "see www.evil.com now",
        "www.evil",
        "WIN.COM now",
    ),
    *(
        "evil.com",
        "evil.com/x",
        "evil.com/x?y",
        "evil.com:8080/x",
        "sub.domain.evil.co.uk",
        "win-big.shop",
        "(evil.com)",
    ),
    *("пример.рф", "münchen.de/x", "例え.テスト", "उदाहरण.भारत", "xn--bcher-kva.example", "evil.xn--p1ai", "💩.la"),
    *("http://192.168.0.1/x", "192.168.0.1", "192.168.0.1:8080/x", "http://[2001:db8::1]/", "http://3232235521/"),
    *("mailto:ada@evil.com", "ada@evil.com", "ada@evil", "tel:+49301234567", "sms:12345", "javascript:alert(1)"),
    *(
        "evil．com",
        "evil。com",
        "evil｡com",
        "evil․com",
        "http：//evil.com",
        "//evil.com/x",
        "\\\\evil\\share",
        "file:///x",
    ),
    *(
        "evil\u200b.com",
        "evil.\u200bcom",
        "ev\u00adil.com",
        "evil.c\u00adom",
        "evil\u2060.\u2060com",
        "a\u200b http://x",
    ),
    *(
        "<a href=http://evil.com>x</a>",
        "[x](http://evil.com)",
        "<http://evil.com>",
        "http:\\\\evil.com",
        "http:/evil.com",
    ),
    *("ftp://evil.com", "hxxp://evil.com", "http://user:pw@evil.com/", "http://evil%2Ecom/", "data:text/html,x"),
    *("Ada,evil.com", "Ada\u00a0www.evil.com", "Ada|evil.com|", "“evil.com”", "1688.com", "evil.com.", "-evil.com-"),
]
# What a very eager mail program makes a link of: a scheme, slashes before a name, an address, an IP address, or a name
# that ends in a dot and two letters. Characters that are not seen do not stop it.
CLICKABLE = re.compile(
    r"(?<!\w)[a-z][a-z0-9+.-]{1,30}:[\w%\[+/\\]"
    r"|[/\\]{2}\w"
    r"|\S@\S"
    r"|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}"
    r"|www[.．。｡․]\w"
    r"|\S[.．。｡․][^\W\d_](?:\w|[^\x00-\x7f‘’“”…])",
    re.IGNORECASE,
)
UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")


def clickable(text: str) -> bool:
    return bool(CLICKABLE.search(text) or CLICKABLE.search(UNSEEN.sub("", text)))


def letters(text: str) -> str:
    return "".join(UNSEEN.sub("", text).split())


@pytest.mark.parametrize(("typed", "shown"), [*NAMES.items(), *TEXTS.items()])
def test_a_name_or_a_sentence_stays_readable(typed: str, shown: str) -> None:
    assert unlinked(typed) == shown
    assert not clickable(shown)


@pytest.mark.parametrize("typed", LINKS)
def test_a_link_cannot_be_clicked_and_can_be_read(typed: str) -> None:
    assert clickable(typed)
    assert not clickable(unlinked(typed))
    assert letters(unlinked(typed)) == letters(typed)


def test_no_text_loses_a_letter_or_keeps_a_link(app: Flask) -> None:
    pieces = [
        *".。．@:/\\-+%_ ",
        "www",
        "http",
        "evil",
        "com",
        "a",
        "ß",
        "1",
        "192.168.0.1",
        "://",
        "\u200b",
        "рф",
        "例",
    ]

    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.sampled_from(pieces), max_size=14).map("".join))
    @example("a.a." * 5000)
    def look(typed: str) -> None:
        shown = unlinked(typed)
        assert letters(shown) == letters(typed)
        assert not clickable(shown), shown
        assert unlinked(shown) == shown

    look()
