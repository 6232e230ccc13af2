"""Dates as browsers send them (2027-03-31), and as people write them where the control is plain text."""

import re
from datetime import date

from webapp.models import Field
from webapp.services.interfaces.numbers import Unclear, ascii_only, language_and_region

# What a visitor may answer where the field's own limits allow no more. A two-digit year, typed into a date control of
# Chromium, arrives as the year 0027.
EARLIEST, LATEST = "1900-01-01", "2199-12-31"
# What an operator may set as a limit.
OLDEST, LAST = "1000-01-01", "9999-12-31"

# The orders are as in CLDR 45. Languages that are not named put the day first. English alone says nothing: half of its
# readers put the month first. Where the year comes first, a year at the end is foreign, and its order is not known.
_MONTH_FIRST = frozenset({"en-US", "en-PH", "es-PA", "es-PR", "fil"})
_UNKNOWN = frozenset({"af", "en", "en-CA", "en-ZA", "eo", "eu", "fa", "fr-CA", "hu", "ja", "ko", "lt", "mn", "ne"})
_UNKNOWN |= {"oc", "se", "sv", "zh"}

_AROUND_MARK = re.compile(r" *([-/.年년月월日일]) *")
_YEAR_FIRST = re.compile(r"(\d{4})(?:([-/.])(\d{1,2})\2(\d{1,2})\.?|[年년](\d{1,2})[月월](\d{1,2})[日일])", re.ASCII)
_ONLY_DIGITS = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})", re.ASCII)


def read(text: str, language: str) -> str:
    """A date that a person typed into a form of that language, as 2027-03-31.

    Unclear where it has two readings and the language does not decide; another ValueError where it is no date.
    """
    plain = _AROUND_MARK.sub(r"\1", ascii_only(text))
    if found := _YEAR_FIRST.fullmatch(plain) or _ONLY_DIGITS.fullmatch(plain):
        year, month, day = (int(part) for part in found.groups() if part and part.isdigit())
        return date(year, month, day).isoformat()
    found = _YEAR_LAST.fullmatch(plain)
    if not found:
        raise ValueError(text)
    first, mark, second, year = int(found[1]), found[2], int(found[3]), int(found[4])
    readings = {"day": _day(year, second, first), "month": _day(year, first, second)}
    known = sorted({each for each in readings.values() if each})
    if not known:
        raise ValueError(text)
    if len(known) == 1:
        return known[0]
    order = _first_part(language)
    if order is None or (order == "month" and mark == "."):  # with full stops, nearly all the world begins with the day
        raise Unclear(*known)
    return str(readings[order])


def bounds(field: Field) -> tuple[str, str]:
    """The first and the last day that a Date field accepts: its own limits, or else what is likely."""
    least = field.minimum or (OLDEST if field.maximum and field.maximum < EARLIEST else EARLIEST)
    most = field.maximum or (LAST if field.minimum and field.minimum > LATEST else LATEST)
    return least, most


def _day(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _first_part(language: str) -> str | None:
    """What comes first in a date that ends with the year: "day", "month", or None if that is not known."""
    name, region = language_and_region(language)
    known = {f"{name}-{region}", name} if name != "en" or not region else {f"{name}-{region}"}
    if known & _MONTH_FIRST:
        return "month"
    return None if known & _UNKNOWN else "day"
