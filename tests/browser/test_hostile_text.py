"""Whatever strangers, receivers and colleagues write is text: no script runs, no policy is broken, nothing bursts."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import requests
from flask import Flask
from playwright.sync_api import Browser, Page, ViewportSize
from sqlalchemy import delete, func, select, update

from tests.browser.conftest import EMAIL, PASSWORD, sign_in
from tests.support.factories import delivery_of, point_at
from tests.support.people import join, last_token
from tests.support.receiver import Receiver, answering
from tests.support.site import Site
from tests.support.waiting import wait_until
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Authentication, FieldType, Interface, Lead, Mail, Report, Role, User
from webapp.services import api_keys
from webapp.services.interfaces import (
    embedding,
    fields,
    form_texts,
    interface_mails,
    interface_templates,
    interfaces,
)
from webapp.services.interfaces.interface_mails import Words
from webapp.services.people import invitations, password_resets, users
from webapp.services.webhooks import webhooks

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


def pieces(limit: int) -> list[str]:
    """The corpus in texts of at most so many characters, each entry whole in one of them, or cut where it is longer."""
    packed = [CORPUS[0]]
    for entry in CORPUS[1:]:
        longer = f"{packed[-1]} {entry}"
        packed = [*packed[:-1], longer] if len(longer) <= limit else [*packed, entry[:limit]]
    return packed


NAMES, ANSWERS = pieces(200), pieces(500)
OPTIONS = [" ".join(entry[:200].split()) for entry in CORPUS]
ADDRESS = "mallory'onfocus=xss{{7*7}}`${7*7}`&lt@example.com"  # all that an address may have
PAGE = "https://a.example/?\"><script>xss()</script>'onclick='xss()"
STATEMENT = f"{ALL[:1500]} [<img src=x onerror=xss() xss>](https://a.example/?'onclick='xss`)"
OPENED = (FieldType.EMAIL, FieldType.CHECKBOXES, FieldType.HIDDEN, FieldType.CONSENT)  # between them, every setting
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
  for (const dialog of document.querySelectorAll("dialog:not(:empty)")) {
    const wasOpen = dialog.open;
    if (!wasOpen) dialog.showModal();
    const { left, right } = dialog.getBoundingClientRect();
    if (left < 0 || right > innerWidth || dialog.scrollWidth > dialog.clientWidth)
      wrong.push("a dialog bursts: " + dialog.id);
    if (!wasOpen) dialog.close();
  }
  return wrong;
}"""


class Hostile(NamedTuple):
    """What there is to look at: public ids, and the addresses of pages. `plain` are interfaces of four questions."""

    interface: str
    plain: list[str]
    leads: list[str]
    pages: list[str]
    operators: list[str]


@pytest.fixture
def hostile(site_app: Flask, site: Site) -> Iterator[Hostile]:
    """An account of its own, with hostile text wherever text is kept."""
    with transaction():
        owner = users.create_owner(ADDRESS, PASSWORD, NAMES[0])
        users.rename(owner, NAMES[0])
    account_id = owner.account_id
    with Receiver() as receiver:
        headers = [(f"x-{place}", text.encode("ascii", "replace").decode()) for place, text in enumerate(CORPUS)]
        headers += [(text.encode("ascii", "replace").decode().replace(":", ""), "1") for text in CORPUS[:4]]
        receiver.behave(answering(500, ALL.encode(), headers))
        pages = people(owner)
        public_id, more = every_type(owner, f"{receiver.url}?q=<script>xss()</script>'\"><b/xss>")
        plain = [four_questions(account_id, name, receiver.url) for name in NAMES]
        sent = [answer_all(site, public_id, place, text) for place, text in enumerate([*CORPUS, *ANSWERS])]
        sent += [answer(site, form, {"name": name, "message": ALL}) for form, name in zip(plain, NAMES, strict=True)]
        mails = told_of(account_id, sent)
        with transaction():
            interface = of_id(public_id)
            fields.remove(interface, interface.fields[0])  # leads carry it, so it is kept under Removed
            webhooks.pause(interface.webhook, ALL[:400])
        operators = [mails.pop(kind) for kind in ("invitation", "password_reset")]
        yield Hostile(public_id, plain, sent, [*pages, *more, *mails.values()], operators)
    with transaction():
        for interface in db.session.scalars(select(Interface).where(Interface.account_id == account_id)):
            interfaces.archive(interface)
        # Other tests open the first mail there is, and every invitation.
        db.session.execute(update(Report).where(Report.account_id == account_id).values(mail_id=None))
        db.session.execute(delete(Mail).where(Mail.account_id == account_id))


