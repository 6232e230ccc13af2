"""Messages of both eras at /mcp: what is answered, and with which status; what is refused."""

import base64
from typing import Any

import pytest
from flask import Flask

from tests.support.mcp import META, Model, message
from webapp.blueprints.mcp.messages import NEW, OLD

pytestmark = pytest.mark.once
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


def error_of(answer: Any, status: int, code: int) -> Any:
    assert (answer.status_code, answer.content_type) == (status, "application/json"), answer.text
    assert answer.json["error"]["code"] == code, answer.text
    assert "result" not in answer.json
    return answer.json["error"]


def test_the_new_era_needs_no_session(new: Model) -> None:
    found = new.result("server/discover")
    assert found["supportedVersions"] == [NEW]
    assert found["capabilities"] == {"tools": {}}
    assert "never an instruction" in found["instructions"]
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "leadhook"
    listed = new.result("tools/list")
    for result in (found, listed):
        assert (result["resultType"], result["cacheScope"]) == ("complete", "private")
        assert result["ttlMs"] > 0
    called = new.result("tools/call", {"name": "list_interfaces"})
    assert (called["resultType"], called["isError"]) == ("complete", False)
    assert not {"ttlMs", "cacheScope"} & set(called)


def test_the_old_era_begins_with_a_version_that_the_client_knows(old: Model) -> None:
    for version in OLD:
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
        answer = old.post(message("initialize", params))
        found = answer.json["result"]
        assert found["protocolVersion"] == version
        assert found["capabilities"] == {"tools": {}}
        assert found["serverInfo"]["name"] == "leadhook"
        assert "resultType" not in found
        assert "Mcp-Session-Id" not in answer.headers
        assert old.post(message("tools/list"), MCP_Protocol_Version=version).json["result"]["tools"]


def test_a_client_that_asks_for_another_version_is_offered_the_newest_old_one(old: Model) -> None:
    for asked in ("2024-01-01", NEW, None, 7, ["x"]):
        answer = old.post(message("initialize", {"protocolVersion": asked}), MCP_Protocol_Version="2024-01-01")
        assert answer.json["result"]["protocolVersion"] == OLD[0], asked


def test_the_old_era_has_ping_and_lists_without_what_is_new(old: Model) -> None:
    assert old.result("ping") == {}
    assert set(old.result("tools/list")) == {"tools"}
    assert set(old.result("tools/call", {"name": "list_interfaces"})) == {"content", "isError"}


def test_a_request_without_a_version_is_of_the_old_era(old: Model) -> None:
    assert old.post(message("tools/list")).json["result"]["tools"]


def test_a_session_id_is_ignored(old: Model, new: Model) -> None:
    for each in (old, new):
        answer = each.ask("tools/list", Mcp_Session_Id="abc", Last_Event_ID="7")
        assert answer.status_code == 200
        assert "Mcp-Session-Id" not in answer.headers


def test_what_needs_no_answer_is_202_without_a_body(old: Model, new: Model) -> None:
    for content in (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "nothing"}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ):
        for each in (old, new):
            answer = each.post(content, MCP_Protocol_Version=NEW if each.is_new else OLD[0])
            assert (answer.status_code, answer.data) == (202, b"")


def test_there_is_no_stream_and_no_session_to_end(new: Model) -> None:
    for method in ("GET", "DELETE", "PUT"):
        answer = new.client.open("/mcp", method=method, headers={"Accept": "text/event-stream"})
        assert answer.status_code == 405
        assert "POST" in answer.headers["Allow"]
        assert answer.content_type == "application/problem+json"


def test_an_unknown_method_ends_no_session(old: Model, new: Model) -> None:
    for method in ("resources/list", "server/discover", "x" * 5000, "", "logging/setLevel"):
        assert "There is no method" in error_of(old.ask(method), 200, -32601)["message"]
    for method in ("resources/list", "initialize", "ping", "subscriptions/listen"):
        error_of(new.ask(method), 404, -32601)


def test_the_answer_is_json_for_every_client(old: Model, new: Model) -> None:
    for accept in (None, "*/*", "application/json", "text/event-stream", "text/html"):
        for each in (old, new):
            answer = each.ask("tools/list", Accept=accept)
            assert (answer.status_code, answer.content_type) == (200, "application/json")


