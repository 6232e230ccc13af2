"""The answer to a File field: what was uploaded now, and what an earlier post of the same form brought.

A form that is shown again cannot fill in a file control. So what its field accepts is stored at once, and the form
carries a signed reference to it, in a ticked box: unticking removes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from webapp.models import Field, FieldType
from webapp.services.files import kinds, links, names, uploads
from webapp.services.files.links import Kept
from webapp.services.files.uploads import Upload
from webapp.services.intake.rules import Rules

REFERENCE = "_file."  # a control with this and the field's key is a reference; a field's key begins with a letter
MOST_UNDECLARED = 50


class PostedFiles(NamedTuple):
    """The files of a post, by field key. `gone`: fields with a reference that no longer holds.

    `uploads` and `kept` also have files for keys that no field has.
    """

    uploads: Mapping[str, Sequence[Upload]]
    kept: Mapping[str, Sequence[Upload]]
    gone: frozenset[str]

    @classmethod
    def of(
        cls,
        sent: Mapping[str, Sequence[Upload]],
        repeated: Mapping[str, Sequence[str]],
        form_id: str,
        nonce: str | None,
        lost: Iterable[str] = (),
    ) -> "PostedFiles":
        """`repeated` has the references; `nonce` is that of the form's token; `lost` are files that were deleted."""
        kept: dict[str, list[Upload]] = {}
        gone = set()
        for name in (name for name in repeated if name.startswith(REFERENCE)):
            key = name.removeprefix(REFERENCE)
            for reference in dict.fromkeys(repeated[name]):
                found = links.referred(reference, form_id, nonce, key)
                if found is None or found.public_id in lost:
                    gone.add(key)
                else:
                    kept.setdefault(key, []).append(_kept(key, found))
        return cls(sent, kept, frozenset(gone))

    def references(self, fields: Iterable[Field]) -> set[str]:
        """The names of controls that are references: to a file, or to one that a field of the form no longer has."""
        return {REFERENCE + key for key in (*self.kept, *self.gone.intersection(_asked(fields)))}


NO_FILES = PostedFiles({}, {}, frozenset())


def _kept(key: str, found: Kept) -> Upload:
    return Upload(
        field_key=key,
        name=found.name,
        size=found.size,
        public_id=found.public_id,
        sha256=found.sha256,
        media_type=found.media_type,
        is_accepted=True,
        is_stored=True,
    )


def read(field: Field, sent: object, files: PostedFiles, rules: Rules) -> tuple[list[Upload], str | None]:
    """The files that the field takes, and what is wrong, or None: a sentence for each file that it does not take."""
    new, kept = files.uploads.get(field.key, ()), files.kept.get(field.key, ())
    if sent not in (None, "", []) and not new:
        return list(kept), str(rules.invalid("file_text", field))
    most = uploads.most(field)
    taken = [] if most == 1 and new else list(kept)  # choosing again replaces
    faults = [(upload, _fault(field, upload, rules)) for upload in new]
    taken += [upload for upload, fault in faults if fault is None]
    wrong = " ".join(dict.fromkeys(fault for _, fault in faults if fault)) or None
    if len(taken) > most:
        wrong = wrong or str(rules.invalid("file_many", field, number=len(taken), limit=most))
    if field.key in files.gone and not new:
        wrong = wrong or str(rules.invalid("file_gone", field))
    if field.required and not taken:
        wrong = wrong or str(rules.invalid("needed", field))
    for upload in taken[:most]:
        upload.accept()
    return taken[:most], wrong


def _fault(field: Field, upload: Upload, rules: Rules) -> str | None:
    """Why the field does not take the file, as a sentence."""
    ending, limit, name = kinds.ending_of(upload.name), limits(field), upload.name
    if not upload.size:
        return str(rules.invalid("file_empty", field, file=name))
    if upload.size > uploads.largest(field):
        size = names.size_words(upload.size, up=True)
        return str(rules.invalid("file_size", field, size=size, limit=limit.size, file=name))
    if ending not in uploads.endings(field):
        return str(rules.invalid("file_type", field, types=limit.types, file=name))
    if upload.stream is not None and not kinds.fits(ending, upload.stream):
        return str(rules.invalid("file_content", field, file=name))
    return None


class Accepted(NamedTuple):
    """What a File field accepts, as its control says it: `types` "JPG, PDF", `size` "10 MB", `accept` ".jpg,.pdf"."""

    types: str
    size: str
    accept: str
    most: int


def limits(field: Field) -> Accepted:
    found = uploads.endings(field)
    size = f"{uploads.largest(field) // uploads.MEGABYTE} MB"
    accept = ",".join(f".{ending}" for ending in found)
    return Accepted(", ".join(kinds.shown(found)), size, accept, uploads.most(field))


def refer(files: Iterable[Upload], form_id: str, nonce: str) -> None:
    """Gives each file the reference that the form carries when it is shown again."""
    for upload in files:
        kept = Kept(upload.public_id, upload.name, upload.size, upload.media_type, upload.sha256)
        upload.reference = links.reference(kept, form_id, nonce, upload.field_key)


def _asked(fields: Iterable[Field]) -> set[str]:
    return {field.key for field in fields if field.type == FieldType.FILE}


def undeclared(files: PostedFiles, fields: Iterable[Field]) -> list[dict[str, Any]]:
    """The files that no File field asks for: field, name and size of each. They are not stored, or not for long: one
    that was stored for a field that is no longer there waits for a lead in vain."""
    asked = _asked(fields)
    every = chain(files.kept.items(), files.uploads.items())
    found = [upload for key, sent in every if key not in asked for upload in sent]
    return [
        {"field": names.cleaned(upload.field_key), "name": upload.name, "size": upload.size}
        for upload in found[:MOST_UNDECLARED]
    ]


def undeclared_answers(files: PostedFiles, fields: Iterable[Field]) -> dict[str, Any]:
    """The same as undeclared answers: one `file_entry` by key, a list of them where a key has several."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in undeclared(files, fields):
        found.setdefault(each["field"], []).append(file_entry(each["name"], each["size"]))
    return {key: entries[0] if len(entries) == 1 else entries for key, entries in found.items()}


def file_entry(name: str, size: int) -> dict[str, Any]:
    """The answer for a file that is not kept; `size` in bytes."""
    return {"file": name, "size": size}
