"""File fields on the public form: what is taken, stored, delivered, downloaded, refused, and kept when shown again."""

import hashlib
import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select, update

from tests.support.factories import ADA, point_at
from tests.support.uploads import DOCX, ELF, EXE, HTML, JPEG, PDF, PNG, SVG, ask_for_files, multipart, part, zipped
from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, Field, FieldType, File, Interface, Lead, Mail, User
from webapp.services.files import links
from webapp.services.interfaces import fields, interfaces
from webapp.services.leads import forgetting, lead_export, leads
from webapp.services.leads.lead_list import Filter

JSON = {"Accept": "application/json"}


@pytest.fixture
def cv(interface: Interface) -> Field:
    """A File field "cv" on the form: one PDF, picture or document of at most 10 MB."""
    return ask_for_files(interface)


def send(client: FlaskClient, interface: Interface, *, headers: Any = JSON, **files: Any) -> Any:
    return client.post(f"/f/{interface.public_id}", **multipart({**ADA, **files}), headers=headers)


def the_lead() -> Lead:
    return db.session.scalars(select(Lead)).one()


def the_file() -> File:
    return db.session.scalars(select(File)).one()


def count(model: Any) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def stored_bytes() -> list[bytes]:
    return [path.read_bytes() for path in (current_config.home / "files").rglob("*") if path.is_file()]


def path_of(url: str) -> str:
    assert url.startswith(current_config.public_url)
    return url.removeprefix(current_config.public_url)


# What is taken -------------------------------------------------------------------------------------------------------


def test_a_file_is_stored_delivered_mailed_exported_and_downloaded(
    app: Flask, client: FlaskClient, signed_in: FlaskClient, interface: Interface, cv: Field
) -> None:
    point_at(interface, "https://crm.example.com/")
    with transaction():
        interface.notification_emails = ["sales@example.com"]
        interface.updated_at = utcnow()
    answer = send(client, interface, cv=part(PDF, "Lebenslauf für Köln.pdf"))
    assert (answer.status_code, list(answer.json)) == (201, ["id"])

    lead, file = the_lead(), the_file()
    [entry] = lead.fields["cv"]
    assert entry == {
        "name": "Lebenslauf für Köln.pdf",
        "size": len(PDF),
        "type": "application/pdf",
        "url": links.address(file.public_id),
    }
    assert (file.lead_id, file.sha256, file.gone_at) == (lead.id, hashlib.sha256(PDF).hexdigest(), None)
    assert stored_bytes() == [PDF]
    payload = json.loads(db.session.scalars(select(Delivery.payload)).one())
    assert payload["data"]["lead"]["fields"]["cv"] == [entry]

    got = client.get(path_of(entry["url"]))
    assert (got.status_code, got.data) == (200, PDF)
    assert got.headers["Content-Disposition"] == (
        "attachment; filename=\"Lebenslauf fur Koln.pdf\"; filename*=UTF-8''Lebenslauf%20f%C3%BCr%20K%C3%B6ln.pdf"
    )
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert got.headers["Content-Length"] == str(len(PDF))

    page = signed_in.get(f"/leads/{lead.public_id}").text
    inside = f"/leads/{lead.public_id}/files/{file.public_id}"
    assert f'href="{inside}"' in page
    assert signed_in.get(inside).data == PDF
    mail = db.session.scalars(select(Mail)).one()
    assert "Lebenslauf für Köln.pdf" in mail.body_text
    assert entry["url"] not in mail.body_text + mail.body_html, "a mail goes to many; the lead is behind sign-in"
    assert "Lebenslauf für Köln.pdf" in "".join(lead_export.lines(Filter.of(interface.account_id)))


def test_no_file_is_an_empty_list(client: FlaskClient, interface: Interface, cv: Field) -> None:
    """As a browser sends it where no file was chosen, without the control, form-encoded, and as JSON."""
    address = f"/f/{interface.public_id}"
    assert send(client, interface, cv=part(b"", "")).status_code == 201
    assert send(client, interface, other="").status_code == 201
    assert client.post(address, data=ADA, headers=JSON).status_code == 201
    for nothing in ([], None, ""):
        assert client.post(address, json={**ADA, "cv": nothing}).status_code == 201
    assert [lead.fields["cv"] for lead in db.session.scalars(select(Lead))] == [[]] * 6
    assert count(File) == 0


