"""Reads a post that may bring files, within limits that depend on its form.

Everywhere else a body may have 256 KB. A multipart post to a form with a File field may have more: the limit is known
before the first byte is read. werkzeug streams each file to the disk (TMPDIR) once it has 500 KB.
"""

import contextlib
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import IO, Any, NoReturn, cast

from flask import abort, current_app, g, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import NotFound, RequestEntityTooLarge
from werkzeug.formparser import default_stream_factory

from webapp.config import current_config
from webapp.models import FieldType
from webapp.services.files import names, uploads
from webapp.services.files.uploads import Upload
from webapp.services.intake import published_forms
from webapp.web.security import MAX_FIELDS

UNREADABLE = "The form could not be read: it is empty, not complete, or has no boundary. Please send it again."
DRAIN_FOR = 20.0  # seconds
PIECE = 256 * 1024


def read(public_id: str) -> Mapping[str, Sequence[Upload]]:
    """The files of a multipart post, by the name of the control; reads the whole body, so that `request.form` is there.

    NotFound where there is no such form, 413 beyond its limits, 400 for a body that cannot be parsed.
    """
    usual = current_app.config["MAX_CONTENT_LENGTH"]
    more = _for_files(public_id, usual)
    request.max_content_length = usual + more
    opened = _note_streams()
    try:
        form, files = request.form, request.files
    except RequestEntityTooLarge:
        _close(opened)
        _too_large(usual + more if more else 0)
    if not form and not files:
        _close(opened)
        abort(400, UNREADABLE)
    if more and sum(len(text.encode("utf-8", "replace")) for texts in form.listvalues() for text in texts) > usual:
        _too_large()
    found = {key: [_upload(key, part) for part in parts if _is_chosen(part)] for key, parts in files.lists()}
    return {key: sent for key, sent in found.items() if sent}


def _upload(key: str, part: FileStorage) -> Upload:
    return Upload.of(key, part.filename or "", part.stream)


def _is_chosen(part: FileStorage) -> bool:
    """A browser sends an empty part without a name for a control where no file was chosen."""
    return bool(part.filename) or part.stream.seek(0, 2) > 0


def _for_files(public_id: str, usual: int) -> int:
    """How many bytes a post to this form may have for its files. A large post is worth a look at the form as it is now:
    a File field may be new."""
    form = published_forms.cached(public_id)
    is_small = request.content_length is not None and request.content_length <= usual
    if form is None or not is_small:
        try:
            form = published_forms.get(public_id)
        except NotFound:
            drain()
            raise
    if form.interface.closed_at:
        return 0
    asked = [field for field in form.interface.fields if field.type == FieldType.FILE]
    return uploads.body_limit(asked, current_config.files_max_mb * uploads.MEGABYTE)


def _note_streams() -> list[IO[bytes]]:
    """The files that werkzeug opens from now on. It closes those of a body that it can read, and forgets the others."""
    opened: list[IO[bytes]] = []

    def open_stream(*given: Any, **named: Any) -> IO[bytes]:
        opened.append(default_stream_factory(*given, **named))
        return opened[-1]

    cast(Any, request)._get_current_object()._get_file_stream = open_stream
    return opened


def _close(opened: Sequence[IO[bytes]]) -> None:
    for stream in opened:
        stream.close()


def _too_large(limit: int = 0) -> NoReturn:
    """413, in words that say the limit, if it is not the usual one."""
    drain(limit)
    if limit:
        most = f"{names.size_words(limit)} in {MAX_FIELDS} fields"
        g.too_large = f"This form accepts at most {most}. Please send fewer or smaller files."
    raise RequestEntityTooLarge


def drain(limit: int = 0) -> None:
    """Reads the rest of the body and drops it, up to four times the limit: a browser that is still sending would show a
    lost connection instead of our answer."""
    ends_at, left = monotonic() + DRAIN_FOR, 4 * max(limit, current_app.config["MAX_CONTENT_LENGTH"])
    stream = request.environ["wsgi.input"]
    with contextlib.suppress(OSError):
        while left > 0 and monotonic() < ends_at and (piece := stream.read(PIECE)):
            left -= len(piece)
