"""Small files of many types, real enough to be recognised; and forms that ask for them."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from webapp.db.transactions import transaction
from webapp.models import Field, FieldType, Interface
from webapp.services.interfaces import fields

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n" + b"x" * 200 + b"\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 100 + b"IEND\xaeB`\x82"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\1" * 100 + b"\xff\xd9"
EXE = b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff" + b"\0" * 46 + b"\x80\0\0\0" + b"\0" * 64 + b"PE\0\0" + b"\0" * 100
ELF = b"\x7fELF\2\1\1" + b"\0" * 100
HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return packed.getvalue()


DOCX = zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml")


def part(content: bytes, name: str) -> FileStorage:
    """A file for a multipart body."""
    return FileStorage(io.BytesIO(content), filename=name)


def multipart(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a test client's post. The client's own encoding leaves a temporary file open."""
    boundary, body = encode_multipart(values)
    return {"data": body, "content_type": f"multipart/form-data; boundary={boundary}"}


def ask_for_files(interface: Interface, key: str = "cv", **settings: Any) -> Field:
    """Adds a File field to the form."""
    with transaction():
        given = {"label": key.upper(), "key": key, "file_types": "pdf, images, documents", **settings}
        return fields.add(interface, FieldType.FILE, given)