TAKEN = [
    ("photo.jpg", JPEG, "image/jpeg"),
    ("PHOTO.JPEG", JPEG, "image/jpeg"),
    ("plan.png", PNG, "image/png"),
    ("letter.docx", DOCX, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("notes.txt", "Grüße".encode(), "text/plain"),
    ("notes.txt", "Grüße".encode("latin-1"), "text/plain"),
    ("notes.txt", "Grüße".encode("utf-16"), "text/plain"),
    ("old.pdf", b"\r\n\r\n" + PDF, "application/pdf"),
    ("履歴書.pdf", PDF, "application/pdf"),
    ("archive.tar.pdf", PDF, "application/pdf"),
    ("iphone.heic", b"\0\0\0\x24ftypmif1\0\0\0\0mif1heic" + b"\0" * 50, "image/heic"),
]


@pytest.mark.parametrize(("name", "content", "media_type"), TAKEN)
def test_a_type_that_the_field_accepts_is_taken(
    client: FlaskClient, interface: Interface, cv: Field, name: str, content: bytes, media_type: str
) -> None:
    assert send(client, interface, cv=part(content, name)).status_code == 201
    [entry] = the_lead().fields["cv"]
    assert (entry["name"], entry["type"]) == (name, media_type)
    assert client.get(path_of(entry["url"])).data == content


def test_several_files_stay_in_their_order_even_with_one_name(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface, "photos", file_count="3")
    files = [part(JPEG, "photo.jpg"), part(PNG, "photo.png"), part(JPEG + b"2", "photo.jpg")]
    assert send(client, interface, photos=files).status_code == 201
    entries = the_lead().fields["photos"]
    assert [entry["name"] for entry in entries] == ["photo.jpg", "photo.png", "photo.jpg"]
    assert [client.get(path_of(entry["url"])).data for entry in entries] == [JPEG, PNG, JPEG + b"2"]


NAMES = [
    ("../../etc/passwd.pdf", "passwd.pdf"),
    ("/absolute/cv.pdf", "cv.pdf"),
    ("..pdf.pdf", "pdf.pdf"),
    ("cv\u202efdp.pdf", "cvfdp.pdf"),
    ("  spaces \t all over .pdf", "spaces all over .pdf"),
    ("=cmd|'x'!A0.pdf", "=cmd|'x'!A0.pdf"),
    ("<script>.pdf", "<script>.pdf"),
    ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
    ("😀 CV.pdf", "😀 CV.pdf"),
]


@pytest.mark.parametrize(("sent", "kept"), NAMES)
def test_a_name_is_kept_for_people_and_never_used_as_a_path(
    app: Flask, client: FlaskClient, signed_in: FlaskClient, interface: Interface, cv: Field, sent: str, kept: str
) -> None:
    assert send(client, interface, cv=part(PDF, sent)).status_code == 201
    lead = the_lead()
    assert lead.fields["cv"][0]["name"] == kept
    paths = [path.name for path in (current_config.home / "files").rglob("*") if path.is_file()]
    assert paths == [the_file().public_id]
    page = signed_in.get(f"/leads/{lead.public_id}").text
    assert kept in html.unescape(page)
    assert "<script>.pdf" not in page
    disposition = client.get(path_of(lead.fields["cv"][0]["url"])).headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=")
    assert "\n" not in disposition
    assert ",=cmd" not in "".join(lead_export.lines(Filter.of(interface.account_id)))


# What is refused -----------------------------------------------------------------------------------------------------

REFUSED = [
    ("cv.pdf", EXE, "not the kind of file"),
    ("cv.pdf", ELF, "not the kind of file"),
    ("cv.pdf", HTML, "not the kind of file"),
    ("cv.pdf", PNG, "not the kind of file"),
    ("cv.pdf", b"just text", "not the kind of file"),
    ("photo.jpg", SVG, "not the kind of file"),
    ("letter.docx", PDF, "not the kind of file"),
    ("notes.txt", EXE, "not the kind of file"),
    ("setup.exe", EXE, "Choose one of these: PDF, JPG"),
    ("page.html", HTML, "Choose one of these"),
    ("logo.svg", SVG, "Choose one of these"),
    ("macros.docm", DOCX, "Choose one of these"),
    ("all.zip", zipped("a.txt"), "Choose one of these"),
    ("cv", PDF, "Choose one of these"),
    (".pdf", PDF, "Choose one of these"),
    ("cv.pdf.exe", PDF, "Choose one of these"),
    ("cv.pdf", b"", "is empty"),
]


@pytest.mark.parametrize(("name", "content", "words"), REFUSED)
def test_what_the_field_does_not_accept_is_refused_in_words_and_not_stored(
    app: Flask, client: FlaskClient, interface: Interface, cv: Field, name: str, content: bytes, words: str
) -> None:
    answer = send(client, interface, cv=part(content, name))
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["cv"])
    assert words in answer.json["errors"]["cv"][0]
    assert (count(Lead), count(File), stored_bytes()) == (0, 0, [])


def test_a_file_that_is_too_large_is_refused_at_its_field(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface, file_megabytes="1")
    answer = send(client, interface, cv=part(PDF + b"x" * 1_050_000, "cv.pdf"))
    assert (answer.status_code, answer.json["errors"]["cv"]) == (
        422,
        ["cv.pdf is too large: it has 1.1 MB, and the limit is 1 MB."],
    )
    assert send(client, interface, cv=part(PDF + b"x" * 1_000_000, "cv.pdf")).status_code == 201


