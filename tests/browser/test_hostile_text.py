"""Whatever strangers, receivers and colleagues write is text: no script runs, no policy is broken, nothing bursts."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from flask import Flask
from playwright.sync_api import Browser, Page, ViewportSize
from sqlalchemy import select

from tests.browser.conftest import EMAIL, sign_in
from tests.support.factories import delivery_of, point_at
from tests.support.receiver import Receiver, answering
from tests.support.site import Site
from tests.support.waiting import wait_until
from webapp.extensions import db
from webapp.models import ApiKey, Interface, Lead, Mail, User
from webapp.services import api_keys, interfaces, users, webhooks
from webapp.transaction import transaction

# Each would call xss() or leave an element marked `xss`, in one of the places that text can stand in: an element, an
# attribute in either quotes or none, a URL, a <textarea>, <title>, <script>, <style> or comment, JSON, a template.
CORPUS = [
    "<script>xss()</script><b xss>",
    '"><img src=x onerror=xss() xss>',
    "'><svg onload=xss() xss>",
    "</textarea></title></script></style></option></select><iframe srcdoc='<script>parent.xss()</script>' xss>",
    '" autofocus onfocus=xss() xss="',
    "' onmouseover=xss() xss='",
    "x onpointerenter=xss() xss",
    "javascript:xss()//https://a.example",
    "--><a href=javascript:xss() xss>a</a><!--",
    "{{7*7}}${7*7}<%= 7*7 %>#{7*7}{%print(7)%}",
    "<math><mtext><table><mglyph><style><img src=x onerror=xss() xss>",
    "<form action=//evil.example xss><button formaction=javascript:xss()>",
    "<meta http-equiv=refresh content='0;url=//evil.example' xss><base href=//evil.example>",
    '<style>*{background:url("//evil.example/css")}</style><link rel=stylesheet href=//evil.example xss>',
    "<div hx-get=/leads hx-trigger=load hx-on::load=xss() xss>",
    '"}];xss();[{"a":"',
    "&lt;script&gt;xss()&lt;/script&gt;&#60;b xss&#62;",
    "\u202e<b xss>\u2066\u200b\ufeff" + "Z\u0351\u0352\u0357" * 40,
    "W" * 200 + "<b xss>",
    "ａ" * 60 + "🧑‍🚀" * 30,
]
ALL = " ".join(CORPUS)
WIDE, NARROW = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=800)
WATCH = """
  window.broken = [];
  window.xss = () => window.broken.push("a script ran");
  addEventListener("securitypolicyviolation", (event) =>
    window.broken.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile} ${event.sample}`));
"""
LOOK = """() => {
  const wrong = [...window.broken];
  for (const found of document.querySelectorAll("[xss], [onerror], [onload], [onfocus], [srcdoc]"))
    wrong.push("markup came through: " + found.outerHTML.slice(0, 120));
  for (const link of document.querySelectorAll("[href], [action], [formaction], [src]"))
    for (const name of ["href", "action", "formaction", "src"])
      if (/^\\s*(javascript|data|vbscript):/i.test(link.getAttribute(name) ?? "")) wrong.push(link.outerHTML);
  if (window === window.top && document.documentElement.scrollWidth > innerWidth) wrong.push("scrolls sideways");
  return wrong;
}"""


@pytest.fixture
def hostile(site_app: Flask, site: Site) -> Iterator[dict[str, Any]]:
    """Hostile text wherever text is kept; what to look at, by what it is."""
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        former = owner.name
        users.rename(owner, ALL[:200].replace("\n", " "))
        interface = interfaces.create(owner.account_id, CORPUS[1] + CORPUS[2] + CORPUS[4])
        interfaces.update_general(interface, name=ALL[:200], introduction=ALL[:1000], thank_you=ALL[:1000])
        interface.notification_emails = ["sales@example.com"]
        token = api_keys.create_shared_token(owner.account_id, owner.id, "".join(CORPUS[:3])[:100])[0].public_id
        form, number = f"/f/{interface.public_id}", interface.id
    with Receiver() as receiver:
        headers = [(f"x-{place}", text.encode("ascii", "replace").decode()) for place, text in enumerate(CORPUS)]
        headers += [(text.encode("ascii", "replace").decode().replace(":", ""), "1") for text in CORPUS[:4]]
        receiver.behave(answering(500, ALL.encode(), headers))
        with transaction():
            point_at(db.session.get_one(Interface, number), f"{receiver.url}?q=<script>xss()</script>'\"><b/xss>")
        for text in [*CORPUS, ALL]:
            sent = {"name": text[:500], "email": "ada@example.com", "message": text, "page_title": text}
            sent |= {"page_url": f"https://a.example/?utm_source={text}#{text}", "utm_campaign": text, "gclid": text}
            sent |= {"referrer": f"https://b.example/{text}"}
            answer = requests.post(site.url + form, json=sent, headers={"User-Agent": text.encode()[:500]}, timeout=30)
            assert answer.status_code == 201, answer.text
        last = answer.json()["id"]
        with transaction():
            lead = db.session.scalars(select(Lead).where(Lead.public_id == last)).one()
        wait_until(lambda: delivery_of(lead).last_code == 500, "the receiver's answer", timeout=60)
        with transaction():
            webhooks.pause(db.session.get_one(Interface, number).webhook, ALL[:400])
            mails = list(db.session.scalars(select(Mail.id).order_by(Mail.id.desc()).limit(3)))
        yield {"form": form, "lead": last, "interface": form.rpartition("/")[2], "token": token, "mails": mails}
    with transaction():
        users.rename(db.session.scalars(select(User).where(User.email == EMAIL)).one(), former)
        interfaces.archive(db.session.get_one(Interface, number))
        db.session.delete(db.session.scalars(select(ApiKey).where(ApiKey.public_id == token)).one())


def watch(page: Page, site: Site, wrong: list[str]) -> None:
    """Dialogs, errors, complaints of the browser about the policy, and requests to anywhere else."""

    def asked(url: str) -> None:
        if not url.startswith((site.url, "data:", "about:")):
            wrong.append(f"asked {url}")

    def said(text: str) -> None:
        if "Content" in text or "Refused" in text:
            wrong.append(f"the console said {text}")

    page.on("dialog", lambda dialog: (wrong.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: wrong.append(f"an error: {error}"))
    page.on("console", lambda message: said(message.text))
    page.on("request", lambda request: asked(request.url))


def look(page: Page, wrong: list[str], where: str) -> None:
    for frame in page.frames:
        wrong += [f"{where}: {one}" for one in frame.evaluate(LOOK)]
        frame.evaluate("window.broken = []")


def test_hostile_text_stays_text_on_every_page(chromium: Browser, site: Site, hostile: dict[str, Any]) -> None:
    edit = f"/interfaces/{hostile['interface']}"
    paths = ["/interfaces", "/leads", f"/leads/{hostile['lead']}", "/profile", "/profile/api-keys", "/mailbox"]
    paths += [f"{edit}/edit{tab}" for tab in ("", "/fields", "/lead-generation", "/embed")] + [f"{edit}/delete"]
    paths += [f"/mailbox/{mail}" for mail in hostile["mails"]] + [f"/profile/api-keys/{hostile['token']}/revoke"]
    paths += [hostile["form"], f"{hostile['form']}/thank-you"]
    asked = requests.models.PreparedRequest()
    for path in ("/leads", "/mailbox", "/interfaces"):
        asked.prepare_url(site.url + path, {"q": CORPUS[1]})
        paths.append(str(asked.url).removeprefix(site.url))
    wrong: list[str] = []
    context = chromium.new_context(base_url=site.url, viewport=WIDE)
    context.add_init_script(WATCH)
    page = context.new_page()
    watch(page, site, wrong)
    sign_in(page)
    for path in paths:
        page.set_viewport_size(WIDE)
        page.goto(path)
        look(page, wrong, path)
        page.set_viewport_size(NARROW)
        look(page, wrong, f"{path} on a phone")
    page.set_viewport_size(WIDE)
    press(page, hostile, wrong)
    context.close()
    assert wrong == []


def press(page: Page, hostile: dict[str, Any], wrong: list[str]) -> None:
    """What only shows once something is pressed: a refused form, a row that comes anew, an announcement."""
    page.goto(hostile["form"])
    page.get_by_label("Name").fill(ALL[:500])
    page.get_by_label("Message").fill(ALL)
    page.locator("form").evaluate("form => { form.noValidate = true; form.requestSubmit(); }")
    page.get_by_text("is needed").first.wait_for()
    look(page, wrong, "the refused form")
    page.goto(f"/interfaces/{hostile['interface']}/edit/lead-generation")
    page.get_by_role("button", name="Resume").click()
    page.locator(".toast").wait_for()
    look(page, wrong, "what is said of a change")
    page.goto("/leads")
    row = page.locator(f"tr:has(a[href$='{hostile['lead']}'])")
    row.get_by_text("500", exact=True).wait_for()
    row.get_by_role("button", name="Retry Webhook").click()
    page.get_by_text(": Retrying, 500").or_(page.get_by_text(": Failed, 500")).first.wait_for()
    look(page, wrong, "the row that was retried")
    page.goto(f"/leads/{hostile['lead']}")
    page.evaluate("for (const closed of document.querySelectorAll('details')) closed.open = true")
    look(page, wrong, "the lead, unfolded")
    page.goto("/login?next=" + json.dumps(CORPUS[1]))
    look(page, wrong, "signing in")
