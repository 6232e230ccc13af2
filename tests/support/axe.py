"""axe-core in a page that a browser shows: what people with other eyes or hands could not use."""

from collections.abc import Iterable, Iterator
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, Page, ViewportSize

DESK, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=800)
# Of what axe looks at, only this differs between light and dark.
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
# Axe describes only what is wrong. It would describe each element that each of its rules finds right, too.
LOOK = """async options => {
  const { violations } = await axe.run({ resultTypes: ["violations"], ...options });
  return violations.map(({ id, nodes }) => `${id} at ${nodes[0].html.slice(0, 150)}`);
}"""


# Axe reads the colour of each element's text and of all that is behind it, anew for each, and keeps what is private of
# a colour in weak maps, which cost the garbage collector more than the colours cost axe. With properties instead, and
# with each text of a colour read once, axe finds the same in less than half the time.
SCRIPT = """((WeakMap, WeakSet) => {%s})(
  class {
    #key = Symbol();
    has(object) { return this.#key in object; }
    get(object) { return object[this.#key]; }
    set(object, value) { object[this.#key] = value; return this; }
  },
  class {
    #key = Symbol();
    has(object) { return this.#key in object; }
    add(object) { object[this.#key] = true; return this; }
  },
);
(() => {
  const colour = axe.commons.color.Color.prototype, read = colour.parseString, known = new Map();
  colour.parseString = function (text) {
    if (known.has(text)) [this.r, this.g, this.b, this.alpha] = known.get(text);
    else {
      read.call(this, text);
      known.set(text, [this.r, this.g, this.b, this.alpha]);
    }
    return this;
  };
})();""".replace("%s", AXE_SCRIPT)


def prepare(context: BrowserContext) -> None:
    """For many pages: each begins with axe, so that it is not sent to each anew."""
    context.add_init_script(SCRIPT)


def violations(page: Page, sizes: Iterable[ViewportSize] = (DESK, PHONE)) -> list[str]:
    """What is wrong with the page in light and dark, a line each, at each size; also that it scrolls sideways.

    The page is loaded once: our scripts do not ask for sizes or colours.
    """
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(SCRIPT)
    in_turn = sorted(sizes, key=lambda size: size != page.viewport_size)  # the size that it has needs no new layout
    return [f"{size['width']}: {one}" for size in in_turn for one in _at(page, size)]


def _at(page: Page, size: ViewportSize) -> Iterator[str]:
    if page.viewport_size != size:
        page.set_viewport_size(size)
    yield from _look(page, "light", {})
    yield from (f"dark: {one}" for one in _look(page, "dark", COLOURS))
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        yield "scrolls sideways"


def _look(page: Page, scheme: Any, options: dict[str, Any]) -> list[str]:
    page.emulate_media(color_scheme=scheme)
    found: list[str] = page.evaluate(LOOK, options)
    return found
