"""Multipart forms whose text is not in UTF-8: werkzeug drops such bytes, and the whole form if a file's name has one.

What is not UTF-8 is kept as surrogates, as Python does with file names; services/intake/encodings.py reads it.
"""

import re
from io import BytesIO
from typing import IO, Any

from werkzeug.datastructures import FileStorage, Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser, MultiPartParser
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from webapp.services.intake import encodings

# Half a character, as in 表 of Shift_JIS. werkzeug would take it for an escape; browsers write none.
_BACKSLASH = re.compile(rb"([\x80-\xff])\\")


class TextTooLong(RequestEntityTooLarge):
    """One text of a multipart form is too long; its files may have more."""


class KeepingFormParser(FormDataParser):
    """Parses forms as werkzeug does, and loses no byte of a multipart form."""

    def _parse_multipart(self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any) -> Any:
        boundary = options.get("boundary", "").encode("ascii")
        if not boundary:
            raise ValueError("Missing boundary")
        parser = _Parser(
            stream_factory=self.stream_factory,
            max_form_memory_size=self.max_form_memory_size,
            max_form_parts=self.max_form_parts,
            cls=self.cls,
        )
        form, files = parser.parse(stream, boundary, content_length)
        return stream, form, files


class _Parser(MultiPartParser):
    """The same loop as in MultiPartParser, with two differences: how headers and how texts are decoded."""

    def parse(self, stream: IO[bytes], boundary: bytes, content_length: int | None) -> Any:
        decoder = _Decoder(boundary, max_form_memory_size=self.max_form_memory_size, max_parts=self.max_form_parts)
        found: dict[type, list[tuple[str, Any]]] = {Field: [], File: []}
        chunk: bytes | None = b""
        while chunk is not None:
            chunk = stream.read(self.buffer_size) or None
            decoder.receive_data(chunk)
            while not isinstance(event := decoder.next_event(), Epilogue | NeedData):
                if isinstance(event, Field | File):
                    part, content = event, self._begin(event, content_length)
                elif isinstance(event, Data):
                    content.write(event.data)
                    if isinstance(part, Field) and content.tell() > (self.max_form_memory_size or content.tell()):
                        raise TextTooLong
                    if not event.more_data:
                        content.seek(0)
                        found[type(part)].append((part.name or "", _value(part, content)))
        return self.cls(found[Field]), self.cls(found[File])

    def _begin(self, part: Field | File, content_length: int | None) -> IO[bytes]:
        return BytesIO() if isinstance(part, Field) else self.start_file_streaming(part, content_length)


class _Decoder(MultipartDecoder):
    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        try:
            return super()._parse_headers(data)
        except UnicodeDecodeError:  # a name of a file or a field
            raw = _BACKSLASH.sub(rb"\1\\\\", bytes(data))
            read = super()._parse_headers(raw.decode("latin-1").encode())
            return Headers([(name, value.encode("latin-1").decode("utf-8", "surrogateescape")) for name, value in read])


def _value(part: Field | File, content: IO[bytes]) -> str | FileStorage:
    if isinstance(part, File):
        return FileStorage(content, part.filename, part.name, headers=part.headers)
    label = parse_options_header(part.headers.get("content-type"))[1].get("charset")
    if label and encodings.codec(label):
        return encodings.DeclaredText(encodings.text(content.read(), label, "en"))
    return content.read().decode("utf-8", "surrogateescape")
