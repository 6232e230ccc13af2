"""Text from pages that are not in UTF-8: every character arrives, or at least every byte."""

import json
from urllib.parse import quote_from_bytes

from webapp.services.intake.encodings import codec, multipart, text, url_encoded
from webapp.webhooks.encoding_labels import CODECS, LIKELY, USUAL


def posted(value: str, python: str, label: str | None = None, language: str = "en", more: str = "") -> str:
    """The value of `name`, sent by a page in the encoding that Python calls `python`."""
    body = f"name={quote_from_bytes(value.encode(python))}&topic=x{more}"
    return dict(url_encoded(body.encode(), label, language))["name"]


# What a browser sends from a page in each encoding, with its declared name.
DECLARED = [
    ("José Müller", "cp1252", "ISO-8859-1"),
    ("José Müller – 5 €", "cp1252", "windows-1252"),
    ("山田 太郎 ﾔﾏﾀﾞ", "cp932", "Shift_JIS"),
    ("髙橋 ①", "cp932", "windows-31j"),
    ("山田 太郎", "euc_jp", "EUC-JP"),
    ("山田 太郎", "iso2022_jp", "ISO-2022-JP"),
    ("김철수 똠방각하", "cp949", "EUC-KR"),
    ("王小明 镕", "gb18030", "GBK"),
    ("王小明 𠮷", "gb18030", "gb2312"),
    ("陳大文", "big5", "Big5"),
    ("Иван Петров", "koi8_r", "KOI8-R"),
    ("Іван Їжак", "koi8_u", "KOI8-U"),
    ("Иван Петров", "cp1251", "windows-1251"),
    ("Иван", "cp866", "ibm866"),
    ("Zażółć gęślą jaźń", "iso8859_2", "ISO-8859-2"),
    ("Zażółć gęślą jaźń", "cp1250", "windows-1250"),
    ("Œuvre Ÿ €", "iso8859_15", "l9"),
    ("Çağrı Şen", "cp1254", "iso-8859-9"),
    ("Γιώργος", "iso8859_7", "greek"),
    ("שלום", "cp1255", "windows-1255"),
    ("محمد", "cp1256", "windows-1256"),
    ("Jānis Bērziņš", "cp1257", "windows-1257"),
    ("สมชาย", "cp874", "TIS-620"),
    ("José", "mac_roman", "macintosh"),
]


def test_the_declared_encoding_is_used() -> None:
    for value, python, label in DECLARED:
        assert posted(value, python, label) == value
        assert posted(value, python, f" {label.upper()} ") == value
        assert posted(value, python, None, more=f"&_charset_={label}") == value
        assert posted(value, python, "no-such-charset", more=f"&_charset_={label}") == value


# The form's language, where a page declares nothing.
UNDECLARED = [
    ("José Müller", "cp1252", "en"),
    ("José Müller", "cp1252", "de"),
    ("Müller", "cp1252", "xx"),
    ("山田 太郎", "cp932", "ja"),
    ("山田 太郎", "euc_jp", "ja-JP"),
    ("山田 太郎", "iso2022_jp", "ja"),
    ("김철수", "cp949", "ko"),
    ("王小明", "gb18030", "zh-CN"),
    ("陳大文", "big5", "zh-TW"),
    ("陳大文", "big5", "zh-Hant"),
    ("Иван Петров", "cp1251", "ru"),
    ("Zażółć gęślą jaźń", "iso8859_2", "pl"),
    ("Zażółć gęślą jaźń", "cp1250", "pl"),
    ("Příliš žluťoučký kůň", "cp1250", "cs"),
    ("Çağrı Şen", "cp1254", "tr"),
    ("Γιώργος Παπαδόπουλος", "iso8859_7", "el"),
    ("محمد", "cp1256", "ar"),
    ("สมชาย", "cp874", "th"),
]


def test_without_a_declared_encoding_the_language_of_the_form_decides() -> None:
    for value, python, language in UNDECLARED:
        assert posted(value, python, language=language) == value
        assert posted(value, "utf_8", language=language) == value, "UTF-8 is recognised first"


def test_utf_8_stays_utf_8_whatever_the_language() -> None:
    for language in LIKELY:
        for value in ("José Müller 🚀", "山田", "50% off & 100%25", "%E9", "Иван", "é"):
            assert posted(value, "utf_8", language=language) == value
            assert posted(value, "utf_8", "UTF-8", language) == value
            assert posted(value, "utf_8", "utf8", language) == value


