"""The text of a post or a query that may not be in UTF-8, read again from its bytes. No ordinary post comes here."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

from flask import request

from webapp.services.intake import encodings, published_forms

Pairs = list[tuple[str, str]]

_NOT_UTF_8 = re.compile("[\x1b\udc80-\udcff]")  # what web/multipart.py keeps of other encodings


def form() -> Pairs:
    """The names and values that were posted, in order."""
    label = request.mimetype_params.get("charset")
    if request.mimetype == "multipart/form-data":
        return encodings.multipart(request.form.items(multi=True), label, _language(), _names_of_files())
    return encodings.url_encoded(request.get_data(), label, _language())


def reader_of_names() -> Callable[[str], str]:
    """Reads the name of a file, or of its control, in the encoding of the whole multipart post."""
    given, names = list(request.form.items(multi=True)), _names_of_files()
    label = request.mimetype_params.get("charset")
    is_declared = label is not None or encodings.CHARSET in request.form
    if not is_declared and not _NOT_UTF_8.search("".join(chain(names, *given))):
        return str
    return partial(encodings.part_text, chosen=encodings.multipart_codec(given, label, _language(), names))


def query() -> Pairs:
    """The names and values of the query, in order."""
    return encodings.query(request.query_string, _language())


def body() -> str:
    """The whole body."""
    return encodings.text(request.get_data(), request.mimetype_params.get("charset"), _language())


def _names_of_files() -> Sequence[str]:
    return [name for key, parts in request.files.lists() for part in parts for name in (key, part.filename or "")]


def _language() -> str:
    """The form's language now, for which it asks the database; NotFound where there is no such form."""
    return published_forms.get((request.view_args or {})["public_id"]).rules.language