def test_too_many_files_are_refused(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface, file_count="2")
    files = [part(PDF, f"{number}.pdf") for number in range(3)]
    answer = send(client, interface, cv=files)
    assert answer.json["errors"] == {"cv": ["You can add at most 2 here, and 3 were chosen."]}


def test_a_required_file_is_needed(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface, required=True)
    for nothing in (part(b"", ""), ""):
        assert send(client, interface, cv=nothing).json["errors"] == {"cv": ["CV is needed."]}
    assert client.post(f"/f/{interface.public_id}", json=ADA).json["errors"] == {"cv": ["CV is needed."]}
    assert send(client, interface, cv=part(PDF, "cv.pdf")).status_code == 201


def test_text_where_a_file_is_asked_for_is_refused(client: FlaskClient, interface: Interface, cv: Field) -> None:
    """A form without enctype sends the name of the file; JSON has no files."""
    address = f"/f/{interface.public_id}"
    for answer in (
        client.post(address, data={**ADA, "cv": "cv.pdf"}, headers=JSON),
        send(client, interface, cv="cv.pdf"),
        client.post(address, json={**ADA, "cv": "JVBERi0xLjc="}),
        client.post(address, json={**ADA, "cv": {"name": "cv.pdf", "data": "JVBERi0xLjc="}}),
        client.post(address, json={**ADA, "cv": [{"url": "https://example.com/cv.pdf"}]}),
        client.post(address, json={**ADA, "cv": 7}),
    ):
        assert answer.status_code == 422
        assert answer.json["errors"] == {"cv": ["CV must be a file, sent as multipart/form-data."]}
    assert count(Lead) == 0


def test_the_owner_can_allow_what_no_group_has_and_it_is_still_only_saved(
    client: FlaskClient, interface: Interface
) -> None:
    ask_for_files(interface, file_types=".svg\nHTML\n*.dwg\n.step", file_count="4")
    files = [
        part(SVG, "a.svg"),
        part(HTML, "b.html"),
        part(b"AC1027" + b"\0" * 40, "c.dwg"),
        part(b"ISO-10303", "d.step"),
    ]
    assert send(client, interface, cv=files).status_code == 201
    for entry in the_lead().fields["cv"]:
        got = client.get(path_of(entry["url"]))
        assert got.headers["Content-Type"] == entry["type"] == "application/octet-stream"
        assert got.headers["Content-Disposition"].startswith("attachment;")
    assert send(client, interface, cv=part(EXE, "d.step")).status_code == 422


# Files that no field asks for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["resume", "message", "files[]", "name", "résumé", "not_asked_for"])
def test_a_file_that_no_field_asks_for_is_named_and_the_lead_is_taken(
    app: Flask, client: FlaskClient, interface: Interface, key: str
) -> None:
    """Also under the key of a text field, which has its own answer."""
    data = {**ADA, key: [ADA.get(key, "text"), part(PDF, "cv.pdf")]}
    answer = client.post(f"/f/{interface.public_id}", **multipart(data), headers=JSON)
    assert answer.status_code == 201
    assert answer.json["undeclared_files"] == [{"field": key, "name": "cv.pdf", "size": len(PDF)}]
    lead = the_lead()
    assert lead.public_id == answer.json["id"]
    file = {"file": "cv.pdf", "size": len(PDF)}
    assert lead.undeclared == {key: file if key in ADA else ["text", file]}
    assert (count(File), stored_bytes()) == (0, [])


def test_several_undeclared_files_are_a_list_and_at_most_fifty_are_named(
    client: FlaskClient, interface: Interface
) -> None:
    data = {**ADA, "a": [part(PDF, "1.pdf"), part(b"", "2.pdf")], "b": [part(b"x", f"{n}.txt") for n in range(60)]}
    answer = client.post(f"/f/{interface.public_id}", **multipart(data), headers=JSON)
    assert len(answer.json["undeclared_files"]) == 50
    undeclared = the_lead().undeclared
    assert undeclared
    assert undeclared["a"] == [{"file": "1.pdf", "size": len(PDF)}, {"file": "2.pdf", "size": 0}]


def test_a_page_that_sends_an_undeclared_file_gets_the_thank_you(client: FlaskClient, interface: Interface) -> None:
    answer = send(client, interface, headers={}, resume=part(PDF, "cv.pdf"))
    assert answer.status_code == 303


# The form shown again ------------------------------------------------------------------------------------------------


def kept_in(page: str, key: str = "cv") -> list[str]:
    return re.findall(rf'name="_file\.{key}"\s+value="([^"]+)"', page)


def token_in(page: str) -> str:
    [token] = re.findall(r'name="_token" value="([^"]+)"', page)
    return token


WRONG = {**ADA, "email": "not an address"}


def shown_again(client: FlaskClient, interface: Interface, **files: Any) -> str:
    """The form after a first try with a wrong e-mail address."""
    page = client.get(f"/f/{interface.public_id}").text
    data = {**WRONG, "_token": token_in(page), **files}
    answer = client.post(f"/f/{interface.public_id}", **multipart(data))
    assert answer.status_code == 422
    return answer.text


