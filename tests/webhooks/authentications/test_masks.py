"""What pages show of a request: everything but what proves who sends."""

import pytest

from tests.webhooks.authentications.messages import MESSAGE
from webapp.webhooks.authentications.masks import header_names, masked, masked_url, parameter_names
from webapp.webhooks.authentications.schemes import SCHEMES, SIGNED, new_secret
from webapp.webhooks.authentications.signature_presets import PRESETS

SECRET = "geheim-geheim-geheim"


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - {*SIGNED, "oauth2"}))
def test_no_secret_of_any_scheme_is_shown(name):
    scheme = SCHEMES[name]
    secrets = {setting.name: SECRET for setting in scheme.SETTINGS if setting.secret}
    options = {"user": "ada", "client_id": "ada", "token_url": "https://auth.example/token"}
    sent = scheme.of(options, secrets).add_to(MESSAGE)
    shown = masked(sent, scheme, options)
    assert sent != MESSAGE
    assert SECRET not in f"{shown.url} {shown.headers}"
    assert "•••" in f"{shown.url} {shown.headers}"
    assert shown.headers["webhook-id"] == "msg_1"


@pytest.mark.parametrize("preset", PRESETS)
def test_signatures_are_masked_and_what_they_cover_is_shown(preset):
    options = PRESETS[preset].options
    sent = SCHEMES["signature"].of(options, dict([new_secret("signature", options)])).add_to(MESSAGE)
    shown = masked(sent, SCHEMES["signature"], options)
    hidden = {name for name, value in shown.headers.items() if value == "•••"}
    assert len(hidden) == 1
    assert {name for name in sent.headers if "sign" in name or "hmac" in name} & hidden == hidden
    assert shown.url == sent.url


def test_the_names_follow_the_settings():
    assert header_names(SCHEMES["header"], {"name": "X-Mine"}) == ("x-mine",)
    assert header_names(SCHEMES["header"], {}) == ("x-api-key",)
    assert header_names(SCHEMES["signature"], {}) == ("x-signature",)
    assert header_names(SCHEMES["basic"], {}) == ("authorization",)
    assert header_names(SCHEMES["query"], {}) == ()
    assert parameter_names(SCHEMES["query"], {"name": "api key"}) == ("api key",)
    assert parameter_names(SCHEMES["basic"], {}) == ()


def test_only_the_named_parameters_are_masked():
    assert masked_url("https://a.example/?a=1&key=geheim&b", ("key",)) == "https://a.example/?a=1&key=•••&b"
    assert masked_url("https://a.example/?k%65y=geheim&key=geheim", ("key",)) == "https://a.example/?k%65y=•••&key=•••"
    assert masked_url("https://a.example/", ("key",)) == "https://a.example/"
    assert masked_url("https://a.example/?key=x", ()) == "https://a.example/?key=x"