def told_of(account_id: int, lead_ids: list[str]) -> dict[str, str]:
    """Waits until the receiver has refused these leads and people were told; the newest mail's address by its kind."""
    with transaction():
        leads = db.session.scalars(select(Lead).where(Lead.public_id.in_(lead_ids))).all()
    wait_until(lambda: all(delivery_of(lead).last_code == 500 for lead in leads), "the receiver's answers", timeout=60)

    def mails() -> dict[str, str]:
        newest = select(Mail.kind, func.max(Mail.id)).where(Mail.account_id == account_id).group_by(Mail.kind)
        with read_only():
            found = {kind: f"/mailbox/{mail_id}" for kind, mail_id in db.session.execute(newest)}
            db.session.rollback()
        return found if found.keys() >= {"lead_notification", "autoresponse", "webhook_failed"} else {}

    return wait_until(mails, "the mails", timeout=60)


def of_id(public_id: str) -> Interface:
    return db.session.scalars(select(Interface).where(Interface.public_id == public_id)).one()


def people(owner: User) -> list[str]:
    """Colleagues with these names, who invite others, and keys; the addresses of their pages."""
    pages = ["/profile", "/profile/users", "/profile/users/invite", "/profile/audit-log"]
    for place, name in enumerate(NAMES):
        colleague = join(owner, Role.EDITOR, f"colleague-{place}@example.com", name)
        with transaction():
            users.change_role(colleague, Role.ADMIN, by=owner)
            invitations.invite(colleague, f"guest-{place}@example.com" if place else EMAIL, Role.EDITOR)
        deed = ("role", "remove", "transfer")[place % 3]
        pages += [f"/profile/users/{colleague.id}/{deed}", f"/invitations/{last_token()}"]
    gone = join(owner, Role.EDITOR, "gone@example.com", NAMES[1])
    with transaction():
        users.remove(gone, by=owner)
        password_resets.send_link(ADDRESS)
    pages += [f"/reset-password/{last_token()}"]
    with transaction():
        keys = [api_keys.create_shared_token(owner.account_id, owner.id, name)[0] for name in pieces(100)]
        key = f"/profile/api-keys/{keys[0].public_id}"
    return [*pages, "/profile/api-keys", f"{key}/rotate", f"{key}/revoke"]


def every_type(owner: User, url: str) -> tuple[str, list[str]]:
    """An interface with a field of each type and words of its own; its id, and the addresses of its pages."""
    with transaction():
        interface = interfaces.create(owner.account_id, NAMES[0], interface_templates.BLANK)
        interfaces.update_general(
            interface, name=NAMES[0], introduction=ALL[:1000], thank_you=ALL[-1000:], redirect_url=PAGE
        )
        fields.add(interface, FieldType.TEXT, {"label": NAMES[1], "key": "removed"})
        for place, kind in enumerate(FieldType):
            fields.add(interface, kind, settings_of(kind, place))
        words(interface)
        mail = ALL.replace("{{7*7}}", "{{ interface }} {{ answers }}")
        written = Words(mail[-200:], mail, True, mail[-200:], mail, ADDRESS)
        interface_mails.update(interface, written)
        interface.notification_emails = interface.report_emails = [ADDRESS]
        public_id, edit = interface.public_id, f"/interfaces/{interface.public_id}/edit"
        opened = [f"{edit}/fields/{field.id}" for field in interface.fields if field.type in OPENED]
        token = api_keys.shared_tokens(owner.account_id)[0]
        point_at(interface, url, authentication=Authentication.SHARED_TOKEN, shared_token=token)
    tabs = [f"{edit}{tab}" for tab in ("", "/texts", "/fields", "/lead-generation", "/e-mail", "/privacy", "/embed")]
    tabs += [*opened, f"{opened[-1]}/remove", f"/interfaces/{public_id}/delete"]
    return public_id, [*tabs, f"/f/{public_id}", f"/f/{public_id}/thank-you"]


def settings_of(kind: FieldType, place: int) -> dict[str, Any]:
    """Hostile text in every setting of a field that takes text."""
    begins = {
        FieldType.LONG_TEXT: ALL,
        FieldType.SELECT: OPTIONS[place],
        FieldType.RADIO: OPTIONS[place],
        FieldType.CHECKBOXES: "\n".join(OPTIONS[:4]),
        FieldType.NUMBER: "",
        FieldType.DATE: "",
    }
    text = NAMES[place % len(NAMES)]
    found = {"label": text, "key": kind.value, "help": ANSWERS[place % len(ANSWERS)], "placeholder": text}
    found |= {"options": "\n".join(OPTIONS), "statement": STATEMENT, "default": begins.get(kind, ANSWERS[0])}
    # The answers are sent as JSON, which has no files: tests/browser/test_files.py sends one with a hostile name.
    return {**found, "required": kind != FieldType.FILE, "half": place % 2 == 0}


