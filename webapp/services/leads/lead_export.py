"""Leads as CSV: all that match, with one batch in memory at a time."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, func, select

from webapp.db.slow_reads import unlimited
from webapp.db.transactions import end_transaction
from webapp.extensions import db
from webapp.models import Delivery, Field, Interface, Lead
from webapp.services import audit
from webapp.services.interfaces.field_types import SENT, shown
from webapp.services.leads.lead_list import WORD, Filter, by_delivery, key, matching
from webapp.webhooks.payload import CLICK_IDS, UTM

BATCH = 500
BOM = "\ufeff"  # without it Excel does not read the file as UTF-8
FIRST = ("Lead", "Received (UTC)", "Interface", "Webhook Status", "Response code", "Webhook Response", "Test")
UNANSWERED = "Answer left out"  # which limit of automatic answers was reached: mailbox, network or interface
UNDECLARED = "Undeclared answers"  # all in one cell, as JSON
PAGE, CLIENT = ("page_url", "page_title", "referrer"), ("ip", "user_agent")
_CAMPAIGN = tuple(f"utm_{name}" for name in UTM)
_NO_UTM, _NO_CLICK_IDS = ("",) * len(UTM), ("",) * len(CLICK_IDS)
LAST = (*PAGE, *_CAMPAIGN, *CLICK_IDS, *CLIENT)
FIRST_TOUCH = ("first_page_url", "first_referrer", *(f"first_{name}" for name in _CAMPAIGN), "first_click_ids")
_NO_FIRST_TOUCH = ("",) * len(FIRST_TOUCH)

# The beginning of a formula: at the start of a cell, after spaces and quotes, also in full-width characters; and inside
# a cell where a spreadsheet that splits at semicolons starts another cell. There "- item" and ";-)" stay as they are,
# "- cmd|'x'!A0" does not.
_FORMULA = re.compile(
    r"""^(?=[\s"'\u200b-\u200f\ufeff]*[=+\-@＝＋－＠]|[\t\r\n])"""
    r"""|(?<=[;\t\r\n])(?=[ "]*(?:[=@＝＠]|[+\-＋－](?:[^\s)]|\s[^;\t\r\n]*(?:[|!=&]|\w\())))"""
)
# Nearly no row has one. So the cells of a row, joined by \x1f, are searched first for what could be one: a cell that
# begins with a sign (not a plain phone number's), a space, a quote or what cannot be seen; a separator
# before such a one. This must find more than _FORMULA does, never less.
_PLAIN = r"\w!#$%&()*,./:;<>?\[\]^`{|}~"  # not a space, a quote, a sign, or what cannot be seen
_SUSPECT = re.compile(rf"\x1f(?![{_PLAIN}\x1f]|\Z|\+[1-9][0-9]{{6,14}}(?:\x1f|\Z))|[;\t\r\n](?! ?[{_PLAIN}\x1f]|\Z)")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}(?:;ext=[0-9]{1,15})?")


def lines(wanted: Filter) -> Iterator[str]:
    """The file in pieces: every matching lead, newest first. No transaction is open between the pieces."""
    keys = _field_keys(wanted)
    end_transaction()
    yield BOM + _text([[*FIRST, *keys, *LAST, *FIRST_TOUCH, UNANSWERED, UNDECLARED]])
    query, older = _query(wanted), None
    while True:
        with unlimited():
            page = query if older is None else query.where(key(wanted) < older)
            batch = db.session.connection().execute(page).all()  # not as objects of the session: only columns
        end_transaction()
        yield _text([_cells(row, keys) for row in batch])
        if len(batch) < BATCH:
            return
        older = batch[-1].id


def record(wanted: Filter) -> None:
    """Writes the export to the audit log, without the words of a search: they may be a visitor's name."""
    asked = {**wanted.arguments, **({"q": "a search"} if wanted.q else {})}
    detail = ", ".join(f"{name}: {word}" for name, word in asked.items())
    audit.record("lead.exported", wanted.account_id, "CSV", detail=detail)


def cell(value: object) -> str:
    """A value as a cell that no spreadsheet takes for a formula. Numbers and E.164 phone numbers stay as they are.

    Several options are in one cell, separated by semicolons.
    """
    text = "; ".join(map(shown, value)) if isinstance(value, list) else shown(value)
    is_plain = isinstance(value, int | float) or _E164.fullmatch(text)
    return text if is_plain else _FORMULA.sub("'", text)


def _text(rows: Iterable[Sequence[object]]) -> str:
    page = io.StringIO()
    csv.writer(page).writerows(map(_texts, rows))
    return page.getvalue()


def _texts(row: Sequence[object]) -> list[str]:
    """A row as `cell` makes it, in a tenth of the time where no cell is suspect."""
    texts = [value if type(value) is str else "" if value is None else cell(value) for value in row]
    if _SUSPECT.search("\x1f" + "\x1f".join(texts)):
        return [cell(value) for value in row]
    return texts


def _query(wanted: Filter) -> Select[Any]:
    answer = (WORD.label("status"), Delivery.last_code, Delivery.last_response)
    columns = (Lead.id, Lead.public_id, Lead.received_at, Lead.test, Lead.fields, Lead.source, Lead.undeclared)
    wide = select(*columns, Lead.unanswered, Interface.name, *answer).join(Interface, Lead.interface_id == Interface.id)
    query = matching(wide, wanted)
    if not by_delivery(wanted):
        query = query.outerjoin(Delivery, Delivery.lead_id == Lead.id)
    return query.order_by(key(wanted).desc()).limit(BATCH)


def _field_keys(wanted: Filter) -> list[str]:
    """The keys of the answers, in the order of the forms; those of removed fields too, because leads contain them."""
    position, first = func.min(Field.position), func.min(Field.id)
    asked = (Interface.account_id == wanted.account_id, Field.type.in_(SENT))
    keys = select(Field.key).join(Interface).where(*asked).group_by(Field.key)
    if wanted.interface:
        keys = keys.where(Interface.public_id == wanted.interface)
    return list(db.session.scalars(keys.order_by(position, first)))


def _cells(row: Row[Any], keys: Sequence[str]) -> list[object]:
    _, public_id, received_at, test, fields, source, undeclared, unanswered, name, status, code, response = tuple(row)
    utm, click_ids, first = source.get("utm"), source.get("click_ids"), source.get("first_touch")
    return [
        public_id,
        str(received_at)[:19],
        name,
        status,
        code,
        response,
        "yes" if test else "",
        *map(fields.get, keys),
        *map(source.get, PAGE),
        *(map(utm.get, UTM) if utm else _NO_UTM),
        *(map(click_ids.get, CLICK_IDS) if click_ids else _NO_CLICK_IDS),
        *map(source.get, CLIENT),
        *(_first_touch(first) if first else _NO_FIRST_TOUCH),
        unanswered,
        json.dumps(undeclared, ensure_ascii=False) if undeclared else "",
    ]


def _first_touch(first: Mapping[str, Any]) -> list[object]:
    utm, click_ids = first.get("utm") or {}, first.get("click_ids") or {}
    ids = [f"{name}={value}" for name, value in click_ids.items()]
    return [first.get("page_url"), first.get("referrer"), *map(utm.get, UTM), ids]
