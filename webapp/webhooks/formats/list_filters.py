"""Filters for several answers: pick some, list them, and fit them into what a service takes."""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from webapp.webhooks.formats.known_names import PAIR, VALUE, ListOf, Shape, item_shape
from webapp.webhooks.formats.lengths import cut, cut_bytes, json_bytes, level, units
from webapp.webhooks.formats.named_filter import Apply, NamedFilter, same, texts, whole
from webapp.webhooks.formats.texts import as_text, for_people, is_empty, words
from webapp.webhooks.formats.work import Work

MAX_LIST, MAX_ROOM = 1000, 1_000_000
LEAST = 10  # of each value that is kept
LONGEST_NAME = 100  # UTF-16 units of a pair's name: undeclared answers can have long ones


def _pick(*keys: str) -> Apply:
    """The first answer among these keys that is not empty or blank. A form may lack some of them, or all."""
    texts(*keys)
    if not keys:
        raise TypeError

    def pick(value: Any, work: Work) -> Any:
        work.spend(10 * len(keys))
        found = value if isinstance(value, dict) else {}
        return next((found[key] for key in keys if not _is_blank(found.get(key))), None)

    return pick


def _is_blank(value: Any) -> bool:
    return value.isspace() or not value if isinstance(value, str) else is_empty(value)


def _pairs(*without: str) -> Apply:
    """Answers as a list of objects with `key`, `name` (the key as words) and `value` (text for people), without empty
    ones and without these keys."""
    texts(*without)

    def pairs(value: Any, work: Work) -> list[dict[str, str]]:
        found = []
        for key, given in value.items() if isinstance(value, dict) else ():
            text = for_people(given).strip()
            work.spend(len(text) + 100)
            if text and key not in without:
                found.append({"key": key, "name": cut(words(key), LONGEST_NAME), "value": text})
        return found

    return pairs


def _values(value: Any, work: Work) -> list[str]:
    """The answers of an object as texts, empty ones too, so that each keeps its place."""
    found = [as_text(each) for each in value.values()] if isinstance(value, dict) else []
    work.spend(sum(map(len, found)) + 50 * len(found))
    return found


def _fitting(measure: Callable[[str], int], shorten: Callable[[str, int], str]) -> Callable[..., Apply]:
    def make(total: int, each: int = MAX_ROOM) -> Apply:
        whole(total, "the length", MAX_ROOM)
        whole(each, "the length of each", MAX_ROOM)

        def fit(value: Any, work: Work) -> list[Any]:
            return _fit(value if isinstance(value, list) else [], work, total, each, measure, shorten)

        return fit

    return make


def _fit(
    items: list[Any],
    work: Work,
    total: int,
    each: int,
    measure: Callable[[str], int],
    shorten: Callable[[str, int], str],
) -> list[Any]:
    """The items, texts or pairs, cut so that names and values together have at most `total`. Short ones stay whole; if
    there are too many, the last ones are left out."""
    names = [measure(str(item.get("name") or "")) if isinstance(item, dict) else 0 for item in items]
    values = [for_people(item.get("value") if isinstance(item, dict) else item) for item in items]
    work.spend(sum(map(len, values)) + 200 * len(items))
    kept = bisect_right(list(accumulate(size + LEAST for size in names)), total)
    lengths = [min(measure(value), each) for value in values[:kept]]
    most = min(level(lengths, total - sum(names[:kept])), each)
    shortened = [shorten(value, most) for value in values[:kept]]
    return [
        {**item, "value": text} if isinstance(item, dict) else text
        for item, text in zip(items, shortened, strict=False)
    ]


def _lines(value: Any, work: Work) -> str:
    """Pairs as lines of "Name: value"."""
    found = []
    for item in value if isinstance(value, list) else []:
        pair = item if isinstance(item, dict) else {"value": item}
        found.append(": ".join(filter(None, (for_people(pair.get("name")), for_people(pair.get("value"))))))
        work.spend(len(found[-1]) + 100)
    return "\n".join(found)


def _chunks(size: int) -> Apply:
    """Lists of at most `size` elements."""
    whole(size, "the size", MAX_LIST)

    def chunks(value: Any, work: Work) -> list[list[Any]]:
        items = value if isinstance(value, list) else []
        work.spend(10 * len(items))
        return [items[start : start + size] for start in range(0, len(items), size)]

    return chunks


def _take(count: int) -> Apply:
    whole(count, "the number", MAX_LIST)
    return lambda value, work: value[:count] if isinstance(value, list) else value


def _first(value: Any, work: Work) -> Any:
    return (value[0] if value else None) if isinstance(value, list) else value


def _last(value: Any, work: Work) -> Any:
    return (value[-1] if value else None) if isinstance(value, list) else value


def _element(shape: Shape) -> Shape:
    return item_shape(shape) if isinstance(shape, ListOf) else shape


LISTS = {
    "pick": NamedFilter(_pick, 'pick("email", "mail")'),
    "pairs": NamedFilter(_pairs, 'pairs or pairs("message")', lambda shape: ListOf(PAIR)),
    "lines": NamedFilter(lambda: _lines, "lines"),
    "values": NamedFilter(lambda: _values, "values", lambda shape: ListOf(VALUE)),
    "fit": NamedFilter(_fitting(units, cut), "fit(6000, 1024)", same),
    "fit_bytes": NamedFilter(_fitting(json_bytes, cut_bytes), "fit_bytes(20000)", same),
    "chunks": NamedFilter(_chunks, "chunks(10)", lambda shape: ListOf(shape)),
    "take": NamedFilter(_take, "take(10)", same),
    "first": NamedFilter(lambda: _first, "first", _element),
    "last": NamedFilter(lambda: _last, "last", _element),
}
