"""Tools: what a language model can do with a key. One declaration makes the entry in the list, and checks what is sent.

What goes wrong while a tool runs is a result with `isError` and a sentence, which the model reads and can act on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from werkzeug.exceptions import HTTPException, NotFound

from webapp.blueprints.mcp import strangers
from webapp.models import Scope
from webapp.services.errors import Refused
from webapp.web import error_pages
from webapp.web.api import keys, wrong_values
from webapp.web.api.problems import Problem

F = TypeVar("F", bound=Callable[..., Any])

NOT_FOUND = "Nothing of this account has this id, or the key does not reach it."


@dataclass(frozen=True)
class Tool:
    """`about`: for the model. `arguments`: the struct of what it takes. `changes`: whether it does more than read."""

    run: Callable[[Any], Any]
    title: str
    about: str
    arguments: type[msgspec.Struct]
    scope: Scope
    changes: bool

    @property
    def name(self) -> str:
        return self.run.__name__

    def entry(self) -> dict[str, Any]:
        """As tools/list has it."""
        _, schemas = msgspec.json.schema_components([self.arguments])
        schema = schemas[self.arguments.__name__]
        for each in schema["properties"].values():
            if "enum" in each:
                each["type"] = "string"  # some clients need it
        hints = {"readOnlyHint": not self.changes, "destructiveHint": False, "openWorldHint": self.changes}
        about = {"name": self.name, "title": self.title, "description": self.about}
        return {**about, "inputSchema": schema, "annotations": {"title": self.title, **hints}}


TOOLS: dict[str, Tool] = {}  # by name, in the order of the list


def tool(
    title: str, about: str, arguments: type[msgspec.Struct], scope: Scope = Scope.READ, changes: bool = False
) -> Callable[[F], F]:
    """Declares a tool: the function gets the struct, and returns what msgspec can encode."""

    def declare(run: F) -> F:
        TOOLS[run.__name__] = Tool(run, title, about, arguments, scope, changes)
        return run

    return declare


def listed() -> list[dict[str, Any]]:
    """The tools that this request's key may call."""
    return [each.entry() for each in TOOLS.values() if each.scope in keys.caller().scopes]


def call(called: Tool, given: dict[str, Any]) -> dict[str, Any]:
    """The result of the tool with these arguments."""
    try:
        keys.check_scope(called.scope)
        found = called.run(msgspec.convert(given, called.arguments, strict=False))
    except msgspec.ValidationError as error:
        takes = ", ".join(called.arguments.__struct_fields__) or "none"
        return failed(f"{wrong_values.read(error, called.arguments)[0]} Arguments of {called.name}: {takes}.")
    except Refused as refusal:
        return failed(str(refusal))
    except Problem as problem:
        where = [f"{fault.parameter}: " for fault in problem.faults if fault.parameter]
        return failed("".join([*where[:1], problem.detail]))
    except NotFound:
        return failed(NOT_FOUND)
    except HTTPException as error:
        return failed(str(error.description))
    except Exception as error:  # noqa: BLE001 - with the status 500, clients show the model nothing, or end
        request_id = error_pages.note_crash(error)
        return failed(f"{error_pages.CRASHED} The operator finds more in the log, under {request_id}.")
    return {"content": [{"type": "text", "text": strangers.visible(found)}], "isError": False}


def failed(words: str) -> dict[str, Any]:
    """A result that says why there is none."""
    return {"content": [{"type": "text", "text": words}], "isError": True}
