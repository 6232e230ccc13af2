"""The Leads pages: list, row, one lead, CSV, and every way to Retry Webhook."""

import re
import shlex
import subprocess
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from tests.support.factories import captured, submit
from tests.support.receiver import Receiver
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.delivery import lanes, rings
from webapp.extensions import db
from webapp.models import ApiKey, Attempt, Delivery, DeliveryState, Interface, KeyType, Lead, LeadLogEntry, Reason
from webapp.services.interfaces import interfaces
from webapp.services.leads import lead_detail, leads
from webapp.services.webhooks import webhooks

HTMX = {"HX-Request": "true"}
EVIL = "'; rm -rf ~; $(reboot) `id` \" \\ <script>alert(1)</script>"
MESSAGE = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "", "message": EVIL}


def capture(interface: Interface, **more: str) -> str:
    with transaction():
        return captured(interface.public_id, {**MESSAGE, **more}, {"page_url": "javascript:alert(1)"}).public_id


@pytest.fixture
def hooked(interface: Interface, receiver: Receiver) -> Interface:
    """The interface with a webhook that sends to a real receiver."""
    with transaction():
        interface.webhook.url = receiver.url
    return interface


@pytest.fixture
def failed(hooked: Interface) -> str:
    """The id of a lead whose delivery failed finally, with 503."""
    lead_id = capture(hooked)
    settle(DeliveryState.FAILED, tries=8, last_code=503, last_response="<b>upstream</b> is restarting")
    return lead_id


def settle(state: DeliveryState, **values: Any) -> None:
    with transaction():
        db.session.execute(update(Delivery).values(state=state, due_at=None, retry_at=None, **values))
    db.session.expire_all()


def deliver(interface: Interface) -> None:
    """Sends what is due, as the worker does."""
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    db.session.rollback()
    db.session.expire_all()


def delivery() -> Delivery:
    db.session.rollback()
    return db.session.scalars(select(Delivery)).one()


def counted(model: Any) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_an_empty_list_says_the_next_step(signed_in: FlaskClient, interface: Interface) -> None:
    page = signed_in.get("/leads").text
    assert "No leads yet" in page
    assert f"/interfaces/{interface.public_id}/edit/embed" in page


def test_the_list_shows_code_and_response_and_marks_failures(signed_in: FlaskClient, failed: str) -> None:
    page = signed_in.get("/leads").text
    for column in ("Received", "Interface", "Webhook Status", "Webhook Response"):
        assert f'<th scope="col">{column}</th>' in page
    assert "#i-x" in page
    assert re.search(r"Failed.*503.* · .*try 8 of 8", page, re.DOTALL)
    assert "&lt;b&gt;upstream&lt;/b&gt;" in page
    assert "<b>upstream" not in page
    assert 'aria-label="Select Ada Lovelace"' in page


def test_a_test_lead_is_tagged(signed_in: FlaskClient, hooked: Interface) -> None:
    with transaction():
        leads.send_test(hooked, 1)
    assert '<span class="tag">Test</span>' in signed_in.get("/leads").text


def test_a_filter_that_finds_nothing_offers_a_way_back(signed_in: FlaskClient, failed: str) -> None:
    page = signed_in.get("/leads?q=%3Cunknown%3E&status=held&received=7d").text
    assert "Nothing matches “&lt;unknown&gt;”" in page
    assert "1 lead is outside this filter." in page
    assert "Clear the filter" in page


@pytest.mark.parametrize(
    "query", ["q=%00", "status=nonsense", "interface=%00", "received=x", "before=%00", "after=%F0%9F"]
)
def test_an_invalid_query_is_not_an_error(signed_in: FlaskClient, failed: str, query: str) -> None:
    assert signed_in.get(f"/leads?{query}").status_code == 200
    assert signed_in.get(f"/leads.csv?{query}", buffered=True).status_code == 200


def test_the_chips_keep_the_rest_of_the_filter(signed_in: FlaskClient, failed: str) -> None:
    page = signed_in.get("/leads?q=ada&received=24h").text
    assert "/leads?q=ada&amp;received=24h&amp;status=failed" in page


def test_another_account_finds_no_lead(stranger: FlaskClient, failed: str) -> None:
    assert "Ada" not in stranger.get("/leads").text
    assert "Ada" not in stranger.get("/leads.csv", buffered=True).text
    assert stranger.get(f"/leads/{failed}").status_code == 404
    assert stranger.get(f"/leads/{failed}/row", headers=HTMX).status_code == 404
    assert stranger.post(f"/leads/{failed}/retry").status_code == 404
    assert stranger.post("/leads/retry", data={"lead": [failed], "confirmed": "1"}).status_code == 404
    assert delivery().retry_at is None


