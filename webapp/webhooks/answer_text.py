"""The receiver's words as text, if they are compressed or not in plain UTF-8. An ordinary answer never comes here.

Order of belief: a byte order mark, UTF-8 where the bytes are that, the charset of Content-Type, the beginning of a
document in HTML or XML, a guess (unlabelled.py). Labels are those of the web (encoding_labels.py): a receiver cannot
choose one of Python's other codecs.
"""

import codecs
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping

from webapp.webhooks import unlabelled
from webapp.webhooks.encoding_labels import CODECS
from webapp.webhooks.unpacking import NotPacked, unpack

log = logging.getLogger(__name__)

SHORT = 32  # bytes: what is shorter is always shown
LOOKED_AT = 1024  # bytes of a document in which it says its encoding; HTML wants it there
LONGEST = 500  # characters of a header that are looked at
_UTF_8 = "utf_8"
_MARKS = (
    (codecs.BOM_UTF8, _UTF_8),
    (codecs.BOM_UTF32_LE, "utf_32_le"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf_32_be"),
    (codecs.BOM_UTF16_LE, "utf_16_le"),
    (codecs.BOM_UTF16_BE, "utf_16_be"),
)
_WIDE = re.compile("utf-?(16|32)(le|be)?|(?:iso-10646-)?ucs-?[24]|unicode|csunicode")
_EAST_ASIAN = {"gb18030", "big5hkscs", "euc_jp", "cp932", "cp949"}
_CHARSET = re.compile(r"charset\s{0,9}=\s{0,9}[\"']?([\w.:+-]+)", re.IGNORECASE)
_IN_DOCUMENT = re.compile(
    rb"<\?xml[^>]{0,200}?encoding\s{0,9}=\s{0,9}[\"']([\w.:-]+)|<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?([\w.:-]+)",
    re.IGNORECASE,
)
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd-\uffff]")
_PLAIN = re.compile(rb"[^\x00-\x08\x0b\x0e-\x1f\x7f]*")
_UNLIKELY = re.compile("[\x80-\x9f\uf8f0-\uf8f3]")  # as in services/intake/encodings.py


def text_of(body: bytes, fields: Mapping[str, str], is_cut: bool) -> tuple[str, bool]:
    """The answer as text without NUL, and whether its end is missing. `is_cut`: whether that was so as it came.

    An answer that is no text becomes a sentence. Never raises: a receiver that took the lead has taken it.
    """
    try:
        return _text_of(body, fields, is_cut)
    except Exception:
        log.exception("An answer could not be read")
        return body.decode(_UTF_8, "replace").replace("\0", ""), is_cut


def _text_of(body: bytes, fields: Mapping[str, str], is_cut: bool) -> tuple[str, bool]:
    codings = [coding for coding in re.split(r"[\s,]+", fields.get("content-encoding", "")[:LONGEST].lower()) if coding]
    plain = body
    if not (_PLAIN.fullmatch(body) and _fitting(body, _UTF_8, is_cut) is not None):  # packed bytes never look like that
        try:
            plain, cut_here = unpack(body, codings)
            is_cut = is_cut or cut_here
        except NotPacked:
            pass
    declared = _CHARSET.findall(fields.get("content-type", "")[:LONGEST])
    text = _decode(plain, [label.lower() for label in (*declared, *codings)], is_cut)
    if len(plain) >= SHORT and len(_NO_TEXT.findall(text)) * 10 > len(text):
        coded = f", and its Content-Encoding is {', '.join(codings)[:60]}" if codings else ""
        return f"({len(body)} bytes not shown: the response is not text{coded})".replace("\0", ""), is_cut
    return text.replace("\0", ""), is_cut


def _decode(raw: bytes, labels: list[str], is_cut: bool) -> str:
    for mark, codec in _MARKS:
        if raw.startswith(mark):
            return _read(raw.removeprefix(mark), codec, is_cut)
    in_document = [(found[1] or found[2]).decode().lower() for found in _IN_DOCUMENT.finditer(raw[:LOOKED_AT])]
    labels = [*labels, *in_document]
    for codec in _by_bytes(raw, any(map(_WIDE.fullmatch, labels))):
        if (text := _fitting(raw, codec, is_cut)) is not None:
            return text
    declared = [CODECS[label] for label in labels if label in CODECS]
    chosen = _chosen(raw, [codec for codec in declared if codec != _UTF_8], is_cut)
    return _read(raw, chosen or next(iter(declared), _UTF_8), is_cut)


