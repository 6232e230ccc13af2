"""Which leads a page shows, how many there are, and what is in the CSV."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select, update

from tests.conftest import ON_POSTGRESQL
from tests.support.factories import captured
from webapp.clock import now_sql, utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lead, Status, User
from webapp.services.interfaces import interfaces
from webapp.services.leads import lead_counts, lead_export, lead_list, leads
from webapp.services.leads.lead_counts import Number
from webapp.services.leads.lead_list import Filter
from webapp.services.people import users


def capture(interface: Interface, name: str = "Ada", email: str = "ada@example.com", **more: str) -> Lead:
    with transaction():
        lead = captured(interface.public_id, {"name": name, "email": email, "phone": "", "message": "", **more})
    db.session.refresh(lead)
    return lead


def with_webhook(interface: Interface) -> Interface:
    with transaction():
        interface.webhook.url = "https://hooks.example.com/leads"
    return interface


def moved(lead: Lead, state: DeliveryState, tries: int = 1) -> Lead:
    with transaction():
        values = {"state": state, "tries": tries, "due_at": now_sql(), "last_code": 503}
        db.session.execute(update(Delivery).where(Delivery.lead_id == lead.id).values(values))
    db.session.expire_all()
    return lead


def names(page: lead_list.Page) -> list[str]:
    return [lead.name for lead in page.rows]


def test_pages_go_forward_and_back_without_skipping_a_lead(interface: Interface) -> None:
    wanted = Filter(interface.account_id)
    for number in range(7):
        capture(interface, name=str(number))
    first = lead_list.page(wanted, size=3)
    assert (names(first), first.prev) == (["6", "5", "4"], None)
    second = lead_list.page(wanted, after=first.next or "", size=3)
    assert names(second) == ["3", "2", "1"]
    last = lead_list.page(wanted, after=second.next or "", size=3)
    assert (names(last), last.next) == (["0"], None)
    assert names(lead_list.page(wanted, before=last.prev or "", size=3)) == ["3", "2", "1"]
    again = lead_list.page(wanted, before=second.prev or "", size=3)
    assert (names(again), again.prev) == (["6", "5", "4"], None)


def test_a_new_lead_does_not_shift_the_pages(interface: Interface) -> None:
    wanted = Filter(interface.account_id)
    for number in range(4):
        capture(interface, name=str(number))
    first = lead_list.page(wanted, size=2)
    capture(interface, name="new")
    assert names(lead_list.page(wanted, after=first.next or "", size=2)) == ["1", "0"]
    assert names(lead_list.page(wanted, before=first.rows[0].public_id, size=2)) == ["new", "3"]


def test_unknown_cursors_are_ignored(interface: Interface) -> None:
    capture(interface)
    for cursor in ("lead_unknown", "\x00", "'; --"):
        assert len(lead_list.page(Filter(interface.account_id), after=cursor, before=cursor).rows) == 1


def one_of_each(interface: Interface) -> None:
    with transaction():
        interface.webhook.url = None
    capture(interface, name="kept")
    with transaction():
        robot = captured(interface.public_id, {"name": "robot"})
        robot.spam, robot.no_webhook = "honeypot", False  # as capture stores it
    with_webhook(interface)
    capture(interface, name="queued")
    for state in (DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.ON_HOLD, DeliveryState.CANCELLED):
        moved(capture(interface, name=state.value), state)
    moved(capture(interface, name="retrying"), DeliveryState.PENDING)


ONE_OF_EACH = {
    Status.DELIVERED: ["delivered"],
    Status.QUEUED: ["queued"],
    Status.RETRYING: ["retrying"],
    Status.FAILED: ["failed"],
    Status.HELD: ["held"],
    Status.CANCELLED: ["cancelled"],
    Status.NO_WEBHOOK: ["kept"],
    Status.SPAM: ["robot"],
}


def test_every_status_is_a_filter_and_is_counted(interface: Interface) -> None:
    one_of_each(interface)
    found = {status: names(lead_list.page(Filter(interface.account_id, status))) for status in Status}
    assert found == ONE_OF_EACH
    counts = lead_counts.counts(Filter(interface.account_id, Status.FAILED))
    assert counts.pop(None) == Number(7)
    assert set(counts.values()) == {Number(1)}


@pytest.mark.parametrize("received", ["", "24h"])
def test_every_status_is_found_under_an_interface(interface: Interface, owner: User, received: str) -> None:
    """In the list, in the counts and in the export; between the leads of another interface, and after old ones."""
    with transaction():
        other, empty = interfaces.create(owner.account_id, "Other"), interfaces.create(owner.account_id, "Empty")
    one_of_each(other)
    one_of_each(interface)
    one_of_each(other)
    with transaction():
        db.session.execute(update(Lead).where(Lead.id <= len(Status)).values(received_at=utcnow() - timedelta(days=8)))
    for status in Status:
        mine = Filter.of(owner.account_id, status.slug, interface=interface.public_id, received=received)
        assert names(lead_list.page(mine)) == ONE_OF_EACH[status]
        assert "".join(lead_export.lines(mine)).count("\n") == 2
        assert lead_counts.counts(mine)[status] == Number(1)
        assert names(lead_list.page(mine, after=lead_list.page(mine).rows[0].public_id)) == []
        both = Filter.of(owner.account_id, status.slug, interface=other.public_id, received=received)
        assert names(lead_list.page(both)) == ONE_OF_EACH[status] * (1 if received else 2)
        none = Filter.of(owner.account_id, status.slug, interface=empty.public_id, received=received)
        assert names(lead_list.page(none)) == []
        assert set(lead_counts.counts(none).values()) == {Number(0)}


def test_the_totals_are_those_of_the_counts(interface: Interface) -> None:
    assert lead_counts.totals(interface.account_id) == {None: Number(0), Status.SPAM: Number(0, exact=False)}
    one_of_each(interface)
    assert lead_counts.totals(interface.account_id) == {None: Number(7), Status.SPAM: Number(1, exact=False)}


def test_counts_stop_and_say_so(interface: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lead_counts, "MOST", 3)
    monkeypatch.setattr(lead_counts, "MOST_NARROW", 3)
    with_webhook(interface)
    moved(capture(interface, name="old"), DeliveryState.FAILED)
    for _ in range(5):
        moved(capture(interface), DeliveryState.DELIVERED)
    counts = lead_counts.counts(Filter(interface.account_id))
    assert counts[None] == Number(3, exact=False)
    assert counts[Status.DELIVERED] == Number(3, exact=False)
    assert counts[Status.FAILED] == Number(1)  # found by its own index, even if it is old
    narrowed = lead_counts.counts(Filter(interface.account_id, q="Ada"))
    assert not narrowed[Status.FAILED].exact


@pytest.mark.parametrize("q", ["tomás", "TOMÁS", "HERRERA", "tomas@herrera", "  herrera "])
def test_search_finds_parts_of_names_and_addresses_in_any_case(interface: Interface, q: str) -> None:
    capture(interface, "Tomás Herrera", "tomas@herrera.example")
    capture(interface, "Ada", "ada@example.com")
    assert names(lead_list.page(Filter.of(interface.account_id, q=q))) == ["Tomás Herrera"]


@pytest.mark.parametrize("q", ["%", "_", "\\", "'", "\x00zz", "100%"])
def test_special_characters_of_sql_are_plain_text(interface: Interface, q: str) -> None:
    capture(interface, "Ada")
    assert names(lead_list.page(Filter.of(interface.account_id, q=q))) == []


def test_search_finds_a_lead_by_its_id(interface: Interface) -> None:
    lead = capture(interface)
    capture(interface)
    assert lead_list.page(Filter.of(interface.account_id, q=lead.public_id)).rows == [lead]


def test_leads_are_found_by_interface_and_by_time(interface: Interface, owner: User) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Other")
    old, new = capture(interface, "old"), capture(interface, "new")
    capture(other, "elsewhere")
    with transaction():
        old.received_at = utcnow() - timedelta(days=8)
    wanted = Filter.of(owner.account_id, interface=interface.public_id, received="7d")
    assert lead_list.page(wanted).rows == [new]
    assert lead_counts.counts(wanted)[None] == Number(1)
    assert not lead_list.page(Filter.of(owner.account_id, interface="if_unknown")).rows


def test_another_accounts_leads_are_never_found(interface: Interface) -> None:
    with transaction():
        charlie = users.create_owner("charlie@example.org", "correct horse battery", "Cars").account_id
    lead = capture(interface)
    assert not lead_list.page(Filter.of(charlie, interface=interface.public_id)).rows
    assert not lead_list.page(Filter.of(charlie, q=lead.public_id)).rows
    assert lead_counts.counts(Filter(charlie))[None] == Number(0)
    assert list(lead_list.interfaces(charlie)) == []
    assert rows_of(Filter(charlie)) == []


def test_a_page_of_any_length_takes_the_same_few_statements(app: Flask, interface: Interface) -> None:
    with_webhook(interface)
    for _ in range(12):
        capture(interface)
    account_id = interface.account_id
    statements: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    db.session.expunge_all()
    for lead in lead_list.page(Filter(account_id)).rows:
        leads.retryable(lead)
        assert lead.delivery
        assert lead.delivery.status == "Queued"
    assert len(statements) <= 5, statements
    assert not any("payload" in statement for statement in statements)


def rows_of(wanted: Filter) -> list[dict[str, str]]:
    text = "".join(lead_export.lines(wanted))
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:])))


def test_the_csv_has_every_answer_and_the_source(interface: Interface) -> None:
    with transaction():
        source: dict[str, Any] = {
            "page_url": "https://a.example/",
            "utm": {"source": "news"},
            "click_ids": {"gclid": "x"},
        }
        captured(
            interface.public_id,
            {"name": "Ada", "email": "a@b.co", "phone": "+442079460958", "message": 'a "b",\nc'},
            source,
        )
    [row] = rows_of(Filter(interface.account_id))
    assert row["name"] == "Ada"
    assert row["phone"] == "+442079460958"
    assert row["message"] == 'a "b",\nc'
    assert row["Webhook Status"] == "No webhook"
    assert (row["page_url"], row["utm_source"], row["gclid"]) == ("https://a.example/", "news", "x")


def test_the_csv_has_all_batches_and_respects_the_filter(interface: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lead_export, "BATCH", 2)
    for number in range(5):
        capture(interface, name=f"name {number}")
    assert [row["name"] for row in rows_of(Filter(interface.account_id))] == [f"name {n}" for n in (4, 3, 2, 1, 0)]
    assert len(rows_of(Filter.of(interface.account_id, q="name 3"))) == 1
    assert rows_of(Filter(interface.account_id, Status.FAILED)) == []


@pytest.mark.parametrize(
    "value",
    [
        *("=1+1", "+1+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n1", "+44 20 7946 0958", "+0123456789", "+15550100+1"),
        *(" =1+1", "\u00a0=1", "\ufeff=1", "\u200b@A1", '"=1"', "'=1", "＝1+1", "＠A1", "=cmd|' /C calc'!A0"),
    ],
)
def test_no_cell_is_a_formula_for_a_spreadsheet(value: str) -> None:
    assert lead_export.cell(value).removeprefix("'").lstrip("'") == value.lstrip("'") or value[0] in "\t\r\n"
    assert lead_export.cell(value).startswith("'")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("a;=1+1", "a;'=1+1"),
        ('a;"=1+1"', 'a;\'"=1+1"'),
        ("a; @SUM(A1)", "a;' @SUM(A1)"),
        ("a;+cmd|'x'!A0", "a;'+cmd|'x'!A0"),
        ("Hello\n=1+1", "Hello\n'=1+1"),
        ("Hello\n-2+3", "Hello\n'-2+3"),
        ("x;- cmd|' /C calc'!A0;y", "x;'- cmd|' /C calc'!A0;y"),
        ("Hello\n+ HYPERLINK(A1)", "Hello\n'+ HYPERLINK(A1)"),
    ],
)
def test_no_part_of_a_cell_after_a_semicolon_is_a_formula(value: str, cell: str) -> None:
    assert lead_export.cell(value) == cell


@pytest.mark.parametrize(
    "value",
    ["+442079460958", "+15550100", "Ada", "1=1", "", None, 200, "To do:\n- call (soon)\n- write ;-)", "a; b = c"],
)
def test_other_cells_stay_as_they_are(value: object) -> None:
    assert lead_export.cell(value) == ("" if value is None else str(value))


# Earlier submissions --------------------------------------------------------------------------------------------------


def earlier(*found: Lead) -> list[int]:
    db.session.expire_all()
    counted = lead_list.earlier(found)
    return [counted.get(lead.id, 0) for lead in found]


def test_an_earlier_visitor_is_found_by_address_in_any_case_or_else_by_phone(interface: Interface) -> None:
    first = capture(interface)
    other = capture(interface, email="grace@example.com")
    again = capture(interface, name="A. Lovelace", email="ADA@Example.com")
    third = capture(interface)
    by_phone = [capture(interface, email="", phone="+15550100") for _ in range(2)]
    unknown = [capture(interface, email="", phone="") for _ in range(2)]
    assert earlier(first, other, again, third) == [0, 0, 1, 2]
    assert earlier(*by_phone, *unknown) == [0, 1, 0, 0]
    assert lead_list.earlier([]) == {}


def test_other_interfaces_and_tests_do_not_count(owner: User, interface: Interface) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Other")
    capture(other)
    with_webhook(interface)
    with transaction():
        test = leads.send_test(interface, owner.id).lead
    lead = capture(interface)
    assert lead.visitor == test.visitor == "ada@example.com"
    assert earlier(lead, test) == [0, 0]


def test_counting_earlier_leads_stops_at_a_limit(interface: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lead_list, "EARLIER", 2)
    found = [capture(interface) for _ in range(4)]
    assert earlier(*found) == [0, 1, 2, 2]


def test_earlier_leads_of_a_page_are_counted_by_one_statement_with_an_index(interface: Interface) -> None:
    for _ in range(3):
        capture(interface)
    found = db.session.scalars(select(Lead)).all()
    seen: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        seen.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        lead_list.earlier(found)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    [(statement, parameters)] = seen
    if ON_POSTGRESQL:  # it chooses by statistics, three rows have none: test_many_leads.py looks at it
        return
    plan = "\n".join(map(str, db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)))
    assert "ix_leads_visitor" in plan


def test_leads_are_found_by_their_visitors_address_or_phone(interface: Interface) -> None:
    capture(interface, name="Ada", email="", phone="+15550100")
    capture(interface, name="Grace", email="Grace@example.com", phone="+15550100")
    assert names(lead_list.page(Filter.of(interface.account_id, q="+15550100"))) == ["Ada"]
    assert names(lead_list.page(Filter.of(interface.account_id, q="grace@example.com"))) == ["Grace"]