@pytest.mark.parametrize("public_id", ["lead_unknown", "%00", "%F0%9F", "'"])
def test_an_unknown_lead_is_not_found(signed_in: FlaskClient, public_id: str) -> None:
    assert signed_in.get(f"/leads/{public_id}").status_code == 404
    assert signed_in.get(f"/leads/{public_id}/row", headers=HTMX).status_code == 404
    assert signed_in.post(f"/leads/{public_id}/retry").status_code == 404


def test_leads_need_sign_in(client: FlaskClient, failed: str) -> None:
    for path in ("/leads", "/leads.csv", f"/leads/{failed}", f"/leads/{failed}/row"):
        assert client.get(path).status_code == 303
    assert client.post(f"/leads/{failed}/retry").status_code == 303
    assert delivery().retry_at is None


def test_retry_with_a_plain_post_returns_to_the_same_list(signed_in: FlaskClient, failed: str) -> None:
    answer = signed_in.post(f"/leads/{failed}/retry", data={"next": "/leads?received=24h"})
    assert (answer.status_code, answer.location) == (303, "/leads?received=24h")
    page = signed_in.get(answer.location).text
    assert "Queued: the webhook of Ada Lovelace is being sent again." in page
    assert 'aria-busy="true"' in page
    assert delivery().retry_at is not None


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", ""])
def test_retry_never_redirects_to_another_site(signed_in: FlaskClient, failed: str, elsewhere: str) -> None:
    assert signed_in.post(f"/leads/{failed}/retry", data={"next": elsewhere}).location == "/leads"


def test_retry_in_place_shows_queued_and_then_the_outcome(
    signed_in: FlaskClient, hooked: Interface, failed: str
) -> None:
    answer = signed_in.post(f"/leads/{failed}/retry", headers={**HTMX, "HX-Target": f"tr#{failed}"})
    row = answer.text.strip()
    assert answer.status_code == 200
    assert row.startswith(f'<tr id="{failed}" aria-busy="true"')
    assert 'hx-trigger="every 1s"' in row
    assert "<main" not in row
    assert "HX-Trigger" not in answer.headers
    poll = re.search(r'hx-get="([^"]+)"', row)[1].replace("&amp;", "&")  # type: ignore[index]
    assert signed_in.get(poll, headers=HTMX).status_code == 204
    deliver(hooked)
    outcome = signed_in.get(poll, headers=HTMX)
    assert outcome.status_code == 200
    assert "Delivered" in outcome.text
    assert "hx-trigger" not in outcome.text
    assert "aria-busy" not in outcome.text
    assert f'id="retry-{failed}"' in row
    assert f'id="retry-{failed}"' in outcome.text
    assert outcome.headers["HX-Trigger"] == '{"toast": "Ada Lovelace: Delivered, 200"}'


def test_an_outcome_before_the_answer_to_the_click_is_announced_in_that_answer(
    signed_in: FlaskClient, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "ring_unless_locked", lanes.drain)  # a worker that runs at once
    answer = signed_in.post(f"/leads/{failed}/retry", headers={**HTMX, "HX-Target": f"tr#{failed}"})
    assert "Delivered" in answer.text
    assert "hx-trigger" not in answer.text
    assert answer.headers["HX-Trigger"] == '{"toast": "Ada Lovelace: Delivered, 200"}'


def test_a_new_lead_polls_for_its_outcome_without_announcing_it(signed_in: FlaskClient, hooked: Interface) -> None:
    lead_id = capture(hooked)
    page = signed_in.get("/leads").text
    poll = re.search(r'hx-get="([^"]+/row[^"]*)"', page)[1].replace("&amp;", "&")  # type: ignore[index]
    assert signed_in.get(poll, headers=HTMX).status_code == 204
    deliver(hooked)
    outcome = signed_in.get(poll, headers=HTMX)
    assert "Delivered" in outcome.text
    assert "HX-Trigger" not in outcome.headers
    assert signed_in.get(f"/leads/{lead_id}/row").location == f"/leads/{lead_id}"


def test_a_lead_that_waits_long_is_polled_less_often(signed_in: FlaskClient, failed: str) -> None:
    settle(DeliveryState.FAILED)
    with transaction():
        db.session.execute(update(Delivery).values(retry_at=utcnow().timestamp() - 120))
    row = signed_in.get(f"/leads/{failed}/row?pace=1s", headers=HTMX)
    assert 'hx-trigger="every 5s"' in row.text
    assert signed_in.get(f"/leads/{failed}/row?pace=5s", headers=HTMX).status_code == 204


