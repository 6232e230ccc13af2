"""Where the bytes of files are: in `files` below LEADHOOK_HOME, or in an S3-compatible bucket.

obstore serves both with one API (docs/adr/0015-files-outside-the-database.md). It is imported, and its store made, when
the first file comes: its threads do not survive a fork, and most installations never need it.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import IO, Any

import structlog
from werkzeug.exceptions import ServiceUnavailable

from webapp.config import Config
from webapp.per_app import per_app

# Bytes of a part; about three are in memory for each file that is being stored. S3 takes no smaller ones.
PART, PART_IN_BUCKET = 1024 * 1024, 5 * 1024 * 1024
PIECE = 256 * 1024  # bytes of a piece of a download
PATIENCE = timedelta(seconds=15)  # for a bucket that does not answer

log = structlog.get_logger()


class StorageDown(ServiceUnavailable):
    """The folder or bucket cannot be used now."""

    description = "Files cannot be stored or read just now. Please try again in a moment."


class FileMissing(Exception):
    """There are no bytes under this key."""


class FileStore:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._folder = None if config.files_bucket else config.home / "files"
        self._lock = Lock()
        self._opened: Any = None

    def put(self, key: str, stream: IO[bytes]) -> None:
        """Stores all bytes of the stream, or nothing; on the disk when it returns. StorageDown if that fails."""
        import obstore
        from obstore.exceptions import BaseError

        stream.seek(0)
        try:
            part = PART if self._folder else PART_IN_BUCKET
            obstore.put(self._store(), key, stream, chunk_size=part, max_concurrency=1)
            if self._folder:
                _sync(self._folder / key)
        except (BaseError, OSError) as error:
            raise self._down("put", error) from error

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes in pieces. FileMissing if there are none, StorageDown if they cannot be read; both at once."""
        import obstore
        from obstore.exceptions import BaseError, NotFoundError

        try:
            found = obstore.get(self._store(), key)
        except (NotFoundError, FileNotFoundError) as error:
            raise FileMissing(key) from error
        except (BaseError, OSError) as error:
            raise self._down("get", error) from error
        return (bytes(piece) for piece in found.stream(min_chunk_size=PIECE))

    def delete(self, key: str) -> None:
        """Deletes the bytes, if there are any. StorageDown if that fails."""
        import obstore
        from obstore.exceptions import BaseError, NotFoundError

        try:
            obstore.delete(self._store(), key)
        except (NotFoundError, FileNotFoundError):
            return
        except (BaseError, OSError) as error:
            raise self._down("delete", error) from error

    def _down(self, what: str, error: Exception) -> StorageDown:
        log.error("the file storage failed", operation=what, error=str(error)[:500])
        return StorageDown()

    def _store(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = _local(self._folder) if self._folder else _bucket(self._config)
            return self._opened


file_store: FileStore = per_app("file_store")


def _local(folder: Path) -> Any:
    from obstore.store import LocalStore

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return LocalStore(folder)


def _bucket(config: Config) -> Any:
    from obstore.store import S3Store

    settings: Any = {"region": config.files_region, "endpoint": config.files_endpoint}
    settings |= {"access_key_id": config.files_access_key, "secret_access_key": config.files_secret_key}
    settings = {name: value for name, value in settings.items() if value}
    # Else one key is deleted by DeleteObjects, which some S3-compatible servers do not have.
    settings["disable_bulk_delete"] = "true"
    is_plain = (config.files_endpoint or "").startswith("http://")
    return S3Store(
        config.files_bucket,
        config=settings,
        client_options={"allow_http": is_plain, "connect_timeout": "5 seconds", "timeout": "60 seconds"},
        retry_config={"max_retries": 3, "retry_timeout": PATIENCE},
    )


def _sync(path: Path) -> None:
    """Waits until the file and its name are on the disk: a lead that is committed must have its files."""
    for each, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY)):
        descriptor = os.open(each, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
