"""Speaks MCP as clients of both eras do, without their libraries."""

import json
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.api import key_for
from webapp.blueprints.mcp import answers
from webapp.blueprints.mcp.messages import NEW

assert answers.answer  # its import declares the tools

META = {
    "io.modelcontextprotocol/protocolVersion": NEW,
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
ACCEPT = "application/json, text/event-stream"


class Model:
    """A client of /mcp with one key, in the new era or the old one."""

    def __init__(self, client: FlaskClient, secret: str | None, is_new: bool = True) -> None:
        self.client, self.secret, self.is_new = client, secret, is_new

    def post(self, content: Any, **headers: str | None) -> TestResponse:
        """Sends any content; a header that is None is left out."""
        known: dict[str, str | None] = {"Accept": ACCEPT, "Content-Type": "application/json"}
        if self.secret:
            known["Authorization"] = f"Bearer {self.secret}"
        known |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in known.items() if value is not None}
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.client.post("/mcp", data=data, headers=given, buffered=True)

    def ask(self, method: str, params: dict[str, Any] | None = None, **headers: str | None) -> TestResponse:
        params = dict(params or {})
        if not self.is_new:
            return self.post(message(method, params), **{"MCP-Protocol-Version": "2025-11-25", **headers})
        params.setdefault("_meta", META)
        known = {"MCP-Protocol-Version": NEW, "Mcp-Method": method}
        if method == "tools/call":
            known["Mcp-Name"] = str(params.get("name"))
        return self.post(message(method, params), **{**known, **headers})

    def result(self, method: str, params: dict[str, Any] | None = None) -> Any:
        answer = self.ask(method, params)
        assert answer.status_code == 200, answer.text
        assert answer.json["id"] == 1
        return answer.json["result"]

    def tools(self) -> list[str]:
        return [each["name"] for each in self.result("tools/list")["tools"]]

    def call(self, name: str, **arguments: Any) -> Any:
        """What a tool answers, as JSON."""
        result = self.result("tools/call", {"name": name, "arguments": arguments})
        [content] = result["content"]
        assert result["isError"] is False, content["text"]
        return json.loads(content["text"])

    def failure(self, name: str, **arguments: Any) -> str:
        """Why a tool cannot do it."""
        result = self.result("tools/call", {"name": name, "arguments": arguments})
        assert result["isError"] is True, result
        [content] = result["content"]
        return str(content["text"])


def message(method: str, params: dict[str, Any] | None = None, number: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def model(app: Flask, account_id: int, *scopes: Any, is_new: bool = True, **more: Any) -> Model:
    """A client with a new key: see `key_for`."""
    return Model(app.test_client(), key_for(account_id, *scopes, **more), is_new)
