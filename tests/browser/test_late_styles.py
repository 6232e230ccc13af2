"""The next page has its style sheet late: what tests read there once, they read with it. See support/loaded.py."""

from collections.abc import Callable, Iterator
from threading import Event, Timer
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.host import Host

LATE = 0.3  # seconds; a read that did not wait would take a thirtieth of that
STYLES = "p { width: 3000px; text-transform: uppercase } button { display: none }"
NEXT = """<!doctype html><title>Next</title><link rel=stylesheet href=/late.css><script defer src=/late.js></script>
<p>Text<button>Hidden</button><input type=checkbox aria-label=Box>"""
READS: dict[str, tuple[Callable[[Page], Any], Any]] = {
    "a script in the page": (lambda page: page.evaluate("document.documentElement.scrollWidth > 2000"), True),
    "a script in a frame": (lambda page: page.main_frame.evaluate("document.body.dataset.ran"), "yes"),
    "a script at an element": (lambda page: page.locator("p").evaluate("element => element.offsetWidth"), 3000),
    "a size": (lambda page: page.locator("p").bounding_box()["width"], 3000),  # type: ignore[index]
    "a text": (lambda page: page.locator("p").inner_text().strip(), "TEXT"),
    "a number": (lambda page: page.get_by_role("button").count(), 0),
    "whether it shows": (lambda page: page.locator("button").is_visible(), False),
    "whether it is ticked": (lambda page: page.get_by_label("Box").is_checked(), True),
}


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    host.pages["/"] = ("<!doctype html><title>First</title><a href=/next>Next</a>", "")
    host.pages["/next"] = (NEXT, "")
    host.pages["/late.css"] = (STYLES, "")
    ran = "document.body.dataset.ran = 'yes'; document.querySelector('input').checked = true"
    host.pages["/late.js"] = (ran, "")
    host.headers["/late.css"] = host.headers["/late.js"] = {"Cache-Control": "no-store"}
    yield host
    host.stop()


@pytest.mark.parametrize("what", READS)
def test_a_page_is_read_once_it_has_its_style_sheet_and_scripts(page: Page, host: Host, what: str) -> None:
    read, expected = READS[what]
    come = host.held["/late.css"] = host.held["/late.js"] = Event()
    page.goto(host.url)
    page.get_by_role("link", name="Next").click()
    page.locator("p").wait_for()
    Timer(LATE, come.set).start()
    assert read(page) == expected


def test_a_text_of_the_next_page_is_read_at_once_after_a_click(page: Page, host: Host) -> None:
    come = host.held["/late.css"] = host.held["/late.js"] = Event()
    page.goto(host.url)
    page.get_by_role("link", name="Next").click()
    Timer(LATE, come.set).start()
    assert page.locator("p").inner_text().strip() == "TEXT"
    expect(page).to_have_title("Next")