def test_a_second_click_during_an_attempt_sends_once(
    signed_in: FlaskClient, hooked: Interface, failed: str, receiver: Receiver
) -> None:
    for _ in range(3):
        signed_in.post(f"/leads/{failed}/retry", headers=HTMX)
    deliver(hooked)
    assert len(receiver.wait_for(1)) == 1
    assert counted(LeadLogEntry) == 1


def test_twenty_retries_leave_one_lead_and_one_webhook_id(
    signed_in: FlaskClient, hooked: Interface, failed: str, receiver: Receiver
) -> None:
    for _ in range(20):
        signed_in.post(f"/leads/{failed}/retry")
        deliver(hooked)
    sent = receiver.wait_for(20)
    assert {request.headers["webhook-id"] for request in sent} == {delivery().message_id}
    assert {request.body for request in sent} == {delivery().payload}
    assert (counted(Lead), counted(Attempt)) == (1, 20)
    page = signed_in.get(f"/leads/{failed}").text
    assert page.count("resentwebhook") == 20
    assert "Retry Webhook by alice@example.com" in page


def test_the_page_says_why_a_retry_is_not_possible(signed_in: FlaskClient, hooked: Interface, failed: str) -> None:
    with transaction():
        webhooks.pause(hooked.webhook, "Paused by Alice.")
    answer = signed_in.post(f"/leads/{failed}/retry", headers={**HTMX, "HX-Target": f"tr#{failed}"})
    assert answer.status_code == 200
    assert "paused" in answer.headers["HX-Trigger"]
    assert "Retry Webhook" not in answer.text
    signed_in.post(f"/leads/{failed}/retry")
    assert "The webhook is paused." in signed_in.get("/leads").text
    assert delivery().retry_at is None


def test_ticked_rows_are_counted_and_confirmed_before_they_are_sent(signed_in: FlaskClient, hooked: Interface) -> None:
    ids = [capture(hooked) for _ in range(3)]
    settle(DeliveryState.FAILED, tries=8, last_code=503)
    page = signed_in.post("/leads/retry", data={"lead": ids[:2], "next": "/leads?status=failed"})
    assert page.status_code == 200
    assert "Retry 2 webhooks?" in page.text
    assert "<main" in page.text
    assert counted_clicks() == 0
    again = signed_in.post("/leads/retry", data={"lead": ids[:2], "next": "/leads?status=failed", "confirmed": "1"})
    assert (again.status_code, again.location) == (303, "/leads?status=failed")
    assert "Queued: 2 webhooks are being sent again." in signed_in.get("/leads").text
    assert counted_clicks() == 2


def counted_clicks() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).where(Delivery.retry_at.is_not(None))) or 0


def test_the_dialog_has_the_same_text(signed_in: FlaskClient, failed: str) -> None:
    answer = signed_in.post("/leads/retry", data={"lead": [failed]}, headers=HTMX)
    assert "Retry 1 webhook?" in answer.text
    assert "<main" not in answer.text
    assert answer.headers["HX-Trigger"] == '{"showdialog": "confirm"}'


def test_leads_that_cannot_be_sent_are_left_out_and_named(
    signed_in: FlaskClient, hooked: Interface, failed: str
) -> None:
    with transaction():
        other = interfaces.create(hooked.account_id, "Newsletter")
    kept = capture(other)
    both = signed_in.post("/leads/retry", data={"lead": [failed, kept]}).text
    assert "Retry 1 webhook?" in both
    assert "1 of the 2 selected is left out. Its interface has no Lead Webhook URL." in both
    assert "None of these can be sent now" in signed_in.post("/leads/retry", data={"lead": [kept]}).text


def test_a_retry_without_ticked_rows_says_so(signed_in: FlaskClient, failed: str) -> None:
    assert signed_in.post("/leads/retry").status_code == 303
    assert "Select the leads" in signed_in.get("/leads").text


@pytest.mark.parametrize("ids", [["lead_unknown"], ["\x00"], [""]])
def test_ticked_leads_that_do_not_exist_are_not_found(signed_in: FlaskClient, failed: str, ids: list[str]) -> None:
    assert signed_in.post("/leads/retry", data={"lead": [failed, *ids], "confirmed": "1"}).status_code == 404
    assert counted_clicks() == 0


