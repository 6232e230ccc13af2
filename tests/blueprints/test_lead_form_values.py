"""What a visitor sent arrives unchanged, or is explained: from the post to the stored lead and the frozen payload."""

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from structlog.testing import capture_logs

from tests.conftest import AppMaker, make_owner
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, FieldType, Interface, Lead, User
from webapp.services.intake.other_values import CUT_SIGN, LONGEST_HIDDEN
from webapp.services.interfaces import fields, interface_templates, interfaces

JSON = {"Accept": "application/json"}
ENCODED = "application/x-www-form-urlencoded"
LIMIT = LONGEST_HIDDEN


@pytest.fixture
def app(make_app: AppMaker) -> Iterator[Flask]:
    """Without a limit on posts: one test may send many."""
    app = make_app(FORM_RATE_LIMIT="")
    with app.app_context():
        yield app


def _make_form() -> None:
    account_id = make_owner().account_id
    with transaction():
        interface = interfaces.create(account_id, "Values", interface_templates.BLANK)
        interface.webhook.url = "https://crm.example.com/"
        for kind in ("text", "long_text", "number", "date", "consent", "hidden"):
            fields.add(interface, FieldType(kind), {"label": kind, "key": kind, "statement": "I agree."})


MAKES = {"form": _make_form}


@pytest.fixture
def form(owner: User) -> Interface:
    """An interface with a webhook and the types that this file is about. The key is the type."""
    with transaction():
        return db.session.scalars(select(Interface)).one()


def speak(form: Interface, language: str) -> None:
    with transaction():
        db.session.get_one(Interface, form.id).language = language
        interfaces.update_texts(form, {})


def setting(form: Interface, key: str, **columns: object) -> None:
    with transaction():
        for name, value in columns.items():
            setattr(next(field for field in form.fields if field.key == key), name, value)
        interfaces.update_texts(form, {})


def sent(client: FlaskClient, form: Interface, query: str = "", **how: Any) -> dict[str, Any]:
    """Posts, and returns `data` of the payload: what the receiver gets. The lead has the same values."""
    for kind in ("data", "json"):  # a post needs an answer
        if isinstance(how.get(kind), dict):
            how = {**how, kind: {"long_text": "Hello", **how[kind]}}
    answer = client.post(f"/f/{form.public_id}{query}", headers=JSON, **how)
    assert answer.status_code == 201, answer.text
    db.session.rollback()
    lead = db.session.scalars(select(Lead).where(Lead.public_id == answer.json["id"])).one()
    payload = db.session.scalars(select(Delivery.payload).where(Delivery.lead_id == lead.id)).one()
    data: dict[str, Any] = json.loads(payload)["data"]
    assert (data["lead"]["fields"], data["lead"]["typed"]) == (lead.fields, lead.typed or {})
    assert data["lead"]["marks"] == (lead.marks or {})
    return data


def refused(client: FlaskClient, form: Interface, **how: Any) -> dict[str, list[str]]:
    answer = client.post(f"/f/{form.public_id}", headers=JSON, **how)
    assert answer.status_code == 422, answer.text
    errors: dict[str, list[str]] = answer.json["errors"]
    return errors


# Hidden values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [500, 501, 5000, LIMIT])
def test_a_hidden_value_is_taken_whole_in_every_body(client: FlaskClient, form: Interface, length: int) -> None:
    value = "é" * length
    for how in (
        {"data": {"hidden": value}},
        {"data": {"hidden": value}, "content_type": "multipart/form-data"},
        {"json": {"hidden": value}},
    ):
        lead = sent(client, form, **how)["lead"]
        assert (lead["fields"]["hidden"], lead["marks"]) == (value, {})


def test_the_query_of_the_address_is_as_good_as_the_body(client: FlaskClient, form: Interface) -> None:
    value = "v" * 7000
    assert f'value="{value}"' in client.get(f"/f/{form.public_id}?hidden={value}").text
    lead = sent(client, form, query=f"?hidden={value}", data={"text": "Ada"})["lead"]
    assert (lead["fields"]["hidden"], lead["marks"]) == (value, {})
    assert sent(client, form, query="?hidden=a&hidden=b", data={})["lead"]["fields"]["hidden"] == "b", "the last"


