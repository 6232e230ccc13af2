"""The loader in pages of every kind: what frameworks, page builders and other people's style sheets do to it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Frame, Page, expect
from sqlalchemy import select

from tests.browser.conftest import EMAIL
from tests.support.host import Host
from tests.support.site import Site
from tests.support.waiting import wait_until
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Field, FieldType, Interface, Lead, User
from webapp.services.interfaces import interfaces

HEAR = """<script>
window.heard = [];
addEventListener("leadhook:submitted", (event) => heard.push(event.detail.lead));
</script>"""
Show = Callable[..., Page]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.stop()


@pytest.fixture
def form(site_app: Flask) -> str:
    """The id of a form with a hidden field, which any site may show."""
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, "Anywhere")
        interface.fields.append(Field(type=FieldType.HIDDEN, key="plan", label="Plan", position=9))
        return interface.public_id


@pytest.fixture
def show(chromium: Browser, site: Site, host: Host) -> Iterator[Show]:
    """Opens a page of the host that has this body; `__SITE__` in it is our address. Other paths have the same page."""
    context = chromium.new_context(viewport={"width": 1000, "height": 800})
    context.set_default_timeout(15_000)
    page = context.new_page()

    def show(body: str, path: str = "/", policy: str = "", head: str = "", **headers: str) -> Page:
        text = f"<!doctype html><meta charset=utf-8><title>Start</title>{head}{HEAR}<body>{body}".replace(
            "__SITE__", site.url
        )
        host.pages[path.partition("?")[0]] = (text, policy)
        host.headers[path.partition("?")[0]] = {name.replace("_", "-"): value for name, value in headers.items()}
        page.goto(f"{host.url}{path}")
        return page

    yield show
    context.close()


LOADER = "<script async src=__SITE__/embed.js></script>"


def place(form: str, more: str = "") -> str:
    return f'<div id="place" data-interface="{form}" {more}></div>'


def send(page: Page, name: str, within: str = "#place") -> Frame:
    """Fills in the form of a place, sends it and waits for the thanks; returns its frame."""
    frame = page.locator(f"{within} iframe").element_handle().content_frame()
    assert frame
    return fill_in(frame, name)


def fill_in(frame: Frame | Page, name: str) -> Any:
    frame.get_by_label("Name").wait_for()
    frame.wait_for_load_state()  # nobody types before the form's script has asked the page where they are
    frame.get_by_label("Name").fill(name)
    frame.get_by_label("Email").fill("ada@example.com")
    frame.get_by_label("Message").fill("Hello")
    frame.get_by_label("Email").press("Enter")  # a frame that finds its height moves the button from under a pointer
    frame.get_by_role("heading", name="Your answers were sent").wait_for()
    frame.wait_for_load_state()  # then its script has told the page around it
    return frame


def framed(page: Page) -> Frame:
    """The form's frame, wherever it is."""
    of_form = lambda: page.evaluate("1") and next((frame for frame in page.frames if "/f/" in frame.url), None)  # noqa: E731
    frame = wait_until(of_form, "the frame")
    assert frame
    frame.get_by_role("button", name="Send").wait_for()
    return frame


def heard(page: Page, number: int) -> list[str]:
    wait_until(lambda: len(page.evaluate("heard")) >= number, f"{number} events")
    found: list[str] = page.evaluate("heard")
    assert len(found) == number
    return found


def fits(page: Page, within: str = "#place") -> None:
    """The frame is as high as its content: no inner scrolling, and no 600 pixels of the beginning."""
    iframe = page.locator(f"{within} iframe")
    expect(iframe).not_to_have_attribute("height", "600")
    frame = iframe.element_handle().content_frame()
    assert frame
    sizes = "({ needed: document.body.offsetHeight, shown: innerHeight })"
    wait_until(lambda: (found := frame.evaluate(sizes))["needed"] == found["shown"], f"{within} to fit")


def leads(form: str) -> list[Lead]:
    """Without a transaction afterwards, in which the site would have to wait."""
    db.session.rollback()
    found = list(db.session.scalars(select(Lead).join(Interface).where(Interface.public_id == form).order_by(Lead.id)))
    db.session.expunge_all()
    db.session.rollback()
    return found


# Copies --------------------------------------------------------------------------------------------------------------

