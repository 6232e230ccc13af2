"""Numbers as people write them, and as programs do. docs/forms.md has the same rules in a table.

The language of a form says which sign is for thousands and which for decimals. Where only one reading is possible, the
language does not matter: 12,5 is 12.5 on an English form too, because many phones offer only a comma.
"""

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

MOST_DIGITS = 15  # JSON readers would round a longer number

# The separators by language, as in CLDR 45 (compared with ICU's own data). Not taken from Babel: it would bring 10 MB
# for these lines, and it says how a number is written, not whether another reading is possible. What is not named here
# writes 1,234.5, as English does.
_COMMA_AND_DOT = "az bs ca da de el es eu fo fy gl hr id is it jv lb lo mk nl pt ro sl sr tr vi"
_COMMA_AND_DOT += " ar-DZ ar-LY ar-MA ar-TN ms-BN"
_COMMA_AND_SPACE = "af be bg br cs eo et fi fr hu hy ka kk ky lt lv nb nn no oc pl rm ru se sk sq sv tg tk tt uk uz"
_COMMA_AND_SPACE += " en-ZA es-CR"
_POINT_AND_COMMA = "es-419 es-CU es-DO es-GT es-HN es-MX es-NI es-PA es-PE es-PR es-SV es-US"
_POINT_AND_APOSTROPHE = "de-CH de-LI it-CH gsw"
_SEPARATORS = {
    **dict.fromkeys(_COMMA_AND_DOT.split(), (",", ".")),
    **dict.fromkeys(_COMMA_AND_SPACE.split(), (",", " ")),
    **dict.fromkeys(_POINT_AND_COMMA.split(), (".", ",")),
    **dict.fromkeys(_POINT_AND_APOSTROPHE.split(), (".", "'")),
}

_MINUS = dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-")
_APOSTROPHE = dict.fromkeys("\u2018\u2019\u02bc\u2032\u00b4`\uff07\u066c", "'")  # the last one: Arabic thousands
_SIGNS = _MINUS | _APOSTROPHE | {"\uff0b": "+", "\uff0e": ".", "\uff0c": ",", "\u060c": ","}
_POINT = "\u066b"  # the Arabic decimal sign, which has no other meaning

_AS_JSON = re.compile(r"(-?)(\d+(?:\.\d+)?)(?:[eE]([+-]?\d{1,4}))?", re.ASCII)
_WHOLE = re.compile(r"\d+", re.ASCII)
_ONE_SIGN = re.compile(rf"(\d*)([.,{_POINT}])(\d*)", re.ASCII)
_ONE_GROUP = re.compile(r"[1-9]\d{0,2}", re.ASCII)
_THOUSANDS, _LAKHS = r"[1-9]\d{0,2}(?:%s\d{3})+", r"[1-9]\d?(?:,\d{2})+,\d{3}"  # 1,234,567 and 12,34,567
# Texts with signs for thousands that have one reading in every language.
_GROUPED = [
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"({_THOUSANDS % ' '}|{_THOUSANDS % chr(39)})(?:[.,{_POINT}](\d+))?",
        rf"({_THOUSANDS % '[.]'}),(\d+)",
        rf"({_THOUSANDS % ','}|{_LAKHS})\.(\d+)",
        rf"([1-9]\d{{0,2}}(?:\.\d{{3}}){{2,}}|[1-9]\d{{0,2}}(?:,\d{{3}}){{2,}}|{_LAKHS})()",
    )
]


class Unclear(ValueError):
    """A text with two readings. `first` and `second` are both, written so that each has one meaning in that form."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first, second)
        self.first, self.second = first, second


def exact(text: str) -> int | float:
    """A number as JSON writes it, such as -12.5 or 1e5; ValueError for other text, and past 15 digits."""
    found = _AS_JSON.fullmatch(text)
    if not found:
        raise ValueError(text)
    number = Decimal(text)
    digits = found[2].replace(".", "").strip("0")
    if digits and (len(digits) > MOST_DIGITS or not -300 < number.adjusted() < MOST_DIGITS):
        raise ValueError(text)
    return int(number) if number == number.to_integral_value() else float(number)


def read(text: str, language: str) -> int | float:
    """A number that a person typed into a form of that language.

    Unclear where it has two readings and the language does not decide; another ValueError where it is no number.
    """
    plain = ascii_only(text)
    sign = "-" if plain.startswith("-") else ""
    plain = plain[1:].lstrip() if plain[:1] in ("-", "+") else plain
    if _WHOLE.fullmatch(plain) or "e" in plain.lower():
        return exact(sign + plain)
    if found := _ONE_SIGN.fullmatch(plain):
        return _read_one_sign(sign, found[1], found[2], found[3], language)
    for pattern in _GROUPED:
        if found := pattern.fullmatch(plain):
            return exact(f"{sign}{''.join(filter(str.isdigit, found[1]))}.{found[2] or 0}")
    raise ValueError(text)


def _read_one_sign(sign: str, whole: str, mark: str, rest: str, language: str) -> int | float:
    """A text with one . or , in it: 1.234 may be a thousand or hardly more than one, 12,5 cannot."""
    if not whole and not rest:
        raise ValueError(mark)
    fraction = f"{sign}{whole or 0}.{rest or 0}"
    if mark == _POINT or len(rest) != 3 or not _ONE_GROUP.fullmatch(whole):
        return exact(fraction)
    decimal, group = separators(language)
    if mark == group:
        return exact(sign + whole + rest)
    # Decimals that end in 0 are hardly ever typed, and never written by a program: 10.000 may well be ten thousand.
    if mark == decimal and not rest.endswith("0"):
        return exact(fraction)
    raise Unclear(sign + whole + rest, written(exact(fraction), language))


def written(number: float | str, language: str) -> str:
    """A number (or its text, as `exact` reads it) as `read` reads it in that language, without signs for thousands."""
    found = exact(str(number))
    plain = f"{Decimal(repr(found)):f}"
    return plain.replace(".", separators(language)[0])


@lru_cache(maxsize=200)
def separators(language: str) -> tuple[str, str]:
    """The signs for decimals and for thousands in a language (a BCP 47 tag); "'" and " " for all of their kind."""
    name, region = language_and_region(language)
    return _SEPARATORS.get(f"{name}-{region}") or _SEPARATORS.get(name) or (".", ",")


def language_and_region(tag: str) -> tuple[str, str]:
    """The language of a tag in small letters and its region in capitals, which may be empty: sr-Latn-RS is sr, RS."""
    name, *more = tag.split("-")
    region = next((part.upper() for part in more if len(part) == 2 or (len(part) == 3 and part.isdigit())), "")
    return name.lower(), region


def ascii_only(text: str) -> str:
    """The text with digits, signs and spaces of any script as those of ASCII, without invisible characters."""
    return "".join(map(_in_ascii, text)).strip()


def _in_ascii(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category in ("Cf", "Mn"):  # marks of direction, and what pasted text brings with it
        return ""
    return " " if category == "Zs" else _SIGNS.get(character, character)