def test_a_longer_hidden_value_is_cut_with_a_mark_a_sign_and_a_line_in_the_log(
    client: FlaskClient, form: Interface
) -> None:
    value = "secret" * 10_000
    for how in ({"data": {"hidden": value}}, {"json": {"hidden": value}}, {"query": f"?hidden={value}", "data": {}}):
        with capture_logs() as logs:
            lead = sent(client, form, **how)["lead"]
        kept = lead["fields"]["hidden"]
        assert kept == value[: LIMIT - len(CUT_SIGN)] + CUT_SIGN
        assert (len(kept), lead["marks"]) == (LIMIT, {"hidden": "cut"})
        [line] = [line for line in logs if line["event"] == "hidden value cut"]
        assert (line["interface"], line["field"], line["sent"], line["kept"]) == (
            form.public_id,
            "hidden",
            60_000,
            LIMIT,
        )
        assert "secret" not in str(line)


def test_a_form_that_is_shown_again_does_not_lose_the_mark_of_a_cut(client: FlaskClient, form: Interface) -> None:
    value = "v" * (LIMIT + 1)
    setting(form, "text", required=True)
    page = client.post(f"/f/{form.public_id}", data={"hidden": value})
    assert page.status_code == 422
    assert f'value="{value}"' in page.text
    assert sent(client, form, data={"hidden": value, "text": "Ada"})["lead"]["marks"] == {"hidden": "cut"}


def test_a_value_that_embed_js_cut_is_marked_too(client: FlaskClient, form: Interface) -> None:
    lead = sent(client, form, data={"hidden": f"a, b{CUT_SIGN}"})["lead"]
    assert (lead["fields"]["hidden"], lead["marks"]) == (f"a, b{CUT_SIGN}", {"hidden": "cut"})


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('{"sku": "A1", "price": 1.10, "big": 12345678901234567890}',) * 2,
        ('["a", 1, true, null]',) * 2,
        ("12.50", "12.50"),
        ("true", "true"),
        ("null", ""),
        ('"two\\nlines  and   spaces"', "two\nlines  and   spaces"),
        ('{"é": "\\ud83d"}', '{"é": "\\ud83d"}'),
    ],
)
def test_json_of_any_type_fits_a_hidden_field(client: FlaskClient, form: Interface, written: str, kept: str) -> None:
    body = f'{{"text": "Ada", "hidden": {written}}}'
    found = sent(client, form, data=body.encode(), content_type="application/json")["lead"]["fields"]["hidden"]
    assert found == kept.replace("\\ud83d", "\ufffd")


@pytest.mark.parametrize("depth", [60, 400, 900])
def test_deep_json_in_a_hidden_field_is_kept_or_refused_in_words(
    client: FlaskClient, form: Interface, depth: int
) -> None:
    body = '{"hidden": ' + "[" * depth + "]" * depth + "}"
    answer = client.post(f"/f/{form.public_id}", data=body, content_type="application/json")
    assert answer.status_code in (201, 400, 422)


def test_nothing_that_a_visitor_cannot_see_refuses_them(client: FlaskClient, form: Interface) -> None:
    unseen: dict[str, Any] = {
        "page_title": "t" * 50_000,
        "page_url": "https://[broken",
        "referrer": ["a"],
        "utm_source": {"a": 1},
        "utm_term": "u" * 50_000,
        "gclid": None,
        "_token": "\ud83d" * 5000,
        "hidden": ["x"] * 5000,
        "undeclared": "x" * 10_000,
        "text": "Ada",
    }
    sent(client, form, data=json.dumps(unseen), content_type="application/json")
    sent(client, form, data={"_token": "x" * 5000, "hidden": "\0\x1b", "fbclid": "\x00", "page_title": "\x7f"})
    sent(client, form, query="?hidden=%FF%00&gclid=%E9", data={"consent": ""})


