"""Fields: their settings, and the rule that a key keeps its meaning. Templates: ready-made forms."""

from typing import Any

import phonenumbers
import pytest
from werkzeug.exceptions import NotFound

from tests.support.factories import submit
from webapp.countries import COUNTRIES
from webapp.db.transactions import transaction
from webapp.models import Field, FieldType, Interface, User
from webapp.services.errors import Refused
from webapp.services.intake import visitor
from webapp.services.intake.answers import LeadForm
from webapp.services.interfaces import fields, interface_templates, interfaces
from webapp.services.interfaces.field_types import KINDS, PRESETS, SENT
from webapp.services.leads import lead_export, leads

COLOURS = {"label": "Colour", "options": "Red\n\n  Dark   green \nBlue"}


def add(interface: Interface, kind: FieldType = FieldType.TEXT, **given: Any) -> Field:
    with transaction():
        return fields.add(interface, kind, {"label": "Colour", "options": "Red", "statement": "Yes", **given})


def keys(interface: Interface) -> list[str]:
    return [field.key for field in interface.fields]


def refusal(call: Any, *given: Any, **more: Any) -> Refused:
    with pytest.raises(Refused) as raised, transaction():
        call(*given, **more)
    return raised.value


def test_a_key_is_made_of_the_label_and_is_the_only_one(interface: Interface) -> None:
    made = [add(interface, label=label).key for label in ("Your  Colour?", "Your colour", "色", "9 lives", "Page URL")]
    assert made == ["your_colour", "your_colour_2", "text", "text_2", "page_url_2"]
    assert add(interface, FieldType.HEADING).key == "_heading"


def test_an_invalid_key_is_refused(interface: Interface) -> None:
    wrong = {"email": "Another field", "utm_source": "came from", "Bad Key": "small letters", "x" * 65: "at most 64"}
    for key, words in wrong.items():
        refused = refusal(fields.add, interface, FieldType.TEXT, {"label": "It", "key": key})
        assert refused.field == "key"
        assert words in str(refused)
    assert len(interface.fields) == 4


def test_a_key_can_change_while_no_lead_carries_it(interface: Interface) -> None:
    field = add(interface)
    with transaction():
        fields.change(interface, field, {"label": "Colour", "key": "shade"})
    assert keys(interface)[-1] == "shade"
    with transaction():
        assert fields.remove(interface, field) is False
    assert add(interface, key="shade").key == "shade"


def test_a_key_that_leads_carry_cannot_change_or_be_reused(interface: Interface) -> None:
    submit(interface)
    phone = next(field for field in interface.fields if field.key == "phone")
    late = add(interface, label="Added later")
    assert fields.carried(interface) == {field.id for field in interface.fields} - {late.id}

    assert "stays" in str(refusal(fields.change, interface, phone, {"label": "Phone", "key": "mobile"}))
    with transaction():
        fields.change(interface, phone, {"label": "Mobile"})
        assert fields.remove(interface, phone) is True
    assert keys(interface) == ["name", "email", "message", "added_later"]
    assert [field.key for field in interface.removed_fields] == ["phone"]
    assert "Bring that one back" in str(refusal(fields.add, interface, FieldType.PHONE, {"label": "P", "key": "phone"}))
    assert "Bring that one back" in str(refusal(fields.change, interface, late, {"label": "P", "key": "phone"}))

    with transaction():
        fields.bring_back(interface, phone)
    assert keys(interface) == ["name", "email", "message", "added_later", "phone"]
    assert (phone.label, phone.position) == ("Mobile", 5)


def test_a_field_swaps_places_with_its_neighbour_and_stops_at_the_ends(interface: Interface) -> None:
    name, _, _, message = interface.fields
    with transaction():
        assert fields.move(interface, name, up=True) == 1
        assert fields.move(interface, name, up=False) == 2
        assert fields.move(interface, message, up=False) == 4
    assert keys(interface) == ["email", "name", "phone", "message"]


def test_options_are_lines_and_a_default_must_be_one_of_them(interface: Interface) -> None:
    assert add(interface, FieldType.SELECT, **COLOURS).options == ["Red", "Dark green", "Blue"]
    assert add(interface, FieldType.CHECKBOXES, **COLOURS, default="Blue\nRed").default == "Blue\nRed"
    assert refusal(add, interface, FieldType.RADIO, **COLOURS, default="Pink").field == "default"
    assert refusal(add, interface, FieldType.RADIO, options=" \n ").field == "options"
    assert "twice" in str(refusal(add, interface, FieldType.RADIO, options="Red\nRed"))


