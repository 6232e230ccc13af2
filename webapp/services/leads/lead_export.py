"""Leads as CSV: all that match, with one batch in memory at a time."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Row, Select, and_, bindparam, case, func, select

from webapp.db.slow_reads import unlimited
from webapp.db.transactions import end_transaction
from webapp.extensions import db
from webapp.models import Delivery, Field, Interface, Lead, Webhook
from webapp.models.webhook import UNNAMED
from webapp.services import audit
from webapp.services.interfaces.field_types import SENT, shown
from webapp.services.leads import sent_addresses, worst
from webapp.services.leads.lead_list import WORD, Filter, by_delivery, key, matching
from webapp.webhooks.payload import CLICK_IDS, UTM
from webapp.webhooks.shown_addresses import CUT, AddressView

BATCH = 500
BOM = "\ufeff"  # without it Excel does not read the file as UTF-8
ANSWER = 11  # the place of a receiver's answer among the columns of `_query`
FIRST = ("Lead", "Received (UTC)", "Interface", "Webhook Status", "Response code", "Webhook Response", "Test")
UNANSWERED = "Answer left out"  # which limit of automatic answers was reached: mailbox, network or interface
UNDECLARED = "Undeclared answers"  # all in one cell, as JSON
WEBHOOKS = "Webhooks"  # only where a lead may have several: each with its status and code
PAGE, CLIENT = ("page_url", "page_title", "referrer"), ("ip", "user_agent")
_CAMPAIGN = tuple(f"utm_{name}" for name in UTM)
_NO_UTM, _NO_CLICK_IDS = ("",) * len(UTM), ("",) * len(CLICK_IDS)
LAST = (*PAGE, *_CAMPAIGN, *CLICK_IDS, *CLIENT)
FIRST_TOUCH = ("first_page_url", "first_referrer", *(f"first_{name}" for name in _CAMPAIGN), "first_click_ids")
_NO_FIRST_TOUCH = ("",) * len(FIRST_TOUCH)

# What cannot be seen, or looks like nothing: controls, format characters, spaces, fillers, the empty Braille pattern.
# Without tab and the ends of lines, which are separators, and without \x1f: _SUSPECT joins the cells with it.
_UNSEEN = (
    r"\x00-\x08\x0b\x0c\x0e-\x1e \x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680"
    r"\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U00013440\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)
# The beginning of a formula: the first character that is seen, quotes aside, at the start of a cell, also in full-width
# or small form; and inside a cell where a spreadsheet that splits at semicolons starts another cell. There "- item" and
# ";-)" stay as they are, "- cmd|'x'!A0" does not.
_CALLS, _COUNTS = "=@＝＠﹦﹫", r"+\-＋－﹢﹣"
_FORMULA = re.compile(
    rf"""^(?=[\t\r\n\x1f"'{_UNSEEN}]*[{_CALLS}{_COUNTS}]|[\t\r\n])"""
    rf"""|(?<=[;\t\r\n])(?=[\x1f"{_UNSEEN}]*(?:[{_CALLS}]|[{_COUNTS}](?:[^\s)]|\s[^;\t\r\n]*(?:[|!=&]|\w\())))"""
)
# Nearly no row has one. So the cells of a row, joined by \x1f, are searched first for what could be one: a cell that
# begins with a sign (not a plain phone number's), a space, a quote or what cannot be seen; a separator
# before such a one. This must find more than _FORMULA does, never less.
_ODD = rf"\t\r\n\"'{_UNSEEN}{_CALLS}{_COUNTS}"
_SUSPECT = re.compile(  # one set at the beginning takes half the time of two alternatives
    rf"[\x1f;\t\r\n](?=[{_ODD}])(?:(?<=\x1f)(?!\+[1-9][0-9]{{6,14}}(?:\x1f|\Z))|(?<!\x1f)(?! [^{_ODD}]))"
)
_TEXT = frozenset({str, type(None)})
_E164 = re.compile(r"\+[1-9][0-9]{6,14}(?:;ext=[0-9]{1,15})?")


def lines(wanted: Filter, addresses: AddressView = CUT) -> Iterator[str]:
    """The file in pieces: every matching lead once, newest first. No transaction is open between the pieces.

    Of a lead with several webhooks, status, code and answer are those of its worst delivery. Answers of receivers are
    as a reader with this view sees them.
    """
    keys, several = _field_keys(wanted), wanted.several
    end_transaction()
    yield BOM + _text([[*FIRST, *keys, *LAST, *FIRST_TOUCH, UNDECLARED, UNANSWERED, *([WEBHOOKS] if several else [])]])
    query, older = _query(wanted), None
    while True:
        with unlimited():
            page = query if older is None else query.where(key(wanted) < older)
            batch = db.session.connection().execute(page).all()  # not as objects of the session: only columns
            rows = batch if addresses.whole else _without_addresses(batch)
            more = _each_webhook([row.id for row in batch]) if several else {}
        end_transaction()
        yield _text([_cells(row, keys, *([more.get(row[0], "")] if several else [])) for row in rows])
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


def _texts(row: Sequence[object]) -> Sequence[str | None]:
    """A row as `cell` makes it, in a tenth of the time where no cell is suspect. An empty cell may be None."""
    texts = row if _TEXT.issuperset(map(type, row)) else [None if value is None else cell(value) for value in row]
    filled = cast(list[str], list(filter(None, texts)))
    joined = "\x1f".join(["", *filled])
    if joined.count("\x1f") > len(filled) or _SUSPECT.search(joined):
        return [cell(value) for value in row]
    return cast(Sequence[str | None], texts)


def _query(wanted: Filter) -> Select[Any]:
    answer = (WORD.label("status"), Delivery.last_code, Delivery.last_response)
    columns = (Lead.id, Lead.public_id, Lead.received_at, Lead.test, Lead.fields, Lead.source, Lead.undeclared)
    wide = select(*columns, Lead.unanswered, Interface.name, *answer).join(Interface, Lead.interface_id == Interface.id)
    query = matching(wide, wanted)
    if not by_delivery(wanted):
        of_lead = Delivery.lead_id == Lead.id
        query = query.outerjoin(Delivery, and_(of_lead, worst.IS_WORST) if wanted.several else of_lead)
    return query.order_by(key(wanted).desc()).limit(BATCH)


def _field_keys(wanted: Filter) -> list[str]:
    """The keys of the answers, in the order of the forms; those of removed fields too, because leads contain them."""
    position, first = func.min(Field.position), func.min(Field.id)
    asked = (Interface.account_id == wanted.account_id, Field.type.in_(SENT))
    keys = select(Field.key).join(Interface).where(*asked).group_by(Field.key)
    if wanted.interface:
        keys = keys.where(Interface.public_id == wanted.interface)
    return list(db.session.scalars(keys.order_by(position, first)))


def _without_addresses(batch: Sequence[Row[Any]]) -> list[Sequence[Any]]:
    """The rows with answers that do not repeat the addresses of webhooks."""
    sent_to = sent_addresses.of_leads(row.id for row in batch if row[ANSWER])
    answers = (CUT.answer(row[ANSWER] or "", sent_to[row.id]) for row in batch)
    return [(*row[:ANSWER], answer) for row, answer in zip(batch, answers, strict=True)]


def _each_webhook(lead_ids: Sequence[int]) -> dict[int, str]:
    """Of the leads with several deliveries, each webhook's name with the status and the code: `CRM: Failed 503`."""
    # As in sent_addresses.py, the ids are part of the statement.
    of_leads = Delivery.lead_id.in_(bindparam("ids", list(lead_ids), expanding=True, literal_execute=True))
    word = case(*((condition, status.value) for status, condition in worst.is_in(Delivery).items()))
    asked = select(Delivery.lead_id, Webhook.name, word, Delivery.last_code).where(of_leads, worst.COUNTS)
    asked = asked.join(Webhook, Delivery.webhook_id == Webhook.id).order_by(Delivery.id)
    found: dict[int, list[str]] = {}
    for lead_id, name, status, code in db.session.connection().execute(asked):
        found.setdefault(lead_id, []).append(f"{name or UNNAMED}: {status}{f' {code}' if code else ''}")
    return {lead_id: "; ".join(each) for lead_id, each in found.items() if len(each) > 1}


def _cells(row: Sequence[Any], keys: Sequence[str], *more: object) -> list[object]:
    _, public_id, received_at, test, fields, source, undeclared, unanswered, name, status, code, response = tuple(row)
    utm, click_ids, first = source.get("utm"), source.get("click_ids"), source.get("first_touch")
    return [
        public_id,
        str(received_at)[:19],
        name,
        status,
        code and str(code),
        response,
        "yes" if test else "",
        *map(fields.get, keys),
        *map(source.get, PAGE),
        *(map(utm.get, UTM) if utm else _NO_UTM),
        *(map(click_ids.get, CLICK_IDS) if click_ids else _NO_CLICK_IDS),
        *map(source.get, CLIENT),
        *(_first_touch(first) if first else _NO_FIRST_TOUCH),
        json.dumps(undeclared, ensure_ascii=False) if undeclared else "",
        unanswered,
        *more,
    ]


def _first_touch(first: Mapping[str, Any]) -> list[object]:
    utm, click_ids = first.get("utm") or {}, first.get("click_ids") or {}
    ids = [f"{name}={value}" for name, value in click_ids.items()]
    return [first.get("page_url"), first.get("referrer"), *map(utm.get, UTM), ids]
