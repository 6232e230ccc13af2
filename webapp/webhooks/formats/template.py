"""JSON from a template: a JSON document in which texts hold expressions, so that no template can give invalid JSON.

A text that is one expression keeps its type. An object may have these keys: `$each` (a loop), `$as` (the name of its
element), `$if`, `$else`, `$value` (a value of any kind instead of the object), `$drop_empty`. docs/payloads.md has the
whole language. places.py reads the JSON, expressions.py the expressions, nodes.py makes the tree; work.py bounds it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

from webapp.webhooks.formats import form
from webapp.webhooks.formats.encoding import TOO_LONG, encode_bounded, is_plain
from webapp.webhooks.formats.known_names import names_of, values_of
from webapp.webhooks.formats.places import WrongTemplate, parsed
from webapp.webhooks.formats.tree import Node, TreeBuilder
from webapp.webhooks.formats.work import MAX_OUTPUT, CannotRender, Work
from webapp.webhooks.settings import Setting, WrongSetting

Encoding = Literal["json", "form"]
CONTENT_TYPES: dict[str, str] = {"json": "application/json", "form": form.CONTENT_TYPE}


@dataclass(frozen=True, slots=True)
class PayloadTemplate:
    """A template that was checked. `encode`: how its object is sent, as JSON or as the fields of a form."""

    node: Node
    encode: Encoding = "json"

    SETTINGS: ClassVar[tuple[Setting, ...]] = (
        Setting("template", "Template", lines=True, hint="JSON, with expressions such as {{ fields.email }}."),
        Setting("encode", "Sent as", choices=(("json", "JSON"), ("form", "A form")), default="json"),
    )

    @classmethod
    def of(cls, source: str, fields: Iterable[str] | None, encode: str = "json") -> Self:
        """For a form with these keys of fields; None: any may be named, and one that a lead does not have is empty.
        WrongTemplate, with line, column and path, for what cannot be used."""
        if encode not in CONTENT_TYPES:
            raise WrongSetting("A template is sent as JSON or as a form.", "encode")
        keys = None if fields is None else tuple(fields)
        return cls(_node(source, keys, encode == "form"), "form" if encode == "form" else "json")

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.encode]

    def render(self, document: Mapping[str, Any]) -> bytes:
        """The payload of a lead, given Leadhook's JSON; CannotRender with one sentence if it cannot be made."""
        tree = self.node.render(values_of(document), Work())
        if self.encode == "json":
            return encode_bounded(tree)
        is_plain(tree, MAX_OUTPUT)  # before it is encoded, for its size
        body = form.encode(tree)
        if len(body) > MAX_OUTPUT:
            raise CannotRender(TOO_LONG)
        return body


@lru_cache(maxsize=64)
def _node(source: str, fields: tuple[str, ...] | None, is_form: bool) -> Node:
    tree = parsed(source)
    node = TreeBuilder(source).built(tree, names_of(fields))
    if node.may_be_left_out:
        sentence = "The whole template cannot be left out. For leads that are not sent, set a condition."
        raise WrongTemplate(sentence, source, 0)
    if is_form and not (
        isinstance(tree, dict) and not any(key.startswith("$") for key in tree if key != "$drop_empty")
    ):
        raise WrongTemplate(
            "A template that is sent as a form must be one object, with a key for each field.", source, 0
        )
    return node
