"""What a stranger made up is neither looked for nor stored: ids of forms, addresses, e-mail addresses."""

import pytest
from flask.testing import FlaskClient
from redis import Redis

from tests.conftest import AppMaker
from tests.support.factories import ADA
from tests.support.valkey import Valkey
from webapp.ids import LONGEST, interface_id, lead_id, message_id
from webapp.models import Interface

pytestmark = pytest.mark.once

EIGHT_KB = "if_" + "x" * 8000


def keys(valkey: Valkey) -> list[str]:
    with Redis.from_url(valkey.url, decode_responses=True) as client:
        return [str(key) for key in client.keys("*")]


@pytest.mark.parametrize(
    "made_up",
    [
        EIGHT_KB,
        "x" * 41,
        "é" * 41,
        "%00" * 41,
        "a.b" * 20,
        "😀" * 41,
        " " * 41,
        "..%252f" * 20,
        "if_" + "-" * 100,
        "\u202e" * 50,
    ],
)
@pytest.mark.parametrize("ending", ["", "/thank-you", "/logo/a"])
def test_a_form_that_cannot_exist_is_404_before_it_is_counted(
    client: FlaskClient, valkey: Valkey, made_up: str, ending: str
) -> None:
    before = keys(valkey)
    address = f"/f/{made_up}{ending}"
    assert client.get(address).status_code == 404
    if not ending:
        page, as_json = client.post(address, data=ADA), client.post(address, json=ADA)
        assert (page.status_code, as_json.status_code) == (404, 404)
        assert "There is no form here" in page.text
        assert list(as_json.json or {}) == ["errors"]
    assert keys(valkey) == before


def test_our_own_ids_are_short_enough() -> None:
    assert max(len(make()) for make in (interface_id, lead_id, message_id)) < LONGEST


def test_the_limit_stores_no_id(make_app: AppMaker, interface: Interface, valkey: Valkey) -> None:
    client = make_app(FORM_RATE_LIMIT="2 per minute").test_client()
    for form in (interface.public_id, "if_nothing", "MY-OWN-WORDS", "x" * 40):
        codes = [client.post(f"/f/{form}", data=ADA).status_code for _ in range(3)]
        assert codes[2] == 429, "a form that does not exist is counted like another"
    stored = [key for key in keys(valkey) if key.startswith("LIMITS")]
    assert len(stored) == 4
    for key in stored:
        assert len(key) < 100
        assert not any(part in key for part in ("if_", "WORDS", "xxx", interface.public_id))


@pytest.mark.parametrize(
    "forwarded",
    [
        "fe80::1%" + "x" * 5000,
        "MY-OWN-WORDS" * 300,
        "203.0.113.7:" + "9" * 3000,
        "[2001:db8::1]" * 200,
        '"' * 4000,
        "unknown",
    ],
)
def test_the_limit_stores_nothing_of_an_address_that_is_none(
    make_app: AppMaker, interface: Interface, valkey: Valkey, forwarded: str
) -> None:
    client = make_app(TRUSTED_PROXIES="1").test_client()
    headers = {"X-Forwarded-For": forwarded}
    assert client.post(f"/f/{interface.public_id}", data=ADA, headers=headers).status_code == 303
    wrong = {"email": "MY-OWN-WORDS@" + "y" * 3000, "password": "wrong"}
    assert client.post("/login", data=wrong, headers=headers).status_code == 422
    assert client.post("/forgot-password", data=wrong, headers=headers).status_code == 200
    assert client.get("/reset-password/" + "MY-OWN-WORDS" * 300, headers=headers).status_code == 404
    stored = [key for key in keys(valkey) if key.startswith("LIMITS")]
    assert stored
    for key in stored:
        assert len(key) < 250
        assert not any(part in key for part in ("xxx", "yyy", "WORDS", "999", '""', "%"))
