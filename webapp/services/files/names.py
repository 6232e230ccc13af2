"""Names and sizes of files, for people. A name is never used as a path."""

import re

LONGEST = 200  # characters
# Controls, and the marks that turn text around: "gpj.exe" could look like "exe.jpg".
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def cleaned(name: str) -> str:
    """The last part of the path that was sent, on one line and cut; its ending stays."""
    name = name.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    name = re.split(r"[/\\]", name)[-1]
    name = " ".join(_UNSEEN.sub("", name).split()).strip(". ") or "file"
    if len(name) <= LONGEST:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 20:
        return name[:LONGEST]
    return f"{stem[: LONGEST - len(ending) - 1]}.{ending}"


def size_words(size: int, up: bool = False) -> str:
    """A size as people read it: 900 bytes, 120 KB, 1.5 MB. `up`: a size beyond a limit never reads as the limit."""
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    kilobytes = _parts(size, 1000, up)
    if kilobytes < 1000:
        return f"{kilobytes} KB"
    return f"{_parts(size, 100_000, up) / 10:.1f}".removesuffix(".0") + " MB"


def _parts(size: int, unit: int, up: bool) -> int:
    return -(-size // unit) if up else round(size / unit)
