"""Whether a file is what its name says: real beginnings of many types, and wrong pairs of them."""

import gzip
import io
import struct
import tarfile

import pytest

from tests.support.uploads import DOCX, ELF, EXE, HTML, JPEG, PDF, PNG, SVG, zipped
from webapp.services.files import kinds


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    return packed.getvalue()


def box(brand: bytes) -> bytes:
    """The beginning of MP4, MOV, HEIC and AVIF."""
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"\0" * 60


REST = b"\0" * 60
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600
REAL = [
    ("pdf", PDF),
    ("pdf", b"\n\n%PDF-1.4\n" + b"a" * 90),
    ("png", PNG),
    ("jpg", JPEG),
    ("jpeg", b"\xff\xd8\xff\xe1\0\x10Exif\0" + b"\1" * 90),
    ("jpg", b"\xff\xd8\xff\xdb\0\x10" + b"\1" * 90),
    ("jpg", b"\xff\xd8\xff\xee\0\x0eAdobe\0" + b"\1" * 90),
    ("gif", b"GIF89a\1\0\1\0" + REST + b"\0;"),
    ("gif", b"GIF87a\1\0\1\0" + REST + b"\0;"),
    ("webp", b"RIFF\x24\0\0\0WEBPVP8 " + REST),
    ("webp", b"RIFF\x24\0\0\0WEBPVP8L" + REST),
    ("heic", box(b"heic")),
    ("heic", box(b"mif1")),
    ("heif", box(b"heix")),
    ("avif", box(b"avif")),
    ("avif", box(b"avis")),
    ("tif", b"II*\0" + REST),
    ("tiff", b"MM\0*" + REST),
    ("bmp", b"BM" + struct.pack("<I", 100) + b"\0" * 90),
    ("doc", OLE),
    ("xls", OLE),
    ("ppt", OLE),
    ("docx", DOCX),
    ("docx", zipped("word/document.xml", "[Content_Types].xml")),
    ("xlsx", zipped("[Content_Types].xml", "xl/workbook.xml")),
    ("pptx", zipped("[Content_Types].xml", "ppt/presentation.xml")),
    ("odt", zipped("mimetype", "content.xml")),
    ("ods", zipped("mimetype", "content.xml")),
    ("odp", zipped("mimetype", "content.xml")),
    ("pages", zipped("Index/Document.iwa")),
    ("numbers", zipped("Index/Document.iwa")),
    ("key", zipped("Index/Document.iwa")),
    ("rtf", b"{\\rtf1\\ansi Hello}"),
    ("txt", b"Hello"),
    ("txt", "Grüße".encode("latin-1")),
    ("txt", "Grüße".encode("utf-16")),
    ("txt", b"MZ is how my name begins"),
    ("md", b"# Hello"),
    ("csv", b"a;b\r\n1;2\r\n"),
    ("tsv", b"a\tb\n"),
    ("zip", zipped("a.txt")),
    ("7z", b"7z\xbc\xaf'\x1c\0\4" + REST),
    ("rar", b"Rar!\x1a\7\1\0" + REST),
    ("rar", b"Rar!\x1a\7\0" + REST),
    ("gz", gzip.compress(b"a")),
    ("tgz", gzip.compress(b"a")),
    ("tar", tar()),
    ("mp3", b"ID3\3\0\0\0\0\0\x21" + REST),
    ("mp3", b"\xff\xfb\x90\x64" + REST),
    ("mp3", b"\xff\xf3\x90\x64" + REST),
    ("m4a", box(b"M4A ")),
    ("wav", b"RIFF\x24\0\0\0WAVEfmt " + REST),
    ("ogg", b"OggS\0\2" + REST),
    ("opus", b"OggS\0\2" + b"\0" * 22 + b"\1\x13OpusHead" + REST),
    ("flac", b"fLaC\0\0\0\x22" + REST),
    ("mp4", box(b"isom")),
    ("mp4", box(b"avc1")),
    ("mp4", box(b"mp42")),
    ("m4v", box(b"M4V ")),
    ("mov", box(b"qt  ")),
    ("webm", b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm" + REST),
    ("mkv", b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0#B\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x88matroska" + REST),
    ("avi", b"RIFF\0\1\0\0AVI LIST" + REST),
    ("dwg", b"AC1032" + REST),
    ("svg", SVG),
    ("html", HTML),
    ("step", b"ISO-10303-21;"),
]


@pytest.mark.parametrize(
    ("ending", "content"), REAL, ids=[f"{number} {ending}" for number, (ending, _) in enumerate(REAL)]
)
def test_a_real_file_fits_its_ending(ending: str, content: bytes) -> None:
    assert kinds.fits(ending, io.BytesIO(content))


def test_every_ending_of_every_group_has_a_real_file() -> None:
    assert {ending for ending, _ in REAL} >= set(kinds.MEDIA_TYPES)


@pytest.mark.parametrize("ending", sorted(kinds.MEDIA_TYPES))
@pytest.mark.parametrize("content", [EXE, ELF, b"\xcf\xfa\xed\xfe\7\0\0\1" + REST], ids=["Windows", "Linux", "macOS"])
def test_no_program_fits_any_ending_of_a_group(ending: str, content: bytes) -> None:
    assert not kinds.fits(ending, io.BytesIO(content))


@pytest.mark.parametrize("ending", sorted(set(kinds.MEDIA_TYPES) - {"txt", "md", "csv", "tsv"}))
@pytest.mark.parametrize(
    "content",
    [HTML, SVG, b"#!/bin/sh\nrm -rf ~\n", b"Hello", b"\0" * 300],
    ids=["HTML", "SVG", "script", "text", "zeros"],
)
def test_no_text_and_no_page_fits_the_ending_of_something_else(ending: str, content: bytes) -> None:
    assert not kinds.fits(ending, io.BytesIO(content))


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("pdf", PNG),
        ("png", PDF),
        ("jpg", PNG),
        ("docx", PDF),
        ("pdf", DOCX),
        ("mp4", JPEG),
        ("zip", JPEG),
        ("doc", DOCX),
    ],
)
def test_one_type_does_not_fit_another(ending: str, content: bytes) -> None:
    assert not kinds.fits(ending, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "ending"),
    [("cv.pdf", "pdf"), ("CV.PDF", "pdf"), ("a.tar.gz", "gz"), ("cv", ""), (".pdf", ""), ("cv.", ""), ("", "")],
)
def test_the_ending_of_a_name(name: str, ending: str) -> None:
    assert kinds.ending_of(name) == ending
