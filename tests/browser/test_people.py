"""Somebody is invited, joins, forgets the password; a token is rotated: by the labels, with and without JavaScript."""

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PASSWORD, sign_in
from tests.support.people import last_token
from tests.support.site import Site


def test_an_editor_is_invited_joins_and_finds_back_after_forgetting(page: Page, chromium: Browser, site: Site) -> None:
    sign_in(page)
    page.goto("/profile")
    page.get_by_role("link", name="Users").click()
    page.get_by_role("link", name="Invite").click()
    page.get_by_label("Email").fill("fiona@example.com")
    page.get_by_role("radio", name="Editor").check()
    page.get_by_role("button", name="Send invitation").click()
    invited = page.get_by_role("row", name="fiona@example.com")
    expect(invited.get_by_text("Invited", exact=True)).to_be_visible()

    context = chromium.new_context(base_url=site.url, java_script_enabled=False)  # hers needs none of it
    hers = context.new_page()
    hers.goto(f"/invitations/{last_token()}")
    hers.get_by_label("Name").fill("Fiona")
    hers.get_by_label("Password").fill(PASSWORD)
    hers.get_by_role("button", name="Join").click()
    navigation = hers.get_by_role("navigation", name="Main")
    expect(navigation.get_by_role("link", name="Interfaces")).to_be_visible()
    hers.goto("/profile")
    expect(hers.get_by_role("link", name="API Keys")).to_have_count(0)
    hers.get_by_role("button", name="Sign out everywhere").click()
    hers.get_by_role("link", name="Forgot your password?").click()
    hers.get_by_label("Email").fill("fiona@example.com")
    hers.get_by_role("button", name="Send the link").click()
    expect(hers.get_by_role("heading", name="Check your e-mail")).to_be_visible()
    hers.goto(f"/reset-password/{last_token()}")
    hers.get_by_label("New password", exact=True).fill("another good one")
    hers.get_by_label("New password, again").fill("another good one")
    hers.get_by_role("button", name="Save").click()
    expect(hers.get_by_text("Your password is changed.")).to_be_visible()
    hers.get_by_label("Email").fill("fiona@example.com")
    hers.get_by_label("Password").fill("another good one")
    hers.get_by_role("button", name="Sign in").click()
    expect(hers.get_by_role("heading", name="Interfaces")).to_be_visible()

    page.reload()
    page.get_by_role("link", name="Remove… Fiona").click()
    dialog = page.get_by_role("dialog", name="Remove Fiona?")
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Fiona is removed, and signed out everywhere.")).to_be_visible()
    hers.reload()
    expect(hers.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("row", name="Removed a user: Fiona")).to_be_visible()


def test_a_token_is_rotated_and_the_old_secret_ended(page: Page) -> None:
    sign_in(page)
    page.goto("/profile/api-keys/new")
    page.get_by_role("radio", name="Shared Token").check()
    page.get_by_label("Name").fill("Rotated here")
    page.get_by_role("button", name="Save").click()
    first = page.locator("#secret").inner_text()
    page.get_by_role("link", name="I stored it").click()
    page.get_by_role("link", name="Rotate… Rotated here").click()
    expect(page.get_by_label("The old secret")).to_have_value("24")
    page.get_by_role("button", name="Rotate").click()
    assert page.locator("#secret").inner_text() != first
    page.get_by_role("link", name="I stored it").click()
    row = page.get_by_role("row", name="Rotated here")
    expect(row).to_contain_text("also signs, ends in 23 h")
    row.get_by_role("link", name="Rotate…").click()
    page.get_by_role("button", name="Rotate", exact=True).click()
    expect(page.get_by_text("also still signs. If your receivers know")).to_be_visible()
    page.get_by_role("button", name="Revoke the old one now").click()
    expect(page.get_by_role("row", name="Rotated here")).not_to_contain_text("also signs")
