"""The text of a post or a query that may not be in UTF-8, read again from its bytes. No ordinary post comes here."""

from flask import request

from webapp.services.intake import encodings, published_forms

Pairs = list[tuple[str, str]]


def form() -> Pairs:
    """The names and values that were posted, in order."""
    label = request.mimetype_params.get("charset")
    if request.mimetype == "multipart/form-data":
        return encodings.multipart(request.form.items(multi=True), label, _language())
    return encodings.url_encoded(request.get_data(), label, _language())


def query() -> Pairs:
    """The names and values of the query, in order."""
    return encodings.query(request.query_string, _language())


def body() -> str:
    """The whole body."""
    return encodings.text(request.get_data(), request.mimetype_params.get("charset"), _language())


def _language() -> str:
    """The form's language now, for which it asks the database; NotFound where there is no such form."""
    return published_forms.get((request.view_args or {})["public_id"]).rules.language
