"""What services raise when they decline."""

from collections.abc import Iterator
from contextlib import contextmanager


class Refused(Exception):
    """The input cannot be taken; the text is a sentence for the person who can act on it. `field` names its control."""

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


@contextmanager
def refusing(field: str) -> Iterator[None]:
    """Makes a ValueError of the block, a sentence too, the refusal of `field`."""
    try:
        yield
    except ValueError as error:
        raise Refused(str(error), field) from None