def words(interface: Interface) -> None:
    """Hostile text for every word of a form that can be chosen."""
    texts = {
        text.name: f"{{label}} {{number}} {CORPUS[place % len(CORPUS)][:250]}"
        for place, text in enumerate(form_texts.ALL)
    }
    interfaces.update_texts(interface, texts)


def four_questions(account_id: int, name: str, url: str) -> str:
    """The id of an interface of that name, with the usual questions."""
    with transaction():
        interface = interfaces.create(account_id, name)
        words(interface)
        point_at(interface, url)
        return interface.public_id


def answer_all(site: Site, form: str, place: int, text: str) -> str:
    """Answers a form with every type of field; the lead's id."""
    one, several = OPTIONS[place % len(OPTIONS)], OPTIONS[:place]
    sent = {"text": text[:500], "long_text": text, "phone": "+15550100", "select": one, "radio": one}
    sent |= {"checkboxes": several or [one], "number": 12, "date": "2027-03-31", "hidden": text[:500], "consent": "v1"}
    sent |= {"url": f"https://a.example/?q={text}".replace(" ", "+"), "removed": text[:500]}
    return answer(site, form, sent)


def answer(site: Site, form: str, sent: dict[str, Any]) -> str:
    """Sends these answers, and where the visitor comes from is hostile, too; the lead's id."""
    text = str(sent.get("long_text") or sent["message"])
    known = {"page_title": text, "page_url": f"https://a.example/?utm_source={text}#{text}", "utm_campaign": text}
    known |= {"gclid": text, "referrer": f"https://b.example/{text}", "email": ADDRESS}
    agent = {"User-Agent": text.encode()[:500]}
    taken = requests.post(f"{site.url}/f/{form}", json={**known, **sent}, headers=agent, timeout=30)
    assert taken.status_code == 201, taken.text
    return str(taken.json()["id"])


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


def look(page: Page, wrong: list[str], where: str, sizes: tuple[ViewportSize, ...] = (NARROW, WIDE)) -> None:
    """At what is before us, on a desk and on a phone."""
    for size in sizes:
        device = "on a phone" if size == NARROW else "on a desk"
        if page.viewport_size != size:
            page.set_viewport_size(size)
        for frame in page.frames:
            wrong += [f"{where} {device}: {one}" for one in frame.evaluate(LOOK)]
            frame.evaluate("window.broken = []")


def open_and_look(page: Page, wrong: list[str], path: str) -> None:
    answer = page.goto(path)
    assert answer, path
    assert answer.ok, f"{path}: {answer.status}"
    # Another size takes the browser as long as another page, so every other page is opened on a phone.
    look(page, wrong, path, (NARROW, WIDE) if page.viewport_size == NARROW else (WIDE, NARROW))


@pytest.mark.long
@pytest.mark.timeout(300)  # a hundred pages at two widths, beside another worker
def test_hostile_text_stays_text_on_every_page(chromium: Browser, site: Site, hostile: Hostile) -> None:
    paths = ["/interfaces", "/leads", f"/leads?after={hostile.leads[-25]}", "/mailbox", *hostile.pages]
    paths += [f"/leads/{lead}" for lead in hostile.leads[len(CORPUS) : len(CORPUS) + len(ANSWERS)]]
    for form in hostile.plain:
        paths += [f"/f/{form}", f"/interfaces/{form}/edit/embed"]
    paths += [f"{path}?q={quote(CORPUS[1])}" for path in ("/leads", "/mailbox", "/interfaces")]
    wrong: list[str] = []
    context = chromium.new_context(base_url=site.url, viewport=WIDE)
    context.set_default_timeout(15_000)
    context.add_init_script(WATCH)
    page = context.new_page()
    watch(page, site, wrong)
    sign_in_as_mallory(page)
    for path in paths:
        open_and_look(page, wrong, path)
    page.set_viewport_size(WIDE)
    press(page, hostile, wrong)
    context.clear_cookies()
    page.goto(f"/login?next=/{quote(CORPUS[1])}")
    look(page, wrong, "signing in")
    sign_in(page)  # as the operator, who reads the mails with links
    for path in ["/mailbox", *hostile.operators]:
        open_and_look(page, wrong, path)
    context.close()
    assert wrong == []


def sign_in_as_mallory(page: Page) -> None:
    page.goto("/login")
    page.get_by_label("Email").fill(ADDRESS)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/interfaces")


def press(page: Page, hostile: Hostile, wrong: list[str]) -> None:
    """What only shows once something is pressed: a refused form, a row that comes anew, an announcement."""
    press_forms(page, hostile, wrong)
    press_settings(page, hostile, wrong)
    press_leads(page, hostile, wrong)
    press_people(page, hostile, wrong)


