"""The exception that services raise when they refuse an input."""

from collections.abc import Iterator
from contextlib import contextmanager


class Refused(Exception):
    """The input is refused. The text is a sentence for the person who can act on it; `field` names the form field."""

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


@contextmanager
def refusing(field: str) -> Iterator[None]:
    """Turns a ValueError in the block, whose text is a sentence, into a Refused of `field`."""
    try:
        yield
    except ValueError as error:
        raise Refused(str(error), field) from None
