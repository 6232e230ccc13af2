"""How much a post with files may have, in which words it is refused, and what its Idempotency-Key changes."""

import io
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.support.factories import ADA
from tests.support.uploads import PDF, ask_for_files, multipart, part
from webapp.config import current_config
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import File, Interface, Lead
from webapp.services.interfaces import fields, interfaces

JSON = {"Accept": "application/json"}
LARGE = PDF + b"x" * 400_000


def send(client: FlaskClient, interface: Interface, key: str | None = None, **values: Any) -> Any:
    headers = {**JSON, **({"Idempotency-Key": key} if key is not None else {})}
    return client.post(f"/f/{interface.public_id}", **multipart({**ADA, **values}), headers=headers)


def count(model: Any) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def words(answer: Any) -> str:
    return str(answer.json["errors"]["_form"][0])


# Posts that were accepted before -------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["closed", "removed", "closed and removed", "renamed", "smaller", "none"])
def test_a_large_post_that_was_accepted_is_answered_the_same_after_the_form_changed(
    app: Flask, client: FlaskClient, interface: Interface, change: str
) -> None:
    cv = ask_for_files(interface)
    first = send(client, interface, "k1", cv=part(LARGE * 6, "cv.pdf"))
    assert first.status_code == 201
    with transaction():
        if "closed" in change:
            interfaces.close(interface)
        if "removed" in change or change == "renamed":
            fields.remove(interface, cv)
    if change == "renamed":
        ask_for_files(interface, "letter", file_megabytes="1")
    if change == "smaller":
        with transaction():
            fields.change(interface, cv, {"label": "CV", "file_types": "pdf", "file_megabytes": "1"})
    again = send(client, interface, "k1", cv=part(LARGE * 6, "cv.pdf"))
    assert (again.status_code, again.json["id"]) == (201, first.json["id"])
    assert count(Lead) == 1


def test_another_key_or_none_or_no_key_at_all_changes_no_limit(client: FlaskClient, interface: Interface) -> None:
    cv = ask_for_files(interface)
    assert send(client, interface, "k1", cv=part(LARGE, "cv.pdf")).status_code == 201
    with transaction():
        fields.remove(interface, cv)
    for key in ("k2", None, "", "not a key", "é", "x" * 256):
        assert send(client, interface, key, cv=part(LARGE, "cv.pdf")).status_code == 413, key
    reused = send(client, interface, "k1", cv=part(LARGE + b"2", "cv.pdf"))
    assert reused.status_code == 422
    assert count(Lead) == 1


def test_a_closed_form_says_that_it_is_closed_to_a_large_post(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface)
    with transaction():
        interfaces.close(interface)
    for key in (None, "k1"):
        answer = send(client, interface, key, cv=part(LARGE, "cv.pdf"))
        assert answer.status_code == 403
    assert (count(Lead), count(File)) == (0, 0)


@pytest.mark.parametrize("change", ["none", "closed"])
def test_the_same_key_with_its_files_stores_them_once(
    app: Flask, client: FlaskClient, interface: Interface, change: str
) -> None:
    ask_for_files(interface)
    first = send(client, interface, "k1", cv=part(PDF, "cv.pdf"))
    with transaction():
        if change == "closed":
            interfaces.close(interface)
    for _ in range(2):
        again = send(client, interface, "k1", cv=part(PDF, "cv.pdf"))
        assert (again.status_code, again.json) == (201, first.json)
    reused = send(client, interface, "k1", cv=part(PDF + b"2", "cv.pdf"))
    assert reused.status_code in ((403, 422) if change == "closed" else (422,))
    stored = [path for path in (current_config.home / "files").rglob("*") if path.is_file()]
    assert (count(Lead), count(File), len(stored)) == (1, 1, 1)


def test_another_key_is_another_lead_with_its_own_file(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface)
    for key in ("k1", "k2", None):
        assert send(client, interface, key, cv=part(PDF, "cv.pdf")).status_code == 201
    assert (count(Lead), count(File)) == (3, 3)


# The words of 413 ----------------------------------------------------------------------------------------------------

TEXT, FILES = "at most 256 KB in 500 fields. Please shorten", "fewer or smaller files"


def test_what_is_too_large_decides_the_words(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface, file_megabytes="1")
    file = part(PDF, "cv.pdf")
    for values, expected in (
        ({"message": "x" * 300_000, "cv": file}, TEXT),
        ({"message": "x" * 300_000}, TEXT),
        ({"x" * 300_000: "name", "cv": part(PDF, "cv.pdf")}, TEXT),
        ({"a": "x" * 200_000, "b": "x" * 200_000, "cv": part(PDF, "cv.pdf")}, TEXT),
        ({f"t{n}": "x" for n in range(501)}, TEXT),
        ({"message": "x" * 300_000, "cv": part(PDF + b"x" * 3_000_000, "cv.pdf")}, FILES),
        ({"cv": part(PDF + b"x" * 3_000_000, "cv.pdf")}, FILES),
        ({"cv": [part(PDF + b"x" * 1_300_000, "1.pdf"), part(PDF + b"x" * 1_300_000, "2.pdf")]}, FILES),
    ):
        answer = send(client, interface, **values)
        assert answer.status_code == 413
        assert expected in words(answer)
    assert count(Lead) == 0


def test_a_post_that_does_not_say_its_length_gets_the_same_words(client: FlaskClient, interface: Interface) -> None:
    ask_for_files(interface, file_megabytes="1")
    for values, expected in (
        ({"message": "x" * 300_000, "cv": part(PDF, "cv.pdf")}, TEXT),
        ({"cv": part(PDF + b"x" * 3_000_000, "cv.pdf")}, FILES),
    ):
        how = multipart({**ADA, **values})
        chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        body = {"input_stream": io.BytesIO(how["data"]), "content_type": how["content_type"]}
        answer = client.post(f"/f/{interface.public_id}", **body, headers=JSON, environ_overrides=chunked)
        assert (answer.status_code, expected in words(answer)) == (413, True)


def test_the_words_of_a_form_without_a_file_field_stay(client: FlaskClient, interface: Interface) -> None:
    for values in ({"message": "x" * 300_000}, {"resume": part(LARGE, "cv.pdf")}):
        answer = send(client, interface, **values)
        assert answer.status_code == 413
        assert TEXT in words(answer)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1_048_577, "it has 1.1 MB, and the limit is 1 MB"),
        (1_100_000, "it has 1.1 MB, and the limit is 1 MB"),
        (1_100_001, "it has 1.2 MB, and the limit is 1 MB"),
        (2_000_000, "it has 2 MB, and the limit is 1 MB"),
    ],
)
def test_a_file_that_is_too_large_never_has_the_size_of_the_limit(
    client: FlaskClient, interface: Interface, size: int, expected: str
) -> None:
    ask_for_files(interface, file_megabytes="1")
    answer = send(client, interface, cv=part(PDF.ljust(size, b"x"), "cv.pdf"))
    assert expected in answer.json["errors"]["cv"][0]
    assert send(client, interface, cv=part(PDF.ljust(1_048_576, b"x"), "cv.pdf")).status_code == 201
