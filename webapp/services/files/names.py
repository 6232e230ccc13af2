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


def size_words(size: int) -> str:
    """A size as people read it: 900 bytes, 120 KB, 1.5 MB."""
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    if size < 1_000_000:
        return f"{round(size / 1000)} KB"
    return f"{size / 1_000_000:.1f}".removesuffix(".0") + " MB"