def _by_bytes(raw: bytes, is_wide: bool) -> Iterator[str]:
    """Encodings that their bytes show. `is_wide`: a label says that it is UTF-16 or UTF-32."""
    if b"\x1b$" in raw or b"\x1b(" in raw:
        yield "iso2022_jp_ext"
    if b"\0" in raw or is_wide:
        yield from _wide(raw, is_wide)


def _wide(raw: bytes, is_declared: bool) -> Iterator[str]:
    """UTF-32 and UTF-16 have NUL bytes in fixed places, as most texts have ASCII characters."""
    places = [raw[at::4].count(0) for at in range(4)]
    fourth, half = len(raw) // 4, len(raw) // 2
    if len(raw) < 8 and not is_declared:
        return
    if fourth and min(places[2:]) >= fourth:
        yield "utf_32_le"
    if fourth and min(places[:2]) >= fourth:
        yield "utf_32_be"
    even, odd = places[0] + places[2], places[1] + places[3]
    least = 0.3 * half
    if max(even, odd) > (0 if is_declared else least) and min(even, odd) * 10 < max(even, odd):
        yield "utf_16_le" if odd > even else "utf_16_be"
    elif is_declared and even == odd == 0 and _fitting(raw, _UTF_8, True) is None:
        yield min(("utf_16_le", "utf_16_be"), key=lambda codec: _strange(raw.decode(codec, "replace")))


def _strange(text: str) -> int:
    """How many characters no one uses."""
    return sum(unicodedata.category(character) in ("Cn", "Co", "Cs", "So") for character in text)


def _chosen(raw: bytes, declared: list[str], is_cut: bool) -> str | None:
    """The codec that fits best; None if none does."""
    utf_8 = _fitting(raw, _UTF_8, is_cut)
    if utf_8 and not is_cut and utf_8[-1] == "\ufffd" and raw[:-1].isascii():
        utf_8 = None  # one byte is no sign of UTF-8
    for codec in declared:
        if _fitting(raw, codec, is_cut) is None:
            continue
        # Servers write ISO-8859-1 by habit, and every byte fits it. A few Chinese characters may also be UTF-8, but
        # hardly any that needs three bytes there.
        if utf_8 is not None and not (codec in _EAST_ASIAN and max(utf_8, default="") < "\u0800"):
            return _UTF_8
        if codec == "cp1252" and unlabelled.is_dense(raw):
            return unlabelled.guess(raw) or codec
        return codec
    if utf_8 is not None or _is_mostly_utf_8(raw):
        return _UTF_8
    if b"\0" in raw or not _is_texts(raw):
        return None
    return unlabelled.guess(raw)


def _is_texts(raw: bytes) -> bool:
    """Whether it has as few control characters as a text."""
    return len(raw) - sum(map(len, _PLAIN.findall(raw))) <= 0.05 * len(raw)


def _is_mostly_utf_8(raw: bytes) -> bool:
    read = raw.decode(_UTF_8, "replace")
    broken = read.count("\ufffd") - raw.count("\ufffd".encode())
    return sum(character > "\x7f" for character in read) - read.count("\ufffd") > broken


def _fitting(raw: bytes, codec: str, is_cut: bool) -> str | None:
    """The text, if every byte fits. The last character may be incomplete; only where nothing else is missing it is
    marked: some receivers count characters in Content-Length, and bytes are read."""
    for final in (False,) if is_cut else (True, False):
        try:
            text = codecs.getincrementaldecoder(codec)().decode(raw, final)
        except UnicodeDecodeError:
            continue
        text += "" if final or is_cut else "\ufffd"
        return text if codec == _UTF_8 or not _UNLIKELY.search(text) else None
    return None


def _read(raw: bytes, codec: str, is_cut: bool) -> str:
    """The text, with a mark for what does not fit."""
    return codecs.getincrementaldecoder(codec)("replace").decode(raw, not is_cut)
