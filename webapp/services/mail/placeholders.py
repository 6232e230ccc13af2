"""Texts with {{ placeholders }}, which people write for mails: names are replaced by text, and no code is ever run.

A value is never filled in again: if a visitor writes {{ email }} into a form, the mail shows {{ email }}.
"""

import re
from collections.abc import Container, Mapping

_PLACEHOLDER = re.compile(r"\{\{([^{}\n]*)\}\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with each known name replaced by its value. An unknown name is replaced by nothing."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1].strip(), ""), text)


def unknown(text: str, names: Container[str]) -> list[str]:
    """The placeholders whose names are not in `names`, as they are written, each once."""
    return list(dict.fromkeys(found[0] for found in _PLACEHOLDER.finditer(text) if found[1].strip() not in names))
