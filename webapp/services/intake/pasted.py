"""What people paste or write around a phone number or an e-mail address, taken apart.

Only texts that are more than a plain number or address come here. `phone` and `address` judge nothing: whether a number
or an address is valid is decided in contact_details.py.
"""

import re
import unicodedata
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote

# Characters that cannot be seen: controls of the writing direction, zero-width and soft marks, variation selectors.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20e3\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0001-\U000e007f\U000e0100-\U000e01ef]"
)
# Those of them that no address contains. Emoji and Persian need some of the others.
_NEVER_IN_ADDRESS = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # the ASCII of Japanese and Chinese keyboards
_ADDRESS_SIGNS = _FULL_WIDTH | dict.fromkeys((0x2010, 0x2011), ord("-"))
_PHONE_SIGNS = _FULL_WIDTH | {
    **dict.fromkeys(map(ord, "\u2212\u02d7\u2043\u30fc\uff70"), "-"),  # minus signs, and the Japanese long vowel
    **dict.fromkeys(map(ord, "\u2044\u2215"), "/"),
    **dict.fromkeys(map(ord, "\u00b7\u2022\u2027\u30fb\u3002"), "."),
    **dict.fromkeys(map(ord, "\ufe62\u2795"), "+"),
    **dict.fromkeys(map(ord, "\uff0c\u3001"), ","),
    **dict.fromkeys(map(ord, "\u2768\u3010\u3014"), "("),
    **dict.fromkeys(map(ord, "\u2769\u3011\u3015"), ")"),
}

_LABEL = re.compile(
    r"^[☎✆☏℡📞📱]?\s*(?:(?:t[eé]l(?:[eé](?:f(?:one|ono|oon|on)|phone))?|fon|phone|ph|mob(?:ile?)?|m[oó]vil|cell?|celular"
    r"|handy|gsm|тел(?:ефон)?|電話|电话|callto|[tmp](?=[.:]))(?![^\W\d_])[\s.:]*(?://)?)?\s*",
    re.IGNORECASE,
)
_CONTEXT = re.compile(r";phone-context=([^;]*)", re.IGNORECASE)
# Not the Austrian "Kl.": in Danish and Swedish it is a time of day.
_EXTENSION_WORDS = (
    r"e?xt(?:n|en(?:[st][^\W\d_]*)?)?|anexo|int(?:erno?|ernt|erior)?|доб(?:авочный)?|доп|дод(?:атковий)?|внутр?|вн|ramal"
    r"|durchwahl|dw|nebenstelle|nst|app(?:arat)?|klappe|poste|toestel|tst|wewn?(?:ętrzny)?|linka|anknytning|ankn|lokal"
    r"|alanumero|dahili|mellék|εσωτ|内線|內線|分机|分機|转|轉|내선|تحويلة|داخلي|שלוחה"
)
_WRITTEN = re.compile(
    r"(?P<number>[+(\[ ]*[0-9][0-9 ().\[\]/-]*)"
    rf"(?:[\s,;]*(?:(?:;ext=|(?:{_EXTENSION_WORDS})[\s.:=#-]*(?:(?:no|nr|number)\b[\s.:]*)?)(?P<named>[0-9]{{1,15}})"
    r"|(?:x[\s.:]*|\#\s*)(?P<signed>[0-9]{1,9}))|(?:,{1,3}|;)(?P<paused>[0-9]{1,6}))?"
    r"\s*\#?[\s)\]]*",
    re.IGNORECASE,
)
_AT_THE_ENDS = " \t.,;:!?'\"“”„‘’«»‹›"
_WRAPPED = re.compile(r"^[(\[]([^()\[\]]*)[)\]]$")
_BRACKETED = re.compile(r"\(\s*([0-9][0-9 .-]*)\)")

_NAMED = re.compile(r"(?P<name>[^<>]*)<\s*(?:mailto:)?(?P<address>[^<>]+?)\s*>[\s.,;]*", re.IGNORECASE)
_MAIL_LABEL = re.compile(r"\s*e?-?mail\s*:\s*", re.IGNORECASE)


class Written(NamedTuple):
    """A phone number as it is written: its groups of ASCII digits, whether a + comes first, and the extension's digits.

    The number is only taken apart here. It may be one that does not exist.
    """

    has_plus: bool
    groups: tuple[str, ...]
    extension: str = ""