COPIES = {
    "a slider clones the place": "document.body.append(Object.assign(there.cloneNode(true), { id: 'copy' }))",
    "a page cache clones the body and shows it again": """
        const copy = document.body.cloneNode(true);
        document.body.replaceChildren('Another page');
        document.body.replaceWith(copy);
        document.querySelector('#place').id = 'copy'""",
    "the history keeps the page as text": """
        const text = document.body.innerHTML;
        document.body.innerHTML = '';
        document.body.innerHTML = text;
        document.querySelector('#place').id = 'copy'""",
    "another document's copy": "document.body.append(Object.assign(document.importNode(there, true), { id: 'copy' }))",
    "only the frame is cloned": """
        const div = Object.assign(document.createElement('div'), { id: 'copy' });
        div.dataset.interface = there.dataset.interface;
        div.append(there.firstChild.cloneNode());
        document.body.append(div)""",
    "the place is moved": """
        const div = document.createElement('section');
        document.body.append(div);
        div.append(there);
        there.id = 'copy'""",
    "the place is taken out for a while": """
        there.remove();
        document.body.append(Object.assign(document.createElement('div'), { textContent: 'Meanwhile' }));
        await new Promise((resolve) => setTimeout(resolve, 20));
        document.body.append(there);
        there.id = 'copy'""",
}


def test_a_copied_place_fits_and_has_its_event(show: Show, form: str) -> None:
    for number, (what, script) in enumerate(COPIES.items()):
        page = show(place(form) + LOADER)
        fits(page)
        page.evaluate(f"async () => {{ const there = document.querySelector('#place'); {script} }}")
        fits(page, "#copy")
        send(page, what, "#copy")
        heard(page, 1)
        assert len(leads(form)) == number + 1, what


# Pages that change ---------------------------------------------------------------------------------------------------

GO = "document.body.insertAdjacentHTML('beforeend', '<div id=place data-interface=' + form + '></div>');"
PUSH = "history.pushState({}, '', '/contact?utm_source=news');"
CHANGES = {
    "the address changes after the page": f"{GO} await 0; {PUSH} document.title = 'Contact';",
    "the title comes later": f"{PUSH} {GO} await later(60); document.title = 'Contact';",
    "both come after a transition": f"""
        await document.startViewTransition(() => {{ {GO} }}).finished; {PUSH} document.title = 'Contact';""",
    "the title element is replaced": f"""
        {PUSH} {GO} await later(5); document.querySelector('title').remove();
        document.head.append(Object.assign(document.createElement('title'), {{ textContent: 'Contact' }}));""",
    "the form was there before": f"{GO} await later(400); {PUSH} document.title = 'Contact';",
}


def test_a_lead_knows_the_page_it_was_sent_from(show: Show, host: Host, form: str) -> None:
    for number, (what, script) in enumerate(CHANGES.items()):
        page = show(LOADER, f"/from-{number}")
        setting = "const form = given; const later = (time) => new Promise((resolve) => setTimeout(resolve, time));"
        page.evaluate(f"async (given) => {{ {setting} {script} }}", form)
        send(page, what)
        source = leads(form)[-1].source
        assert (source["page_url"], source["page_title"]) == (f"{host.url}/contact", "Contact"), what
        assert source["utm"]["source"] == "news"


HYDRATE = """
async () => {  // as a framework that takes over what the server rendered: unknown children are thrown away
  const app = document.querySelector("#app");
  const expected = document.querySelector("#place");
  if (expected.childNodes.length || expected.getAttributeNames().join() !== "id,interface") {
    app.innerHTML = app.innerHTML;
    return "rendered again";
  }
  return "taken over";
}"""


def test_an_element_is_taken_over_by_a_framework_with_what_was_typed(show: Show, form: str) -> None:
    page = show(f'<div id=app><leadhook-form id="place" interface="{form}"></leadhook-form></div>{LOADER}')
    fits(page)
    page.frame_locator("#place iframe").get_by_label("Name").fill("Ada")
    assert page.evaluate(HYDRATE) == "taken over"
    expect(page.frame_locator("#place iframe").get_by_label("Name")).to_have_value("Ada")
    page.evaluate("form => document.querySelector('#place').setAttribute('interface', form)", form)
    expect(page.frame_locator("#place iframe").get_by_label("Name")).to_have_value("Ada")
    send(page, "Ada")
    assert heard(page, 1) == [leads(form)[0].public_id]