# Encodings -----------------------------------------------------------------------------------------------------------

NAME = {"cp1252": "José Müller", "cp932": "山田 太郎", "koi8_r": "Иван Петров", "cp949": "김철수", "gb18030": "王小明"}
LABELS = {"cp1252": "ISO-8859-1", "cp932": "Shift_JIS", "koi8_r": "KOI8-R", "cp949": "EUC-KR", "gb18030": "GBK"}


def as_multipart(values: dict[str, bytes], kind: str = "", file: bytes = b"") -> dict[str, Any]:
    parts = [
        b'--X\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n' + kind.encode() + b"\r\n" + value
        for name, value in values.items()
    ]
    if file:
        parts.append(b'--X\r\nContent-Disposition: form-data; name="file"; filename="' + file + b'"\r\n\r\ncontent')
    return {"data": b"\r\n".join(parts) + b"\r\n--X--\r\n", "content_type": "multipart/form-data; boundary=X"}


@pytest.mark.parametrize("python", NAME)
def test_a_page_in_another_encoding_is_read_however_it_says_so(
    client: FlaskClient, form: Interface, python: str
) -> None:
    name, label = NAME[python], LABELS[python]
    raw = name.encode(python)
    for how in (
        {"data": f"text={quote(raw)}", "content_type": f"{ENCODED}; charset={label}"},
        {"data": f"text={quote(raw)}&_charset_={label}", "content_type": ENCODED},
        {"data": b"text=" + raw.replace(b" ", b"+"), "content_type": f'{ENCODED}; charset="{label}"'},
        as_multipart({"text": raw, "_charset_": label.encode()}),
        as_multipart({"text": raw}, f"Content-Type: text/plain; charset={label}\r\n"),
        {"data": b'{"text": "' + raw + b'"}', "content_type": f"application/json; charset={label}"},
    ):
        assert sent(client, form, **how)["lead"]["fields"]["text"] == name, how


def test_a_page_that_says_nothing_is_read_by_the_language_of_the_form(client: FlaskClient, form: Interface) -> None:
    for python, language in (("cp1252", "de"), ("cp932", "ja"), ("cp949", "ko"), ("gb18030", "zh-CN")):
        speak(form, language)
        raw = NAME[python].encode(python)
        for how in (
            {"data": f"text={quote(raw)}", "content_type": ENCODED},
            {"data": b"text=" + raw.replace(b" ", b"+"), "content_type": ENCODED},
            as_multipart({"text": raw}),
            {"data": b'{"text": "' + raw + b'"}', "content_type": "application/json"},
        ):
            assert sent(client, form, **how)["lead"]["fields"]["text"] == NAME[python], how


def test_a_file_with_a_name_in_another_encoding_does_not_lose_the_form(client: FlaskClient, form: Interface) -> None:
    how = as_multipart({"text": "Müller".encode("cp1252")}, file="Lebenslauf Müller.pdf".encode("cp1252"))
    assert sent(client, form, **how)["lead"]["fields"]["text"] == "Müller"


@pytest.mark.parametrize("python", ["utf_8_sig", "utf_16", "utf_16_le", "utf_32"])
def test_json_in_any_unicode_encoding_is_read(client: FlaskClient, form: Interface, python: str) -> None:
    body = json.dumps({"text": "José 🚀"}, ensure_ascii=False).encode(python)
    assert sent(client, form, data=body, content_type="application/json")["lead"]["fields"]["text"] == "José 🚀"