def phone(typed: str) -> Written | None:
    """The one phone number that a text consists of; None for a text with anything else, such as unknown words.

    A remark is not dropped: "not 030 12345" and "030 12345 zwei" mean another number.
    """
    text = _readable(typed)
    context = _CONTEXT.search(text)
    if context:
        text = text.replace(context[0], "", 1)
    if "tel:%" in text.lower():
        text = unquote(text)
    found = _WRITTEN.fullmatch(_bare(text))
    if not found:
        return None
    extension = found["named"] or found["signed"] or found["paused"] or ""
    number = found["number"].replace("[", "(").replace("]", ")")
    return _written(number.rstrip(" (.,/-") if extension else number, extension, context and context[1])


def _written(number: str, extension: str, context: str | None) -> Written | None:
    """`context` is what a national number in the form of RFC 3966 belongs to, such as +49; a host name is none."""
    if context is not None:
        if not re.fullmatch(r"\+[0-9().-]+", context):
            return None
        number = number if "+" in number else f"{context} {number}"
    if "+" in number:
        before, _, after = number.partition("+")
        number = f"{before}{after}"  # (+49) 30 is +(49) 30
        if "+" in number or before.strip(" ("):
            return None
        return Written(True, _groups(number), extension) if _is_one(number) else None
    return Written(False, _groups(number), extension) if _is_one(number) else None


def _is_one(number: str) -> bool:
    """Whether brackets and separators are those of one number: (030) / 12345-67, but not 030 12345 / 030 12346.

    Brackets and the slash belong to the area code; later they are a remark, another ending or another number.
    """
    for bracket in _BRACKETED.finditer(number):
        if _count(number[: bracket.start()]) > 6 or not _count(number[bracket.end() :]):
            return False
    plain = _BRACKETED.sub(r" \1 ", number)
    area, slash, rest = plain.partition("/")
    if "(" in plain or ")" in plain or "/" in rest or (slash and (_count(area) > 8 or _count(rest) < 4)):
        return False
    parts = [_count(part) for part in re.split(r"\s-+\s", plain)]
    return not any(one >= 6 and other >= 6 for one, other in pairwise(parts))


def _groups(number: str) -> tuple[str, ...]:
    return tuple(re.findall("[0-9]+", number))


def _count(text: str) -> int:
    return sum(character.isdigit() for character in text)


def _bare(text: str) -> str:
    """The text without brackets, quotes and a label around all of it, such as (Tel. 030 12345)."""
    for _ in range(2):
        text = _WRAPPED.sub(r"\1", text.strip(_AT_THE_ENDS)).strip(_AT_THE_ENDS)
        text = _LABEL.sub("", text, count=1)
    return text


def _readable(text: str) -> str:
    """The text in ASCII, as far as digits, signs and spaces go: Arabic digits, full-width signs, typographic dashes."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).translate(_PHONE_SIGNS)
    return "".join(map(_in_ascii, text))


def _in_ascii(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.digit(character))
    return {"Pd": "-", "Zs": " "}.get(kind, character)


def address(typed: str) -> str:
    """The one e-mail address that a text holds, without what was pasted with it; the text if that is not certain.

    Cut off are a name with the address in angle brackets, mailto:, quotes and brackets around it, and a full stop or
    comma behind it.
    """
    text = _MAIL_LABEL.sub("", typed.strip(), count=1) if _MAIL_LABEL.match(typed) else typed.strip()
    named = _NAMED.fullmatch(text)
    if named and ("@" not in named["name"] or named["name"].strip(_AT_THE_ENDS) == named["address"]):
        text = named["address"]
    if text[:7].lower() == "mailto:":
        text = unquote(text[7:].partition("?")[0])
    text = text.strip(f"{_AT_THE_ENDS}<>()[]{{}}")
    return re.sub(r"\s*@\s*", "@", text)


def visible(typed: str) -> str:
    """An address without characters that cannot be seen, and with the ASCII signs for those of a Japanese keyboard."""
    text = typed.translate(_ADDRESS_SIGNS)
    bare = _INVISIBLE.sub("", text)
    return bare if bare.isascii() else _NEVER_IN_ADDRESS.sub("", text)