SHADOWS = {
    "an open root": ("open", "element"),
    "a closed root": ("closed", "element"),
    "a root in a root": ("open", "nested"),
    "a slot": ("open", "slotted"),
}
SHADOW = """([form, mode, how]) => {
  const host = document.body.appendChild(document.createElement("section"));
  const root = host.attachShadow({ mode });
  const element = document.createElement("leadhook-form");
  element.setAttribute("interface", form);
  element.setAttribute("data-hidden-plan", "pro");
  element.id = "place";
  if (how === "slotted") {
    root.innerHTML = "<slot></slot>";
    host.append(element);
  } else if (how === "nested") {
    root.appendChild(document.createElement("p")).attachShadow({ mode }).append(element);
  } else root.append(element);
}"""


def test_an_element_shows_its_form_in_every_shadow_root(show: Show, form: str) -> None:
    page = show(LOADER)
    for number, (what, (mode, how)) in enumerate(SHADOWS.items()):
        page.evaluate(SHADOW, [form, mode, how])
        frame = wait_until(lambda: page.evaluate("1") and page.frames[number + 1 :], what)[0]  # noqa: B023
        fill_in(frame, what)
        fitting = "document.body.offsetHeight === innerHeight"
        wait_until(lambda: frame.evaluate(fitting), f"{what} to fit")  # noqa: B023
        heard(page, number + 1)
    assert [lead.fields["plan"] for lead in leads(form)] == ["pro"] * len(SHADOWS)


# Ways to load it -----------------------------------------------------------------------------------------------------

WAYS = {
    "a module beside another vendor's loader": """
        <script src=/embed.js></script><script type=module src=__SITE__/embed.js></script>""",
    "an import in a module": "<script type=module>import '__SITE__/embed.js';</script>",
    "an import later": "<script>setTimeout(() => import('__SITE__/embed.js'))</script>",
    "a tag manager": """<script>
        const script = Object.assign(document.createElement("script"), { async: true, src: "__SITE__/embed.js" });
        document.head.append(script);
        </script>""",
    "in the site's own bundle": "<script src=/bundle.js></script>",
    "in the page itself": "<script>__TEXT__</script>",
    "in the page, as a module": "<script type=module>__TEXT__</script>",
    "evaluated": "<script>fetch('__SITE__/embed.js').then((answer) => answer.text()).then(eval)</script>",
    "at its address for ever": "<script defer src=__SITE__/embed.0123456789.js></script>",
}


def test_the_loader_finds_its_own_address_in_every_way_of_loading(
    show: Show, host: Host, site: Site, form: str
) -> None:
    text = show("").request.get(f"{site.url}/embed.js").text()
    assert text.isascii(), "pages in any encoding can contain it"
    host.pages["/embed.js"] = ("window.another = true;", "")
    host.pages["/bundle.js"] = (f"window.before = 1;\n{text}\nwindow.after = 1;", "")
    for way, html in WAYS.items():
        page = show(place(form) + html.replace("__TEXT__", text))
        frame = page.locator("#place iframe")
        expect(frame, way).to_have_attribute("src", re.compile(f"^{site.url}/f/{form}"))
    fits(page)


def test_a_script_that_runs_at_every_visit_starts_once(show: Show, form: str) -> None:
    count = """<script>
    window.listeners = 0;
    const before = addEventListener;
    window.addEventListener = (...all) => { if (all[0] === "message") listeners++; before(...all); };
    </script>"""
    page = show(place(form) + LOADER, head=count)
    fits(page)
    again = """(src) => new Promise((resolve) => {
      document.body.append(Object.assign(document.createElement("script"), { src, onload: resolve }));
    })"""
    address = page.evaluate("document.scripts[document.scripts.length - 1].src")
    for number in range(7):
        page.evaluate(again, f"{address}?{number}")
    page.evaluate("(src) => import(src)", f"{address}?module")
    assert page.evaluate("listeners") == 1
    send(page, "Ada")
    heard(page, 1)
    expect(page.locator("#place iframe")).to_have_count(1)


# Pages that refuse ---------------------------------------------------------------------------------------------------