def test_a_file_survives_a_form_that_is_shown_again_and_goes_to_the_lead(
    app: Flask, client: FlaskClient, interface: Interface, cv: Field
) -> None:
    page = shown_again(client, interface, cv=part(PDF, "Köln.pdf"))
    assert 'enctype="multipart/form-data"' in page
    assert f"Keep Köln.pdf ({len(PDF)} bytes)" in page
    assert (the_file().lead_id, stored_bytes()) == (None, [PDF])
    data = {**ADA, "_token": token_in(page), "_file.cv": kept_in(page), "cv": part(b"", "")}
    assert client.post(f"/f/{interface.public_id}", **multipart(data), headers=JSON).status_code == 201
    [entry] = the_lead().fields["cv"]
    assert entry["name"] == "Köln.pdf"
    assert client.get(path_of(entry["url"])).data == PDF
    assert count(File) == 1


def test_a_kept_file_survives_a_second_failed_try_and_satisfies_a_required_field(
    client: FlaskClient, interface: Interface
) -> None:
    ask_for_files(interface, required=True)
    page = shown_again(client, interface, cv=part(PDF, "cv.pdf"))
    data = {**WRONG, "_token": token_in(page), "_file.cv": kept_in(page)}
    page = client.post(f"/f/{interface.public_id}", **multipart(data)).text
    assert "CV is needed" not in page
    data = {**ADA, "_token": token_in(page), "_file.cv": kept_in(page)}
    answer = client.post(f"/f/{interface.public_id}", **multipart(data), headers=JSON)
    assert answer.status_code == 201
    assert [entry["name"] for entry in the_lead().fields["cv"]] == ["cv.pdf"]


@pytest.mark.once
@pytest.mark.parametrize("ahead", [-82_000, -600, -5, -1, 1, 5, 600, 86_400])
def test_a_kept_file_shown_by_one_host_is_taken_by_another_whose_clock_differs(
    client: FlaskClient, interface: Interface, cv: Field, ahead: int
) -> None:
    with time_machine.travel(utcnow() + timedelta(seconds=ahead), tick=True):
        page = shown_again(client, interface, cv=part(PDF, "cv.pdf"))
    answer = send(client, interface, _token=token_in(page), **{"_file.cv": kept_in(page)})
    assert answer.status_code == 201, answer.json
    assert [entry["name"] for entry in the_lead().fields["cv"]] == ["cv.pdf"]


def test_a_form_without_a_token_gets_one_with_its_kept_file(
    client: FlaskClient, interface: Interface, cv: Field
) -> None:
    answer = client.post(f"/f/{interface.public_id}", **multipart({**WRONG, "cv": part(PDF, "cv.pdf")}))
    data = {**ADA, "_token": token_in(answer.text), "_file.cv": kept_in(answer.text)}
    again = client.post(f"/f/{interface.public_id}", **multipart(data), headers=JSON)
    assert again.status_code == 201
    assert len(the_lead().fields["cv"]) == 1


def test_unticking_removes_a_kept_file_and_choosing_again_replaces_it(
    client: FlaskClient, interface: Interface, cv: Field
) -> None:
    page = shown_again(client, interface, cv=part(PDF, "old.pdf"))
    token = token_in(page)
    assert send(client, interface, _token=token).status_code == 201, "unticked"
    assert the_lead().fields["cv"] == []
    both = send(client, interface, _token=token, **{"_file.cv": kept_in(page), "cv": part(PNG, "new.png")})
    assert both.status_code == 201
    newest = db.session.scalars(select(Lead).order_by(Lead.id.desc())).first()
    assert newest
    assert [entry["name"] for entry in newest.fields["cv"]] == ["new.png"]


def test_more_files_join_those_that_were_kept(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface, file_count="3")
    page = shown_again(client, interface, cv=[part(PDF, "1.pdf"), part(EXE, "2.pdf"), part(PNG, "3.png")])
    assert len(kept_in(page)) == 2, "not the wrong one"
    answer = send(client, interface, _token=token_in(page), **{"_file.cv": kept_in(page), "cv": part(JPEG, "4.jpg")})
    assert answer.status_code == 201
    assert [entry["name"] for entry in the_lead().fields["cv"]] == ["1.pdf", "3.png", "4.jpg"]


