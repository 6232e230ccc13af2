"""The figures that keep the house easy to read: loose files, circles, clashes of names, plain words, long lines."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.tree import ROOT, TREE, Tree, name_of

LOOSE = 16  # modules directly in webapp/
FLAT = 6  # modules directly in webapp/services/
LONGEST_TEMPLATE_LINE = 160  # characters
# Words that an engineer who learned English at school has to look up, or read twice. In two parts each, or this file
# would find itself.
HARD_WORDS = ["who" + "ever", "what" + "ever", "no" + "body", "dee" + "ds?", "n" + "or", "le" + "st", "ins" + "ists?"]
HARD = re.compile(rf"\b(?:{'|'.join(HARD_WORDS)})\b", re.IGNORECASE)


def few_modules_are_loose(tree: Tree) -> list[str]:
    return _too_many(tree, ROOT / "webapp", LOOSE) + _too_many(tree, ROOT / "webapp" / "services", FLAT)


def _too_many(tree: Tree, folder: Path, most: int) -> list[str]:
    found = [path.name for path in tree.python_files() if path.parent == folder]
    return [f"{folder.name}/ has {len(found)} modules: {', '.join(found)}"] if len(found) > most else []


def no_modules_import_one_another(tree: Tree) -> list[str]:
    return _circles(_graph(tree, lambda name: name))


def no_packages_import_one_another(tree: Tree) -> list[str]:
    """Folders below webapp/ and webapp/services/, and the modules that are directly in them."""
    return _circles(_graph(tree, _package))


def _package(module: str) -> str:
    depth = 3 if module.startswith("webapp.services.") else 2
    return ".".join(module.split(".")[:depth])


def _graph(tree: Tree, place: Callable[[str], str]) -> dict[str, set[str]]:
    names = {name_of(path): path for path in tree.python_files("webapp") if "migrations" not in path.parts}
    names = {name: path for name, path in names.items() if not name.startswith("webapp.templates")}
    arrows: dict[str, set[str]] = {place(name): set() for name in names}
    for name, path in names.items():
        for found in tree.imports(path):
            target = f"{found.module}.{found.name}" if f"{found.module}.{found.name}" in names else found.module
            if target in names and target != "webapp" and name != "webapp" and place(target) != place(name):
                arrows[place(name)].add(place(target))
    return arrows


def _circles(arrows: dict[str, set[str]]) -> list[str]:
    def reached(start: str) -> set[str]:
        seen, ahead = set[str](), [*arrows[start]]
        while ahead:
            place = ahead.pop()
            if place not in seen:
                seen.add(place)
                ahead += arrows[place]
        return seen

    return [f"{place} imports itself, over others" for place in arrows if place in reached(place)]


def every_class_has_its_own_name(tree: Tree) -> list[str]:
    names = Counter(
        node.name
        for path in tree.python_files("webapp", "worker.py")
        if "templates" not in path.parts
        for node in tree.nodes(path)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    return [f"{count} classes are called {name}" for name, count in names.items() if count > 1]


def words_are_plain(tree: Tree) -> list[str]:
    return list(_hard_words(tree))


def _hard_words(tree: Tree) -> Iterator[str]:
    for path in tree.files():
        where = path.relative_to(ROOT).parts
        counts = where[0] in ("webapp", "worker.py", "docs") or path.suffix == ".md"
        if not counts or "vendor" in where or path.suffix in (".png", ".webp", ".svg", ".ico"):
            continue
        for number, line in enumerate(tree.text(path).splitlines(), start=1):
            if found := HARD.search(line):
                yield f"{path.relative_to(ROOT)}:{number} says {found[0]!r}"


def template_lines_are_short(tree: Tree) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number} has {len(line)} characters"
        for path in tree.files("webapp/templates")
        if path.suffix in (".html", ".txt")
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if len(line) > LONGEST_TEMPLATE_LINE
    ]


PLANTED: list[tuple[Callable[[Tree], list[str]], str, str]] = [
    (few_modules_are_loose, "webapp/one_more.py", "also webapp/two_more.py"),
    (few_modules_are_loose, "webapp/services/one_more.py", "also webapp/services/two_more.py"),
    (no_modules_import_one_another, "webapp/clock.py", "from webapp.ids import ulid"),
    (no_packages_import_one_another, "webapp/services/mail/mails.py", "from webapp.services.intake import capture"),
    (every_class_has_its_own_name, "webapp/clock.py", "class Interface: ..."),
    (words_are_plain, "webapp/clock.py", f"# {HARD_WORDS[0]} reads this"),
    (words_are_plain, "docs/README.md", f"Told to {HARD_WORDS[2].upper()}."),
    (words_are_plain, "webapp/templates/errors/404.html", f"{HARD_WORDS[4]} here"),
    (template_lines_are_short, "webapp/templates/errors/404.html", "x" * (LONGEST_TEMPLATE_LINE + 1)),
]
CHECKS = list(dict.fromkeys(check for check, _, _ in PLANTED))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_is_in_order(check: Callable[[Tree], list[str]]) -> None:
    assert check(TREE) == []


@pytest.mark.parametrize(("check", "file", "line"), PLANTED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_planted_violation_is_found(check: Callable[[Tree], list[str]], file: str, line: str) -> None:
    if check is few_modules_are_loose:
        tree = TREE.with_file(file, "").with_file(line.removeprefix("also "), "")
    elif file == "webapp/clock.py" and check is no_modules_import_one_another:
        tree = TREE.with_line(file, line).with_line("webapp/ids.py", "from webapp.clock import utcnow")
    else:
        tree = TREE.with_line(file, line)
    assert check(tree)
