"""What a filter is, and what all files of filters share."""

from collections.abc import Callable
from typing import Any, NamedTuple

from webapp.webhooks.formats.known_names import ANYTHING, Shape
from webapp.webhooks.formats.texts import as_text
from webapp.webhooks.formats.work import Work

Apply = Callable[[Any, Work], Any]


class UnfitArgument(ValueError):
    """An argument of a filter that cannot be used, in one sentence."""


def anything(shape: Shape) -> Shape:
    return ANYTHING


def same(shape: Shape) -> Shape:
    return shape


class NamedFilter(NamedTuple):
    """`make` takes the arguments, which are constants, and returns what is done to a value; TypeError for too many or
    too few, UnfitArgument for wrong ones. `gives`: the shape of what comes out, by that of what goes in."""

    make: Callable[..., Apply]
    usage: str
    gives: Callable[[Shape], Shape] = anything


def of_texts(change: Callable[[str], Any]) -> Apply:
    """Changes a text; also each text in a list or an object. Nothing stays nothing, and anything else becomes text."""

    def apply(value: Any, work: Work) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            return [apply(each, work) for each in value]
        if isinstance(value, dict):
            return {key: apply(each, work) for key, each in value.items()}
        text = value if isinstance(value, str) else as_text(value)
        work.spend(len(text) + 25)
        return change(text)

    return apply


def text_of(value: Any, work: Work) -> str:
    text = as_text(value)
    work.spend(len(text))
    return text


def whole(value: Any, what: str, most: int) -> int:
    """An argument that must be a whole number from 1 to `most`."""
    if type(value) is not int or not 1 <= value <= most:
        raise UnfitArgument(f"{what} must be a whole number from 1 to {most:,}.")
    return value


def texts(*values: Any) -> None:
    """Arguments that must be texts."""
    if not all(isinstance(value, str) for value in values):
        raise UnfitArgument("it takes texts in quotation marks.")