def test_a_reference_holds_only_for_its_form_its_token_its_field_and_a_day(
    client: FlaskClient, interface: Interface, cv: Field
) -> None:
    ask_for_files(interface, "letter")
    with transaction():
        other = interfaces.create(interface.account_id, "Other")
    ask_for_files(other)
    page = shown_again(client, interface, cv=part(PDF, "cv.pdf"))
    [reference], token = kept_in(page), token_in(page)
    fresh = token_in(client.get(f"/f/{interface.public_id}").text)
    others = token_in(client.get(f"/f/{other.public_id}").text)
    for target, data in (
        (interface, {"_token": fresh, "_file.cv": reference}),
        (interface, {"_file.cv": reference}),
        (interface, {"_token": token, "_file.letter": reference}),
        (interface, {"_token": token, "_file.cv": reference[:-2] + "xx"}),
        (interface, {"_token": token, "_file.cv": "file_01k"}),
        (other, {"_token": others, "_file.cv": reference}),
    ):
        answer = send(client, target, **data)
        assert answer.status_code == 422, data
        [words] = next(iter(answer.json["errors"].values()))
        assert "no longer here" in words
    with time_machine.travel(utcnow() + timedelta(hours=23, minutes=1), tick=False):
        assert send(client, interface, _token=token, **{"_file.cv": reference}).status_code == 422
    assert count(Lead) == 0
    assert send(client, interface, _token=token, **{"_file.cv": reference}).status_code == 201


@pytest.mark.parametrize("change", ["removed", "renamed", "now a text field", "now a heading", "another was added"])
def test_a_kept_file_whose_field_went_away_meanwhile_is_named(
    client: FlaskClient, interface: Interface, cv: Field, change: str
) -> None:
    page = shown_again(client, interface, cv=part(PDF, "Köln.pdf"))
    with transaction():
        fields.remove(interface, cv)
        if change.startswith("now"):
            kind = FieldType.TEXT if "text" in change else FieldType.HEADING
            fields.add(interface, kind, {"label": "CV", "key": "cv"})
    if change in ("renamed", "another was added"):
        ask_for_files(interface, "letter")
    more = {"letter": part(PNG, "b.png")} if change == "another was added" else {}
    answer = send(client, interface, _token=token_in(page), **{"_file.cv": kept_in(page)}, **more)
    assert answer.status_code == 201, answer.json
    assert answer.json["undeclared_files"] == [{"field": "cv", "name": "Köln.pdf", "size": len(PDF)}]
    lead = the_lead()
    assert lead.undeclared == {"cv": {"file": "Köln.pdf", "size": len(PDF)}}
    assert [entry["name"] for entry in lead.fields.get("letter", [])] == (["b.png"] if more else [])


def test_several_kept_files_and_new_ones_are_named_together(client: FlaskClient, interface: Interface) -> None:
    cv = ask_for_files(interface, file_count="3")
    page = shown_again(client, interface, cv=[part(PDF, "1.pdf"), part(PNG, "2.png")])
    with transaction():
        fields.remove(interface, cv)
    answer = send(client, interface, _token=token_in(page), **{"_file.cv": kept_in(page), "cv": part(JPEG, "3.jpg")})
    assert [each["name"] for each in answer.json["undeclared_files"]] == ["1.pdf", "2.png", "3.jpg"]
    assert [each["file"] for each in (the_lead().undeclared or {})["cv"]] == ["1.pdf", "2.png", "3.jpg"]


@pytest.mark.parametrize("name", ["_file.cv", "_file.", "_file.notes", "_file.Straße", "_file.x y"])
def test_what_only_looks_like_a_reference_is_an_undeclared_answer(
    client: FlaskClient, interface: Interface, name: str
) -> None:
    address, values = f"/f/{interface.public_id}", {**ADA, name: "see above"}
    for how in (multipart(values), {"data": values}, {"json": values}):
        assert client.post(address, headers=JSON, **how).status_code == 201
    assert [lead.undeclared for lead in db.session.scalars(select(Lead))] == [{name: "see above"}] * 3


def test_a_reference_of_someone_else_is_an_undeclared_answer_once_its_field_is_gone(
    client: FlaskClient, interface: Interface, cv: Field
) -> None:
    [reference] = kept_in(shown_again(client, interface, cv=part(PDF, "cv.pdf")))
    with transaction():
        fields.remove(interface, cv)
    answer = send(client, interface, **{"_file.cv": reference})
    assert (answer.status_code, list(answer.json)) == (201, ["id"])
    assert the_lead().undeclared == {"_file.cv": reference}


def test_a_kept_file_that_was_deleted_or_taken_is_asked_for_again(
    client: FlaskClient, interface: Interface, cv: Field
) -> None:
    page = shown_again(client, interface, cv=part(PDF, "cv.pdf"))
    data = {"_token": token_in(page), "_file.cv": kept_in(page)}
    assert send(client, interface, **data).status_code == 201
    assert send(client, interface, **data).status_code == 201, "the same answers are the same lead"
    assert count(Lead) == 1
    other = send(client, interface, **data, message="Something else")
    assert (other.status_code, list(other.json["errors"])) == (422, ["cv"])
    with transaction():
        db.session.execute(update(File).values(lead_id=None, gone_at=utcnow()))
    gone = send(client, interface, **data, message="And again")
    assert "no longer here" in gone.json["errors"]["cv"][0]


