"""Which origins a form with allowed sites takes."""

import pytest

from tests.conftest import AppMaker
from tests.support.factories import ADA
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface
from webapp.services.intake.allowed_sites import may_post
from webapp.services.interfaces import embedding

SITES = [
    "https://*.sub.example",
    "http://*.plain.example:8080",
    "https://one.example",
    "https://*.xn--mnchen-3ya.example",
]
TAKEN = [
    "https://a.sub.example",
    "https://a.b.sub.example",
    "HTTPS://A.SUB.EXAMPLE",
    "https://my_site.sub.example",
    "https://1.sub.example",
    "http://a.plain.example:8080",
    "https://one.example",
    "https://a.xn--mnchen-3ya.example",
]
REFUSED = [
    "https://evil.example/.sub.example",
    "https://evil.example?.sub.example",
    "https://evil.example#.sub.example",
    "https://evil.example\\.sub.example",
    "https://evil.example:443/.sub.example",
    "https://evil.example:.sub.example",
    "https://evil.example@a.sub.example",
    "https://a.sub.example@evil.example/.sub.example",
    "https://evil.example,https://a.sub.example",
    "https://evil.example https://a.sub.example",
    "https://evil.example\n.sub.example",
    "https://evil.example\x00.sub.example",
    "https://evil.example%2f.sub.example",
    "https://[::1].sub.example",
    "https://.sub.example",
    "https://..sub.example",
    "https://a..sub.example",
    "https:///.sub.example",
    "https://sub.example",
    "https://evilsub.example",
    "https://a.sub.example.evil.example",
    "https://a.sub.example.",
    "https://a.sub.example:8443",
    "https://a.sub.example/",
    "http://a.sub.example",
    "http://a.plain.example",
    "http://evil.example/.plain.example:8080",
    "http://a.plain.example:80808080",
    "https://a.one.example",
    "https://münchen.sub.example",
    "ftp://a.sub.example",
    "",
    "x",
]


@pytest.mark.parametrize("origin", TAKEN)
def test_a_site_on_the_list_is_taken(origin: str) -> None:
    assert may_post(SITES, origin, ())


@pytest.mark.parametrize("origin", REFUSED)
def test_a_text_that_only_ends_like_a_site_is_refused(origin: str) -> None:
    assert not may_post(SITES, origin, ())
    assert may_post([], origin, ()), "without a list every site may post"


def test_from_the_post_to_the_lead(make_app: AppMaker, interface: Interface) -> None:
    client = make_app(FORM_RATE_LIMIT="").test_client()
    with transaction():
        embedding.update_sites(db.session.merge(interface), "https://*.sub.example")
    address = f"/f/{interface.public_id}"
    for origin in REFUSED:
        if origin and "\n" not in origin and origin.isascii():
            answer = client.post(address, data=ADA, headers={"Origin": origin})
            assert answer.status_code == 403, origin
            assert "Access-Control-Allow-Origin" not in answer.headers
    taken = client.post(address, data=ADA, headers={"Origin": "https://a.sub.example", "Accept": "application/json"})
    assert taken.status_code == 201
    assert taken.headers["Access-Control-Allow-Origin"] == "https://a.sub.example"
    policy = client.get(address).headers["Content-Security-Policy"]
    assert policy.endswith("; frame-ancestors 'self' https://*.sub.example")


@pytest.mark.parametrize(
    "typed",
    ["https://evil.example/.sub.example", "https://evil.example?.sub.example", "evil.example#.sub.example"],
)
def test_what_is_saved_is_the_host_of_what_was_typed(typed: str) -> None:
    assert embedding.sites(typed) == ["https://evil.example"]
