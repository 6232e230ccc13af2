"""The thirteen steps of the instructions, by their labels, then a lead, and a signature that verifies."""

import json

from playwright.sync_api import Page, expect
from standardwebhooks import Webhook as Verifier

from tests.browser.conftest import EMAIL, PASSWORD, reload_until_shown
from tests.support.receiver import Receiver


def test_a_newcomer_follows_the_instructions_and_a_signed_lead_arrives(page: Page, receiver: Receiver) -> None:
    receiver.answer(body=b'{"ok": true}')
    # 1. Login
    page.goto("/")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    # An interface to configure
    page.get_by_role("link", name="New interface").first.click()
    page.get_by_label("Name").fill("Thirteen steps")
    page.get_by_role("button", name="Save").or_(page.get_by_role("button", name="Create")).first.click()
    # 2. My User Profile  3. API Keys  4. New
    page.get_by_role("navigation", name="Main").get_by_role("link", name="My User Profile").click()
    page.get_by_role("link", name="API Keys").click()
    page.get_by_role("link", name="New", exact=True).click()
    # 5. Choose "Shared Token"  6. a name, Save
    page.get_by_label("Shared Token").check()
    page.get_by_label("Name").fill("Integration token")
    page.get_by_role("button", name="Save").click()
    # 7. Copy the provided token
    secret = page.locator("#secret").inner_text().strip()
    page.get_by_role("button", name="Copy").first.click()
    # 8. Interfaces  9. Edit  10. Lead Generation
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Interfaces").click()
    page.get_by_role("row", name="Thirteen steps").get_by_role("link", name="Edit").click()
    page.get_by_role("link", name="Lead Generation").click()
    page.get_by_label("Lead Webhook URL").fill(receiver.url)
    # 11. Signature Verification (Shared Token)  12. the token, just below
    token = page.get_by_label("Shared Token", exact=True)
    expect(token).to_be_hidden()  # as soon as the page has its style sheet
    page.get_by_label("Lead Webhook Authentication").select_option(label="Signature Verification (Shared Token)")
    expect(token).to_be_visible()
    token.select_option(label="Integration token")
    # 13. Save
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Embed").click()
    address = page.get_by_role("link", name="Open the form").or_(page.get_by_role("link", name="View form")).first
    page.goto(address.get_attribute("href") or "")

    page.get_by_label("Name").fill("Ada Lovelace")
    page.get_by_label("E-mail").or_(page.get_by_label("Email")).first.fill("ada@example.com")
    page.get_by_label("Message").fill("Hello")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Thank you").first.wait_for()

    [request] = receiver.wait_for(1)
    assert Verifier(secret).verify(request.body, request.headers)
    assert json.loads(request.body)["data"]["lead"]["fields"]["name"] == "Ada Lovelace"
    page.goto("/leads")
    row = page.get_by_role("row", name="Ada Lovelace").first
    reload_until_shown(page, row.get_by_text("Delivered"))
    row.get_by_text("200", exact=True).wait_for()