def test_the_same_form_sent_twice_with_its_file_is_one_lead(
    client: FlaskClient, interface: Interface, cv: Field
) -> None:
    token = token_in(client.get(f"/f/{interface.public_id}").text)
    first, second = (send(client, interface, _token=token, cv=part(PDF, "cv.pdf")).json for _ in range(2))
    assert first == second
    assert count(Lead) == 1
    third = send(client, interface, _token=token, cv=part(PDF + b"2", "cv.pdf"))
    assert third.json["id"] != first["id"], "another file is another answer"


# Links and deletion --------------------------------------------------------------------------------------------------


def test_a_link_works_without_sign_in_and_only_as_it_was_signed(
    client: FlaskClient, stranger: FlaskClient, interface: Interface, cv: Field
) -> None:
    send(client, interface, cv=part(PDF, "cv.pdf"))
    lead, file = the_lead(), the_file()
    path = path_of(lead.fields["cv"][0]["url"])
    assert client.get(path).status_code == 200
    for wrong in (path[:-1], path + "x", f"/files/{file.public_id}", "/files/", "/files/x.y", "/files/%00"):
        assert client.get(wrong).status_code == 404, wrong
    inside = f"/leads/{lead.public_id}/files/{file.public_id}"
    assert client.get(inside).status_code == 303, "to sign-in"
    assert stranger.get(inside).status_code == 404


def test_a_link_ends_when_the_operator_shortens_it_and_a_retry_sends_the_original(
    client: FlaskClient, signed_in: FlaskClient, owner: User, interface: Interface, cv: Field
) -> None:
    point_at(interface, "https://crm.example.com/")
    send(client, interface, cv=part(PDF, "cv.pdf"))
    lead = the_lead()
    path, payload = path_of(lead.fields["cv"][0]["url"]), lead.deliveries[0].payload
    with transaction():
        db.session.execute(update(File).values(created_at=utcnow() - timedelta(days=8)))
    assert client.get(path).status_code == 200, "as long as the lead"
    with transaction():
        fields.change(interface, cv, {"label": "CV", "file_types": "pdf", "file_link_days": "7"})
    ended = client.get(path)
    assert ended.status_code == 410
    assert "This link has ended" in ended.text
    assert signed_in.get(f"/leads/{lead.public_id}/files/{the_file().public_id}").data == PDF, "still on its page"
    with transaction():
        leads.retry(interface.account_id, [lead.public_id], owner.id)
    db.session.expire_all()
    assert the_lead().deliveries[0].payload == payload


def test_deleting_a_lead_ends_its_links_and_deletes_its_bytes(
    app: Flask, client: FlaskClient, interface: Interface, cv: Field
) -> None:
    send(client, interface, cv=part(PDF, "cv.pdf"))
    path = path_of(the_lead().fields["cv"][0]["url"])
    with transaction():
        interface.retention_days = 1
        db.session.execute(update(Lead).values(received_at=utcnow() - timedelta(days=2)))
    forgetting.forget()
    assert (count(Lead), count(File), stored_bytes()) == (0, 0, [])
    gone = client.get(path)
    assert gone.status_code == 410
    assert "was deleted" in gone.text
    assert client.get(path, headers=JSON).json == {"error": gone_words()}


def gone_words() -> str:
    return "This file was deleted, together with the answers that it came with."


def test_anonymising_a_lead_deletes_its_files(app: Flask, client: FlaskClient, interface: Interface, cv: Field) -> None:
    point_at(interface, "https://crm.example.com/")
    with transaction():
        interface.anonymises, interface.updated_at = True, utcnow()
    send(client, interface, cv=part(PDF, "cv.pdf"))
    path = path_of(the_lead().fields["cv"][0]["url"])
    with transaction():
        db.session.execute(
            update(Delivery).values(state="delivered", due_at=None, last_at=utcnow() - timedelta(hours=3))
        )
    forgetting.forget()
    db.session.expire_all()
    assert the_lead().fields["cv"] == []
    assert (count(File), stored_bytes()) == (0, [])
    assert client.get(path).status_code == 410


def test_what_no_lead_took_is_deleted_after_a_day_and_not_before(
    app: Flask, client: FlaskClient, interface: Interface, cv: Field
) -> None:
    shown_again(client, interface, cv=part(PDF, "cv.pdf"))
    forgetting.forget()
    assert (count(File), stored_bytes()) == (1, [PDF])
    with transaction():
        db.session.execute(update(File).values(created_at=utcnow() - timedelta(hours=25)))
    forgetting.forget()
    assert (count(File), stored_bytes()) == (0, [])


def test_a_file_whose_bytes_are_missing_is_not_found(
    app: Flask, client: FlaskClient, interface: Interface, cv: Field
) -> None:
    """A database that was restored without the folder."""
    send(client, interface, cv=part(PDF, "cv.pdf"))
    for path in (current_config.home / "files").rglob("file_*"):
        path.unlink()
    assert client.get(path_of(the_lead().fields["cv"][0]["url"])).status_code == 404


# Limits and failures -------------------------------------------------------------------------------------------------


