"""Messages of MCP: one JSON-RPC request per POST, and the answer as plain JSON. Clients of two eras send them.

New (revision 2026-07-28): each request says its version in `_meta`, and headers repeat version, method and tool. An
error has the status 400 or 404. Old: the client begins with `initialize`. An error has the status 200, because clients
of that era take another one for the end of the session.

What comes before a message (no key, another site, not JSON) is a problem like those of the REST API, in both eras.
"""

import base64
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from flask import Response, request
from msgspec import UNSET, UnsetType

from webapp.web.api import inputs, wrong_values
from webapp.web.api.problems import Problem

NEW = "2026-07-28"
OLD = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
META = "io.modelcontextprotocol/"
LONGEST_ID = 1000  # characters
LARGEST_ID = 2**63  # what JSON libraries read back

NOT_JSON, NOT_VALID, NO_METHOD, WRONG_PARAMS = -32700, -32600, -32601, -32602
OTHER_HEADER, OTHER_VERSION = -32020, -32022


class MessageError(Exception):
    """The message is answered with this error."""

    def __init__(self, status: int, code: int, words: str, to: str | int | None = None, **more: Any) -> None:
        """`to`: the id of the request. `more`: the error's data."""
        super().__init__(words)
        self.status, self.code, self.to, self.more = status, code, to, more

    def response(self) -> Response:
        error = {"code": self.code, "message": str(self), **({"data": self.more} if self.more else {})}
        known = {} if self.to is None else {"id": self.to}
        return _json({"jsonrpc": "2.0", **known, "error": error}, self.status)


class _Sent(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    method: str | UnsetType = UNSET
    id: str | int | UnsetType = UNSET
    params: dict[str, Any] = {}


@dataclass(frozen=True)
class McpRequest:
    """A request. `params` without checks."""

    method: str
    id: str | int
    params: dict[str, Any]
    is_new: bool

    def error(self, code: int, words: str, status: int = 400, **more: Any) -> MessageError:
        """The error that this request is answered with; `status`: in the new era."""
        return MessageError(status if self.is_new else 200, code, words, self.id, **more)

    def response(self, result: dict[str, Any]) -> Response:
        return _json({"jsonrpc": "2.0", "id": self.id, "result": result}, 200)


def read() -> McpRequest | None:
    """The request of the body; None for what needs no answer: a notification, or a client's own answer.

    MessageError for what is neither, and for a version that is not ours.
    """
    if not request.is_json:
        raise Problem(415, inputs.NOT_JSON)
    sent = _sent()
    if sent.method is UNSET or sent.id is UNSET:
        return None
    given = sent.params.get("_meta")
    meta = given if isinstance(given, dict) else {}
    in_header = request.headers.get("MCP-Protocol-Version")
    says_so = f"{META}protocolVersion" in meta
    is_new = says_so or (in_header == NEW and sent.method != "initialize")
    message = McpRequest(sent.method, sent.id, sent.params, is_new)
    if is_new:
        _check_meta(message, meta, in_header)
        _check_headers(message)
    elif in_header and in_header not in OLD and sent.method != "initialize":
        raise _unsupported(message, in_header)
    return message


def _sent() -> _Sent:
    try:
        found = msgspec.json.decode(request.get_data())
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise MessageError(400, NOT_JSON, "The body is not valid JSON.") from None
    if isinstance(found, list):
        raise MessageError(400, NOT_VALID, "Send one message per request, not a list of them.")
    try:
        sent = msgspec.convert(found, _Sent)
    except msgspec.ValidationError as error:
        words, _ = wrong_values.read(error, _Sent)
        raise MessageError(400, NOT_VALID, f"This is no JSON-RPC message. {words}") from None
    if isinstance(sent.id, str) and len(sent.id) > LONGEST_ID:
        raise MessageError(400, NOT_VALID, f"The id is longer than {LONGEST_ID:,} characters.")
    if isinstance(sent.id, int) and abs(sent.id) >= LARGEST_ID:
        raise MessageError(400, NOT_VALID, "The id is too large for an integer of 64 bits.")
    return sent


def _check_meta(message: McpRequest, meta: dict[str, Any], in_header: str | None) -> None:
    version = meta.get(f"{META}protocolVersion")
    if not isinstance(version, str) or not isinstance(meta.get(f"{META}clientCapabilities"), dict):
        words = f"_meta must have {META}protocolVersion, a text, and {META}clientCapabilities, an object."
        raise message.error(WRONG_PARAMS, words)
    if in_header != version:
        raise message.error(OTHER_HEADER, "The header MCP-Protocol-Version and _meta must name the same version.")
    if version != NEW:
        raise _unsupported(message, version)


def _check_headers(message: McpRequest) -> None:
    wanted = {"Mcp-Method": message.method}
    if message.method == "tools/call":
        wanted["Mcp-Name"] = str(message.params.get("name"))
    for name, value in wanted.items():
        if _decoded(request.headers.get(name, "")) != value:
            raise message.error(OTHER_HEADER, f"The header {name} must be the same as in the body.")


def _decoded(header: str) -> str:
    """A value that cannot stand in a header comes as =?base64?…?=."""
    if not (header.startswith("=?base64?") and header.endswith("?=")):
        return header
    try:
        return base64.b64decode(header[9:-2], validate=True).decode()
    except ValueError:
        return ""


def _unsupported(message: McpRequest, version: str) -> MessageError:
    words = f"Leadhook does not speak the version {version[:40]} of MCP."
    error = message.error(OTHER_VERSION, words, supported=[NEW, *OLD], requested=version[:40])
    error.status = 400  # in both eras
    return error


def _json(content: dict[str, Any], status: int) -> Response:
    return Response(msgspec.json.encode(content), status, content_type="application/json")
