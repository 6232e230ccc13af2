"""The rows and bytes of files: kept for a lead, given to it, read, deleted.

The order makes it safe. A file's row is committed before its bytes are stored, and deleted after them, so that no bytes
are ever forgotten. A lead gets its files in the transaction that stores it, so that no lead has a file that is not
there. What no lead took is deleted after a day.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, insert, select, update
from werkzeug.exceptions import Gone, NotFound

from webapp.clock import utcnow
from webapp.db import database_clock
from webapp.db.transactions import end_transaction, read_only, transaction
from webapp.extensions import db
from webapp.models import Field, File, Interface, Lead
from webapp.services.files import links
from webapp.services.files.storage import StorageDown, file_store
from webapp.services.files.uploads import Upload

BATCH = 50
DELETED = "This file was deleted, together with the answers that it came with."
ENDED = "This link has ended. Ask the people who sent it to you for the file."

log = structlog.get_logger()


class FilesGone(Exception):
    """Files that a lead should get cannot be given to it: they were deleted, or another lead has them."""

    def __init__(self, public_ids: set[str]) -> None:
        super().__init__(", ".join(sorted(public_ids)))
        self.public_ids = public_ids


def keep(interface: Interface, uploads: Sequence[Upload]) -> None:
    """Stores those that their fields accept; they wait for a lead. StorageDown if that fails.

    No transaction is open while bytes are stored.
    """
    new = [upload for upload in uploads if upload.is_accepted and not upload.is_stored]
    if not new:
        return
    with transaction():
        now = database_clock.now()
        rows = {upload.public_id: _row(interface, upload, now) for upload in new}
        db.session.execute(insert(File), list(rows.values()))
    for upload in new:
        assert upload.stream is not None
        file_store.put(str(rows[upload.public_id]["storage_key"]), upload.stream)
        upload.is_stored = True


def _row(interface: Interface, upload: Upload, now: datetime) -> dict[str, object]:
    return {
        "public_id": upload.public_id,
        "account_id": interface.account_id,
        "interface_id": interface.id,
        "field_key": upload.field_key,
        "name": upload.name,
        "size": upload.size,
        "media_type": upload.media_type,
        "sha256": upload.sha256,
        "storage_key": f"{now:%Y-%m}/{upload.public_id}",
        "created_at": now,
    }


def attach(wanted: Mapping[str, Sequence[str]]) -> None:
    """Gives leads of the current transaction their files: public ids by the public id of the lead.

    FilesGone if one cannot be given.
    """
    for lead_id, public_ids in wanted.items():
        waiting = File.public_id.in_(public_ids), File.lead_id.is_(None), File.gone_at.is_(None)
        row = select(Lead.id).where(Lead.public_id == lead_id).scalar_subquery()
        give = update(File).where(*waiting).values(lead_id=row).returning(File.public_id)
        lost = set(public_ids) - set(db.session.scalars(give.execution_options(synchronize_session=False)))
        if lost:
            raise FilesGone(lost)


def let_go(lead_ids: Sequence[int]) -> None:
    """Takes the files from leads, in the current transaction; their links end with it, and the sweep deletes them."""
    of_leads = update(File).where(File.lead_id.in_(lead_ids))
    gone = of_leads.values(lead_id=None, gone_at=utcnow(), name="", sha256="")
    db.session.execute(gone.execution_options(synchronize_session=False))


def sweep(time_is_left: Callable[[], bool]) -> bool:
    """Deletes the bytes and rows of files that are gone or that no lead took for a day; whether all are deleted.

    Where the storage fails it stops, without an error: the next sweep tries again.
    """
    with transaction():
        waited = database_clock.now() - timedelta(seconds=links.KEPT_FOR)
        late = update(File).where(File.lead_id.is_(None), File.gone_at.is_(None), File.created_at < waited)
        db.session.execute(late.values(gone_at=utcnow()).execution_options(synchronize_session=False))
    try:
        while time_is_left():
            if not _sweep_batch():
                return True
    except StorageDown:
        return True
    return False


def _sweep_batch() -> bool:
    """Deletes some; returns whether there may be more."""
    with read_only():
        gone = File.lead_id.is_(None), File.gone_at.is_not(None)
        found = db.session.execute(select(File.id, File.storage_key).where(*gone).order_by(File.id).limit(BATCH)).all()
        end_transaction()
    for row in found:
        file_store.delete(row.storage_key)
    if found:
        with transaction():
            db.session.execute(delete(File).where(File.id.in_([row.id for row in found])))
        log.info("files were deleted", files=len(found))
    return len(found) == BATCH


def by_link(token: str) -> File:
    """The file of a link in a payload. NotFound if the link was not made here; Gone if the file was deleted, or if its
    field's links have ended."""
    public_id = links.file_of(token)
    if public_id is None:
        raise NotFound
    found = db.session.scalar(select(File).where(File.public_id == public_id))
    if found is None or found.lead_id is None:
        raise Gone(DELETED)
    if _has_ended(found):
        raise Gone(ENDED)
    return found


def _has_ended(file: File) -> bool:
    """By the setting that the field has now, so that shorter links end at once."""
    asked = select(Field.file_link_days).where(Field.interface_id == file.interface_id, Field.key == file.field_key)
    days = db.session.scalar(asked)
    return days is not None and file.created_at + timedelta(days=days) < database_clock.now()


def get(account_id: int, lead_id: str, public_id: str) -> File:
    """A file of one of the account's leads; NotFound for any other."""
    of_lead = Lead.account_id == account_id, Lead.public_id == lead_id, File.public_id == public_id
    found = db.session.scalar(select(File).join(Lead, Lead.id == File.lead_id).where(*of_lead))
    if found is None:
        raise NotFound
    return found


def of_lead(lead_id: int) -> Sequence[File]:
    """The files of a lead, in the order they were received."""
    return db.session.scalars(select(File).where(File.lead_id == lead_id).order_by(File.id)).all()