def test_a_folder_that_takes_nothing_is_an_answer_in_words_and_no_half_lead(
    app: Flask, client: FlaskClient, interface: Interface, cv: Field
) -> None:
    (current_config.home / "files").write_text("not a folder")  # as root, no folder is read-only
    answer = send(client, interface, cv=part(PDF, "cv.pdf"))
    assert answer.status_code == 503
    assert "could not be stored just now" in answer.json["errors"]["_form"][0]
    assert count(Lead) == 0
    page = send(client, interface, headers={}, cv=part(PDF, "cv.pdf"))
    assert "could not be stored just now" in page.text
    assert send(client, interface).status_code == 201, "without a file it is taken"
    (current_config.home / "files").unlink()
    assert send(client, interface, cv=part(PDF, "cv.pdf")).status_code == 201
    with transaction():
        db.session.execute(update(File).where(File.lead_id.is_(None)).values(created_at=utcnow() - timedelta(days=2)))
    forgetting.forget()
    assert count(File) == 1


UNREADABLE = [
    (b"", "multipart/form-data; boundary=b"),
    (b'--b\r\nContent-Disposition: form-data; name="email"\r\n\r\nada@example.com\r\n--b--\r\n', "multipart/form-data"),
    (b'--b\r\nContent-Disposition: form-data; name="email"\r\n\r\nada@exam', "multipart/form-data; boundary=b"),
    (
        b'--b\r\nContent-Disposition: form-data; name="cv"; filename="a.pdf"\r\n\r\n%PDF-',
        "multipart/form-data; boundary=b",
    ),
    (b"email=ada%40example.com", "multipart/form-data; boundary=b"),
    (b"--b--\r\n", "multipart/form-data; boundary=b"),
]


@pytest.mark.parametrize(("body", "content_type"), UNREADABLE)
def test_a_multipart_body_that_cannot_be_read_is_no_lead(
    client: FlaskClient, interface: Interface, cv: Field, body: bytes, content_type: str
) -> None:
    answer = client.post(f"/f/{interface.public_id}", data=body, content_type=content_type, headers=JSON)
    assert answer.status_code == 400
    assert "could not be read" in answer.json["errors"]["_form"][0]
    assert count(Lead) == 0


def test_only_a_form_with_a_file_field_takes_a_large_body(client: FlaskClient, interface: Interface) -> None:
    """And only as multipart; the limit follows the form's settings at once."""
    address, large = f"/f/{interface.public_id}", PDF + b"x" * 400_000
    refused = send(client, interface, cv=part(large, "cv.pdf"))
    assert refused.status_code == 413
    assert "at most 256 KB" in refused.json["errors"]["_form"][0]
    cv = ask_for_files(interface, file_megabytes="1")
    assert send(client, interface, cv=part(large, "cv.pdf")).status_code == 201
    assert client.post(address, data={**ADA, "message": "x" * 400_000}).status_code == 413
    assert client.post(address, json={**ADA, "message": "x" * 400_000}).status_code == 413
    assert send(client, interface, message="x" * 400_000).status_code == 413, "text stays at 256 KB"
    beyond = send(client, interface, cv=part(PDF + b"x" * 2_500_000, "cv.pdf"))
    assert beyond.status_code == 413
    assert "at most 2.4 MB" in beyond.json["errors"]["_form"][0]
    with transaction():
        interfaces.close(interface)
    closed = send(client, interface, cv=part(large, "cv.pdf"))
    assert (closed.status_code, count(File)) == (403, 1), "a closed form takes nothing, and says why"
    with transaction():
        interfaces.reopen(interface)
        fields.remove(interface, cv)
    assert send(client, interface, cv=part(large, "cv.pdf")).status_code == 413
    assert client.post("/f/if_nothing", **multipart({"cv": part(large, "cv.pdf")})).status_code == 404


def test_many_small_texts_do_not_use_the_room_of_files(client: FlaskClient, interface: Interface, cv: Field) -> None:
    assert send(client, interface, **{f"t{n}": "x" * 10_000 for n in range(40)}).status_code == 413


def test_every_other_page_stays_at_256_kb(signed_in: FlaskClient, interface: Interface, cv: Field) -> None:
    for address in ("/login", f"/interfaces/{interface.public_id}/edit"):
        answer = signed_in.post(address, **multipart({"logo": part(b"x" * 400_000, "a.png")}))
        assert answer.status_code == 413, address


def test_an_ordinary_post_asks_nothing_more_of_the_database(
    app: Flask, client: FlaskClient, interface: Interface
) -> None:
    address, statements = f"/f/{interface.public_id}", []
    client.post(address, data=ADA)
    for engine in db.engines.values():
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    client.post(address, data=ADA)
    plain = len(statements)
    statements.clear()
    assert client.post(address, **multipart(ADA)).status_code == 303
    assert len(statements) == plain, "multipart without files, too"
    assert not [one for one in statements if "files" in one]


# The pages around it -------------------------------------------------------------------------------------------------


