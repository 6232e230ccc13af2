"""The formats of a payload but the template: their bytes are promises to receivers."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from tests.webhooks.leads import document, longest
from tests.webhooks.test_as_javascript import printed_again
from webapp.webhooks.formats import flat, form
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.payload import lead_payload
from webapp.webhooks.settings import WrongSetting

FILE = {"name": "cv.pdf", "size": 71, "type": "application/pdf", "url": "https://leads.example.com/files/abc"}
ANSWERS = {
    "name": "Ada Lovelace",
    "topics": ["a", "b & c"],
    "guests": 12,
    "price": 1e-05,
    "news": True,
    "cv": [FILE, FILE],
    "none": None,
    "empty": "",
    "nothing": [],
}
ENDS = (
    '"event":"lead.created","interface_id":"if_8Kx2","interface_name":"Contact sales",'
    '"page_url":"https://example.com/contact","page_title":null,"referrer":null,'
    '"utm_source":"newsletter","utm_medium":null,"utm_campaign":null,"utm_term":null,"utm_content":null,'
    '"gclid":null,"gbraid":null,"wbraid":null,"dclid":null,"fbclid":null,"msclkid":null,"ttclid":null,"twclid":null,'
    '"li_fat_id":null,"ip":"203.0.113.7","user_agent":null,"first_touch_at":null,'
    '"first_touch_page_url":null,"first_touch_page_title":null,"first_touch_referrer":null,'
    '"first_touch_utm_source":null,"first_touch_utm_medium":null,"first_touch_utm_campaign":null,'
    '"first_touch_utm_term":null,"first_touch_utm_content":null,"first_touch_gclid":null,"first_touch_gbraid":null,'
    '"first_touch_wbraid":null,"first_touch_dclid":null,"first_touch_fbclid":null,"first_touch_msclkid":null,'
    '"first_touch_ttclid":null,"first_touch_twclid":null,"first_touch_li_fat_id":null}'
)


def rendered(name: str, of: dict[str, object], **options: object) -> bytes:
    return FORMATS[name].of(options, list(of["data"]["lead"]["fields"])).render(of)  # type: ignore[index]


def test_leadhooks_json_has_the_same_bytes_as_without_a_format() -> None:
    given = {
        "event": "lead.test",
        "lead_id": "lead_01k",
        "received_at": datetime(2026, 11, 23, 8, tzinfo=UTC),
        "fields": ANSWERS | {"emoji": "🚀", "half": "a\ud83d"},
        "undeclared": {"10": 1.5, "9": "x"},
        "interface_id": "if_8Kx2",
        "interface_name": "Contact",
        "source": {},
        "consents": [],
    }
    of = document(**{key: value for key, value in given.items() if key != "fields"}, fields=given["fields"])  # type: ignore[arg-type]
    assert rendered("json", of) == lead_payload(**given)  # type: ignore[arg-type]


def test_flat_json_is_exactly_what_receivers_were_promised() -> None:
    assert rendered("flat", document(ANSWERS)).decode() == (
        '{"lead_id":"lead_01k","received_at":"2026-11-23T08:00:00.123Z","test":false,"name":"Ada Lovelace",'
        '"topics":"a, b & c","guests":12,"price":0.00001,"news":true,'
        '"cv":"https://leads.example.com/files/abc, https://leads.example.com/files/abc",'
        '"none":null,"empty":"","nothing":"",' + ENDS
    )


@pytest.mark.parametrize("of", [document(ANSWERS), document({}, undeclared={"a": {"b": [1]}, "c": ["x"]}), longest()])
def test_flat_json_has_no_objects_and_no_lists(of: dict[str, object]) -> None:
    for body in (rendered("flat", of), json.dumps(flat.flattened(of)).encode()):
        assert not [value for value in json.loads(body).values() if isinstance(value, dict | list)]


def test_the_keys_of_a_flat_lead_do_not_depend_on_what_was_answered() -> None:
    touch = {"page_url": "x", "utm": {"source": "a"}, "click_ids": {"gclid": "b"}}
    full = document(
        {"name": "Ada", "n": 1}, source={**touch, "first_touch": {**touch, "at": "2026-11-23T08:00:00.000Z"}}
    )
    empty = document({"name": "", "n": None}, source={})
    assert list(flat.flattened(full)) == list(flat.flattened(empty))
    assert flat.flattened(full)["gclid"] == flat.flattened(full)["first_touch_gclid"] == "b"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["lead_id", "name"], ["field_lead_id", "name"]),
        (["lead_id", "field_lead_id"], ["field_field_lead_id", "field_lead_id"]),
        (["field_lead_id", "lead_id"], ["field_lead_id", "field_field_lead_id"]),
        (["test", "received_at", "ip"], ["field_test", "field_received_at", "field_ip"]),
        (["page_url", "utm_source", "gclid"], ["field_page_url", "field_utm_source", "field_gclid"]),
        (["first_touch_at", "event", "interface_id"], ["field_first_touch_at", "field_event", "field_interface_id"]),
    ],
)
def test_no_answer_can_pretend_to_be_one_of_our_keys(keys: list[str], expected: list[str]) -> None:
    of = document(dict.fromkeys(keys, "forged"))
    found = flat.flattened(of)
    assert [key for key, value in found.items() if value == "forged"] == expected
    assert found["lead_id"] == "lead_01k"
    assert found["test"] is False


def test_undeclared_answers_come_last_and_cannot_pretend_to_be_answers() -> None:
    of = document({"undeclared_a": "declared"}, undeclared={"a": "x", "b": {"c": [1, 0.5]}, "_cut": ["b"]})
    found = list(flat.flattened(of).items())
    expected = {"undeclared_undeclared_a": "x", "undeclared_b": '{"c":[1,0.5]}', "undeclared__cut": "b"}
    assert found[-3:] == list(expected.items())


def test_a_form_reads_back_as_the_flat_lead() -> None:
    of = document(ANSWERS | {"awkward": "a+b & c=d; é 🚀\n50% \ud83d"})
    body = rendered("form", of)
    assert body.isascii()
    assert FORMATS["form"].of({}, []).content_type == "application/x-www-form-urlencoded"
    found = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
    assert list(found) == list(flat.flattened(of))
    assert found["awkward"] == "a+b & c=d; é 🚀\n50% �"
    assert (found["news"], found["test"], found["none"], found["price"]) == ("true", "false", "", "0.00001")
    assert b"topics=a%2C+b+%26+c&guests=12&" in body


def test_a_cloud_event_has_the_required_attributes() -> None:
    of = document()
    chosen = FORMATS["cloudevents"].of({}, [])
    assert chosen.content_type == "application/cloudevents+json"
    assert (
        chosen.render(of)
        .decode()
        .startswith(
            '{"specversion":"1.0","id":"lead_01k","source":"/f/if_8Kx2","type":"lead.created","subject":"if_8Kx2",'
            '"time":"2026-11-23T08:00:00.123Z","datacontenttype":"application/json","data":{"lead":{"id":"lead_01k",'
        )
    )
    assert json.loads(chosen.render(of))["data"] == of["data"]


@pytest.mark.parametrize("given", [{"tenant": "acme", "shard7": "1"}, "tenant: acme\n\n shard7 : 1\n"])
def test_a_cloud_event_carries_a_source_and_extensions(given: object) -> None:
    event = json.loads(rendered("cloudevents", document(), source="https://leads.example.com/#eu", extensions=given))
    assert event["source"] == "https://leads.example.com/#eu"
    assert (event["tenant"], event["shard7"]) == ("acme", "1")


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        *(
            ({"extensions": {name: "x"}}, "extensions")
            for name in ("Tenant", "my_id", "my-id", "é", "", "x" * 21, "data", "id", "specversion", "source", "٣")
        ),
        *(({"extensions": {"tenant": value}}, "extensions") for value in ("", "a\nb", "x" * 201, 5, None, ["x"])),
        ({"extensions": {f"n{number}": "x" for number in range(11)}}, "extensions"),
        ({"extensions": "no colon"}, "extensions"),
        *(({"source": source}, "source") for source in ("with space", "a\nb", "<x>", 'a"b', "é", "x" * 501)),
    ],
)
def test_what_a_cloud_event_cannot_carry_is_refused(options: dict[str, object], setting: str) -> None:
    with pytest.raises(WrongSetting) as refused:
        FORMATS["cloudevents"].of(options, [])
    assert refused.value.setting == setting


@pytest.mark.parametrize("name", ["json", "flat", "cloudevents"])
def test_node_prints_every_format_again_as_it_is(name: str) -> None:
    bodies = [
        rendered(name, of)
        for of in (document(ANSWERS), document({"n": 0.5, "half": "\udc00"}, undeclared={"9": {"7": 1, "b": 1e21}}))
    ]
    assert printed_again(bodies) == bodies


def test_all_formats_take_every_lead() -> None:
    for name, kind in FORMATS.items():
        options = {"template": '{"id": "{{ lead.id }}"}'}
        for of in (document({}), document(ANSWERS), longest("é")):
            assert kind.of(options, list(of["data"]["lead"]["fields"])).render(of), name


def test_form_values_are_texts() -> None:
    assert (
        form.encode({"a": True, "b": None, "c": [1, "x"], "d": {"e": 0.5}})
        == b"a=true&b=&c=1%2C+x&d=%7B%22e%22%3A0.5%7D"
    )
