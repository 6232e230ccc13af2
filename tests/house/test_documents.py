"""What the documents say is so: every environment name, every link, every command."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from click import Group, Option
from flask import Flask

from tests.support.tree import ROOT, files

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
DOCUMENTS = [path for path in files() if path.suffix == ".md"]


def names_read() -> set[str]:
    """The environment names that config.py reads."""
    return set(re.findall(r'"([A-Z][A-Z_]{3,})"', (ROOT / "webapp" / "config.py").read_text()))


def test_the_names_are_found() -> None:
    assert {"PORT", "LEADHOOK_HOME", "SECRET_KEY", "WEBHOOK_ALLOWED_NETWORKS", "WORKER_SLOTS"} <= names_read()


@pytest.mark.parametrize("name", sorted(names_read()))
def test_every_environment_name_is_documented(name: str) -> None:
    assert f"`{name}`" in CONFIGURATION
    assert re.search(rf"^# ?{name}=", EXAMPLE, re.MULTILINE), f".env.example lacks {name}"


def test_no_name_is_documented_that_is_not_read() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)`", CONFIGURATION, re.MULTILINE))
    assert documented | set(re.findall(r"^# ?([A-Z_]+)=", EXAMPLE, re.MULTILINE)) == names_read()


def test_the_example_sets_nothing() -> None:
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if not re.match(r"[a-z]+:|#", target):
            assert (path.parent / unquote(target.partition("#")[0])).exists(), target


def test_every_command_is_documented(app: Flask) -> None:
    operating = (ROOT / "docs" / "operating.md").read_text()
    ours = ("webapp.cli", "webapp.run.leads_commands")
    found = [each for each in app.cli.commands.values() if each.callback and each.callback.__module__ in ours]
    named = [(each.name, each) for each in found if not isinstance(each, Group)]
    named += [
        (f"{each.name} {name}", one) for each in found if isinstance(each, Group) for name, one in each.commands.items()
    ]
    for name, command in named:
        assert f"`{name}" in operating or f"flask --app webapp {name}" in operating, name
        for option in command.params:
            if isinstance(option, Option):
                assert option.opts[-1] in operating, f"{name} {option.opts[-1]}"


def test_comments_name_only_documents_that_exist() -> None:
    for path in files():
        if path.suffix in (".py", ".html", ".css", ".js", ".sh") or path.name == "Makefile":
            for named in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text()):
                assert (ROOT / named).exists(), f"{path.relative_to(ROOT)} names {named}"