def test_a_lead_shows_its_answers_attempts_payload_and_log(
    signed_in: FlaskClient, hooked: Interface, receiver: Receiver
) -> None:
    receiver.answer(status=503, body=b"<i>no</i>\x00", headers=[("x-trace", "abc")])
    lead_id = capture(hooked)
    deliver(hooked)
    page = signed_in.get(f"/leads/{lead_id}").text
    for words in (
        "503 Service Unavailable",
        "x-trace: abc",
        "&lt;i&gt;no&lt;/i&gt;",
        "Next attempt at",
        "Attempt 1 · Automatic",
    ):
        assert words in page
    assert f"application/json, {len(delivery().payload):,} bytes" in page
    assert delivery().message_id in page
    assert "received" in page
    assert "<script>alert(1)" not in page
    assert 'href="javascript:' not in page
    assert 'href="mailto:ada%40example.com"' in page


def test_the_signature_is_masked(signed_in: FlaskClient, hooked: Interface, failed: str) -> None:
    with transaction():
        token = ApiKey(
            account_id=hooked.account_id, type=KeyType.SHARED_TOKEN, name="CRM", hint="whsec_…", secret_encrypted=b"x"
        )
        db.session.add(token)
        db.session.flush()
        db.session.add(
            Attempt(
                delivery_id=hooked_delivery_id(),
                reason=Reason.AUTOMATIC,
                started_at=utcnow(),
                url="https://hooks.example.com/",
                timestamp=1795420800,
                signed_with_id=token.id,
                code=999,
                error="tls",
                response="The certificate of hooks.example.com has expired",
                duration_ms=12,
            )
        )
    page = signed_in.get(f"/leads/{failed}").text
    assert lead_detail.MASK in page
    assert "999 Certificate not trusted" in page
    assert "has expired" in page
    assert "curl, unsigned" in page


def hooked_delivery_id() -> int:
    return db.session.scalars(select(Delivery.id)).one()


def test_the_page_of_a_lead_polls_for_the_outcome_of_a_retry(
    signed_in: FlaskClient, hooked: Interface, failed: str
) -> None:
    answer = signed_in.post(f"/leads/{failed}/retry", headers={**HTMX, "HX-Target": "div#lead"})
    assert answer.text.strip().startswith('<div id="lead" aria-busy="true"')
    poll = re.search(r'hx-get="([^"]+)"', answer.text)[1].replace("&amp;", "&")  # type: ignore[index]
    assert signed_in.get(poll, headers=HTMX).status_code == 204
    deliver(hooked)
    outcome = signed_in.get(poll, headers=HTMX)
    assert "hx-trigger" not in outcome.text
    assert "200 OK" in outcome.text
    assert "toast" in outcome.headers["HX-Trigger"]


def test_the_curl_command_sends_exactly_the_payload_bytes(hooked: Interface, failed: str) -> None:
    with transaction():
        hooked.webhook.url = "https://hooks.example.com/a?b='$(touch%20x)'&c[]=1"
    command = lead_detail.curl(delivery(), None)
    assert command
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:4] == ["curl", "-i", "--globoff", "https://hooks.example.com/a?b='$(touch%20x)'&c[]=1"]
    assert words[-1].encode() == delivery().payload
    # A real shell must read it the same way. printf takes the place of curl.
    printed = subprocess.run(
        ["sh", "-c", command.replace("curl", "printf '%s\\0'", 1)], capture_output=True, check=True, timeout=10
    )
    assert printed.stdout.split(b"\0")[-2] == delivery().payload
    assert printed.stderr == b""


def test_the_csv_has_the_filtered_leads(signed_in: FlaskClient, hooked: Interface, failed: str) -> None:
    capture(hooked, name="=cmd()")
    answer = signed_in.get("/leads.csv?q=cmd", buffered=True)
    assert answer.content_type == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert answer.data.startswith(b"\xef\xbb\xbf")
    assert "'=cmd()" in answer.text
    assert "Ada Lovelace" not in answer.text


def test_leads_of_a_deleted_interface_stay(signed_in: FlaskClient, hooked: Interface, failed: str) -> None:
    with transaction():
        interfaces.archive(hooked)
    page = signed_in.get(f"/leads/{failed}").text
    assert "Its interface was deleted." in page
    assert "Contact sales (deleted)" in page
    assert "Contact sales (deleted)" in signed_in.get("/leads").text


def test_a_lead_says_how_often_its_visitor_came_before(signed_in: FlaskClient, interface: Interface) -> None:
    found = [submit(interface).public_id for _ in range(3)]
    page = signed_in.get("/leads").text
    assert "2 earlier submissions" in page
    assert "1 earlier submission<" in page.replace("\n", "")
    lead = signed_in.get(f"/leads/{found[-1]}").text
    assert f"/leads?interface={interface.public_id}&amp;q=ada@example.com" in lead.replace("%40", "@")
    assert "earlier submission" not in signed_in.get(f"/leads/{found[0]}").text
