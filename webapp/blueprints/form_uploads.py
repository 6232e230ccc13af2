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

from webapp.blueprints import foreign_text
from webapp.config import current_config
from webapp.models import FieldType, Interface
from webapp.services.files import names, uploads
from webapp.services.files.uploads import Upload
from webapp.services.intake import idempotency, published_forms
from webapp.web.multipart import TextTooLong
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
    except RequestEntityTooLarge as error:
        _close(opened)
        size = request.content_length
        is_text = isinstance(error, TextTooLong) or (size is not None and size <= usual + more)
        _too_large(usual + more, in_words=more > 0 and not is_text)
    if not form and not files:
        _close(opened)
        abort(400, UNREADABLE)
    if more and sum(len(text.encode("utf-8", "replace")) for texts in form.listvalues() for text in texts) > usual:
        _too_large(usual)
    return _uploads([(key, part) for key, parts in files.lists() for part in parts if _is_chosen(part)])


def _uploads(chosen: Sequence[tuple[str, FileStorage]]) -> Mapping[str, Sequence[Upload]]:
    read = foreign_text.reader_of_names() if chosen else str
    found: dict[str, list[Upload]] = {}
    for key, part in chosen:
        found.setdefault(read(key), []).append(Upload.of(read(key), read(part.filename or ""), part.stream))
    return found


def _is_chosen(part: FileStorage) -> bool:
    """A browser sends an empty part without a name for a control where no file was chosen."""
    return bool(part.filename) or part.stream.seek(0, 2) > 0


def _for_files(public_id: str, usual: int) -> int:
    """How many bytes a post to this form may have for its files. A large post is worth a look at the form as it is now:
    a File field may be new. A closed form reads as much as an open one, so that it can answer that it is closed."""
    form = published_forms.cached(public_id)
    is_small = request.content_length is not None and request.content_length <= usual
    if form is None or not is_small:
        try:
            form = published_forms.get(public_id)
        except NotFound:
            drain()
            raise
    most = current_config.files_max_mb * uploads.MEGABYTE
    if not is_small and _was_accepted(form.interface):
        return most  # then by a File field that may have been removed, or made smaller, meanwhile
    return uploads.body_limit([field for field in form.interface.fields if field.type == FieldType.FILE], most)


def _was_accepted(interface: Interface) -> bool:
    """Whether a lead was stored with the Idempotency-Key of this post; the post's content is not read yet."""
    with contextlib.suppress(ValueError):
        key = idempotency.key_of(request.headers.get("Idempotency-Key", ""))
        with contextlib.suppress(idempotency.KeyTaken):
            return idempotency.lead_of(*idempotency.keyed(interface.id, key, {}, {})) is not None
        return True
    return False


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


def _too_large(limit: int, in_words: bool = False) -> NoReturn:
    """413. `in_words`: the answer says this limit, which is for files; else the usual one, which is for text."""
    drain(limit)
    if in_words:
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
