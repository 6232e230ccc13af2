"""Anything as a message, as parameters or as arguments: an answer that a client can read, and never our own fault."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.mcp import Model, message
from webapp.blueprints.mcp.tools import TOOLS
from webapp.models import Interface

pytestmark = pytest.mark.once
MANY = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.text(max_size=20) | st.sampled_from(["\0", "%", "lead_\0", "é", "x" * 300, "delivered", "if_x", "cm93IDQy"])
SIMPLE = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
ANY = st.recursive(SIMPLE, lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXT, each, max_size=3))
NAMES = st.sampled_from(["id", "q", "status", "interface", "received", "cursor", "limit", "webhooks"])
MESSAGES = st.fixed_dictionaries({}, optional=dict.fromkeys(("jsonrpc", "id", "method", "params", "result"), ANY))


@MANY
@given(content=ANY | MESSAGES, header=st.sampled_from([None, "2026-07-28", "2025-11-25", "x"]))
def test_any_content_is_answered(old: Model, content: Any, header: str | None) -> None:
    answer = old.post(content, MCP_Protocol_Version=header)
    assert answer.status_code in (200, 202, 400, 404), answer.text
    if answer.status_code != 202:
        assert ("error" in answer.json) != ("result" in answer.json)


@MANY
@given(method=st.sampled_from(["tools/list", "tools/call", "initialize", "ping"]) | TEXT, params=MESSAGES)
def test_any_parameters_are_answered(old: Model, method: str, params: Any) -> None:
    answer = old.post(message(method, params))
    assert answer.status_code == 200, answer.text
    assert answer.json["id"] == 1


@MANY
@given(name=st.sampled_from(sorted(TOOLS)), arguments=st.dictionaries(NAMES | TEXT, ANY, max_size=3))
def test_any_arguments_are_answered_with_a_sentence(
    old: Model, interface: Interface, name: str, arguments: Any
) -> None:
    answer = old.post(message("tools/call", {"name": name, "arguments": arguments}))
    assert answer.status_code == 200, answer.text
    result = answer.json["result"]
    [content] = result["content"]
    assert content["text"]
    assert "Something went wrong" not in content["text"]