def test_a_form_for_any_site_is_shown_in_pages_without_an_address(
    show: Show, chromium: Browser, site: Site, form: str, tmp_path: Path
) -> None:
    body = f"<title>Start</title>{place(form)}<script async src={site.url}/embed.js></script>"
    (tmp_path / "page.html").write_text(f"<!doctype html>{body}")
    inner = body.replace('"', "&quot;")
    pages = {
        "sandboxed": f'<iframe sandbox="allow-scripts allow-forms" srcdoc="{inner}" width=900 height=700></iframe>',
        "srcdoc": f'<iframe srcdoc="{inner}" width=900 height=700></iframe>',
        "data": f'<iframe src="data:text/html,{inner}" width=900 height=700></iframe>',
    }
    for name, text in pages.items():
        form_frame = framed(show(text))
        wait_until(lambda: form_frame.evaluate("document.body.offsetHeight === innerHeight"), f"{name} to fit")  # noqa: B023
    framed(show(body, policy="sandbox allow-scripts allow-forms"))
    page = chromium.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    fits(page)
    send(page, "From a file")
    page.close()
    assert leads(form)[0].source["page_url"] == f"{site.url}/f/{form}", "a file's path is nobody's business"


@pytest.mark.parametrize("policy", ["require-corp", "credentialless"])
def test_a_page_that_isolates_itself_shows_the_form_and_its_logo(show: Show, form: str, policy: str) -> None:
    headers = {"Cross_Origin_Embedder_Policy": policy, "Cross_Origin_Opener_Policy": "same-origin"}
    page = show(place(form) + LOADER.replace("async", "async crossorigin"), **headers)
    assert page.evaluate("crossOriginIsolated")
    fits(page)
    send(page, "Ada")
    heard(page, 1)


def test_a_refused_frame_becomes_a_link_and_the_embed_tab_says_where(
    show: Show, site: Site, host: Host, form: str
) -> None:
    with transaction():
        found = db.session.scalars(select(Interface).where(Interface.public_id == form)).one()
        found.allowed_sites, found.updated_at = ["https://other.example"], utcnow()
    page = show(place(form, 'data-hidden-plan="pro" data-link="Zum Formular"') + LOADER)
    link = page.get_by_role("link", name="Zum Formular")
    link.wait_for()
    expect(page.locator("#place iframe")).to_be_hidden()
    with page.context.expect_page() as opened:
        link.click()
    opened.value.get_by_label("Name").wait_for()
    assert f"{site.url}/f/{form}?plan=pro" in opened.value.url
    fill_in(opened.value, "Ada")
    [lead] = leads(form)
    assert (lead.fields["plan"], lead.source["page_url"]) == ("pro", f"{host.url}/")


# Other people's style sheets -----------------------------------------------------------------------------------------

RULES = {
    "a height": "iframe { height: 100% }",
    "a padding inside": "iframe { box-sizing: border-box; padding: 10px; border: 3px solid }",
    "a padding outside": "iframe { box-sizing: content-box; padding: 7px 0 }",
    "limits": "iframe { max-height: 300px; min-height: 900px !important }",
    "a video": "iframe { aspect-ratio: 16 / 9; height: auto; position: absolute; inset: 0 }",
    "all sides": "iframe { box-sizing: border-box; border: 1px solid; padding: 1em; margin: 3px 0 }",
    "a width": "iframe { width: auto }",
    "an own height for the place": "#p7 { height: 200px } iframe { height: inherit }",
}


def test_other_style_sheets_do_not_change_the_height(show: Show, form: str) -> None:
    styles = "".join(rules.replace("iframe", f"#p{number} iframe") for number, rules in enumerate(RULES.values()))
    places = "".join(place(form).replace('"place"', f'"p{number}"') for number in range(len(RULES)))
    page = show(places + LOADER, head=f"<style>{styles}</style>", policy="style-src 'unsafe-inline'")
    for number, what in enumerate(RULES):
        fits(page, f"#p{number}")
        frame = page.locator(f"#p{number} iframe").element_handle().content_frame()
        assert frame
        assert frame.evaluate("document.documentElement.scrollHeight <= innerHeight"), what
        wide = "(id) => document.querySelector(id).clientWidth - document.querySelector(id + ' iframe').offsetWidth"
        assert page.evaluate(wide, f"#p{number}") == 0, what


def test_a_form_far_below_knows_its_height_at_once(show: Show, form: str) -> None:
    page = show(f"<div style='height: 9000px'></div>{place(form)}{LOADER}")
    fits(page)
    assert page.evaluate("scrollY") == 0


# What is sent --------------------------------------------------------------------------------------------------------


