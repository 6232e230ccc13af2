"""pytest tests/receivers/mcp.py: more clients of MCP list, explain and retry over sockets.

fastmcp, the two of npm (one in both of its ways), the inspector's command line, and the SDK of Go. The PyPI package
`mcp` runs in `make test`.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.blueprints.mcp.test_tools import failed
from tests.receivers.installing import FOLDER, apt, npm, run
from tests.support.api import key_for
from tests.support.factories import point_at, submit
from tests.support.installations import served
from webapp.blueprints.mcp.tools import TOOLS
from webapp.extensions import db
from webapp.models import Interface, User

CLIENTS = Path(__file__).parent / "mcp_clients"
FASTMCP = "fastmcp==4.2.3"
GO_SDK = "github.com/modelcontextprotocol/go-sdk@v1.8.0"
NPM = {
    "@modelcontextprotocol/client": "2.4.0",
    "@modelcontextprotocol/sdk": "1.32.2",
    "@modelcontextprotocol/inspector": "2.12.0",
}


class Served:
    """A Leadhook with a failed lead, and a key that may do everything."""

    def __init__(self, url: str, lead: str, key: str) -> None:
        self.url, self.lead, self.key = url, lead, key

    def run(self, *command: str, folder: Path | None = None) -> list[dict[str, Any]]:
        """What a client printed, line by line."""
        printed = run([*command, self.url, self.lead], folder, KEY=self.key)
        return [json.loads(line) for line in printed.splitlines()]


@pytest.fixture
def leadhook(app: Flask, owner: User, interface: Interface) -> Iterator[Served]:
    point_at(interface, "https://crm.example.com/hook")
    lead = submit(interface)
    key = key_for(owner.account_id)
    failed(lead, 503, "busy", "http_5xx")
    lead_id = lead.public_id
    db.session.rollback()
    with served(app) as port:
        yield Served(f"http://127.0.0.1:{port}/mcp", lead_id, key)


def check(found: list[dict[str, Any]]) -> None:
    for number, each in enumerate(found):
        print(each["way"], each["unknown"], each.get("troubles", ""))
        assert each["tools"] == list(TOOLS)
        assert each["explained"][0] is False
        assert "The receiver is too busy." in each["explained"][1]
        assert each["wrong"][0] is True
        assert each["wrong"][1].startswith("There is no field “colour”.")
        assert "There is no tool “nothing”." in each["unknown"][1]
        assert each["retried"][0] is (number > 0)
        assert not each.get("troubles")


@pytest.mark.timeout(600)
def test_fastmcp(leadhook: Served) -> None:
    home = FOLDER / "fastmcp"
    if not (home / "installed").exists():
        shutil.rmtree(home, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(home)])
        run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", FASTMCP])
        (home / "installed").touch()
    check(leadhook.run(str(home / "bin" / "python"), str(CLIENTS / "fast_client.py")))


@pytest.mark.timeout(600)
def test_the_clients_of_npm(leadhook: Served) -> None:
    home = npm("mcp", NPM).parent
    shutil.copy(CLIENTS / "node_clients.mjs", home)  # Node looks for packages beside the file
    found = leadhook.run("node", str(home / "node_clients.mjs"))
    assert len(found) == 3
    check(found)


@pytest.mark.timeout(600)
def test_the_inspector(leadhook: Served) -> None:
    program = npm("mcp", NPM) / ".bin" / "mcp-inspector"
    base = [str(program), "--cli", leadhook.url, "--transport", "http"]
    base += ["--header", f"Authorization: Bearer {leadhook.key}", "--method"]
    listed = json.loads(run([*base, "tools/list"]))
    assert [tool["name"] for tool in listed["tools"]] == list(TOOLS)
    tool = ["tools/call", "--tool-name", "explain_failure", "--tool-arg", f"id={leadhook.lead}"]
    assert "The receiver is too busy." in run([*base, *tool])


@pytest.mark.timeout(600)
def test_the_sdk_of_go(leadhook: Served) -> None:
    apt(go="golang-go")
    home = FOLDER / "mcp-go"
    if not (home / "client").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        shutil.copy(CLIENTS / "main.go", home)
        (home / "go.mod").write_text("module leadhook.example/mcp\n\ngo 1.25\n")
        run(["go", "get", GO_SDK], home)
        run(["go", "mod", "tidy"], home)
        run(["go", "build", "-o", "client", "."], home)
    check(leadhook.run(str(home / "client")))
