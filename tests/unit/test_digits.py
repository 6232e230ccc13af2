"""Digits of other scripts are digits to Python's isdigit and \\d, and none to protocols, addresses and commands."""

import argparse

import pytest
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound

import worker
from webapp.blueprints.queue import _is_known_address
from webapp.models import Field, FieldType
from webapp.services.intake import consents
from webapp.services.intake.rules import Rules
from webapp.services.interfaces import form_look
from webapp.services.mail import addresses

OTHER = ["٣", "３", "²", "໓", "१"]


@pytest.mark.parametrize("digit", OTHER)
def test_a_command_takes_no_digit_of_another_script(digit: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        worker._positive(digit)
    assert worker._positive("3") == 3


@pytest.mark.parametrize("digit", OTHER)
def test_the_version_of_a_consent_is_in_ascii(digit: str) -> None:
    field = Field(type=FieldType.CONSENT, key="terms", label="Terms", required=False, version=4)
    assert not consents.read(field, [f"v{digit}"], Rules())
    assert not consents.is_plain_answer([f"v{digit}"]), "what was sent is kept"
    assert consents.read(field, ["v4"], Rules())


@pytest.mark.parametrize("digit", OTHER)
def test_an_address_of_a_stylesheet_or_of_the_queue_is_in_ascii(digit: str) -> None:
    with pytest.raises(NotFound):
        form_look.stylesheet(f"2f54d0-soft-{digit}")
    assert not _is_known_address({"page": digit})
    assert _is_known_address({"page": "3"})


@pytest.mark.parametrize("digit", OTHER)
def test_a_mail_server_is_greeted_in_ascii(digit: str) -> None:
    assert (addresses.greeting(f"10.0.0.{digit}") or "").isascii()
    assert addresses.greeting("10.0.0.3") == "[10.0.0.3]"


@pytest.mark.parametrize("digit", OTHER)
def test_a_session_of_a_user_that_is_no_number_is_nobodys(client: FlaskClient, digit: str) -> None:
    with client.session_transaction() as session:
        session["_user_id"] = f"{digit}.1"
    assert client.get("/interfaces").status_code == 303
