"""A template's JSON as functions that render its parts."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from webapp.webhooks.formats.expressions import NODE_COST, Expression, Scope, UnfitExpression, joined, parts_of, plain
from webapp.webhooks.formats.known_names import Shape, item_shape
from webapp.webhooks.formats.places import MAX_DEPTH, PlacedObject, PlacedText, WrongTemplate, offset_of, place_words
from webapp.webhooks.formats.texts import is_empty
from webapp.webhooks.formats.work import CannotRender, Work

Render = Callable[[Scope, Work], Any]
Names = Mapping[str, Shape]
KEYS = ("$each", "$as", "$if", "$else", "$value", "$drop_empty")
# In texts with expressions: reading the densest expressions takes Jinja2 some 20 microseconds a sign.
MAX_SIGNS = 3_000
_SIGN = re.compile(r"[^\w\s]")
_NAME = re.compile("[a-z][a-z0-9_]{0,39}")


class _LeftOut:
    pass


LEFT_OUT = _LeftOut()  # what a part renders to that is not in the payload


class Node(NamedTuple):
    """`cost`: of Work, for one turn of a loop. `splices`: it renders to a list whose elements belong to the list around
    it. `is_expression`: it is one expression alone. `may_be_left_out`: it may render to LEFT_OUT."""

    render: Render
    cost: int = NODE_COST
    splices: bool = False
    is_expression: bool = False
    may_be_left_out: bool = False
    shape: Shape = None


class TreeBuilder:
    """Builds the nodes of one source. WrongTemplate says where a mistake is."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.signs = 0

    def built(self, value: Any, names: Names, path: str = "", depth: int = 0, at: int = 0) -> Node:
        if depth > MAX_DEPTH:
            sentence = f"At most {MAX_DEPTH} lists and objects can be in one another."
            raise WrongTemplate(sentence, self.source, at, path)
        if isinstance(value, PlacedText):
            return self._text(value, names, path)
        if isinstance(value, PlacedObject):
            return self._object(value, names, path, depth)
        if isinstance(value, list):
            return self._list(value, names, path, depth, at)
        return Node(lambda scope, work: value)

    def _text(self, text: PlacedText, names: Names, path: str) -> Node:
        self.signs += len(_SIGN.findall(text)) if "{{" in text else 0
        if self.signs > MAX_SIGNS:
            raise WrongTemplate("The expressions of this template are too long.", self.source, text.at, path)
        try:
            parts = parts_of(text, names) if "{{" in text else [plain(str(text))]
        except UnfitExpression as error:
            raise WrongTemplate(str(error), self.source, self._offset(text, error.near), path) from error
        place = place_words(self.source, text.at, path)
        if len(parts) == 1:
            return self._single(parts[0], place)
        texts = [part.evaluate if isinstance(part, Expression) else _constant(part) for part in parts]
        cost = sum(part.cost for part in parts if isinstance(part, Expression)) + NODE_COST * len(parts)
        return Node(_placed(joined(texts), place), cost)

    def _single(self, part: str | Expression, place: str) -> Node:
        """A text without expressions, or one expression alone, which keeps its type."""
        if isinstance(part, str):
            return Node(_constant(part))
        return Node(_placed(part.evaluate, place), part.cost, is_expression=True, shape=part.shape)

    def _offset(self, text: PlacedText, near: str) -> int:
        """Of the word in the text's expressions; else of the first expression."""
        begin = max(text.find("{{"), 0)
        found = re.compile(rf"(?<!\w){re.escape(near)}(?!\w)").search(text, begin) if near else None
        return offset_of(self.source, text, found.start() if found else begin)

    def _list(self, values: list[Any], names: Names, path: str, depth: int, at: int) -> Node:
        nodes = [self.built(each, names, f"{path}[{number}]", depth + 1, at) for number, each in enumerate(values)]
        parts = [(node.render, node.splices) for node in nodes]

        def render(scope: Scope, work: Work) -> list[Any]:
            found: list[Any] = []
            for part, splices in parts:
                value = part(scope, work)
                if splices:
                    found += value
                elif value is not LEFT_OUT:
                    found.append(value)
            return found

        return Node(render, NODE_COST + sum(node.cost for node in nodes))

    def _object(self, given: PlacedObject, names: Names, path: str, depth: int) -> Node:
        keys = {key: value for key, value in given.items() if key.startswith("$") and not key.startswith("$$")}
        rest = {key.removeprefix("$") if key.startswith("$$") else key: given[key] for key in given if key not in keys}
        self._check(keys, rest, given.at, path)
        if "$each" in keys:
            return self._loop(keys, rest, names, given.at, path, depth)
        return self._choice(keys, rest, names, given.at, path, depth)

    def _check(self, keys: dict[str, Any], rest: dict[str, Any], at: int, path: str) -> None:
        def wrong(sentence: str) -> WrongTemplate:
            return WrongTemplate(sentence, self.source, at, path)

        for key in keys:
            if key not in KEYS:
                raise wrong(
                    f"“{key[:40]}” is no key of templates: {', '.join(KEYS)}. For a plain key, write $${key[1:40]}."
                )
        for key in rest:
            if "{{" in key:
                raise wrong("A key cannot hold an expression.")
        if "$value" in keys and rest:
            raise wrong("Beside $value there can be no other key, as it stands for the whole object.")
        if "$as" in keys and "$each" not in keys:
            raise wrong("$as belongs to $each.")
        if "$else" in keys and ("$if" not in keys or "$each" in keys):
            raise wrong("$else belongs to $if, in an object without $each.")
        if keys.get("$drop_empty", True) is not True:
            raise wrong("$drop_empty is true, or not there.")

    def _loop(self, keys: dict[str, Any], rest: dict[str, Any], names: Names, at: int, path: str, depth: int) -> Node:
        over = self._condition(keys["$each"], names, f"{path}.$each", at)
        name = str(keys.get("$as", "item"))
        if not _NAME.fullmatch(name) or (name in names and name != "item"):
            sentence = f"“{name[:40]}” cannot be the name of an element: take another, of small letters, digits and _."
            raise WrongTemplate(sentence, self.source, at, path)
        inner_keys = {key: value for key, value in keys.items() if key not in ("$each", "$as")}
        inner = self._choice(inner_keys, rest, {**names, name: item_shape(over.shape)}, at, path, depth)
        cost, part = inner.cost + NODE_COST * 4, inner.render

        def render(scope: Scope, work: Work) -> list[Any]:
            found = []
            inside = dict(scope)
            for element in _elements(over.render(scope, work)):
                work.turn(cost)
                inside[name] = element
                value = part(inside, work)
                if value is not LEFT_OUT:
                    found.append(value)
            return found

        return Node(render, over.cost + cost, splices=True)

    def _choice(self, keys: dict[str, Any], rest: dict[str, Any], names: Names, at: int, path: str, depth: int) -> Node:
        if "$value" in keys:
            body = self.built(keys["$value"], names, f"{path}.$value".lstrip("."), depth + 1, at)._replace(
                splices=False
            )
        else:
            body = self._plain_object(rest, names, at, path, depth)
        if "$drop_empty" in keys:
            body = body._replace(render=_without_empty(body.render))
        if "$if" not in keys:
            return body
        condition = self._condition(keys["$if"], names, f"{path}.$if", at)
        other = (
            self.built(keys["$else"], names, f"{path}.$else".lstrip("."), depth + 1, at) if "$else" in keys else None
        )
        return _either(condition, body, other)

    def _plain_object(self, rest: dict[str, Any], names: Names, at: int, path: str, depth: int) -> Node:
        nodes = {
            key: self.built(value, names, f"{path}.{key}".lstrip("."), depth + 1, at) for key, value in rest.items()
        }
        parts = [(key, node.render) for key, node in nodes.items()]

        def render(scope: Scope, work: Work) -> dict[str, Any]:
            found = {}
            for key, part in parts:
                value = part(scope, work)
                if value is not LEFT_OUT:
                    found[key] = value
            return found

        return Node(render, NODE_COST + sum(node.cost for node in nodes.values()))

    def _condition(self, value: Any, names: Names, path: str, at: int) -> Node:
        """What $each and $if take: one expression alone."""
        node = self._text(value, names, path.lstrip(".")) if isinstance(value, PlacedText) else None
        if node is None or not node.is_expression:
            sentence = "Here must be one expression alone, such as {{ fields.email }}."
            raise WrongTemplate(sentence, self.source, getattr(value, "at", at), path.lstrip("."))
        return node


