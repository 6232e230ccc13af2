"""Leads as CSV: all that match, with one batch in memory at a time."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
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
LAST = ("page_url", "page_title", "referrer", *(f"utm_{name}" for name in UTM), *CLICK_IDS, "ip", "user_agent")

# The beginning of a formula: at the start of a cell, after spaces and quotes, also in full-width characters; and inside
# a cell where a spreadsheet that splits at semicolons starts another cell. There "- item" and ";-)" stay as they are,
# "- cmd|'x'!A0" does not.
_FORMULA = re.compile(
    r"""^(?=[\s"'\u200b-\u200f\ufeff]*[=+\-@＝＋－＠]|[\t\r\n])"""
    r"""|(?<=[;\t\r\n])(?=[ "]*(?:[=@＝＠]|[+\-＋－](?:[^\s)]|\s[^;\t\r\n]*(?:[|!=&]|\w\())))"""
)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def lines(wanted: Filter) -> Iterator[str]:
    """The file in pieces: every matching lead, newest first. No transaction is open between the pieces."""
    keys = _field_keys(wanted)
    end_transaction()
    yield BOM + _text([[*FIRST, *keys, *LAST]])
    query, older = _query(wanted), None
    while True:
        with unlimited():
            batch = db.session.execute(query if older is None else query.where(key(wanted) < older)).all()
        end_transaction()
        yield _text(_cells(row, keys) for row in batch)
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
    text = "; ".join(map(str, value)) if isinstance(value, list) else shown(value)
    is_plain = isinstance(value, int | float) or _E164.fullmatch(text)
    return text if is_plain else _FORMULA.sub("'", text)


def _text(rows: Iterable[Iterable[object]]) -> str:
    page = io.StringIO()
    csv.writer(page).writerows([cell(value) for value in row] for row in rows)
    return page.getvalue()


def _query(wanted: Filter) -> Select[Any]:
    answer = (WORD.label("status"), Delivery.last_code, Delivery.last_response)
    columns = (Lead.id, Lead.public_id, Lead.received_at, Lead.test, Lead.fields, Lead.source, Interface.name, *answer)
    query = matching(select(*columns).join(Interface, Lead.interface_id == Interface.id), wanted)
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


def _cells(row: Row[Any], keys: Sequence[str]) -> Iterator[object]:
    received = row.received_at.strftime("%Y-%m-%d %H:%M:%S")
    yield from (row.public_id, received, row.name, row.status, row.last_code, row.last_response)
    yield "yes" if row.test else ""
    yield from (row.fields.get(key) for key in keys)
    source = row.source
    flat = {**source, **{f"utm_{name}": value for name, value in (source.get("utm") or {}).items()}}
    flat |= source.get("click_ids") or {}
    yield from (flat.get(name) for name in LAST)
