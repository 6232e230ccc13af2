"""Posts from pages that are not in UTF-8: their text is read so that every character, or at least every byte, arrives.

An ordinary post never comes here. A byte that its encoding has no character for becomes %XX, as in an address.
"""

import codecs
import re
from collections.abc import Iterable, Sequence
from functools import partial
from urllib.parse import parse_qsl, quote_from_bytes

from webapp.services.interfaces.numbers import language_and_region
from webapp.webhooks.encoding_labels import CODECS, LIKELY, USUAL

UTF_8 = "utf_8"
# What text in another encoding leaves behind when it is read as UTF-8: an escape or a surrogate for its bytes, the
# signs of ISO-2022-JP, a mark at the beginning. A % that a visitor typed is the same when the text is read again.
MAYBE_NOT_UTF_8 = re.compile("[%\x1b\ufeff\udc80-\udcff]")
CHARSET = "_charset_"  # HTML's name for the control that browsers fill with the encoding of the form
BOM = b"\xef\xbb\xbf"

# In no text: C1 controls, and what Python makes of bytes that Shift_JIS does not have. Another encoding was meant.
_UNLIKELY = re.compile("[\x80-\x9f\uf8f0-\uf8f3]")
_REFERENCE = re.compile(r"&#(\d{2,7});", re.ASCII)

Pairs = Sequence[tuple[bytes, bytes]]


class DeclaredText(str):
    """Text of a part that said in which encoding it is, so it was read already."""


def codec(label: str | None) -> str | None:
    """Python's codec for an encoding as the web names it; None for a name that the web does not have."""
    return CODECS.get((label or "").strip().lower())


def url_encoded(body: bytes, label: str | None, language: str) -> list[tuple[str, str]]:
    """The names and values of a form-encoded body, in order.

    `label`: the charset of its Content-Type; a value of CHARSET counts first. `language`: of the form (a BCP 47 tag).
    """
    text = body.removeprefix(BOM).decode("latin-1")  # a character a byte, before and after the escapes are read
    raw = parse_qsl(text, keep_blank_values=True, encoding="latin-1")
    return pairs([(name.encode("latin-1"), value.encode("latin-1")) for name, value in raw], label, language)


def query(raw: bytes, language: str) -> list[tuple[str, str]]:
    """The names and values of a query, each read by itself: other programs append what they like to an address."""
    return [pair for one in raw.split(b"&") for pair in url_encoded(one, None, language)]


def multipart(
    parts: Iterable[tuple[str, str]], label: str | None, language: str, files: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """The same of a multipart body, of which web/multipart.py kept the bytes that are not UTF-8 as surrogates.

    `files`: the names of its files and of their controls.
    """
    given = list(parts)
    chosen = multipart_codec(given, label, language, files)
    return [(part_text(name, chosen), part_text(value, chosen)) for name, value in given]


def multipart_codec(
    parts: Iterable[tuple[str, str]], label: str | None, language: str, files: Iterable[str] = ()
) -> str:
    """Python's codec for a multipart body, for `part_text`."""
    raw = [(_bytes(name), b"" if isinstance(value, DeclaredText) else _bytes(value)) for name, value in parts]
    return _chosen([*raw, *((_bytes(name), b"") for name in files)], label, language)


def part_text(kept: str, chosen: str) -> str:
    """A name or a value of a multipart body, or the name of a file, in the encoding that was chosen for the body."""
    return kept if isinstance(kept, DeclaredText) else _read(_bytes(kept), chosen)


def pairs(raw: Pairs, label: str | None, language: str) -> list[tuple[str, str]]:
    """Names and values as text, all in the one encoding that fits them best."""
    chosen = _chosen(raw, label, language)
    return [(_read(name, chosen), _read(value, chosen)) for name, value in raw]


def _chosen(raw: Pairs, label: str | None, language: str) -> str:
    named = [value.decode("latin-1") for name, value in raw if name == CHARSET.encode()]
    declared = codec(named[-1] if named else None) or codec(label)
    return encoding_of(b"\n".join(part for pair in raw for part in pair), declared, language)


def _read(raw: bytes, chosen: str) -> str:
    return _with_references(_decode(raw, chosen), chosen)


def text(raw: bytes, label: str | None, language: str) -> str:
    """A whole body, such as JSON, as text."""
    raw = raw.removeprefix(BOM)
    return _decode(raw, encoding_of(raw, codec(label), language))


def encoding_of(raw: bytes, declared: str | None, language: str) -> str:
    """Python's codec for these bytes: the declared one, else UTF-8 where they are, else what the language suggests."""
    if declared and declared != UTF_8:
        return declared
    name, region = language_and_region(language)
    if name == "zh" and (region in ("TW", "HK", "MO") or "hant" in language.lower()):
        name = "zh-Hant"
    likely = LIKELY.get(name, ())
    if b"\x1b" in raw and "iso2022_jp" in likely and _fits(raw, "iso2022_jp"):
        return "iso2022_jp"
    if _is_utf_8(raw):
        return UTF_8
    return next((each for each in likely if _fits(raw, each)), USUAL)


def _is_utf_8(raw: bytes) -> bool:
    """Whether it is UTF-8, or mostly: a script may have cut a text in the middle of a character."""
    read = raw.decode(UTF_8, "replace")
    broken = read.count("\ufffd") - raw.count(b"\xef\xbf\xbd")
    return not broken or sum(character > "\x7f" for character in read) - read.count("\ufffd") > broken


def _fits(raw: bytes, candidate: str) -> bool:
    try:
        return not _UNLIKELY.search(raw.decode(candidate))
    except UnicodeDecodeError:
        return False


def _decode(raw: bytes, chosen: str) -> str:
    return raw.decode(chosen, "leadhook.percent")


def _percent(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return quote_from_bytes(error.object[error.start : error.end], safe=""), error.end


codecs.register_error("leadhook.percent", _percent)


def _with_references(value: str, chosen: str) -> str:
    """The value with the characters that a browser had to write as &#128640;, because the encoding does not have them.

    What the encoding has, a browser does not write so: then a visitor typed it, and it stays. UTF-8 has everything.
    """
    return value if chosen == UTF_8 else _REFERENCE.sub(partial(_character, chosen=chosen), value)


def _character(found: re.Match[str], chosen: str) -> str:
    number = int(found[1])
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        return found[0]
    try:
        chr(number).encode(chosen)
    except UnicodeEncodeError:
        return chr(number)
    return found[0]


def _bytes(kept: str) -> bytes:
    return kept.encode(UTF_8, "surrogateescape")