def test_no_byte_is_lost_where_the_encoding_has_no_character_for_it() -> None:
    assert dict(url_encoded(b"name=A%81B%8d", None, "en"))["name"] == "A%81B%8D"
    assert dict(url_encoded(b"name=%FF%FEabc", None, "ja"))["name"] == "ÿþabc"
    assert dict(url_encoded(b"name=%81", "Shift_JIS", "ja"))["name"] == "%81"
    assert dict(url_encoded(b"name=%FF", "EUC-JP", "ja"))["name"] == "%FF"


def test_a_text_cut_in_the_middle_of_a_character_does_not_spoil_the_others() -> None:
    body = quote_from_bytes("José Müller 🚀🚀".encode()[:-2])
    assert dict(url_encoded(f"name={body}&city=Köln".encode(), None, "de")) == {
        "name": "José Müller 🚀%F0%9F",
        "city": "Köln",
    }


def test_bytes_that_were_not_escaped_are_read_too() -> None:
    assert url_encoded(b"name=Jos\xe9+M\xfcller", None, "en") == [("name", "José Müller")]
    assert url_encoded("name=José".encode(), None, "en") == [("name", "José")]
    assert url_encoded(b"\xef\xbb\xbfname=Ada&b=", None, "en") == [("name", "Ada"), ("b", "")]


def test_what_the_encoding_cannot_hold_comes_as_a_reference_and_is_read() -> None:
    assert posted("é &#128640; &#26085;", "cp1252") == "é 🚀 日"
    assert posted("Ada &#128640;", "cp1252", "iso-8859-1") == "Ada 🚀"
    assert posted("Ada &#128640;", "cp1252") == "Ada &#128640;", "nothing says that this is not UTF-8"
    assert posted("5 &#8364;", "iso8859_2", "iso-8859-2") == "5 €"
    assert posted("é &#8364; &#65;", "cp1252", "windows-1252") == "é &#8364; &#65;", "the encoding has these: typed"
    assert posted("&#128640; é", "utf_8") == "&#128640; é", "UTF-8 has everything: typed"
    assert (
        posted("é &#x1F680; &#1114112; &#55296; &#9999999;", "cp1252") == "é &#x1F680; &#1114112; &#55296; &#9999999;"
    )


def test_a_form_in_utf_16_is_sent_in_utf_8() -> None:
    assert posted("José 🚀", "utf_8", "utf-16le") == "José 🚀"


NOT_FOR_TEXT = [
    "utf-7",
    "utf_7",
    "idna",
    "punycode",
    "rot13",
    "rot_13",
    "zip",
    "zlib",
    "bz2",
    "hex",
    "base64",
    "uu",
    "cp037",
]
NOT_FOR_TEXT += [
    "unicode_escape",
    "raw_unicode_escape",
    "undefined",
    "mbcs",
    "iso-2022-kr",
    "hz",
    "x-user-defined",
    "../x",
]
NOT_FOR_TEXT += ["", "utf-8\0", "leadhook", "x" * 10_000, "utf_8_sig", "quopri"]


def test_a_name_that_the_web_does_not_have_counts_as_none() -> None:
    for label in NOT_FOR_TEXT:
        assert codec(label) is None, label
        assert posted("José", "cp1252", label) == "José", label
        assert posted("+ADw-script+AD4-", "ascii", label) == "+ADw-script+AD4-", label


def test_every_named_encoding_reads_every_byte() -> None:
    every = bytes(range(1, 256))
    for python in {*CODECS.values(), USUAL, *(each for likely in LIKELY.values() for each in likely)}:
        label = next((name for name, each in CODECS.items() if each == python), None)
        found = text(every, label, "en")
        assert all(character in found for character in "Az09"), python
        assert "\ufffd" not in found


def test_other_json_than_utf_8_is_read() -> None:
    body = json.dumps({"name": "José"}, ensure_ascii=False)
    assert text(body.encode("cp1252"), None, "en") == body
    assert text(body.encode("cp1252"), "iso-8859-1", "ru") == body
    japanese = json.dumps({"name": "表 ソ"}, ensure_ascii=False)  # second bytes of these are backslashes
    assert text(japanese.encode("cp932"), "Shift_JIS", "en") == text(japanese.encode("cp932"), None, "ja") == japanese


def test_parts_of_a_multipart_form_are_read_alike() -> None:
    def kept(raw: bytes) -> str:
        return raw.decode("utf-8", "surrogateescape")

    assert multipart([("name", kept("José".encode("cp1252"))), ("a", "b")], None, "en") == [
        ("name", "José"),
        ("a", "b"),
    ]
    japanese = [("_charset_", "Shift_JIS"), ("name", kept("山田".encode("cp932")))]
    assert dict(multipart(japanese, None, "en"))["name"] == "山田"
    assert dict(multipart([("name", "山田")], None, "en"))["name"] == "山田"
