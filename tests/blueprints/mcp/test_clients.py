"""The clients that people have: the PyPI package `mcp` in version 2, which speaks both eras, and in version 1.

More of them run in `make receivers`: tests/receivers/mcp.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.blueprints.mcp.test_tools import failed
from tests.support.api import key_for
from tests.support.factories import delivery_of, point_at, submit
from tests.support.installations import served
from tests.support.tree import ROOT
from webapp.blueprints.mcp.messages import NEW, OLD
from webapp.blueprints.mcp.tools import TOOLS
from webapp.extensions import db
from webapp.models import Interface, User

CLIENT = ROOT / "tests" / "receivers" / "mcp_clients" / "python_client.py"
VERSION_1 = ROOT / ".venv" / "mcp1"  # make test installs it


def run(url: str, lead: str, key: str, folder: Path | None) -> list[dict[str, Any]]:
    """What the client printed, line by line."""
    environ = {**os.environ, "KEY": key, "WRONG_KEY": key[:-1] + ("x" if key[-1] != "x" else "y")}
    environ["PYTHONPATH"] = str(folder or "")
    done = subprocess.run(
        [sys.executable, str(CLIENT), url, lead], env=environ, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.long
@pytest.mark.once
@pytest.mark.parametrize(
    ("folder", "protocols"), [(None, [NEW, OLD[0]]), (VERSION_1, [OLD[0]])], ids=["mcp 2", "mcp 1.30"]
)
def test_a_client_lists_explains_and_retries(
    app: Flask, owner: User, interface: Interface, folder: Path | None, protocols: list[str]
) -> None:
    if folder and not folder.exists():
        pytest.skip("make test installs this client")
    point_at(interface, "https://crm.example.com/hook")
    lead = submit(interface)
    key = key_for(owner.account_id)
    failed(lead, 503, "busy", "http_5xx")
    lead_id = lead.public_id
    db.session.rollback()  # what a test reads holds SQLite's write lock
    with served(app) as port:
        *found, last = run(f"http://127.0.0.1:{port}/mcp", lead_id, key, folder)
    assert [each["protocol"] for each in found] == protocols
    for number, each in enumerate(found):
        assert each["tools"] == list(TOOLS)
        assert each["explained"][0] is False
        assert each["wrong"] == [True, each["wrong"][1]]
        assert each["wrong"][1].startswith("There is no field “colour”.")
        assert each["unknown"][1].startswith("There is no tool “nothing”.")
        is_error, text = each["retried"]
        assert (is_error, "queued" in text) == ((False, True) if number == 0 else (True, False))
        assert each["again"] == [True, "It is being sent right now."]
    assert lead_id in found[0]["leads"][1]
    assert "The receiver is too busy." in found[0]["explained"][1]
    assert last["refused"] != "nothing"
    assert delivery_of(lead).retry_at is not None
