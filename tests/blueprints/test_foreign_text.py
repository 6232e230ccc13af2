"""Names of fields and files in posts that are not in UTF-8, from the post to the stored lead."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.factories import ADA
from tests.support.uploads import PDF, ask_for_files
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Lead

Parts = list[tuple[bytes, bytes | None, bytes]]  # name, name of the file if it is one, content


def body_of(parts: Parts, headers: bytes = b"") -> dict[str, Any]:
    """A multipart post of these bytes beside Ada's answers."""
    every: Parts = [*((name.encode(), None, value.encode()) for name, value in ADA.items()), *parts]
    found = b""
    for name, file, content in every:
        found += b'--X\r\nContent-Disposition: form-data; name="' + name + b'"'
        found += b'; filename="' + file + b'"\r\n' if file is not None else b"\r\n" + headers
        found += b"\r\n" + content + b"\r\n"
    return {"data": found + b"--X--\r\n", "content_type": "multipart/form-data; boundary=X"}


def lead_of(client: FlaskClient, interface: Interface, parts: Parts, headers: bytes = b"", **how: Any) -> Lead:
    how = {**body_of(parts, headers), **how}
    answer = client.post(f"/f/{interface.public_id}", headers={"Accept": "application/json"}, **how)
    assert answer.status_code == 201, answer.text
    db.session.rollback()
    return db.session.scalars(select(Lead).where(Lead.public_id == answer.json["id"])).one()


def speak(interface: Interface, language: str) -> None:
    with transaction():
        db.session.get_one(Interface, interface.id).language = language


# Text, Python's codec, its name on the web, and a language in which it is likely.
WORDS = [
    ("Straße", "cp1252", "ISO-8859-1", "de"),
    ("Prénom – 5 €", "cp1252", "windows-1252", "fr"),
    ("会社", "cp932", "Shift_JIS", "ja"),
    ("履歴書", "cp932", "Shift_JIS", "ja"),
    ("会社表", "cp932", "Shift_JIS", "ja"),  # the last byte of 表 is a backslash
    ("表ソ能", "cp932", "Shift_JIS", "ja"),
    ("会社", "euc_jp", "EUC-JP", "ja"),
    ("резюме", "koi8_r", "KOI8-R", "en"),
    ("резюме", "cp1251", "windows-1251", "ru"),
    ("이력서", "cp949", "EUC-KR", "ko"),
    ("简历", "gb18030", "GBK", "zh-CN"),
    ("許功蓋", "big5", "Big5", "zh-TW"),  # each ends in a backslash
    ("životopis ČR", "cp1250", "windows-1250", "cs"),
]


@pytest.mark.parametrize(("word", "python", "label", "language"), WORDS)
def test_names_of_fields_and_files_are_read_in_the_encoding_that_the_form_declares(
    client: FlaskClient, interface: Interface, word: str, python: str, label: str, language: str
) -> None:
    ask_for_files(interface)
    raw = word.encode(python)
    parts: Parts = [(raw, None, raw), (b"cv", raw + b".pdf", PDF), (raw + b" 2", raw + b".txt", b"hi")]
    declared: Parts = [(b"_charset_", None, label.encode())]
    for lead in (
        lead_of(client, interface, declared + parts),
        lead_of(client, interface, parts, content_type=f"multipart/form-data; charset={label}; boundary=X"),
    ):
        assert lead.undeclared == {word: word, f"{word} 2": {"file": f"{word}.txt", "size": 2}}
        assert [file["name"] for file in lead.fields["cv"]] == [f"{word}.pdf"]


@pytest.mark.parametrize(("word", "python", "label", "language"), [one for one in WORDS if one[1] != "koi8_r"])
def test_names_are_read_by_the_language_of_the_form_where_it_declares_nothing(
    client: FlaskClient, interface: Interface, word: str, python: str, label: str, language: str
) -> None:
    ask_for_files(interface)
    speak(interface, language)
    raw = word.encode(python)
    lead = lead_of(client, interface, [(raw, None, b"yes"), (b"cv", raw + b".pdf", PDF)])
    assert lead.undeclared == {word: "yes"}
    assert [file["name"] for file in lead.fields["cv"]] == [f"{word}.pdf"]
    only_the_file = lead_of(client, interface, [(b"cv", raw + b".pdf", PDF)])
    assert [file["name"] for file in only_the_file.fields["cv"]] == [f"{word}.pdf"]


def test_a_part_that_declares_its_own_encoding_does_not_change_the_names(
    client: FlaskClient, interface: Interface
) -> None:
    own = b"Content-Type: text/plain; charset=ISO-8859-1\r\n"
    lead = lead_of(client, interface, [("Straße".encode("cp1252"), None, "Königstraße in Köln".encode("cp1252"))], own)
    assert lead.undeclared == {"Straße": "Königstraße in Köln"}


def test_what_the_encoding_does_not_have_comes_as_a_reference_also_in_names(
    client: FlaskClient, interface: Interface
) -> None:
    ask_for_files(interface)
    declared: Parts = [(b"_charset_", None, b"windows-1252")]
    file: Parts = [(b"cv", b"&#23653;&#27508;&#26360; M\xfcller &#8364;.pdf", PDF)]
    lead = lead_of(client, interface, [*declared, *file, (b"&#20250;&#31038;", None, b"&#26085;")])
    assert [file["name"] for file in lead.fields["cv"]] == ["履歴書 Müller &#8364;.pdf"], "it has a euro sign: typed"
    assert lead.undeclared == {"会社": "日"}
    plain = lead_of(client, interface, [(b"cv", b"&#23653; &#1114112;.pdf", PDF)])
    assert [file["name"] for file in plain.fields["cv"]] == ["&#23653; &#1114112;.pdf"], "nothing says it is not UTF-8"


def test_the_name_of_a_file_also_says_how_the_answers_are_read(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface)
    lead = lead_of(client, interface, [(b"company", None, b"&#20250;&#31038;"), (b"cv", b"M\xfcller.pdf", PDF)])
    assert (lead.undeclared, lead.fields["cv"][0]["name"]) == ({"company": "会社"}, "Müller.pdf")


def test_a_percent_sign_in_the_name_of_a_file_is_no_other_encoding(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface)
    for name in ("100%.pdf", "%FC.pdf", "50%25 &#8364;.pdf"):
        lead = lead_of(client, interface, [("Straße %".encode(), None, b"&#128640;"), (b"cv", name.encode(), PDF)])
        assert (lead.undeclared, lead.fields["cv"][0]["name"]) == ({"Straße %": "&#128640;"}, name)


def test_names_in_utf_8_stay_as_they_are(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface)
    for declared in ([], [(b"_charset_", None, b"UTF-8")]):
        name = "Straße 会社 🚀 %E9"
        parts: Parts = [*declared, (name.encode(), None, b"x"), (b"cv", f"{name}.pdf".encode(), PDF)]
        lead = lead_of(client, interface, parts)
        assert (lead.undeclared, lead.fields["cv"][0]["name"]) == ({name: "x"}, f"{name}.pdf")


def test_no_byte_of_a_name_is_lost_and_none_is_a_crash(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface)
    lead = lead_of(client, interface, [(b"a\x81b\xff", None, b"x"), (b"cv", b"\x8d\xe9\\\x90.pdf", PDF)])
    assert lead.undeclared == {"a%81bÿ": "x"}
    assert lead.fields["cv"][0]["name"] == "%90.pdf", "what is before a backslash is a folder"
    lead = lead_of(client, interface, [(b"_charset_", None, b"Shift_JIS"), (b"\x81", None, b"y")])
    assert lead.undeclared == {"%81": "y"}