def _placed(render: Render, place: str) -> Render:
    """The same, and a failure says where it was."""

    def with_place(scope: Scope, work: Work) -> Any:
        try:
            return render(scope, work)
        except CannotRender as failure:
            raise CannotRender(failure.sentence, failure.place or place) from failure

    return with_place


def _constant(text: str) -> Render:
    return lambda scope, work: text


def _elements(value: Any) -> list[Any]:
    """What a loop goes over. Nothing has no elements; a single value counts as a list of one."""
    if isinstance(value, dict):
        return [{"key": key, "value": each} for key, each in value.items()]
    return value if isinstance(value, list) else [] if is_empty(value) else [value]


def _without_empty(render: Render) -> Render:
    def without(scope: Scope, work: Work) -> Any:
        value = render(scope, work)
        if isinstance(value, dict):
            return {key: each for key, each in value.items() if not is_empty(each)}
        return [each for each in value if not is_empty(each)] if isinstance(value, list) else value

    return without


def _either(condition: Node, body: Node, other: Node | None) -> Node:
    def render(scope: Scope, work: Work) -> Any:
        if condition.render(scope, work):
            return body.render(scope, work)
        return other.render(scope, work) if other else LEFT_OUT

    cost = condition.cost + body.cost + (other.cost if other else 0)
    is_certain = other is not None and not other.may_be_left_out and not body.may_be_left_out
    return Node(render, cost, may_be_left_out=not is_certain)
