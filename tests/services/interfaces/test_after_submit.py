"""The page to go to after submit is judged when it is saved: an answer can be written with it."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder
from werkzeug.utils import redirect

from webapp.db.transactions import transaction
from webapp.models import Interface
from webapp.services.errors import Refused
from webapp.services.interfaces import after_submit, interfaces

NAMED = [
    "https://www..example.com/thanks",
    f"https://{'a' * 64}.example/thanks",
    "https://example.com:70000/",
    "https://example.com:٨٠/",
]
NEIGHBOURS = [
    "https://.example.com/thanks",
    "https://example..com",
    "https://...",
    "https://.",
    f"https://{'a.' * 130}example/",
    f"https://shop.{'b' * 64}/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:８０/",
    "https://example.com:²/",
    "https://example.com:/thanks",
    "https://example.com:-1/",
    "https://[::1/thanks",
    "https://[::1]]/thanks",
    "https://bücher.example/danke",
    "https://example。com/thanks",
    "https://1.2.3.4.5/",
    "https://1.2.3/thanks",
    "https://example.42/",
    "https://256.1.1.1/",
    "https://0x7f.0.0.0x1/",
    "https://example.0x/",
    "https://2130706433/",
    "https://example.1./",
    "https://xn--/",
    "https://xn--a/",
    "https://xn--abc-/",
    "https://shop.XN--99999999/",
    "https://xn--bcher-kva.xn--0/",
    "https://user@example.com/",
    "https://example.com\\@evil.example/",
    "https://example.com/\r\nSet-Cookie: a=b",
    "https://example.com/\u2028",
    "https://example.com/\ud800",
    "https://example.com/danke schön",
    "https://example.com; script-src *",
    "https://",
    "HTTPS//example.com",
    "http://example.com/thanks",
    "javascript:alert(1)",
]
GOOD = [
    "https://example.com",
    "https://example.com/",
    "https://www.example.com/thanks?from=form&x=%20#top",
    "https://example.com:8443/thanks",
    "https://example.com:65535/",
    "https://xn--bcher-kva.example/danke",
    "https://a-b.example.co.uk/th_anks/(1)",
    f"https://{'a' * 63}.example/",
    "https://example.com./thanks",
    "https://192.0.2.1/thanks",
    "https://192.0.2.1./thanks",
    "https://xn--ls8h.example/",
    "https://1.2.3.4.example/",
    "https://4711.example/",
]


@pytest.mark.parametrize("url", NAMED + NEIGHBOURS)
def test_an_address_that_no_answer_can_be_written_with_is_refused(url: str) -> None:
    sentence = after_submit.fault(url)
    assert sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("url", GOOD)
def test_a_good_address_is_taken_and_an_answer_can_be_written_with_it(url: str) -> None:
    assert after_submit.fault(url) is None
    response = redirect(url, 303)
    headers = dict(response.get_wsgi_headers(EnvironBuilder().get_environ()))
    assert headers["Location"].encode("latin-1")


@pytest.mark.parametrize("url", NAMED)
def test_it_is_refused_when_it_is_saved(interface: Interface, url: str) -> None:
    with pytest.raises(Refused) as refusal, transaction():
        interfaces.update_general(interface, name="A", introduction="", thank_you="", redirect_url=url)
    assert refusal.value.field == "redirect_url"


@pytest.mark.parametrize("url", [*NAMED, *NEIGHBOURS[:8]])
def test_the_general_tab_says_what_is_wrong(signed_in: FlaskClient, interface: Interface, url: str) -> None:
    sent = {"name": "Contact sales", "language": "en", "accent": "#2f54d0", "scheme": "auto", "corners": "soft"}
    sent |= {"after": "page", "redirect_url": url}
    answer = signed_in.post(f"/interfaces/{interface.public_id}/edit", data=sent)
    assert answer.status_code == 422
    assert "The URL has no valid host name" in answer.text or after_submit.EXAMPLE in answer.text
