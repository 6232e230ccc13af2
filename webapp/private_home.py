"""LEADHOOK_HOME is for the user who runs Leadhook: the database and its neighbours, keys, files, logs and sockets.

Each process that uses it sets its umask first, so that every file it makes, and every file that SQLite, Valkey and the
file store make for it, has mode 600. chmod after the fact would leave a moment, and miss the files of libraries. Files
that an earlier version made are mended at the start.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

from webapp.config import Config, ConfigError

OTHERS = 0o077  # what a file allows its group and everyone else
# Only names that Leadhook uses: the folder may hold files of the operator, too.
OURS = (
    "leadhook.sqlite3*",
    "secret_key",
    "encryption_keys",
    "metrics_token",
    "*.turn",
    "run.lock",
    "valkey.log",
    "valkey.sock",
)
FILES = "files"
OF_DATABASE = ("", "-wal", "-shm", "-journal", "-gate")


def close(config: Config) -> None:
    """Makes the folder where it is missing. From now on new files of this process and its children are private; those
    that others could read are mended. `mend_files` does the same for what visitors uploaded.

    ConfigError if the folder cannot be made."""
    os.umask(OTHERS)
    try:
        config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        mistake = f"LEADHOOK_HOME: {config.home} cannot be used ({error.strerror})"
        raise ConfigError(f"Leadhook cannot start:\n- {mistake}") from None
    for path in _ours(config):
        _mend(path)


def mend_files(config: Config) -> None:
    """Makes uploaded files private. It looks at each of them, which takes a second for some 200,000."""
    folder = config.home / FILES
    for directory, _, names in os.walk(folder):
        _mend(Path(directory))
        for name in names:
            _mend(Path(directory, name))


def is_open(config: Config) -> bool:
    """Whether users who are not in the group of LEADHOOK_HOME may look into it, or its group may add files."""
    return bool(config.home.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP))


def readable_files(config: Config) -> list[str]:
    """The names of our files that others can read although they were mended: another user made them, or the file
    system has no modes."""
    return sorted({path.name for path in _ours(config) if _mode(path) & OTHERS})


def _ours(config: Config) -> Iterator[Path]:
    for pattern in OURS:
        yield from sorted(config.home.glob(pattern))
    yield config.home / FILES
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        for ending in OF_DATABASE:
            yield Path(f"{url.database}{ending}")


def _mode(path: Path) -> int:
    """0 where there is no such file: a link is not followed, it may lead to a file of somebody else."""
    with suppress(OSError):
        status = path.lstat()
        if not stat.S_ISLNK(status.st_mode):
            return stat.S_IMODE(status.st_mode)
    return 0


def _mend(path: Path) -> None:
    mode = _mode(path)
    if mode & OTHERS:
        with suppress(OSError):  # another user's file: `flask doctor` names it
            path.chmod(mode & ~OTHERS)
