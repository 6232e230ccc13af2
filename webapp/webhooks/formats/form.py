"""Form-encoded: the flat keys as application/x-www-form-urlencoded in UTF-8, as a browser sends a form."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from webapp.webhooks.formats import flat
from webapp.webhooks.formats.encoding import whole_characters
from webapp.webhooks.formats.texts import as_text

CONTENT_TYPE = "application/x-www-form-urlencoded"


def render(document: Mapping[str, Any]) -> bytes:
    return encode(flat.flattened(document))


def encode(values: Mapping[str, Any]) -> bytes:
    """Names and values in their order. Nothing is an empty value; true and false are those words."""
    pairs = [(whole_characters(name), whole_characters(as_text(value))) for name, value in values.items()]
    return urlencode(pairs).encode("ascii")
