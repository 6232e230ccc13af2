"""Filters for moments and dates. Leadhook's moments are UTC with milliseconds; a date field has a date alone."""

import re
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from webapp.webhooks.formats.named_filter import Apply, NamedFilter, UnfitArgument, text_of, texts
from webapp.webhooks.formats.work import CannotRender, Work

# Of strftime, those that mean the same everywhere. A width, such as %9999d, is none of them.
_CODES = frozenset("YymdjHIMSpzBbAa%")
_CODE = re.compile("%(.?)", re.DOTALL)
MAX_FORMAT = 100  # characters
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _date(zone: str = "UTC", how: str = "", *default: Any) -> Apply:
    """A moment in a time zone, by default as ISO 8601; a date alone stays in its day."""
    if len(default) > 1:
        raise TypeError
    texts(zone, how)
    there = _zone(zone)
    _check(how)

    def write(text: str) -> str:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return day.strftime(how) if how else text
        moment = _moment(text).astimezone(there)
        return moment.strftime(how) if how else moment.isoformat(timespec="seconds")

    return _reading(write, default)


def _epoch_ms(*default: Any) -> Apply:
    """A moment, or the beginning of a date in UTC, in milliseconds since 1970."""
    if len(default) > 1:
        raise TypeError
    return _reading(lambda text: round(_moment(text).timestamp() * 1000), default)


def _reading(read: Any, default: tuple[Any, ...]) -> Apply:
    def apply(value: Any, work: Work) -> Any:
        text = text_of(value, work).strip()
        work.spend(200)
        if not text:
            return value
        try:
            return read(text)
        except (ValueError, OverflowError) as error:
            if default:
                return default[0]
            sentence = "A text that is no date was given to a filter for dates. The filter can be given a default."
            raise CannotRender(sentence) from error

    return apply


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise UnfitArgument(f"“{name[:40]}” is no time zone. Write one such as Europe/Berlin.") from error


def _check(how: str) -> None:
    if len(how) > MAX_FORMAT:
        raise UnfitArgument(f"its format can have at most {MAX_FORMAT} characters.")
    for code in _CODE.findall(how):
        if code not in _CODES or not code:
            raise UnfitArgument(f"“%{code}” is not known in its format. Known are: %{' %'.join(sorted(_CODES))}.")


DATES = {
    "date": NamedFilter(_date, 'date("Europe/Berlin", "%d.%m.%Y %H:%M")'),
    "epoch_ms": NamedFilter(_epoch_ms, "epoch_ms"),
}
