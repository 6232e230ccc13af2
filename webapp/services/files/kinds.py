"""Types of file: the groups that people choose from, and whether a file's content is what its name says.

Both must be right: the name's ending is on the field's list, and the content fits the ending. Recognising content is
the work of puremagic, which knows some thousand signatures; it is imported when the first file comes. It returns every
type that the first and last bytes could be, so the question here is never "what is it?" but "can it be what its name
says?".
"""

import contextlib
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import IO

_OFFICE = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"
# What people choose on the Fields tab: the group, and its endings with the media type of each. No group has a type
# that browsers or office programs run (HTML, SVG, documents with macros): such an ending must be named.
GROUPS: dict[str, dict[str, str]] = {
    "images": {
        **dict.fromkeys(("jpg", "jpeg"), "image/jpeg"),
        **{name: f"image/{name}" for name in ("png", "gif", "webp", "heic", "heif", "avif", "bmp")},
        **dict.fromkeys(("tif", "tiff"), "image/tiff"),
    },
    "pdf": {"pdf": "application/pdf"},
    "documents": {
        "doc": "application/msword",
        "docx": f"{_OFFICE}.wordprocessingml.document",
        "odt": f"{_ODF}.text",
        "rtf": "application/rtf",
        "txt": "text/plain",
        "md": "text/markdown",
        "pages": "application/vnd.apple.pages",
    },
    "spreadsheets": {
        "xls": "application/vnd.ms-excel",
        "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
        "ods": f"{_ODF}.spreadsheet",
        "csv": "text/csv",
        "tsv": "text/tab-separated-values",
        "numbers": "application/vnd.apple.numbers",
    },
    "presentations": {
        "ppt": "application/vnd.ms-powerpoint",
        "pptx": f"{_OFFICE}.presentationml.presentation",
        "odp": f"{_ODF}.presentation",
        "key": "application/vnd.apple.keynote",
    },
    "archives": {
        "zip": "application/zip",
        "7z": "application/x-7z-compressed",
        "rar": "application/vnd.rar",
        "gz": "application/gzip",
        "tgz": "application/gzip",
        "tar": "application/x-tar",
    },
    "audio": {
        "mp3": "audio/mpeg",
        "m4a": "audio/mp4",
        "wav": "audio/wav",
        "ogg": "audio/ogg",
        "opus": "audio/ogg",
        "flac": "audio/flac",
    },
    "video": {
        "mp4": "video/mp4",
        "m4v": "video/mp4",
        "mov": "video/quicktime",
        "webm": "video/webm",
        "mkv": "video/matroska",
        "avi": "video/x-msvideo",
    },
}
USUAL = ("images", "pdf", "documents")  # of a new field
MEDIA_TYPES = {ending: media_type for group in GROUPS.values() for ending, media_type in group.items()}
UNKNOWN = "application/octet-stream"

_SPELLINGS = frozenset({"jpeg", "tiff", "heif", "tgz", "m4v"})
# Endings of one container, whose signatures do not tell them apart.
_CONTAINERS = (
    {"zip", "docx", "xlsx", "pptx", "docm", "xlsm", "pptm", "odt", "ods", "odp", "pages", "numbers", "key", "epub"},
    {"doc", "xls", "ppt", "msg", "vsd"},
    {"mp4", "m4v", "m4a", "mov", "3gp", "qt"},
    {"heic", "heif", "hif", "avif"},
    {"jpg", "jpeg", "jpe", "jfif"},
    {"tif", "tiff"},
    {"mp3", "mpga"},
    {"gz", "tgz"},
    {"ogg", "oga", "opus", "ogv"},
    {"mkv", "webm", "mka"},
)
_TEXTS = frozenset({"txt", "md", "csv", "tsv", "json", "xml", "html", "htm", "svg", "ics", "vcf", "log", "yaml", "yml"})
_ENDING = re.compile(r"\.[a-z0-9]{1,10}")
# What puremagic 1.30 does not know of them: other brands of the container that phones write, MP3 without a tag and of
# other versions, and PDF after some white space (readers accept a KB of it).
_ALSO: dict[str, Callable[[bytes], bool]] = {
    "mp4": lambda head: head[4:8] == b"ftyp",
    "heic": lambda head: head[4:8] == b"ftyp",
    "mp3": lambda head: head[:1] == b"\xff" and head[1:2] in (b"\xfa", b"\xfb", b"\xf2", b"\xf3", b"\xe2", b"\xe3"),
    "pdf": lambda head: b"%PDF-" in head[:1024],
}
_PROGRAMS = (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!")
_HEAD = 8192  # bytes that are read to find out whether it is text


def is_known(word: str) -> bool:
    """Whether it can be on a field's list: a group, or an ending such as ".dwg"."""
    return word in GROUPS or _ENDING.fullmatch(word) is not None


def endings(types: Iterable[str]) -> list[str]:
    """All endings of a field's list, without the dot, each once."""
    found = [ending for word in types for ending in GROUPS.get(word, {word.lstrip("."): ""})]
    return list(dict.fromkeys(found))


def shown(found: Iterable[str]) -> list[str]:
    """Endings as people read them: JPG, PDF; without a second spelling of the same type."""
    return [ending.upper() for ending in found if ending not in _SPELLINGS]


def ending_of(name: str) -> str:
    """The ending of a file's name in lower case, without the dot; empty if it has none."""
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if dot and stem else ""


def media_type(ending: str) -> str:
    return MEDIA_TYPES.get(ending, UNKNOWN)


def fits(ending: str, stream: IO[bytes]) -> bool:
    """Whether the content can be what the ending says. Reads the first and the last bytes only."""
    stream.seek(0)
    head = stream.read(_HEAD)
    if ending in _TEXTS:
        return _is_text(head)
    if ending in _recognised():
        alike = _alike(ending)
        return not alike.isdisjoint(_candidates(stream)) or any(found(head) for found in _also(alike))
    return not head.startswith(_PROGRAMS)  # a type without a signature, which the owner named


def _is_text(head: bytes) -> bool:
    """UTF-16 has NULs, and a mark at its beginning."""
    return head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" not in head


def _alike(ending: str) -> set[str]:
    return {ending}.union(*(group for group in _CONTAINERS if ending in group))


def _also(alike: set[str]) -> list[Callable[[bytes], bool]]:
    return [found for ending, found in _ALSO.items() if ending in alike]


def _candidates(stream: IO[bytes]) -> set[str]:
    import puremagic

    stream.seek(0)
    with contextlib.suppress(puremagic.PureError, ValueError):
        return {found.extension.lstrip(".").lower() for found in puremagic.magic_stream(stream)}
    return set()


@cache
def _recognised() -> frozenset[str]:
    """The endings whose content can be recognised."""
    import puremagic.main

    signatures = (*puremagic.main.magic_header_array, *puremagic.main.magic_footer_array)
    known = {entry.extension.lstrip(".").lower() for entry in signatures}
    return frozenset(known.union(*(group for group in _CONTAINERS if not group.isdisjoint(known))))
