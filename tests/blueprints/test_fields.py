"""The Fields tab without JavaScript and with htmx; the General tab with look, texts and preview."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.factories import submit
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Corners, Field, FieldType, Interface, Role, Scheme, User
from webapp.services.interfaces import fields, interface_templates
from webapp.services.interfaces.field_types import KINDS

HTMX = {"HX-Request": "true"}


@pytest.fixture
def tab(interface: Interface) -> str:
    return f"/interfaces/{interface.public_id}/edit/fields"


@pytest.fixture
def field_id(interface: Interface) -> Callable[[str], int]:
    def find(key: str) -> int:
        db.session.expire_all()
        return next(field.id for field in (*interface.fields, *interface.removed_fields) if field.key == key)

    return find


def keys(interface: Interface) -> list[str]:
    db.session.expire_all()
    return [field.key for field in interface.fields]


def test_the_tab_lists_the_fields_and_previews_the_form(signed_in: FlaskClient, tab: str) -> None:
    page = signed_in.get(tab).text
    for key in ("name", "email", "phone", "message"):
        assert f'<span class="mono">{key}</span>' in page
        assert f'id="preview-{key}"' in page
    assert page.count(">Required</span>") == 3
    assert " inert>" in page
    part = signed_in.get(tab, headers=HTMX)
    assert part.text.startswith('<div class="split split-even" id="builder">')
    assert "HX-Request" in part.headers["Vary"]


def test_a_field_of_each_type_is_added_with_its_own_settings(
    signed_in: FlaskClient, interface: Interface, tab: str
) -> None:
    for kind in FieldType:
        new = f"{tab}/new?type={kind}"
        form = signed_in.get(new, headers=HTMX).text
        for name in ("options", "statement", "minimum", "autocomplete", "placeholder", "required", "half", "help"):
            assert (f'name="{name}"' in form) == (name in KINDS[kind].settings), name
        assert len(keys(interface)) == 4 + list(FieldType).index(kind), "looking adds nothing"
        sent = {"label": f"My {kind}", "options": "A\nB", "statement": "I agree.", "required": "y"}
        assert signed_in.post(new, data=sent).location.startswith(tab)
    assert keys(interface)[4:] == [f"my_{kind}" for kind in FieldType if kind != "heading"] + ["_heading"]
    assert '<option selected value="organization">' in signed_in.get(f"{tab}/new?type=company").text
    assert signed_in.get(f"{tab}/new?type=nonsense").status_code == 404
    for path in (tab, f"/interfaces/{interface.public_id}/edit/embed", f"/f/{interface.public_id}"):
        assert signed_in.get(path).status_code == 200


def test_an_error_is_shown_beside_its_control_with_the_typed_value(
    signed_in: FlaskClient, interface: Interface, tab: str
) -> None:
    sent = {"label": "Colour", "key": "Email!", "options": "Red\nRed"}
    for more in ({}, HTMX):
        answer = signed_in.post(f"{tab}/new?type=select", data=sent, headers=more)
        assert answer.status_code == 422
        assert 'id="options-error"' in answer.text
        assert 'value="Email!"' in answer.text
    assert 'id="label-error"' in signed_in.post(f"{tab}/new?type=text", data={"label": " "}).text
    assert len(keys(interface)) == 4


def test_a_field_is_changed_moved_removed_and_brought_back(
    signed_in: FlaskClient, interface: Interface, tab: str, field_id: Callable[[str], int]
) -> None:
    phone = f"{tab}/{field_id('phone')}"
    assert "The name of the field in webhooks" in signed_in.get(phone).text
    assert signed_in.post(phone, data={"label": "Mobile", "key": "mobile", "help": "Daytime"}).status_code == 303
    assert keys(interface) == ["name", "email", "mobile", "message"]
    assert signed_in.post(f"{phone}/move", data={"to": "up"}).status_code == 303
    assert keys(interface) == ["name", "mobile", "email", "message"]

    submit(interface, {"name": "Ada", "mobile": "+15550100", "email": "ada@example.com", "message": "Hello"})
    opened = signed_in.get(phone).text
    assert "Leads use this key, so it cannot change." in opened
    assert 'readonly type="text" value="mobile"' in opened
    assert 'id="key-error"' in signed_in.post(phone, data={"label": "Mobile", "key": "cell"}).text
    assert "Leads already received keep their answers" in signed_in.get(f"{phone}/remove").text
    assert signed_in.post(f"{phone}/remove").status_code == 303
    page = signed_in.get(tab).text
    assert "You find it under Removed." in page
    assert "Bring back" in page
    assert "Mobile" not in signed_in.get(f"/f/{interface.public_id}").text
    assert signed_in.get(phone).status_code == 404
    assert signed_in.post(f"{phone}/remove").status_code == 404
    assert "Bring that one back" in signed_in.post(f"{tab}/new?type=text", data={"label": "M", "key": "mobile"}).text
    assert signed_in.post(f"{phone}/bring-back").status_code == 303
    assert keys(interface) == ["name", "email", "message", "mobile"]


def test_htmx_is_answered_in_place_with_a_toast_and_the_focus(
    signed_in: FlaskClient, tab: str, field_id: Callable[[str], int]
) -> None:
    answer = signed_in.post(f"{tab}/{field_id('email')}/move", data={"to": "up"}, headers=HTMX)
    assert answer.status_code == 200
    events = json.loads(answer.headers["HX-Trigger"])
    assert events == {"toast": "Email is now 1 of 4.", "focuson": f"up-{field_id('email')}"}
    assert answer.headers["HX-Push-Url"] == tab


def test_the_preview_shows_unsaved_settings_and_saves_nothing(
    signed_in: FlaskClient, interface: Interface, tab: str, field_id: Callable[[str], int]
) -> None:
    sent = {"label": "Favourite", "options": "Red\nBlue"}
    shown = signed_in.post(f"{tab}/preview?type=radio", data=sent, headers=HTMX).text
    assert "Favourite" in shown
    assert 'value="Blue"' in shown
    shown = signed_in.post(f"{tab}/preview?of={field_id('phone')}", data={"label": "Mobile"}, headers=HTMX).text
    assert "Mobile" in shown
    assert "Phone" not in shown
    assert signed_in.post(f"{tab}/preview?type=radio", data={"label": "Half done"}, headers=HTMX).status_code == 204
    general = tab.replace("/fields", "/preview")
    sent = {"name": "Nicer", "accent": "#00aa00", "scheme": "dark", "after": "message"}
    shown = signed_in.post(general, data=sent, headers=HTMX).text
    assert "Nicer" in shown
    assert "/f/look/00aa00-soft-" in shown
    assert 'data-theme="dark"' in shown
    assert signed_in.post(general, data={"name": ""}, headers=HTMX).status_code == 204
    db.session.expire_all()
    assert (interface.name, interface.accent, keys(interface)) == (
        "Contact sales",
        "#2f54d0",
        ["name", "email", "phone", "message"],
    )


def test_general_saves_look_language_country_and_the_redirect_page(
    signed_in: FlaskClient, interface: Interface
) -> None:
    edit = f"/interfaces/{interface.public_id}/edit"
    sent = {"name": "Sales", "accent": "#AA0000", "scheme": "light", "corners": "square", "language": "pt-BR"}
    sent |= {"country": "BR", "after": "page", "redirect_url": "https://brightwater.example/obrigado"}
    assert signed_in.post(edit, data=sent).status_code == 303
    db.session.refresh(interface)
    assert (interface.accent, interface.scheme, interface.corners) == ("#aa0000", Scheme.LIGHT, Corners.SQUARE)
    assert (interface.language, interface.country) == ("pt-BR", "BR")
    assert interface.redirect_url == "https://brightwater.example/obrigado"
    for wrong, control in (
        ({"accent": "red"}, "accent"),
        ({"scheme": "sepia"}, "scheme"),
        ({"corners": "no"}, "corners"),
        ({"language": "a b"}, "language"),
        ({"country": "XX"}, "country"),
        ({"redirect_url": "http://a.example"}, "redirect_url"),
    ):
        answer = signed_in.post(edit, data={**sent, **wrong})
        assert answer.status_code == 422, wrong
        assert "field-error" in answer.text, control
    assert signed_in.post(edit, data={"name": "Sales", "after": "message"}).status_code == 303
    db.session.refresh(interface)
    assert (interface.redirect_url, interface.accent) == (None, "#aa0000"), "what is not posted stays"


def test_only_texts_that_differ_are_stored(signed_in: FlaskClient, interface: Interface) -> None:
    words = f"/interfaces/{interface.public_id}/edit/texts"
    assert 'value="Send"' in signed_in.get(words).text
    assert signed_in.post(words, data={"button": "Go", "optional": "", "needed": "{label}!"}).status_code == 303
    db.session.refresh(interface)
    assert interface.texts == {"button": "Go", "optional": "", "needed": "{label}!"}
    assert 'id="button-error"' in signed_in.post(words, data={"button": "x" * 301}).text


def test_the_form_is_closed_and_opened(signed_in: FlaskClient, interface: Interface) -> None:
    edit = f"/interfaces/{interface.public_id}"
    assert signed_in.post(f"{edit}/close").status_code == 303
    assert "Form closed" in signed_in.get(f"{edit}/edit").text
    assert signed_in.post(f"{edit}/reopen").status_code == 303
    assert "Form closed" not in signed_in.get(f"{edit}/edit").text


def test_new_starts_from_a_template(signed_in: FlaskClient, owner: User) -> None:
    page = signed_in.get("/interfaces/new").text
    for template in interface_templates.ALL.values():
        assert f">{template.title}<" in page
        answer = signed_in.post("/interfaces/new", data={"name": template.title, "template": template.slug})
        assert signed_in.get(answer.location.replace("/interfaces/", "/f/").replace("/edit", "")).status_code == 200
    rows = {row.name: len(row.fields) for row in db.session.query(Interface)}
    assert rows == {"Contact": 4, "Quote request": 10, "Newsletter": 4, "Demo booking": 9, "Callback": 4, "Blank": 0}
    assert signed_in.post("/interfaces/new", data={"name": "X", "template": "no"}).status_code == 422


def test_another_account_finds_nothing_and_leads_only_users_are_refused(
    signed_in: FlaskClient, stranger: FlaskClient, owner: User, interface: Interface, field_id: Callable[[str], int]
) -> None:
    edit = f"/interfaces/{interface.public_id}"
    phone_id = field_id("phone")
    one, new = f"/interfaces/{interface.public_id}/edit/fields/{phone_id}", f"{edit}/edit/fields/new?type=text"
    looks = [f"{edit}/edit/fields", new, one, f"{one}/remove", f"{edit}/edit/texts"]
    posts = [new, one, f"{one}/move", f"{one}/remove", f"{one}/bring-back", f"{edit}/edit/fields/preview?type=text"]
    posts += [f"{edit}/close", f"{edit}/reopen", f"{edit}/edit/preview", f"{edit}/edit/texts"]

    def codes(client: Any) -> set[int]:
        return {client.get(path).status_code for path in looks} | {client.post(path).status_code for path in posts}

    assert codes(stranger) == {404}
    with transaction():
        owner.role = Role.LEADS_ONLY
    assert codes(signed_in) == {403}
    assert db.session.query(Field).count() == 4


def test_any_text_is_shown_safely(signed_in: FlaskClient, interface: Interface, tab: str) -> None:
    nasty = '"><script>alert(1)</script>'
    with transaction():
        for kind in FieldType:
            given = {"label": nasty, "help": nasty, "options": nasty, "placeholder": nasty}
            fields.add(interface, kind, {**given, "statement": f"{nasty} [{nasty}](https://a.example/)"})
    for path in (tab, f"/f/{interface.public_id}", f"/interfaces/{interface.public_id}/edit/embed"):
        assert "<script>alert" not in signed_in.get(path).text
    assert "<script>alert" not in signed_in.post(f"/f/{interface.public_id}", data={"select": nasty}).text
