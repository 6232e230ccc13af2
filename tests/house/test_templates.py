"""Every template parses, is used, and imports nothing that it leaves unused; none needs what the CSP forbids."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import nodes

from tests.support.tree import ROOT, files, python_files

FOLDER = ROOT / "webapp" / "templates"
TEMPLATES = [path for path in files() if path.is_relative_to(FOLDER) and path.suffix in (".html", ".txt")]
LONGEST = 120  # lines


def named(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_it_parses_and_uses_what_it_imports(app: Flask, path: Path) -> None:
    source = path.read_text()
    app.jinja_env.get_template(named(path))
    for name in imported(app, source):
        inherited = path.name in ("base.html", "bare.html")  # what it imports is for the pages that extend it
        assert inherited or len(re.findall(rf"\b{name}\b", source)) > 1, f"{name} is imported in vain"


def imported(app: Flask, source: str) -> Iterator[str]:
    """The names under which a template imports macros."""
    for node in app.jinja_env.parse(source).find_all((nodes.Import, nodes.FromImport)):
        if isinstance(node, nodes.Import):
            yield node.target
        else:
            yield from (name if isinstance(name, str) else name[1] for name in node.names)


def test_every_template_is_used() -> None:
    code = "\n".join(path.read_text() for path in python_files("webapp"))
    templates = {named(path): path.read_text() for path in TEMPLATES}
    # f"interfaces/{name}.html" names every template that it may name.
    patterns = [
        re.sub(r"\\{.*?\\}", "[^/]+", re.escape(found)) for found in re.findall(r'f"([\w/]*\{\w+\}[\w/]*\.html)"', code)
    ]
    unused = []
    for name in templates:
        elsewhere = "\n".join(source for other, source in templates.items() if other != name)
        kind = name.split("/")[1] if name.startswith("email/") and name.count("/") == 2 else None
        # An e-mail is a folder, named as a whole where it is written.
        named_in_full = f'"{name}"' in code + elsewhere or (kind and f'"{kind}"' in code)
        if not named_in_full and not any(re.fullmatch(pattern, name) for pattern in patterns):
            unused.append(name)
    assert unused == []


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_it_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", [path for path in TEMPLATES if not named(path).startswith("email/")], ids=named)
def test_it_needs_nothing_that_the_policy_forbids(path: Path) -> None:
    source = path.read_text()
    assert not re.search(r"<style\b|\sstyle=", source), "an inline style"
    assert not re.search(r"\son[a-z]+=", source), "an inline handler"
    assert not re.search(r"hx-on|\bjs:|hx-vals=.js", source), "what htmx would have to evaluate"
    assert not re.search(r"<script\b(?![^>]*\bsrc=)", source), "an inline script"
    assert not re.search(r"(?:src|href)=\"https?://(?!\{)[^\"]*\.(?:js|css|woff2?)", source), "somebody else's server"