@pytest.mark.parametrize(
    ("text", "python", "label"),
    [
        ("山田 太郎", "iso2022_jp", "iso-2022-jp"),
        ("山田 太郎", "iso2022_jp", "ISO-2022-JP"),
        ("Ã¼ber", "cp1252", "windows-1252"),  # its bytes are also UTF-8: über
        ("Ã©", "cp1252", "iso-8859-1"),
        ("Ã©", "cp1252", "us-ascii"),
        ("тЗя", "koi8_r", "KOI8-R"),
        ("Ğ¿", "cp1254", "iso-8859-9"),
        ("ﾃ｡ﾃｩ", "cp932", "Shift_JIS"),
        ("José 🚀", "utf_8", "UTF-8"),
        ("José 🚀", "utf_8", "utf8"),
        ("José 🚀", "utf_8", "no-such-charset"),
        ("José 🚀", "utf_16", "utf-16"),
        ("José 🚀", "utf_16_le", "utf-16le"),
        ("José 🚀", "utf_32", "utf-32"),
    ],
)
def test_json_is_read_in_the_encoding_that_it_declares(
    client: FlaskClient, form: Interface, text: str, python: str, label: str
) -> None:
    body = json.dumps({"text": text}, ensure_ascii=False).encode(python)
    how = {"data": body, "content_type": f"application/json; charset={label}"}
    assert sent(client, form, **how)["lead"]["fields"]["text"] == text


def test_json_that_its_declared_encoding_makes_invalid_is_answered_400(client: FlaskClient, form: Interface) -> None:
    for label in ("iso-2022-jp", "Shift_JIS", "windows-1252", "x" * 3000, "\0"):
        how: dict[str, Any] = {"data": b'{"text": "Ada', "content_type": f"application/json; charset={label}"}
        assert client.post(f"/f/{form.public_id}", headers=JSON, **how).status_code == 400, label


def test_a_mark_of_utf_8_before_a_form_does_not_hide_its_first_name(client: FlaskClient, form: Interface) -> None:
    how = {"data": b"\xef\xbb\xbftext=Ada", "content_type": ENCODED}
    assert sent(client, form, **how)["lead"]["fields"]["text"] == "Ada"


def test_the_query_may_be_in_another_encoding(client: FlaskClient, form: Interface) -> None:
    assert 'value="Jos\u00e9"' in client.get(f"/f/{form.public_id}?hidden=Jos%E9").text
    data = sent(client, form, query="?hidden=Jos%E9&utm_campaign=%FCber", data={"text": "Ada"})
    assert (data["lead"]["fields"]["hidden"], data["source"]["utm"]["campaign"]) == ("José", "über")
    data = sent(client, form, data={"page_url": "https://shop.example/?utm_campaign=%FCber"})
    assert data["source"]["utm"]["campaign"] == "über"


def test_what_looks_like_an_escape_in_utf_8_stays_as_it_was_typed(client: FlaskClient, form: Interface) -> None:
    for typed in ("%E9", "50% off & 100%25", "&#128640;", "\ufeffAda", "%"):
        for content_type in (ENCODED, "multipart/form-data"):
            assert (
                sent(client, form, data={"text": typed}, content_type=content_type)["lead"]["fields"]["text"] == typed
            )


@pytest.mark.parametrize("label", ["utf-7", "zip", "rot13", "idna", "unicode_escape", "x" * 3000, "../../etc"])
def test_a_charset_that_no_page_has_is_not_used(client: FlaskClient, form: Interface, label: str) -> None:
    for how in (
        {"data": "text=+ADw-b+AD4- Jos%E9", "content_type": f"{ENCODED}; charset={label}"},
        {"data": f"text=+ADw-b+AD4- Jos%E9&_charset_={label}", "content_type": ENCODED},
    ):
        assert sent(client, form, **how)["lead"]["fields"]["text"] == "ADw-b AD4- José"


def test_a_broken_multipart_body_is_not_a_crash(client: FlaskClient, form: Interface) -> None:
    for body in (b"", b"--X", b"--X\r\n\r\n\xff", b"--X\r\nContent-Disposition: form-data\r\n\r\n\xe9\r\n--X--\r\n"):
        answer = client.post(f"/f/{form.public_id}", data=body, content_type="multipart/form-data; boundary=X")
        assert answer.status_code < 500
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=\xe9"):
        assert client.post(f"/f/{form.public_id}", data=b"x", content_type=content_type).status_code < 500