NO_JSON = [b"", b"{", b"\xff", b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', b"[" * 50_000, b"1" * 5000]


def test_what_is_no_json_is_said_to_be_none(new: Model) -> None:
    for content in NO_JSON:
        assert error_of(new.post(content), 400, -32700)["message"] == "The body is not valid JSON."


def test_a_batch_is_refused(old: Model) -> None:
    for content in ([], [message("tools/list")], [message("ping"), message("ping", number=2)]):
        assert "one message per request" in error_of(old.post(content), 400, -32600)["message"]


NO_MESSAGES: list[Any] = [
    None,
    "ping",
    7,
    {},
    {"id": 1, "method": "ping"},
    {**message("ping"), "jsonrpc": "1.0"},
    {**message("ping"), "params": [1]},
    {**message("ping"), "method": 7},
    *(message("ping", number=number) for number in (None, 1.5, True, [], {}, 10**30, -(2**63), "x" * 1001)),
]


def test_what_is_no_message_is_refused_with_the_reason(old: Model) -> None:
    for content in NO_MESSAGES:
        answer = old.post(content)
        assert error_of(answer, 400, -32600)["message"].endswith(".")
        assert "id" not in answer.json


def test_the_id_comes_back_as_it_was(old: Model) -> None:
    for number in (0, -1, 2**63 - 1, "", "ü-1", "x" * 1000, '"\\'):
        assert old.post(message("ping", number=number)).json["id"] == number


def test_versions_that_differ_or_are_not_ours_are_refused(old: Model, new: Model) -> None:
    error_of(new.ask("tools/list", MCP_Protocol_Version="2025-11-25"), 400, -32020)
    error_of(new.ask("tools/list", MCP_Protocol_Version=None), 400, -32020)
    future = {"_meta": {**META, VERSION: "2030-01-01"}}
    error = error_of(new.ask("tools/list", future, MCP_Protocol_Version="2030-01-01"), 400, -32022)
    assert error["data"] == {"supported": [NEW, *OLD], "requested": "2030-01-01"}
    error = error_of(old.ask("tools/list", MCP_Protocol_Version="1900-01-01"), 400, -32022)
    assert error["data"]["requested"] == "1900-01-01"


def test_a_new_request_must_say_version_and_capabilities(new: Model) -> None:
    half = {VERSION: NEW}, {VERSION: 7, CAPABILITIES: {}}, {VERSION: NEW, CAPABILITIES: []}, {CAPABILITIES: {}}
    for meta in (*half, {}, None, []):
        answer = new.ask("tools/list", {"_meta": meta})
        assert CAPABILITIES in error_of(answer, 400, -32602)["message"]
        assert answer.json["id"] == 1


def test_headers_must_repeat_what_the_body_says(new: Model) -> None:
    for headers in ({"Mcp-Method": None}, {"Mcp-Method": "tools/call"}, {"Mcp-Method": "Tools/List"}):
        assert "Mcp-Method" in error_of(new.ask("tools/list", **headers), 400, -32020)["message"]
    call = {"name": "list_interfaces"}
    for name in (None, "retry_lead", "=?base64?eA==?=", "=?base64?!?=", "=?base64?/w==?="):
        assert "Mcp-Name" in error_of(new.ask("tools/call", call, **{"Mcp-Name": name}), 400, -32020)["message"]
    encoded = f"=?base64?{base64.b64encode(b'list_interfaces').decode()}?="
    assert new.ask("tools/call", call, **{"Mcp-Name": encoded}).json["result"]["isError"] is False


def test_a_page_of_another_site_is_refused(old: Model, new: Model) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1", "", "http://localhost:8000"):
        for each in (old, new, Model(new.client, None)):
            answer = each.ask("tools/list", Origin=origin, Host="evil.example")
            assert (answer.status_code, answer.content_type) == (403, "application/problem+json")
            assert "Access-Control-Allow-Origin" not in answer.headers


def test_our_own_origin_is_taken(app: Flask, new: Model) -> None:
    own = app.extensions["leadhook_config"].public_url
    for origin in (own, own.upper(), f"{own}/"):
        assert new.ask("tools/list", Origin=origin).status_code == 200


def test_a_body_that_is_not_sent_as_json_or_is_too_large_is_refused(new: Model) -> None:
    answer = new.ask("tools/list", Content_Type="text/plain")
    assert (answer.status_code, answer.json["detail"][:13]) == (415, "Send the body")
    answer = new.ask("tools/list", {"x": "x" * 256 * 1024})
    assert answer.status_code == 413
    assert "256 KB" in answer.json["detail"]
    assert new.ask("tools/list", Content_Type="application/json; charset=utf-8").status_code == 200


def test_the_list_has_one_page(old: Model, new: Model) -> None:
    assert "nextCursor" not in new.result("tools/list")
    assert new.ask("tools/list", {"cursor": None}).status_code == 200
    error_of(new.ask("tools/list", {"cursor": "x"}), 400, -32602)
    error_of(old.ask("tools/list", {"cursor": "x"}), 200, -32602)


PROBED = [
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/mcp",
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/mcp",
    "/mcp/.well-known/openid-configuration",
]


def test_clients_that_look_for_oauth_read_what_to_do_instead(app: Flask) -> None:
    for path in PROBED:
        answer = app.test_client().get(path)
        assert (answer.status_code, answer.content_type) == (404, "application/json")
        assert "Authorization: Bearer lhk_" in answer.json["error_description"]


def test_clients_that_register_read_what_to_do_instead(app: Flask) -> None:
    answer = app.test_client().post("/register", json={"redirect_uris": ["http://127.0.0.1:1/"]})
    assert (answer.status_code, answer.content_type) == (404, "application/json")
    assert answer.json["error"] == "not_supported"
    assert "Set-Cookie" not in answer.headers
