"""Bytes outside the database: in a folder, and in an S3-compatible bucket whose server checks every signature."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import KEYS
from tests.support.bucket import Bucket, running_bucket
from webapp.config import Config
from webapp.services.files.storage import FileMissing, FileStore, StorageDown

pytestmark = pytest.mark.once

LARGE = os.urandom(12 * 1024 * 1024 + 7)  # more than two parts


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with running_bucket() as running:
        yield running


def store_in(home: Path, **more: str) -> FileStore:
    environ = {**KEYS, "LEADHOOK_HOME": str(home), "REDIS_URL": "redis://127.0.0.1/0"}
    return FileStore(Config.load({**environ, "DATABASE_URL": f"sqlite:///{home}/l.sqlite3", **more}))


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, bucket: Bucket) -> FileStore:
    return store_in(tmp_path, **(bucket.environ if request.param == "bucket" else {}))


@pytest.mark.parametrize(
    "content", [b"%PDF-1.7", b"", b"\0" * 600_000, LARGE], ids=["small", "empty", "spooled", "parts"]
)
def test_what_is_stored_is_read_again_byte_for_byte(store: FileStore, content: bytes) -> None:
    store.put("2026-11/file_1", io.BytesIO(content))
    assert b"".join(store.read("2026-11/file_1")) == content


def test_a_stream_that_was_read_before_is_stored_from_its_beginning(store: FileStore) -> None:
    stream = io.BytesIO(b"whole")
    stream.read()
    store.put("2026-11/file_1", stream)
    assert b"".join(store.read("2026-11/file_1")) == b"whole"


def test_what_is_deleted_is_gone_and_deleting_it_again_is_no_error(store: FileStore) -> None:
    store.put("2026-11/file_1", io.BytesIO(b"x"))
    for _ in range(2):
        store.delete("2026-11/file_1")
    with pytest.raises(FileMissing):
        store.read("2026-11/file_1")


def test_a_folder_is_private_and_below_the_home(tmp_path: Path) -> None:
    store_in(tmp_path).put("2026-11/file_1", io.BytesIO(b"x"))
    assert (tmp_path / "files" / "2026-11" / "file_1").read_bytes() == b"x"
    assert (tmp_path / "files").stat().st_mode & 0o777 == 0o700


def test_a_disk_that_takes_nothing_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("not a folder")  # as root, no folder is read-only
    with pytest.raises(StorageDown, match="just now"):
        store_in(tmp_path).put("2026-11/file_1", io.BytesIO(b"x"))


def test_the_bucket_refuses_a_wrong_key(tmp_path: Path, bucket: Bucket) -> None:
    wrong = store_in(tmp_path, **{**bucket.environ, "FILES_SECRET_KEY": "another"})
    with pytest.raises(StorageDown):
        wrong.put("2026-11/file_1", io.BytesIO(b"x"))
    assert bucket.refused == ["the signature is wrong"]
    assert bucket.objects == {}


def test_a_bucket_that_is_down_is_an_error_in_words_and_comes_back(tmp_path: Path, bucket: Bucket) -> None:
    store = store_in(tmp_path, **bucket.environ)
    bucket.is_down = True
    for attempt in (lambda: store.put("a", io.BytesIO(b"x")), lambda: store.read("a"), lambda: store.delete("a")):
        with pytest.raises(StorageDown):
            attempt()
    bucket.is_down = False
    store.put("a", io.BytesIO(b"x"))
    assert bucket.objects == {"a": b"x"}


def test_a_bucket_that_cannot_be_reached_is_an_error_within_seconds(tmp_path: Path, bucket: Bucket) -> None:
    nowhere = store_in(tmp_path, **{**bucket.environ, "FILES_ENDPOINT": "http://127.0.0.1:9"})
    with pytest.raises(StorageDown):
        nowhere.put("a", io.BytesIO(b"x"))