def test_only_a_form_with_a_file_field_is_sent_as_multipart(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface
) -> None:
    embed = f"/interfaces/{interface.public_id}/edit/embed"
    assert "enctype" not in client.get(f"/f/{interface.public_id}").text + signed_in.get(embed).text
    ask_for_files(interface, file_count="2", required=True)
    page = client.get(f"/f/{interface.public_id}").text
    assert 'enctype="multipart/form-data"' in page
    assert re.search(
        r'type="file"[^>]*name="cv"[^>]*accept="\.pdf,\.jpg[^"]*"[^>]*multiple[^>]*required', page, re.DOTALL
    )
    snippet = html.unescape(signed_in.get(embed).text)
    assert 'enctype="multipart/form-data"' in snippet
    assert '<input name="cv" type="file" multiple required>' in snippet
    assert '"message":' in snippet
    assert '"cv":' not in snippet, "JSON cannot hold files"


def test_each_file_that_is_not_taken_is_named(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface, file_count="3")
    assert "up to 3 files of" in client.get(f"/f/{interface.public_id}").text
    answer = send(client, interface, cv=[part(EXE, "one.pdf"), part(PDF, "two.pdf"), part(EXE, "three.exe")])
    [error] = answer.json["errors"]["cv"]
    assert "one.pdf" in error
    assert "three.exe" in error
    assert "two.pdf" not in error


def test_a_test_lead_has_a_file_that_can_be_downloaded(
    client: FlaskClient, signed_in: FlaskClient, owner: User, interface: Interface, cv: Field
) -> None:
    point_at(interface, "https://crm.example.com/")
    with transaction():
        delivery = leads.send_test(interface, owner.id)
    [entry] = json.loads(delivery.payload)["data"]["lead"]["fields"]["cv"]
    got = client.get(path_of(entry["url"]))
    assert (got.status_code, len(got.data), got.mimetype) == (200, entry["size"], entry["type"])
    assert signed_in.get(f"/leads/{delivery.lead.public_id}").status_code == 200


def test_the_name_of_a_file_is_no_advertisement_in_a_mail_to_strangers(
    client: FlaskClient, interface: Interface, cv: Field
) -> None:
    with transaction():
        interface.autoresponds, interface.updated_at = True, utcnow()
        interface.autoresponse_subject, interface.autoresponse_body = "Thanks", "You sent {{ cv }}."
    send(client, interface, cv=part(PDF, "buy at www.example.com.pdf"))
    mail = db.session.scalars(select(Mail)).one()
    assert "You sent buy at www. example. com. pdf." in mail.body_text, "no mail program makes a link of it"


def test_settings_of_a_file_field_are_checked(interface: Interface) -> None:
    for name, wrong in (
        ("file_types", "pictures of cats"),
        ("file_types", ".toolongending1"),
        ("file_types", "../x"),
        ("file_count", "0"),
        ("file_count", "11"),
        ("file_megabytes", "51"),
        ("file_megabytes", "1.5"),
        ("file_link_days", "-1"),
        ("file_link_days", "٣"),
    ):
        with pytest.raises(fields.Refused) as refusal:
            ask_for_files(interface, **{name: wrong})
        assert refusal.value.field == name, wrong
    kept = ask_for_files(
        interface, file_types="PDF\n*.Dwg, images\npdf", file_count="", file_megabytes="", file_link_days=""
    )
    assert (kept.file_types, kept.file_count, kept.file_megabytes, kept.file_link_days) == (
        ["pdf", ".dwg", "images"],
        1,
        10,
        None,
    )


def test_the_fields_tab_shows_and_saves_the_settings(signed_in: FlaskClient, interface: Interface) -> None:
    tab = f"/interfaces/{interface.public_id}/edit/fields"
    assert "Accepted files" in signed_in.get(f"{tab}/new?type=file").text
    settings = {
        "label": "Your CV",
        "file_types": "pdf",
        "file_count": "2",
        "file_megabytes": "5",
        "file_link_days": "30",
    }
    assert signed_in.post(f"{tab}/new?type=file", data=settings).status_code == 303
    field = db.session.scalars(select(Field).where(Field.key == "your_cv")).one()
    page = signed_in.get(f"{tab}/{field.id}").text
    for value in ('value="2"', 'value="5"', 'value="30"'):
        assert value in page
    wrong = signed_in.post(f"{tab}/{field.id}", data={**settings, "file_megabytes": "999"})
    assert (wrong.status_code, "from 1 to 50" in wrong.text) == (422, True)


def test_nothing_is_kept_of_a_file_sent_to_a_form_of_another_site(
    app: Flask, client: FlaskClient, interface: Interface, cv: Field
) -> None:
    with transaction():
        interface.allowed_sites, interface.updated_at = ["https://example.com"], utcnow()
    answer = send(client, interface, headers={**JSON, "Origin": "https://evil.example"}, cv=part(PDF, "cv.pdf"))
    assert answer.status_code == 403
    assert (count(File), stored_bytes()) == (0, [])