def test_a_part_of_a_form_that_is_no_file_has_a_limit(client: FlaskClient, form: Interface) -> None:
    big = {"text": b"x" * 300_000}
    assert client.post(f"/f/{form.public_id}", **as_multipart(big)).status_code == 413
    many = {"data": {f"k{number}": "x" for number in range(501)}, "content_type": "multipart/form-data"}
    assert client.post(f"/f/{form.public_id}", **many).status_code == 413
    file = {"data": {"f": (BytesIO(b"x" * 1000), "é.pdf"), "text": "Ada"}, "content_type": "multipart/form-data"}
    assert sent(client, form, **file)["lead"]["fields"]["text"] == "Ada"


# Numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "typed", "number"),
    [
        ("de", "10.000", 10000),
        ("de", "12,5", 12.5),
        ("en", "12,5", 12.5),
        ("en", "10,000", 10000),
        ("fr", "10\u202f000", 10000),
        ("de-CH", "10'000.50", 10000.5),
        ("ar", "٣", 3),
        ("de", "3.142e+0", 3.142),
    ],
)
def test_a_number_is_read_in_the_language_of_the_form(
    client: FlaskClient, form: Interface, language: str, typed: str, number: float
) -> None:
    speak(form, language)
    for how in ({"data": {"number": typed}}, {"json": {"number": typed}}):
        lead = sent(client, form, **how)["lead"]
        assert lead["fields"]["number"] == number
        shown = typed.replace("\u202f", " ")
        assert lead["typed"] in ({}, {"number": typed}, {"number": shown})
        assert lead["typed"] or typed == str(number)


def test_a_number_of_json_is_taken_as_such_in_every_language(client: FlaskClient, form: Interface) -> None:
    for language in ("de", "fr", "en"):
        speak(form, language)
        for written, number in (("10.000", 10), ("12.5", 12.5), ("1.234", 1.234), ("1e5", 100000), ("-0", 0)):
            how = {"data": f'{{"number": {written}}}', "content_type": "application/json"}
            assert sent(client, form, **how)["lead"]["fields"]["number"] == number
        errors = refused(client, form, data='{"number": 12345678901234567}', content_type="application/json")
        assert list(errors) == ["number"]


def test_a_number_with_two_readings_is_answered_with_both(client: FlaskClient, form: Interface) -> None:
    for language, typed, first, second in (("en", "10.000", "10000", "10"), ("fr", "1.234", "1234", "1,234")):
        speak(form, language)
        for how in ({"data": {"number": typed}}, {"json": {"number": typed}}):
            [words] = refused(client, form, **how)["number"]
            assert f"{first} or {second}" in words
        page = client.post(f"/f/{form.public_id}", data={"number": typed}).text
        assert f"{first} or {second}" in page
        assert f'value="{typed}"' in page, "it is there to be corrected"


def test_limits_and_beginnings_of_numbers_are_shown_as_they_are_read(client: FlaskClient, form: Interface) -> None:
    speak(form, "de")
    setting(form, "number", minimum="1.234", maximum="10000", default="1.234")
    assert 'value="1,234"' in client.get(f"/f/{form.public_id}").text
    assert sent(client, form, data={"number": "1,234"})["lead"]["fields"]["number"] == 1.234
    assert "1,234 or more" in refused(client, form, data={"number": "1,2"})["number"][0]
    assert "10000 or less" in refused(client, form, data={"number": "10.001"})["number"][0]


def test_an_operator_types_limits_in_the_language_of_the_form(signed_in: FlaskClient, form: Interface) -> None:
    speak(form, "de")
    number = next(field for field in form.fields if field.key == "number")
    edit = f"/interfaces/{form.public_id}/edit/fields/{number.id}"
    page = signed_in.get(edit).text
    assert "the form’s language (de)" in page
    given = {"label": "number", "minimum": "1.000", "maximum": "10.000,5", "default": "2,5e3"}
    assert signed_in.post(edit, data=given).status_code == 422
    assert signed_in.post(edit, data=given | {"default": "1,234"}).status_code in (200, 303)
    db.session.refresh(number)
    assert (number.minimum, number.maximum, number.default) == ("1000", "10000.5", "1.234")
    page = signed_in.get(edit).text
    for shown in ('value="1000"', 'value="10000,5"', 'value="1,234"'):
        assert shown in page
    answer = signed_in.post(edit, data=given | {"minimum": "1,250", "default": ""})
    assert answer.status_code == 422
    assert "1250 or 1,25" in answer.text