LIMITS = [
    (FieldType.TEXT, "5", "3", "maximum"),
    (FieldType.TEXT, "", "501", "maximum"),
    (FieldType.LONG_TEXT, "1.5", "", "minimum"),
    (FieldType.NUMBER, "ten", "", "minimum"),
    (FieldType.NUMBER, "-1", "-2", "maximum"),
    (FieldType.DATE, "2027-02-30", "", "minimum"),
    (FieldType.DATE, "2027-02-02", "2027-02-01", "maximum"),
]


def test_limits_that_no_answer_could_meet_are_refused(interface: Interface) -> None:
    for kind, least, most, at_fault in LIMITS:
        assert refusal(add, interface, kind, minimum=least, maximum=most).field == at_fault, (kind, least, most)


def test_a_new_consent_statement_is_a_new_version(interface: Interface) -> None:
    consent = add(interface, FieldType.CONSENT, statement="I agree.")
    for statement, version in (("I agree.", 1), ("I agree to [all](https://example.com).", 2), ("I agree.", 3)):
        with transaction():
            fields.change(interface, consent, {"label": "Consent", "statement": statement})
        assert consent.version == version
    assert refusal(fields.change, interface, consent, {"label": "Consent", "statement": ""}).field == "statement"


def test_a_field_of_another_interface_is_not_found(interface: Interface, owner: User) -> None:
    with transaction():
        other = interfaces.create(owner.account_id, "Other")
    with pytest.raises(NotFound):
        fields.get(other, interface.fields[0].id)


def test_the_number_of_fields_is_limited(interface: Interface) -> None:
    with transaction():
        for _ in range(fields.MAX_FIELDS - 4):
            fields.add(interface, FieldType.TEXT, {"label": "One more"})
    assert "at most 60" in str(refusal(add, interface))


def test_every_type_and_ready_made_field_can_be_added_unchanged(interface: Interface) -> None:
    for kind in FieldType:
        add(interface, kind, label=KINDS[kind].name)
    for kind, begins in PRESETS.values():
        add(interface, kind, **begins)
    assert set(KINDS) == set(FieldType)


def test_a_template_makes_a_form_that_accepts_its_own_test_lead(owner: User) -> None:
    """The builder accepts each field, and the form's own rules accept the test lead."""
    for template in interface_templates.ALL.values():
        with transaction():
            interface = interfaces.create(owner.account_id, template.title, template)
            interface.webhook.url = "https://crm.example.com/"
            fields_before = [(field.type, _given(field), field.key) for field in interface.fields]
            lead = leads.send_test(interface, owner.id).lead
        for kind, given, key in fields_before:
            assert fields.checked(kind, given)["label"] == given["label"]
            assert key == "_heading" or fields._KEY.fullmatch(key)
        assert list(lead.fields) == [field.key for field in interface.fields if field.type in SENT]
        form = LeadForm.of(interface, lead.fields)
        assert (form.errors, form.values) == ({}, lead.fields)


def _given(field: Field) -> dict[str, Any]:
    """The field's settings as the builder's form has them."""
    settings = {name: getattr(field, name) for name in (*KINDS[field.type].settings, "label")}
    return settings | {"options": "\n".join(field.options)}


def test_the_countries_are_those_whose_phone_numbers_can_be_parsed() -> None:
    assert set(COUNTRIES) == set(phonenumbers.SUPPORTED_REGIONS)


def test_no_new_field_has_the_name_of_another_column_of_the_csv(interface: Interface) -> None:
    columns = {*lead_export.LAST, *lead_export.FIRST_TOUCH}
    assert columns | visitor.FIRST <= fields.RESERVED
    for key in sorted(columns):
        for kind in (FieldType.TEXT, FieldType.HIDDEN):
            assert "is reserved" in str(refusal(fields.add, interface, kind, {"label": "It", "key": key}))
    made = [
        add(interface, label=label).key for label in ("First referrer", "IP", "First page URL", "User agent", "gclid")
    ]
    assert made == ["first_referrer_2", "ip_2", "first_page_url_2", "user_agent_2", "gclid_2"]


def test_a_field_that_has_such_a_key_already_can_still_be_changed(interface: Interface) -> None:
    field = add(interface, key="ip_2")
    with transaction():
        field.key = "ip"
    with transaction():
        assert fields.change(interface, field, {"label": "Intellectual property", "key": "ip"}).key == "ip"
