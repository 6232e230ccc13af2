"""Downloads of files that visitors added. They are never shown inside a page: always saved, never guessed at."""

import unicodedata
from urllib.parse import quote

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from webapp.db.transactions import end_transaction
from webapp.models import File
from webapp.services.files import links, stored
from webapp.services.files.storage import FileMissing, file_store
from webapp.services.intake.answers import clean
from webapp.web.security import account_id, public

blueprint = Blueprint("files", __name__)

# What a browser may be told of the type. Of others, such as HTML and SVG, it learns nothing.
HARMLESS = ("image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf", "text/plain", "text/csv")
CSP = "default-src 'none'; sandbox"
SAFE = "!#$&+-.^_`|~"  # RFC 5987's attr-char
SAMPLE = b"This is the file of a test lead. A real one has what the visitor sent.\n"


@blueprint.get("/files/<token>")
@public
def download(token: str) -> Response:
    """The link in a payload, for receivers and people without sign-in."""
    if token == links.SAMPLE:
        return _saved(Response(SAMPLE), "sample.txt", "text/plain")
    return _download(stored.by_link(clean(token)))


@blueprint.get("/leads/<lead_id>/files/<file_id>")
def of_lead(lead_id: str, file_id: str) -> Response:
    """The same on the page of a lead, for the people of its account, for as long as the lead is kept."""
    return _download(stored.get(account_id(), clean(lead_id), clean(file_id)))


def _download(file: File) -> Response:
    key, name, media_type, size = file.storage_key, file.name, file.media_type, file.size
    end_transaction()  # none is open while bytes are sent
    try:
        response = Response(file_store.read(key))
    except FileMissing:
        raise NotFound from None
    response.headers["Content-Length"] = str(size)
    return _saved(response, name, media_type)


def _saved(response: Response, name: str, media_type: str) -> Response:
    headers = response.headers
    headers["Content-Type"] = media_type if media_type in HARMLESS else "application/octet-stream"
    headers.set("Content-Disposition", "attachment", **_names(name))
    headers["Content-Security-Policy"] = CSP
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _names(name: str) -> dict[str, str]:
    """RFC 6266: the name in ASCII; where that loses something, also as it is."""
    if name.isascii():
        return {"filename": name}
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip()
    plain = f"file{plain}" if plain.startswith(".") or not plain else plain
    return {"filename": plain, "filename*": f"UTF-8''{quote(name, safe=SAFE)}"}
