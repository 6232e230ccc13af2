"""A file of a post, and what a field accepts."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, Any

from webapp.ids import file_id
from webapp.models import Field
from webapp.services.files import kinds, links, names

MEGABYTE = 1024 * 1024
LARGEST_DEFAULT, MOST_DEFAULT = 10, 1  # megabytes of a file, and files, where a field does not say
_PIECE = 256 * 1024


@dataclass(eq=False)
class Upload:
    """`stream` is None where the bytes were stored by an earlier post of the same form. `name` is cleaned.

    `is_accepted`: its field takes it, so its bytes are stored, even if another answer is wrong.
    """

    field_key: str
    name: str
    size: int
    stream: IO[bytes] | None = None
    public_id: str = field(default_factory=file_id)
    sha256: str = ""
    media_type: str = kinds.UNKNOWN
    is_accepted: bool = False
    is_stored: bool = False
    reference: str = ""  # what a form that is shown again says of it, see links.py

    @classmethod
    def of(cls, field_key: str, name: str, stream: IO[bytes]) -> "Upload":
        """The file as it was received."""
        size = stream.seek(0, 2)
        return cls(field_key, names.cleaned(name), size, stream)

    @property
    def entry(self) -> dict[str, Any]:
        """What a lead, and its receiver, gets of the file."""
        return {"name": self.name, "size": self.size, "type": self.media_type, "url": links.address(self.public_id)}

    @property
    def identity(self) -> list[Any]:
        """The same for the same file, whenever it was received."""
        self._read()
        return [self.name, self.size, self.sha256]

    @property
    def size_words(self) -> str:
        return names.size_words(self.size)

    def accept(self) -> None:
        """Notes that its field takes it, and what it holds."""
        self.is_accepted, self.media_type = True, kinds.media_type(kinds.ending_of(self.name))
        self._read()

    def _read(self) -> None:
        if self.stream is not None and not self.sha256:
            self.sha256 = _digest(self.stream)


def _digest(stream: IO[bytes]) -> str:
    found = hashlib.sha256()
    stream.seek(0)
    while piece := stream.read(_PIECE):
        found.update(piece)
    return found.hexdigest()


def largest(asked: Field) -> int:
    """Bytes that a file of this field may have."""
    return (asked.file_megabytes or LARGEST_DEFAULT) * MEGABYTE


def most(asked: Field) -> int:
    """How many files this field takes."""
    return asked.file_count or MOST_DEFAULT


def endings(asked: Field) -> list[str]:
    return kinds.endings(asked.file_types or kinds.USUAL)


def body_limit(fields: Iterable[Field], cap: int) -> int:
    """Bytes that files may add to a post of these File fields; at most `cap`.

    Twice what the fields take: a file that is somewhat too large then gets a sentence at its field, and the other
    answers stay.
    """
    return min(2 * sum(largest(asked) * most(asked) for asked in fields), cap)
