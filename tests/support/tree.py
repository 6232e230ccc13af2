"""The project's files as git sees them, what its Python files import, and the same with a violation planted.

A house check is a function that takes a Tree and returns what is wrong with it, one sentence per fault.
"""

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Import(NamedTuple):
    """One imported name: `from module import name`, or `import module` with no name."""

    module: str
    name: str | None


@cache
def files() -> tuple[Path, ...]:
    """All files that are tracked, or would be: without those that .gitignore names."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    return tuple(sorted(ROOT / name for name in listed if name and (ROOT / name).is_file()))


class Tree:
    """The files; `planted` holds the text of those that differ from the disk."""

    def __init__(self, planted: dict[Path, str] | None = None) -> None:
        self._planted = planted or {}

    def with_file(self, name: str, text: str) -> "Tree":
        """The same tree with one more file."""
        return Tree({**self._planted, ROOT / name: text})

    def with_line(self, name: str, line: str) -> "Tree":
        """The same tree with a line added at the end of a file."""
        return self.with_file(name, f"{self.text(ROOT / name)}\n{line}\n")

    def files(self, *folders: str, suffix: str = "") -> list[Path]:
        """The files below these folders (or these files), by default all."""
        found = sorted({*files(), *self._planted})
        return [
            path
            for path in found
            if path.name.endswith(suffix) and (not folders or any(path.is_relative_to(ROOT / f) for f in folders))
        ]

    def python_files(self, *folders: str) -> list[Path]:
        return self.files(*folders, suffix=".py")

    def text(self, path: Path) -> str:
        return self._planted[path] if path in self._planted else path.read_text()

    def parsed(self, path: Path) -> ast.Module:
        return ast.parse(self._planted[path]) if path in self._planted else _parsed(path)

    def nodes(self, path: Path) -> tuple[ast.AST, ...]:
        """Everything in a Python file, as ast.walk finds it."""
        return tuple(ast.walk(self.parsed(path))) if path in self._planted else _nodes(path)

    def imports(self, path: Path) -> tuple[Import, ...]:
        """Everything a file imports, anywhere in it; imports for type checkers only do not count."""
        return _imports_of(self.nodes(path)) if path in self._planted else _imports(path)


def _imports_of(nodes: tuple[ast.AST, ...]) -> tuple[Import, ...]:
    for_types = {
        id(inner)
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: list[Import] = []
    for node in nodes:
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found += (Import(alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += (Import(node.module, alias.name) for alias in node.names)
    return tuple(found)


# What is on the disk does not change while tests run, and many checks ask for it.
@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(_parsed(path)))


@cache
def _imports(path: Path) -> tuple[Import, ...]:
    return _imports_of(_nodes(path))


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


TREE = Tree()


def python_files(*folders: str) -> list[Path]:
    """The Python files below these folders."""
    return TREE.python_files(*folders)


def imports(path: Path) -> tuple[Import, ...]:
    return TREE.imports(path)


def name_of(path: Path) -> str:
    """`webapp.services.leads.leads` of webapp/services/leads/leads.py."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