# Consent -------------------------------------------------------------------------------------------------------------

YES = ["true", "TRUE", "on", "yes", " Yes ", "1", "checked", "v1", True, 1, ["on"], ["0", "on"], ["true", "false"]]
NO = ["", "false", "off", "no", "0", False, 0, None, [], ["on", "0"], ["yes", ""]]
OTHER = [
    "undefined",
    "null",
    "none",
    "nein",
    "n",
    "unchecked",
    "maybe",
    "NaN",
    "[object Object]",
    "tru",
    "y",
    "2",
    "nope",
]


def test_only_a_documented_yes_is_a_consent(client: FlaskClient, form: Interface) -> None:
    for answers, given in ((YES, True), (NO, False)):
        for value in answers:
            data = sent(client, form, json={"consent": value})
            assert data["lead"]["fields"]["consent"] is given, value
            assert [entry["given"] for entry in data["consents"]] == [given]
            assert data["lead"]["typed"] == {}


def test_what_is_neither_yes_nor_no_is_not_given_and_kept_as_it_was_sent(client: FlaskClient, form: Interface) -> None:
    for value in OTHER:
        for how in ({"data": {"consent": value}}, {"json": {"consent": value}}):
            data = sent(client, form, **how)
            assert (data["lead"]["fields"]["consent"], data["consents"][0]["given"]) == (False, False), value
            assert data["lead"]["typed"] == {"consent": value}
    assert len(sent(client, form, data={"consent": "x" * 9000})["lead"]["typed"]["consent"]) == 500


def test_a_required_consent_needs_a_yes(client: FlaskClient, form: Interface) -> None:
    setting(form, "consent", required=True)
    for value in (*NO, *OTHER):
        assert list(refused(client, form, json={"consent": value})) == ["consent"], value
    for value in YES:
        sent(client, form, json={"consent": value})
    for value in ("v2", "v0", "v10"):
        assert "wording has changed" in refused(client, form, json={"consent": value})["consent"][0]
    assert list(refused(client, form, json={"consent": {"given": True}})) == ["consent"]


def test_of_several_boxes_of_one_name_the_last_value_counts(client: FlaskClient, form: Interface) -> None:
    for values, given in ((["0", "on"], True), (["on", "0"], False), (["true", "false"], True), (["no", "no"], False)):
        for content_type in (ENCODED, "multipart/form-data"):
            found = sent(client, form, data={"consent": values}, content_type=content_type)["lead"]["fields"]
            assert found["consent"] is given, values


# Where the visitor came from -----------------------------------------------------------------------------------------

CLICK_IDS = ("gclid", "gbraid", "wbraid", "dclid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id")


@pytest.mark.parametrize("length", [406, 2000, 4000])
def test_click_ids_and_campaigns_arrive_whole(client: FlaskClient, form: Interface, length: int) -> None:
    value = "E.C.P" + "x" * (length - 5)
    for how in (
        {"data": dict.fromkeys((*CLICK_IDS, "utm_campaign"), value)},
        {"query": f"?ttclid={value}", "data": {}},
    ):
        source = sent(client, form, **how)["source"]
        assert source["click_ids"]["ttclid"] == value
    data = {"page_url": f"https://shop.example/?ttclid={value}&utm_term={value}"}
    source = sent(client, form, data=data)["source"]
    assert (source["click_ids"], source["utm"]["term"]) == ({"ttclid": value}, value)


