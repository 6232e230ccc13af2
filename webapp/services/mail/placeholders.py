"""Texts with {{ placeholders }}, as people write them for mails: names are replaced by text, and nothing is ever run.

What is filled in is not looked at again: a visitor who writes {{ email }} into a form is quoted.
"""

import re
from collections.abc import Container, Mapping

_PLACEHOLDER = re.compile(r"\{\{([^{}\n]*)\}\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with each known name replaced by its value; an unknown one leaves nothing."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1].strip(), ""), text)


def unknown(text: str, names: Container[str]) -> list[str]:
    """The placeholders, as written, whose names are not among `names`; each once."""
    return list(dict.fromkeys(found[0] for found in _PLACEHOLDER.finditer(text) if found[1].strip() not in names))
