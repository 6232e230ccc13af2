"""Every page in light and dark, on a desk and on a phone: no axe violation, nothing that scrolls sideways."""

from datetime import timedelta

import pytest
from flask import Flask
from playwright.sync_api import Browser
from sqlalchemy import select

from tests.browser.conftest import EMAIL, sign_in
from tests.support.axe import DESK, prepare, violations
from tests.support.factories import ADA, captured, delivery_of, point_at, sign, submit
from tests.support.people import join, token_in
from tests.support.receiver import Receiver
from tests.support.site import Site
from tests.support.waiting import wait_until
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Authentication, KeyAccess, Mail, Role, Scope, User
from webapp.services import api_keys
from webapp.services.intake import visitor
from webapp.services.interfaces import interfaces
from webapp.services.key_access import Grant
from webapp.services.people import invitations, password_resets
from webapp.services.webhooks import editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan


@pytest.fixture(scope="module")
def addresses(site_app: Flask, site: Site) -> list[str]:
    """An address for each page, with something to see on it."""
    with site_app.app_context(), Receiver() as receiver:
        receiver.answer(status=500, body=b'{"error": "the database is away"}')
        with transaction():
            owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
            interface = interfaces.create(owner.account_id, "Every page")
            interface.notification_emails = ["sales@example.com"]
        point_at(interface, receiver.url)
        token, _ = sign(interface)
        with transaction():
            grant = Grant([Scope.READ, Scope.WRITE], timedelta(days=30), [interface.public_id])
            api_keys.create_api_key(owner.account_id, owner.id, "CRM sync", KeyAccess.PRIVATE, grant)
        people = _people(owner)
        lead = submit(interface)
        wait_until(lambda: delivery_of(lead).last_code == 500, "the first try")
        edit = f"/interfaces/{interface.public_id}"
        mail_id = db.session.scalars(select(Mail.id).limit(1)).one()
        with transaction():
            robot = captured(interface.public_id, ADA)
            robot.spam = visitor.HONEYPOT
            undeclared = {"company": "Brightwater Solar", "topics[]": ["Solar"], "text": "Hello", "_cut": ["text"]}
            robot.undeclared = captured(interface.public_id, ADA).undeclared = undeclared
            wanted = Wanted(Authentication.METALOCATOR, secrets={"secret": "of the receiver"}, custom_headers="A: b")
            second = f"/webhooks/{editing.add(interface, Plan(receiver.url, 'Second', wanted=wanted)).public_id}"
            shadow = f"/webhooks/{editing.add(interface, Plan(receiver.url, 'Shadow', is_shadow=True)).public_id}"
        submit(interface)
        webhooks = [f"{second}/examination", shadow, f"{shadow}/switch-over"]
        webhooks += [f"{edit}/webhooks/new", f"{second}?preset=signature:github", f"{second}/secret"]
        leads = ["/leads", "/leads?q=nobody", "/leads?status=retrying", "/leads?status=spam"]
        leads += [f"/leads/{one.public_id}" for one in (lead, robot)]
        db.session.rollback()
        tabs = [f"{edit}/edit{tab}" for tab in ("", "/fields", "/lead-generation", "/embed", "/e-mail", "/privacy")]
        keys = "/profile/api-keys"
        profile = ["/profile", keys, f"{keys}/new", f"{keys}/{token.public_id}/rotate", "/profile/audit-log", *people]
        form = f"/f/{interface.public_id}"
        db.session.rollback()
    others = ["/interfaces", "/interfaces/new", f"{edit}/delete", "/mailbox", f"/mailbox/{mail_id}", "/no-such-page"]
    forms = [form, f"{form}/thank-you"]
    return [*others, *tabs, *webhooks, *leads, *profile, *forms, "/docs/webhooks", "/docs/error-reports", "/docs/api"]


def _people(owner: User) -> list[str]:
    """The addresses of pages about people, with an editor, an invitation and a rotated token."""
    editor = join(owner, Role.EDITOR, "emil@example.com", name="Emil")
    with transaction():
        invitations.invite(owner, "dora@example.com", Role.LEADS_ONLY)
        password_resets.send_link("emil@example.com")
        for token in api_keys.shared_tokens(owner.account_id):
            api_keys.rotate(token, api_keys.OVERLAP, force=True)
    links = [f"/invitations/{token_in(mail)}" for mail in db.session.query(Mail).filter_by(kind="invitation")]
    links += [f"/reset-password/{token_in(mail)}" for mail in db.session.query(Mail).filter_by(kind="password_reset")]
    own = f"/profile/users/{editor.id}"
    pages = ["/profile/users", "/profile/users/invite", f"{own}/role", f"{own}/remove", f"{own}/transfer"]
    return [*pages, *links, "/invitations/ended", "/forgot-password", "/profile/audit-log?kind=interface&person=99"]


@pytest.mark.long
@pytest.mark.timeout(300)  # sixty pages, beside two other workers
def test_no_page_has_an_axe_violation_or_scrolls_sideways(chromium: Browser, site: Site, addresses: list[str]) -> None:
    context = chromium.new_context(base_url=site.url, viewport=DESK, color_scheme="light")
    prepare(context)
    page = context.new_page()
    page.goto("/login")
    found = [f"/login: {one}" for one in violations(page)]
    sign_in(page)
    for address in addresses:
        page.goto(address)
        found += [f"{address}: {one}" for one in violations(page)]
    context.close()
    assert found == []