def test_what_is_too_long_to_be_whole_is_left_out_and_never_cut(client: FlaskClient, form: Interface) -> None:
    data = dict.fromkeys((*CLICK_IDS, "utm_source", "utm_term"), "x" * 4001)
    source = sent(client, form, data=data)["source"]
    assert (source["click_ids"], set(source["utm"].values())) == ({}, {None})


def test_a_long_address_loses_its_query_and_is_else_left_out(client: FlaskClient, form: Interface) -> None:
    path, query = "https://shop.example/" + "p" * 1000, "?utm_source=news&gclid=Cj0&rest=" + "q" * 2000
    source = sent(client, form, data={"page_url": f"{path}{query}#top", "referrer": f"{path}{query}"})["source"]
    assert (source["page_url"], source["referrer"]) == (path, path)
    assert (source["utm"]["source"], source["click_ids"]) == ("news", {"gclid": "Cj0"}), "they were in the query"
    long = {"page_url": "https://shop.example/" + "p" * 2050, "referrer": path + "p" * 2050}
    source = sent(client, form, data=long)["source"]
    assert (source["page_url"], source["referrer"]) == (None, None)


def test_a_long_title_is_cut_where_people_see_it(client: FlaskClient, form: Interface) -> None:
    assert sent(client, form, data={"page_title": "t" * 300})["source"]["page_title"] == "t" * 300
    assert sent(client, form, data={"page_title": "t" * 301})["source"]["page_title"] == "t" * 299 + "…"


# Dates ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["0027-03-31", "1899-12-31", "2200-01-01", "9999-01-01", "31.03.0027", "2570-03-31"])
def test_a_year_that_cannot_be_meant_is_refused_in_words(client: FlaskClient, form: Interface, typed: str) -> None:
    [words] = refused(client, form, data={"date": typed})["date"]
    assert "from 1900-01-01 to 2199-12-31" in words
    assert "four digits" in words


def test_the_date_control_has_the_limits_of_the_field(client: FlaskClient, form: Interface) -> None:
    assert 'min="1900-01-01"' in client.get(f"/f/{form.public_id}").text
    setting(form, "date", minimum="1815-01-01")
    page = client.get(f"/f/{form.public_id}").text
    assert ('min="1815-01-01"' in page, 'max="2199-12-31"' in page) == (True, True)
    assert sent(client, form, data={"date": "1815-12-10"})["lead"]["fields"]["date"] == "1815-12-10"
    assert "1815-01-01 or later" in refused(client, form, data={"date": "0027-03-31"})["date"][0]


def test_a_date_in_the_way_of_the_language_is_read_and_what_was_typed_is_kept(
    client: FlaskClient, form: Interface
) -> None:
    speak(form, "de")
    lead = sent(client, form, data={"date": "31.03.2027"})["lead"]
    assert (lead["fields"]["date"], lead["typed"]) == ("2027-03-31", {"date": "31.03.2027"})
    speak(form, "en")
    [words] = refused(client, form, data={"date": "03/04/2027"})["date"]
    assert "2027-03-04 or 2027-04-03" in words
    for typed in ("31.03.27", "2027-02-30", "2027-W13-3", "2027-03-31T00:00:00Z", "soon"):
        assert "This is not a date" in refused(client, form, data={"date": typed})["date"][0], typed


@pytest.mark.parametrize("typed", ["0027-03-31", "0999-12-31", "2027-02-30", "27-03-31"])
def test_an_operators_limits_and_beginnings_are_likely_days_too(
    signed_in: FlaskClient, form: Interface, typed: str
) -> None:
    day = next(field for field in form.fields if field.key == "date")
    edit = f"/interfaces/{form.public_id}/edit/fields/{day.id}"
    for name in ("minimum", "maximum", "default"):
        assert signed_in.post(edit, data={"label": "date", name: typed}).status_code == 422, name
    assert signed_in.post(edit, data={"label": "date", "default": "1850-01-01"}).status_code == 422
    allowed = {"label": "date", "default": "1850-01-01", "minimum": "1800-01-01"}
    assert signed_in.post(edit, data=allowed).status_code in (200, 303)
