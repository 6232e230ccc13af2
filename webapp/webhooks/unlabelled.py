"""Guesses in which encoding a text is that is not UTF-8, and that no label, or a wrong one, came with.

Answers are short, and short texts fit several encodings: charset-normalizer then takes one by its name. For what it
mistakes most, the frequent characters of an encoding decide before it is asked.
"""

import re

from charset_normalizer import from_bytes

SAMPLE = 2048  # bytes that are looked at
FEW = 4  # bytes
_HIGH = re.compile(rb"[\x80-\xff]+")
_LETTER = re.compile(rb"[A-Za-z]")
_IN_WORDS = re.compile("(?<=[A-Za-z])[^\x00-\x7f]|[^\x00-\x7f](?=[A-Za-z])")
_KANA = re.compile("[\u3041-\u30fa]")
# East Asian encodings, and how they write their frequent characters: syllables, the first level of the ideographs,
# punctuation. Of two that fit equally well the first is taken.
_FREQUENT = {
    "cp949": re.compile(rb"[\xa1\xa3\xb0-\xc8][\xa1-\xfe]"),
    "gb18030": re.compile(rb"[\xa1\xa3\xb0-\xd7][\xa1-\xfe]"),
    "euc_jp": re.compile(rb"[\xa1\xa3-\xa5\xb0-\xcf][\xa1-\xfe]"),
    "big5hkscs": re.compile(rb"[\xa1-\xc6][\x40-\xfe]"),
    "cp932": re.compile(rb"[\x81-\x83\x88-\x98][\x40-\xfc]"),
}
# Encodings of Latin letters, the most usual first. A sign between two letters shows that it is another one of them.
_LATIN = ("cp1252", "cp1250", "iso8859_2", "cp1257")
_SIGN = re.compile("(?<=[^\\W\\d_])[\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf](?=[^\\W\\d_])|[\x80-\x9f]")
_ALPHABETS = ("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874", "cp866")


def guess(raw: bytes) -> str | None:
    """Python's codec for these bytes, which have few control characters; None if they are no text.

    Short texts in Greek, Hebrew and Turkish are often taken for others: they need a label.
    """
    sample = raw[:SAMPLE]
    high = b"".join(_HIGH.findall(sample))
    if not high:
        return None
    letters = sum(byte >= 0xC0 for byte in high)  # where the encodings of alphabets have theirs
    if len(high) < FEW or letters < 0.95 * len(high):
        best = max(_FREQUENT, key=lambda each: _frequent_part(sample, each))
        if _frequent_part(sample, best) >= 0.85:
            return best
    latin = next((each for each in _LATIN if _has_no_sign(sample, each)), _LATIN[0])
    if not is_dense(sample):
        return latin
    for candidates in (_ALPHABETS, _FREQUENT):
        if found := from_bytes(sample, cp_isolation=[*candidates]).best():
            return found.encoding
    return latin if len(_LETTER.findall(sample)) > len(high) else None  # what is in ASCII can be read at least


def is_dense(raw: bytes) -> bool:
    """Whether bytes above ASCII come in rows, or are most of the text, as in all scripts but the Latin one."""
    sample = raw[:SAMPLE]
    rows = _HIGH.findall(sample)
    high, long = sum(map(len, rows)), sum(len(row) > 2 for row in rows)
    return (high >= FEW and (long * 3 >= len(rows) or high > 2 * len(rows))) or 3 <= high > len(_LETTER.findall(sample))


def _has_no_sign(sample: bytes, codec: str) -> bool:
    try:
        return not _SIGN.search(sample.decode(codec))
    except UnicodeDecodeError:
        return False


def _frequent_part(sample: bytes, codec: str) -> float:
    """How many of its characters above ASCII are frequent ones, from 0 to 1. 0 where they are within Latin words."""
    text = sample.decode(codec, "replace")
    characters = [character for character in text if character > "\x7f"]
    if len(_IN_WORDS.findall(text)) * 4 > len(characters):
        return 0.0
    if codec == "euc_jp" and len(_KANA.findall(text)) * 10 < len(characters) * 3:
        return 0.0  # Chinese and Korean texts fit, too
    # "ignore": Big5 reads two characters in some pairs of bytes, and has no way to write the second one alone.
    written = (character.encode(codec, "ignore") for character in characters if character != "\ufffd")
    known = sum(map(bool, map(_FREQUENT[codec].fullmatch, written)))
    return known / max(len(characters), 1)