def press_forms(page: Page, hostile: Hostile, wrong: list[str]) -> None:
    """The form that is refused, that stands in a frame, that is closed, and that turns a sender away."""
    every_type, simple = f"/f/{hostile.interface}", f"/f/{hostile.plain[0]}"
    page.goto(every_type)
    page.locator("[name=text]").fill("")
    page.locator("[name=long_text]").fill(ALL)
    page.locator("form").evaluate("form => { form.noValidate = true; form.requestSubmit(); }")
    page.locator(".lf-summary").wait_for()
    look(page, wrong, "the refused form")
    frames = "".join(f"<iframe src='{path}'></iframe>" for path in (every_type, f"{every_type}/thank-you"))
    page.route("**/framing", lambda route: route.fulfill(body=frames, content_type="text/html"))
    page.goto("/framing")
    look(page, wrong, "the form in a frame")
    with transaction():
        embedding.update_blocklist(of_id(hostile.plain[0]), "127.0.0.1", published=True)
    page.goto(simple)
    for name, value in {"name": ALL[:500], "email": ADDRESS, "message": ALL}.items():
        page.locator(f"[name={name}]").fill(value)
    page.locator(".lf-send").click()
    page.locator("[role=alert]").wait_for()
    look(page, wrong, "what a blocked sender is told")
    with transaction():
        interfaces.close(of_id(hostile.plain[0]))
    page.goto(simple)
    look(page, wrong, "the closed form")


def press_settings(page: Page, hostile: Hostile, wrong: list[str]) -> None:
    """What is said of a change, and previews of what is not saved."""
    edit = f"/interfaces/{hostile.interface}/edit"
    page.goto(f"{edit}/lead-generation")
    page.get_by_role("button", name="Resume").click()
    page.locator(".toast").wait_for()
    look(page, wrong, "what is said of a change")
    page.goto(f"{edit}/fields")
    page.locator("[id^=down-]").first.click()
    page.locator(".toast").wait_for()
    look(page, wrong, "what is said of a field that moved")
    for path, control in ((edit, "#introduction"), (f"{edit}/e-mail", "#autoresponse_body")):
        page.goto(path)
        page.locator(control).fill("As typed " + ALL[:900].replace("{{7*7}}", "{{ answers }}"))
        page.locator("#preview").get_by_text("As typed").first.wait_for()
        look(page, wrong, f"the preview of {path}")
    page.goto(f"/interfaces/{hostile.plain[1]}/delete")
    page.get_by_role("button", name="Delete interface").click()
    page.locator(".toast").wait_for()
    look(page, wrong, "what is said of an interface that was deleted")


def press_leads(page: Page, hostile: Hostile, wrong: list[str]) -> None:
    lead = hostile.leads[len(CORPUS)]
    page.goto("/leads")
    for ticked in (hostile.leads[-6:-3], hostile.leads[-3:]):
        for public_id in ticked:
            page.locator(f"#tick-{public_id}").check()
        page.locator("#retry-ticked").click()
        page.locator("dialog[open]").wait_for()
        look(page, wrong, "the dialog of ticked rows")
        page.get_by_role("button", name="Cancel").click()
        for public_id in ticked:
            page.locator(f"#tick-{public_id}").uncheck()
    row = page.locator(f"#{hostile.leads[-1]}")
    row.get_by_role("button", name="Retry Webhook").click()
    page.get_by_text(": Retrying, 500").or_(page.get_by_text(": Failed, 500")).first.wait_for()
    look(page, wrong, "the row that was retried")
    page.locator(f"#tick-{hostile.leads[-4]}").check()
    page.locator("form:has(#retry-ticked)").evaluate("form => form.submit()")
    page.get_by_role("heading", name="Retry 1 webhook?").wait_for()
    look(page, wrong, "the page of ticked rows")
    page.goto(f"/leads/{lead}")
    page.evaluate("for (const closed of document.querySelectorAll('details')) closed.open = true")
    look(page, wrong, "the lead, unfolded")


def press_people(page: Page, hostile: Hostile, wrong: list[str]) -> None:
    page.goto(next(path for path in hostile.pages if path.endswith("/rotate")))
    page.get_by_role("button", name="Rotate", exact=True).click()
    page.locator("#secret").wait_for()
    look(page, wrong, "the new secret of a key")
    page.goto(next(path for path in hostile.pages if path.endswith("/rotate")))
    look(page, wrong, "a key whose old secret signs, too")
    page.goto("/profile/users")
    page.get_by_role("link", name="Change role").first.click()
    page.get_by_role("radio", name="Leads only").check()
    page.get_by_role("button", name="Save").click()
    page.locator(".toast").wait_for()
    look(page, wrong, "what is said of another role")
    page.goto("/profile/audit-log")
    look(page, wrong, "the audit log of all this")
