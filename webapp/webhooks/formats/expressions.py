"""Expressions of a template: Jinja2 reads them, and only what stands here is done.

Jinja2's sandbox does not bound time and memory. So its parser gives the syntax tree, each kind of node that is allowed
has one function here, and all others are refused when a template is saved: no set, no macro, no call, no arithmetic.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jinja2 import Environment, TemplateSyntaxError, nodes

from webapp.webhooks.formats.filters import FILTERS
from webapp.webhooks.formats.known_names import ListOf, Shape, unknown
from webapp.webhooks.formats.named_filter import UnfitArgument
from webapp.webhooks.formats.places import MAX_WHOLE
from webapp.webhooks.formats.texts import as_text
from webapp.webhooks.formats.work import Work

Scope = Mapping[str, Any]
Evaluate = Callable[[Scope, Work], Any]
MAX_DEPTH = 30  # filters, brackets and operators in one another
NODE_COST = 25  # of Work: the time of some characters


class UnfitExpression(ValueError):
    """An expression that is refused. `near`: the word in it that is to blame, if it is known."""

    def __init__(self, sentence: str, near: str = "") -> None:
        super().__init__(sentence)
        self.near = near


class Expression(NamedTuple):
    """`cost`: of Work. `written`: as it stands in the template, if it is a name with its parts."""

    evaluate: Evaluate
    cost: int
    shape: Shape = None
    written: str = ""


# So that no text begins a statement or a comment of Jinja2: a code point that is no character (Unicode 23.7).
_NO_CHARACTER = "\ufdd0"
_ENVIRONMENT = Environment(  # noqa: S701 - it makes JSON, and renders nothing
    block_start_string=_NO_CHARACTER + "%",
    block_end_string="%" + _NO_CHARACTER,
    comment_start_string=_NO_CHARACTER + "#",
    comment_end_string="#" + _NO_CHARACTER,
    keep_trailing_newline=True,
)
_STEPS = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def parts_of(text: str, names: Mapping[str, Shape]) -> list[str | Expression]:
    """The texts and the expressions of a text with {{ … }} in it."""
    if _NO_CHARACTER in text:
        raise UnfitExpression("U+FDD0 is no character.")
    try:
        tree = _ENVIRONMENT.parse(text)
    except TemplateSyntaxError as error:
        raise UnfitExpression(f"This expression cannot be read: {error.message}.") from error
    except RecursionError as error:
        raise UnfitExpression("This expression is too deep.") from error
    except ValueError as error:
        raise UnfitExpression("This expression has a number that is too long.") from error
    found: list[str | Expression] = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            raise UnfitExpression(_refusal(output))
        for node in output.nodes:
            found.append(plain(node.data) if isinstance(node, nodes.TemplateData) else _compiled(node, names, 0))
    return found


def plain(text: str) -> str:
    """A text outside of expressions. What would be a statement or a comment of Jinja2 is refused, not sent."""
    for sign in ("{%", "{#"):
        if sign in text:
            advice = "use keys such as $if and $each" if sign == "{%" else "JSON has no comments"
            raise UnfitExpression(f"“{sign}” is not allowed: {advice}. To send it, write {{{{ '{sign}' }}}}.", sign)
    return text


def _compiled(node: nodes.Node, names: Mapping[str, Shape], depth: int) -> Expression:
    compile_node = _ALLOWED.get(type(node))
    if compile_node is None:
        raise UnfitExpression(_refusal(node))
    if depth > MAX_DEPTH:
        raise UnfitExpression("This expression is too deep.")
    return compile_node(node, names, depth + 1)


def _refusal(node: nodes.Node) -> str:
    kind = type(node).__name__
    words = _WORDS.get(kind, f"“{kind}” of Jinja2 is not allowed")
    return f"{words}. Allowed are names, texts, numbers, comparisons, ~, and, or, not, and filters."


_WORDS = {
    "Call": "Nothing can be called, but filters are written as {{ fields.name | upper }}",
    "CondExpr": "“… if … else …” is not allowed in an expression: use the key $if",
    "Test": "“is” is not allowed: an empty value counts as false",
    "Slice": "Parts of a text are cut with the filter cut",
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow", "Pos"), "Nothing is calculated"),
}


def _name(node: nodes.Name, names: Mapping[str, Shape], depth: int) -> Expression:
    name = node.name
    if name not in names:
        raise UnfitExpression(unknown(name, names), name)
    return Expression(lambda scope, work: scope[name], NODE_COST, names[name], name)


def constant(node: nodes.Node) -> Any:
    """The value of a text, a number, true, false or none, or of a list of such."""
    if isinstance(node, nodes.List | nodes.Tuple):
        return [constant(each) for each in node.items]
    if isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const) and type(node.node.value) in (int, float):
        return -constant(node.node)
    if not isinstance(node, nodes.Const):
        raise UnfitExpression("Only a text or a number can stand here.")
    if isinstance(node.value, float | int) and not abs(node.value) <= MAX_WHOLE:
        raise UnfitExpression("This number is too large.")
    return node.value


def _constant(node: nodes.Node, names: Mapping[str, Shape], depth: int) -> Expression:
    value = constant(node)
    return Expression(lambda scope, work: value, NODE_COST)


def _getattr(node: nodes.Getattr, names: Mapping[str, Shape], depth: int) -> Expression:
    return _part(_compiled(node.node, names, depth), node.attr)


def _getitem(node: nodes.Getitem, names: Mapping[str, Shape], depth: int) -> Expression:
    of = _compiled(node.node, names, depth)
    if isinstance(node.arg, nodes.Slice):
        raise UnfitExpression(_refusal(node.arg))
    key = constant(node.arg)
    if isinstance(key, str):
        return _part(of, key)
    if type(key) is not int:
        raise UnfitExpression("In brackets there can be a text or a whole number.")

    def element(scope: Scope, work: Work) -> Any:
        value = of.evaluate(scope, work)
        return value[key] if isinstance(value, list) and -len(value) <= key < len(value) else None

    return Expression(element, of.cost + NODE_COST)


def _part(of: Expression, key: str) -> Expression:
    """A part of an object; null where there is none, and where it is no object."""
    shape, written = of.shape, f"{of.written}.{key}" if of.written else ""
    if isinstance(shape, Mapping) and key not in shape:
        raise UnfitExpression(unknown(key, shape, f" in {of.written}" if of.written else ""), written or key)
    if isinstance(shape, str):
        raise UnfitExpression(
            f"“{key[:40]}” is not known: {of.written or 'this'} is a value without parts.", written or key
        )
    if isinstance(shape, ListOf):
        raise UnfitExpression(
            f"“{key[:40]}” is asked of a list. Use the key $each, or a filter such as first.", written or key
        )
    evaluate = of.evaluate

    def part(scope: Scope, work: Work) -> Any:
        value = evaluate(scope, work)
        return value.get(key) if isinstance(value, dict) else None

    return Expression(part, of.cost + NODE_COST, shape[key] if isinstance(shape, Mapping) else None, written)


def _filter(node: nodes.Filter, names: Mapping[str, Shape], depth: int) -> Expression:
    if node.name not in FILTERS:
        raise UnfitExpression(f"The filter {unknown(node.name, FILTERS)}", node.name)
    if node.kwargs or node.dyn_args or node.dyn_kwargs or node.node is None:
        raise UnfitExpression("A filter takes texts and numbers only, without names and without *.", node.name)
    of, kind = _compiled(node.node, names, depth), FILTERS[node.name]
    try:
        apply = kind.make(*map(constant, node.args))
    except UnfitArgument as error:
        raise UnfitExpression(f"The filter “{node.name}”: {error}", node.name) from error
    except TypeError as error:
        raise UnfitExpression(f"The filter is written as {kind.usage}.", node.name) from error
    evaluate = of.evaluate
    cost = of.cost + NODE_COST * 4
    return Expression(lambda scope, work: apply(evaluate(scope, work), work), cost, kind.gives(of.shape))


def _concat(node: nodes.Concat, names: Mapping[str, Shape], depth: int) -> Expression:
    parts = [_compiled(each, names, depth) for each in node.nodes]
    return Expression(joined([part.evaluate for part in parts]), sum(part.cost for part in parts))


def joined(parts: list[Evaluate]) -> Evaluate:
    """Their values as text, one after another."""

    def join(scope: Scope, work: Work) -> str:
        texts = []
        for part in parts:
            texts.append(text := as_text(part(scope, work)))
            work.spend(len(text))
        return "".join(texts)

    return join


def _compare(node: nodes.Compare, names: Mapping[str, Shape], depth: int) -> Expression:
    left = _compiled(node.expr, names, depth)
    if len(node.ops) != 1:
        raise UnfitExpression("Compare two values only, and use “and” between comparisons.")
    kind, right = node.ops[0].op, _compiled(node.ops[0].expr, names, depth)

    def compare(scope: Scope, work: Work) -> bool:
        return _holds(kind, left.evaluate(scope, work), right.evaluate(scope, work), work)

    return Expression(compare, left.cost + right.cost + NODE_COST)


def _holds(kind: str, left: Any, right: Any, work: Work) -> bool:
    """False where the two cannot be compared, such as a text with a number."""
    work.spend(sum(len(each) // 8 for each in (left, right) if isinstance(each, str)))
    work.spend(sum(1000 for each in (left, right) if isinstance(each, list | dict)))
    try:
        if kind in ("in", "notin"):
            return bool((left in right) is (kind == "in"))
        return bool(_STEPS[kind](left, right))
    except TypeError:
        return kind in ("ne", "notin")


def _and(node: nodes.And, names: Mapping[str, Shape], depth: int) -> Expression:
    left, right = _compiled(node.left, names, depth), _compiled(node.right, names, depth)
    return Expression(
        lambda scope, work: left.evaluate(scope, work) and right.evaluate(scope, work),
        left.cost + right.cost + NODE_COST,
    )


def _or(node: nodes.Or, names: Mapping[str, Shape], depth: int) -> Expression:
    left, right = _compiled(node.left, names, depth), _compiled(node.right, names, depth)
    return Expression(
        lambda scope, work: left.evaluate(scope, work) or right.evaluate(scope, work),
        left.cost + right.cost + NODE_COST,
        left.shape if left.shape == right.shape else None,
    )


def _not(node: nodes.Not, names: Mapping[str, Shape], depth: int) -> Expression:
    inner = _compiled(node.node, names, depth)
    return Expression(lambda scope, work: not inner.evaluate(scope, work), inner.cost + NODE_COST)


_ALLOWED: dict[type[nodes.Node], Callable[[Any, Mapping[str, Shape], int], Expression]] = {
    nodes.Name: _name,
    nodes.Const: _constant,
    nodes.List: _constant,
    nodes.Tuple: _constant,
    nodes.Neg: _constant,
    nodes.Getattr: _getattr,
    nodes.Getitem: _getitem,
    nodes.Filter: _filter,
    nodes.Concat: _concat,
    nodes.Compare: _compare,
    nodes.And: _and,
    nodes.Or: _or,
    nodes.Not: _not,
}
