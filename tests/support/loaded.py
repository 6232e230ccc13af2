"""What tests read once in a page, they read when it is loaded: then it has its style sheets, and its scripts have run.

After a click, Playwright waits for nothing, and `wait_for` is content with an element that the next page shows before
its style sheet came: a browser that is asked for a size does not wait for it, either. `expect` asks again and needs no
help.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from playwright.sync_api import ElementHandle, Frame, Locator, Page

OF_A_PAGE = ("content", "evaluate", "evaluate_handle", "eval_on_selector", "eval_on_selector_all", "title")
SHOWS = ("is_hidden", "is_visible")
SELECTED = (
    "get_attribute",
    "inner_html",
    "inner_text",
    "input_value",
    "is_checked",
    "is_disabled",
    "is_editable",
    "is_enabled",
    "text_content",
)
OF_AN_ELEMENT = (*SELECTED, "bounding_box", "screenshot")
BY_SCRIPT = ("evaluate", "evaluate_handle")
OF_ELEMENTS = (*SHOWS, "all", "all_inner_texts", "all_text_contents", "count", "evaluate_all")
Place = Page | Frame


def read_when_loaded(patch: pytest.MonkeyPatch) -> None:
    """Changes Playwright's own classes, so that no test can forget to wait."""
    for kind, names, place in (
        (Page, (*OF_A_PAGE, *SHOWS, "aria_snapshot", "screenshot"), _itself),
        (Frame, (*OF_A_PAGE, *SHOWS), _itself),
        (Page, SELECTED, _around_selected),
        (Frame, SELECTED, _around_selected),
        (Locator, OF_ELEMENTS, _page),
        (Locator, (*OF_AN_ELEMENT, *BY_SCRIPT, "aria_snapshot"), _around),
        (ElementHandle, (*OF_AN_ELEMENT, *SHOWS), _around_handle),
    ):
        for name in names:
            patch.setattr(kind, name, _once_loaded(place, getattr(kind, name)))


def _once_loaded(place: Callable[..., Place], read: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(read)
    def read_once_loaded(shown: Any, *arguments: Any, **options: Any) -> Any:
        place(shown, *arguments).wait_for_load_state()
        return read(shown, *arguments, **options)

    return read_once_loaded


def _itself(shown: Place, *_: Any) -> Place:
    return shown


def _page(elements: Locator, *_: Any) -> Place:
    return elements.page


def _around(element: Locator, *_: Any) -> Place:
    """The page or frame that has the element, which may be the next page: reading the element waits for it, too."""
    handle = element.element_handle()
    place = _around_handle(handle)
    handle.dispose()
    return place


def _around_selected(shown: Place, selector: str, *_: Any) -> Place:
    return _around(shown.locator(selector).first)


def _around_handle(handle: ElementHandle, *_: Any) -> Place:
    place = handle.owner_frame()
    assert place
    return place
