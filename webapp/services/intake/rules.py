"""What applies to a whole form: its words, and how its visitors write numbers and phone numbers."""

from collections.abc import Mapping
from typing import NamedTuple

from webapp.models import Field
from webapp.services.interfaces.form_texts import DEFAULTS, fill

UNPARSED = "unparsed"  # the text is not what its field asks for, and is delivered as it was typed
CUT = "cut"  # it was longer than the limit


class JsonNumber(str):
    """A number of a JSON post as it was written, so that a phone number sent as a number keeps its digits."""


class InvalidAnswer(Exception):
    """An answer that is not accepted; the text is a sentence for the visitor."""


class Rules(NamedTuple):
    """A form's words, its language (a BCP 47 tag), and the country whose phone numbers need no country code."""

    words: Mapping[str, str] = DEFAULTS
    country: str | None = None
    language: str = "en"

    def invalid(self, name: str, field: Field, **values: object) -> InvalidAnswer:
        return InvalidAnswer(fill(self.words[name], label=field.label, **values))


class Read(NamedTuple):
    """What a text was read as: the value to store, and what a receiver must know about it: UNPARSED, CUT or None."""

    kept: object
    mark: str | None = None