def test_over_plain_http_a_frame_fits_tells_its_event_and_opens_no_page_inside(
    chromium: Browser, site: Site, host: Host, form: str
) -> None:
    with transaction():
        found = db.session.scalars(select(Interface).where(Interface.public_id == form)).one()
        found.redirect_url, found.updated_at = "https://elsewhere.example/thanks", utcnow()
    page = chromium.new_page()
    ours = site.url.replace("127.0.0.1", "forms.test")
    host.pages["/"] = (f"<!doctype html>{HEAR}<body>{place(form)}<script async src={ours}/embed.js></script>", "")
    host.headers["/"] = {}
    page.goto(f"http://host.test:{host.port}/")
    assert page.evaluate("isSecureContext") is False
    fits(page)
    page.frame_locator("#place iframe").get_by_role("button", name="Send").click()
    page.frame_locator("#place iframe").get_by_role("alert").wait_for()
    fits(page)
    frame = send(page, "Ada")
    assert frame.get_by_role("link").get_attribute("href") == "https://elsewhere.example/thanks"
    heard(page, 1)
    page.close()


def test_back_and_sent_again_is_one_event_and_another_answer_is_another(show: Show, form: str) -> None:
    page = show(place(form) + LOADER)
    fits(page)
    frame = send(page, "Ada")
    heard(page, 1)
    for _ in range(2):
        page.evaluate("history.back()")
        frame.get_by_role("button", name="Send").wait_for()
        send(page, "Ada")
    assert (len(leads(form)), heard(page, 1)) == (1, [leads(form)[0].public_id])
    page.evaluate("history.back()")
    frame.get_by_role("button", name="Send").wait_for()
    send(page, "Grace")
    assert len(leads(form)) == 2
    heard(page, 2)
    page.evaluate("history.back()")
    frame.get_by_role("button", name="Send").wait_for()
    page.evaluate("history.forward()")
    frame.get_by_role("heading", name="Your answers were sent").wait_for()
    frame.wait_for_load_state()
    heard(page, 2)


def test_the_first_page_of_the_tab_is_kept_where_the_site_asks_for_it(show: Show, host: Host, form: str) -> None:
    asks = LOADER.replace("<script", "<script data-first-touch")
    show(LOADER, "/landing?utm_source=news&gclid=g1&secret=1")
    page = show(place(form) + LOADER, "/plain")
    assert page.evaluate("sessionStorage.length") == 0
    send(page, "Without")
    show(asks, "/first?utm_source=ad&fbclid=f1&secret=1")
    show("No form here", "/second")
    page = show(place(form) + asks, "/contact?utm_source=mail")
    send(page, "With")
    without, with_it = (lead.source for lead in leads(form))
    assert "first_touch" not in without
    first = with_it["first_touch"]
    assert (with_it["page_url"], with_it["utm"]["source"]) == (f"{host.url}/contact", "mail")
    assert (first["page_url"], first["page_title"]) == (f"{host.url}/first", "Start")
    assert (first["utm"]["source"], first["click_ids"]) == ("ad", {"fbclid": "f1"})
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["at"])
    assert page.context.cookies() == []


def test_hidden_values_arrive_as_whole_as_in_a_post(show: Show, form: str) -> None:
    """Up to 20,000 characters, and cut with a mark beyond: what an address cannot hold comes by a message."""
    for plan in ("é&+?# " * 79 + "e", "p" * 9000, "\n".join(["línea"] * 3000), "q" * 25_000):
        attribute = plan.replace("&", "&amp;")
        page = show(f'<div id=place data-interface={form} data-hidden-plan="{attribute}"></div>{LOADER}')
        send(page, "Ada")
        lead = leads(form)[-1]
        if len(plan) <= 20_000:
            assert (lead.fields["plan"], lead.marks) == (plan, None)
        else:
            assert (lead.fields["plan"], lead.marks) == ("q" * 19_993 + "… (cut)", {"plan": "cut"})
        assert lead.undeclared is None


def test_what_is_tracked_is_sent_whole_and_the_longest_is_left_out_with_a_warning(show: Show, form: str) -> None:
    warned: list[str] = []
    gclid = "g" * 2000
    page = show(place(form, f'data-prefill-message="{"p" * 9000}"') + LOADER)
    page.on("console", lambda message: warned.append(message.text) if message.type == "warning" else None)
    page = show(place(form, f'data-prefill-message="{"p" * 9000}"') + LOADER, f"/?gclid={gclid}")
    send(page, "Grace")
    assert ["message has 9000 characters" in text for text in warned] == [True]
    source = leads(form)[-1].source
    assert (source["page_title"], source["click_ids"]["gclid"]) == ("Start", gclid)
