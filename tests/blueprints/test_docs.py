"""The guide for receivers: public, with this installation's settings, and with the samples that the tests run."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from standardwebhooks import Webhook

from webapp.blueprints.docs import RECEIVERS, example, listed, roughly, span
from webapp.web.highlight import PATTERNS, coloured

pytestmark = pytest.mark.once


def text_of(page: str) -> str:
    """The text of a page as a reader sees it."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


@pytest.mark.parametrize("path", ["/docs/webhooks", "/docs/error-reports"])
def test_the_guides_are_open_to_everyone(path: str, client: FlaskClient, signed_in: FlaskClient) -> None:
    for reader in (client, signed_in):
        assert reader.get(path).status_code == 200


def test_a_signed_out_reader_sees_a_sign_in_link_and_no_navigation(client: FlaskClient) -> None:
    page = client.get("/docs/webhooks").text
    assert "Sign in" in page
    assert "My User Profile</span>" not in page


def test_a_signed_in_reader_keeps_the_navigation(signed_in: FlaskClient) -> None:
    page = signed_in.get("/docs/webhooks").text
    assert "My User Profile</span>" in page
    assert page.count('id="main"') == 1


def test_it_shows_the_files_that_the_tests_run_and_leaves_none_out(client: FlaskClient) -> None:
    page = client.get("/docs/webhooks").text
    shown = [html.unescape(re.sub(r"<[^>]+>", "", code)) for code in re.findall(r"<pre><code>(.*?)</code>", page, re.S)]
    files = [path for path in RECEIVERS.iterdir() if path.is_file()]
    assert len(files) == 18
    assert [path.name for path in files if path.read_text().strip() not in shown] == []


def test_every_header_part_and_promise_is_named(client: FlaskClient) -> None:
    seen = text_of(client.get("/docs/webhooks").text)
    for words in (
        *("webhook-id", "webhook-timestamp", "webhook-signature", "{id}.{timestamp}.{body}", "whsec_"),
        *("lead.created", "lead.test", "lead.fields", "consents", "click_ids", "interface", "source"),
        *("200 to 299", "Leadhook never follows redirects", "Retry-After", "410", "999", "5 minutes"),
        *(
            "5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h: 7 more attempts over 28 hours",
            "within 5 s",
            "within 15 s in total",
        ),
    ):
        assert words in seen, words


def test_what_receivers_really_do_is_named(client: FlaskClient) -> None:
    page = text_of(client.get("/docs/webhooks").text)
    said = page[page.index("What receivers really do We sent leads") :]
    for words in (
        *("Hook rules were not satisfied.", "Respond is Immediately", "http response node", "by each retry"),
        *("each retry for 28 hours", "csrf_exempt", "request.META", "Headers object", "express.json()"),
        *("svix from 2.0 on", "a space, a quote", "replaced by - and _", "empty secret", "Key as text"),
    ):
        assert words in said, words
    assert "JSON.stringify(JSON.parse(body)) is always the body" in page
    assert "The receiver may have the lead" in page
    assert "Leadhook/1.0 (sends leads), which filters for robots let through" in page


def test_the_value_of_a_file_field_is_described(client: FlaskClient) -> None:
    page = text_of(client.get("/docs/webhooks").text)
    files = page[page.index("A File field sends a list") :]
    for said in ("nameWhat", "sizeHow many", "typeIts media", "urlWhere to GET", "needs no sign-in", "410", "503"):
        assert said in files, said


def test_the_times_are_those_of_this_installation(make_app: Callable[..., Flask]) -> None:
    app = make_app(RETRY_SCHEDULE="90,0.5", WEBHOOK_CONNECT_TIMEOUT="2.5", WEBHOOK_DEADLINE="60")
    seen = text_of(app.test_client().get("/docs/webhooks").text)
    assert "1 min 30 s and 0.5 s: 2 more attempts over 90 seconds" in seen
    assert "within 2.5 s" in seen
    assert "within 1 min in total" in seen


def test_links_within_the_page_lead_somewhere(client: FlaskClient) -> None:
    page = client.get("/docs/webhooks").text
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert len(anchors) > 5
    assert [anchor for anchor in anchors if f'id="{anchor}"' not in page] == []


def test_the_example_verifies_with_the_library_that_receivers_use() -> None:
    sent = example()
    headers = {
        "webhook-id": sent["id"],
        "webhook-timestamp": str(sent["timestamp"]),
        "webhook-signature": sent["signature"],
    }
    with time_machine.travel(sent["timestamp"]):
        lead = Webhook(sent["token"]).verify(sent["body"], headers)["data"]["lead"]
    assert lead["fields"]["message"] == "Hello from Zürich"


def test_durations_read_well() -> None:
    assert [span(seconds) for seconds in (5, 300, 5400, 36000, 90, 0.5, 172800)] == [
        *("5 s", "5 min", "1 h 30 min", "10 h", "1 min 30 s", "0.5 s", "48 h")
    ]
    assert [roughly(seconds) for seconds in (1, 5, 119, 120, 5400, 99305, 300000, 0.5)] == [
        *("1 second", "5 seconds", "119 seconds", "2 minutes", "90 minutes", "28 hours", "3 days", "0 seconds")
    ]
    assert [listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


@pytest.mark.parametrize("language", list(PATTERNS))
def test_highlighting_changes_no_character_and_escapes_markup(language: str) -> None:
    code = '# "a" <script>alert(1)</script> &amp; \'b\' // {"k": [1, -2.5e3, true]} `${x}` """\n/* <b> */ host: y\n"\\"'
    out = str(coloured(code, language))
    assert html.unescape(re.sub(r'</?span(?: class="[ksnc]")?>', "", out)) == code
    assert set(re.findall(r"<(\w+)", out)) <= {"span"}


def test_the_readme_of_the_receivers_points_to_files_that_exist() -> None:
    readme = Path(__file__).parents[2] / "docs" / "receivers" / "README.md"
    for link in re.findall(r"\]\(([^)]+)\)", readme.read_text()):
        assert (readme.parent / link).is_file()
