"""Lists that are read page by page: a cursor names the row that a page begins after. It means nothing to a client."""

import base64
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from flask import request

from webapp.config import current_config
from webapp.ids import LARGEST_ROW
from webapp.web.api.problems import Fault, invalid

_ROW = re.compile(r"row ([1-9][0-9]{0,18})")


def cursor_of(row: int | None) -> str | None:
    """The cursor for the rows after this one; None after the last page."""
    return encoded(f"row {row}") if row else None


def row_of(cursor: str) -> int | None:
    """The row that a cursor names; None for the beginning, 422 for what is no cursor of ours."""
    if not cursor:
        return None
    found = _ROW.fullmatch(decoded(cursor))
    row = int(found[1]) if found else 0
    if not 0 < row <= LARGEST_ROW:
        raise invalid([Fault("This is no cursor of ours. Leave it out to begin with the newest.", parameter="cursor")])
    return row


def encoded(text: str) -> str:
    """ASCII as a cursor."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decoded(cursor: str) -> str:
    """The text of a cursor; empty for what is none."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        return ""


def link(cursor: str, name: str = "cursor") -> Mapping[str, str]:
    """The header that leads to the next page, with the query of this one. `name`: the cursor's parameter."""
    query = urlencode({**request.args.to_dict(), name: cursor})
    return {"Link": f'<{current_config.public_url}{request.path}?{query}>; rel="next"'}
