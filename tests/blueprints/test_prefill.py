"""Answers that the form's address brings with it: only where the interface says so, and never a consent."""

import re
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import make_interface
from tests.support.factories import ADA
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import FieldType, Interface, Lead
from webapp.services.interfaces import embedding, fields

OPTIONS = {"options": "Solar\nWind, big\nWater"}


def _make_form() -> None:
    interface = make_interface()
    with transaction():
        for kind in FieldType:
            if kind not in (FieldType.EMAIL, FieldType.PHONE):
                label = f"My {kind}"
                fields.add(interface, kind, {"label": label, "default": "", "statement": "I agree.", **OPTIONS})
        embedding.update_prefills(interface, True)


MAKES = {"address": _make_form}


@pytest.fixture
def address(interface: Interface) -> str:
    """A form with a field of every type, that lets its address fill in answers."""
    return f"/f/{interface.public_id}"


def control(page: str, name: str) -> str:
    """The control with this name, or several of them."""
    found = re.findall(rf'<(?:input|textarea)[^>]*name="{name}"[^>]*>(?:[^<]*</textarea>)?', page)
    return "\n".join(found)


def test_the_address_fills_in_visible_fields_and_what_is_sent_arrives(client: FlaskClient, address: str) -> None:
    query = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+15550100", "message": "Hello\nworld"}
    page = client.get(f"{address}?{urlencode(query)}").text
    for name in ("name", "email", "phone"):
        assert f'value="{query[name]}"' in control(page, name)
    assert "Hello\nworld</textarea>" in control(page, "message")
    assert "lf-error" not in page
    sent = {name: re.sub(r'.*value="([^"]*)".*', r"\1", control(page, name), flags=re.S) for name in query}
    assert client.post(address, data={**sent, "message": query["message"]}).status_code == 303
    assert {name: db.session.scalars(select(Lead)).one().fields[name] for name in query} == query


def test_it_is_off_until_it_is_switched_on_on_the_embed_tab(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface
) -> None:
    form, tab = f"/f/{interface.public_id}", f"/interfaces/{interface.public_id}/edit/embed"
    assert 'value="Ada"' not in client.get(f"{form}?name=Ada").text
    assert signed_in.post(tab, data={"prefills": "y"}).status_code == 303
    assert "checked" in re.findall(r'<input[^>]*name="prefills"[^>]*>', signed_in.get(tab).text)[0]
    assert 'value="Ada"' in client.get(f"{form}?name=Ada").text
    signed_in.post(tab, data={"allowed_sites": ""})
    assert 'value="Ada"' not in client.get(f"{form}?name=Ada").text


@pytest.mark.parametrize(
    ("query", "ticked"),
    [
        ("my_select=Solar", ["Solar"]),
        ("my_select=solar", []),
        ("my_select=Coal", []),
        ("my_radio=Water", ["Water"]),
        ("my_checkboxes=Solar&my_checkboxes=Water", ["Solar", "Water"]),
        ("my_checkboxes=Water,Solar", ["Solar", "Water"]),
        ("my_checkboxes=Wind%2C+big", ["Wind, big"]),
        ("my_checkboxes=Coal,Solar", ["Solar"]),
        ("my_checkboxes=", []),
    ],
)
def test_of_options_only_known_ones_are_chosen(
    client: FlaskClient, address: str, query: str, ticked: list[str]
) -> None:
    page = client.get(f"{address}?{query}").text
    chosen = re.findall(r"<option selected>([^<]*)</option>", page) + re.findall(r'value="([^"]*)" checked', page)
    assert chosen == ticked


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("my_number=12.5", "12.5"),
        ("my_number=many", "many"),
        ("my_date=2027-03-31", "2027-03-31"),
        ("my_date=31.3.2027", ""),
        ("my_date=20270331", ""),
        ("my_url=example.com", "example.com"),
        ("my_text=%00a%0Ab%07", "a b"),
        ("my_text=one&my_text=two", "two"),
        ("my_text=" + "x" * 600, "x" * 500),
        ("my_text=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("my_text=%ff", "ÿ"),
        ("my_text=", ""),
        ("MY_TEXT=x", ""),
        ("my_hidden=plan", "plan"),
    ],
)
def test_values_are_cleaned_cut_and_shown_without_a_verdict(
    client: FlaskClient, address: str, query: str, value: str
) -> None:
    page = client.get(f"{address}?{query}").text
    name = query.partition("=")[0].lower()
    assert f'value="{value}"' in control(page, name)
    assert "<script>alert" not in page
    assert "aria-invalid" not in page


@pytest.mark.parametrize("value", ["1", "on", "true", "yes", "v1"])
def test_a_consent_is_never_given_by_an_address(client: FlaskClient, address: str, value: str) -> None:
    page = client.get(f"{address}?my_consent={value}").text
    assert control(page, "my_consent")
    assert " checked" not in control(page, "my_consent")


def test_an_initial_answer_stays_where_the_address_has_none(
    client: FlaskClient, interface: Interface, address: str
) -> None:
    with transaction():
        fields.add(interface, FieldType.TEXT, {"label": "Country", "key": "country", "default": "Austria"})
        fields.add(interface, FieldType.CHECKBOXES, {"label": "Topics", "key": "topics", **OPTIONS, "default": "Water"})
    page = client.get(f"{address}?country=&topics=Coal").text
    assert 'value="Austria"' in control(page, "country")
    assert re.findall(r'value="([^"]*)" checked', page) == ["Water"]
    assert 'value="Peru"' in control(client.get(f"{address}?country=Peru").text, "country")


def test_what_the_visitor_typed_counts_when_the_form_is_shown_again(client: FlaskClient, address: str) -> None:
    page = client.post(f"{address}?name=Grace", data={**ADA, "email": "ada@"}).text
    assert 'value="Ada Lovelace"' in control(page, "name")


def test_a_page_with_filled_in_answers_is_not_kept_by_shared_caches(client: FlaskClient, address: str) -> None:
    assert client.get(f"{address}?name=Ada").headers["Cache-Control"] == "private, no-cache"
