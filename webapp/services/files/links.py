"""What is signed about files: the link in a payload, and the reference in a form that is shown again."""

from typing import NamedTuple

from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer

from webapp.clock import SkewedSigner
from webapp.config import current_config

SAMPLE = "sample"  # the file of test leads
KEPT_FOR = 24 * 3600  # seconds that a file waits for its lead
_HURRY = 3600  # seconds before that, after which a reference no longer holds


class Kept(NamedTuple):
    """A file that an earlier post of the same form brought."""

    public_id: str
    name: str
    size: int
    media_type: str
    sha256: str


def address(public_id: str) -> str:
    """The link of a file: who has it needs no sign-in."""
    name = public_id if public_id == SAMPLE else _signer().sign(public_id).decode()
    return f"{current_config.public_url}/files/{name}"


def file_of(token: str) -> str | None:
    """The public id of the file whose link this is; None if it was not signed here."""
    try:
        return _signer().unsign(token).decode()
    except (BadSignature, UnicodeError):
        return None


def reference(kept: Kept, form_id: str, nonce: str, field_key: str) -> str:
    """What a form carries of a stored file. It holds for this form as it was shown to this visitor, for 23 hours."""
    return str(_serializer().dumps([form_id, nonce, field_key, *kept]))


def referred(sent: object, form_id: str, nonce: str | None, field_key: str) -> Kept | None:
    """The file of a reference; None if it does not hold."""
    try:
        *of, public_id, name, size, media_type, sha256 = _serializer().loads(str(sent), max_age=KEPT_FOR - _HURRY)
    except (BadSignature, ValueError, TypeError):
        return None
    return Kept(public_id, name, size, media_type, sha256) if of == [form_id, nonce, field_key] else None


def _signer() -> Signer:
    return Signer(current_config.secret_key, salt="file link")


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_config.secret_key, salt="kept file", signer=SkewedSigner)
