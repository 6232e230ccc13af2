"""Lists that are read page by page, newest first, by keyset: a row's id says where a page begins or ends.

A page costs the same wherever it is in the list, and rows that are added meanwhile shift nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Select

from webapp.extensions import db

Row = TypeVar("Row")
Cursor = TypeVar("Cursor", int, str)


@dataclass(frozen=True)
class Page(Generic[Row, Cursor]):
    """Rows, newest first. `prev` and `next` name the row that the page before ends at, and that the next begins after;
    None at an end of the list."""

    rows: Sequence[Row]
    prev: Cursor | None
    next: Cursor | None


def read_page(
    query: Select[Any] | Sequence[Select[Any]],
    key: Any,
    cursor: Callable[[Any], Cursor],
    *,
    before: int | None,
    after: int | None,
    size: int,
) -> Page[Any, Cursor]:
    """The `size` rows of `query` that come just before the row with id `before`, or just after that with id `after`;
    else the newest ones.

    `key` is the id column to order by, `cursor(row)` what a URL calls a row by. A query for one entity gives objects,
    one for several columns gives rows. Several queries, for objects, are read as one list: each finds its part by an
    index of its own, which no database does for an OR. They must not find the same row.
    """
    queries = [query] if isinstance(query, Select) else query
    if before is not None:
        rows = _read([each.where(key > before).order_by(key) for each in queries], key, size + 1)
        if len(rows) > size:
            return _page(rows[size - 1 :: -1], cursor, has_newer=True, has_older=True)
        after = None  # too few for a full page: the first page shows them all
    if after is not None:
        queries = [each.where(key < after) for each in queries]
    rows = _read([each.order_by(key.desc()) for each in queries], key, size + 1, newest_first=True)
    return _page(rows[:size], cursor, has_newer=after is not None, has_older=len(rows) > size)


def _read(queries: Sequence[Select[Any]], key: Any, most: int, newest_first: bool = False) -> Sequence[Any]:
    parts = [_rows(query.limit(most)) for query in queries]
    if len(parts) == 1:
        return parts[0]
    return sorted(chain(*parts), key=attrgetter(key.key), reverse=newest_first)[:most]


def _rows(query: Select[Any]) -> Sequence[Any]:
    found = db.session.execute(query)
    return (found if len(query.column_descriptions) > 1 else found.scalars()).all()


def _page(
    rows: Sequence[Any], cursor: Callable[[Any], Cursor], *, has_newer: bool, has_older: bool
) -> Page[Any, Cursor]:
    if not rows:
        return Page(rows, None, None)
    return Page(rows, cursor(rows[0]) if has_newer else None, cursor(rows[-1]) if has_older else None)
