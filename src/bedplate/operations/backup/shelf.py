"""The folder of backups: each is a folder in it, and is there only when it is whole.

What is being made or taken away has a name that begins with a dot, and its maker holds a lock on
it. The lock dies with its holder, so the next one to come tells what was left behind from what is
being worked on, and clears it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bedplate.kernel.errors import BackupDamaged, BackupNotFound, BackupRefused
from bedplate.operations.backup.manifest import MANIFEST, SEAL, Backup, read

UNFINISHED = ".unfinished-"


def listed(shelf: Path) -> tuple[Backup, ...]:
    """Return the whole backups of a folder, newest first; damaged files are `verify`'s to find."""
    found: list[Backup] = []
    for folder in _folders(shelf):
        try:
            found.append(Backup(folder, read(folder)))
        except BackupDamaged:
            continue
    return tuple(sorted(found, key=lambda each: (each.manifest.made_at, each.id), reverse=True))


def damaged(shelf: Path) -> tuple[tuple[str, str], ...]:
    """Return the name of each backup whose manifest cannot be trusted, and why."""
    found: list[tuple[str, str]] = []
    for folder in _folders(shelf):
        try:
            read(folder)
        except BackupDamaged as error:
            found.append((folder.name, error.message))
    return tuple(found)


def newest(shelf: Path, identity: str) -> Backup | None:
    """Return the newest whole backup of the database of that identity, if there is one."""
    return next((each for each in listed(shelf) if each.manifest.identity == identity), None)


def find(shelf: Path, name: str) -> Backup:
    """Return the backup of that id; `latest` is the newest of all.

    Raises BackupNotFound, and BackupDamaged where its manifest cannot be trusted.
    """
    if name == "latest":
        for backup in listed(shelf):
            return backup
        raise BackupNotFound(f"{shelf} holds no backup.", "Make one: `bedplate backup create`.")
    for folder in _folders(shelf):
        if folder.name == name:
            return Backup(folder, read(folder))
    raise BackupNotFound(f"{shelf} holds no backup {name}.")


@contextmanager
def making(shelf: Path, name: str) -> Generator[Path]:
    """Give a folder to make a backup in; it takes its name when the block ends well.

    When the block fails, nothing is left of it. Raises BackupRefused where the shelf cannot be
    written.
    """
    _make(shelf)
    folder = shelf / f"{UNFINISHED}{name}"
    with _locked(shelf):
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise _not_writable(shelf, error) from None
        held = _open(folder)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
        _sync(folder)
        folder.rename(shelf / name)
        _sync(shelf)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(held)


def remove(backup: Backup) -> None:
    """Delete a backup; from the first moment on it is not listed."""
    going = backup.folder.with_name(f"{UNFINISHED}{backup.id}")
    backup.folder.rename(going)
    # What cannot be deleted now, the next one to come clears.
    shutil.rmtree(going, ignore_errors=True)


def clear(shelf: Path) -> int:
    """Delete what killed processes left behind, and return how many that were."""
    cleared = 0
    if not shelf.is_dir():
        return cleared
    with _locked(shelf):
        for folder in sorted(shelf.glob(f"{UNFINISHED}*")):
            held = _open(folder)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The pg_dump of a killed `create` may write on until its folder is gone; what it
                # puts back meanwhile, the next one to come clears.
                shutil.rmtree(folder, ignore_errors=True)
                cleared += not folder.exists()
            except BlockingIOError:
                continue  # somebody is at work in it
            finally:
                os.close(held)
    return cleared


def _folders(shelf: Path) -> list[Path]:
    """The folders that are a backup's, or were: with a manifest, and without a leading dot."""
    found = {path.parent for name in (MANIFEST, SEAL) for path in shelf.glob(f"*/{name}")}
    return sorted(folder for folder in found if not folder.name.startswith("."))


def _make(shelf: Path) -> None:
    try:
        if shelf.is_dir():
            return
        for folder in reversed([shelf, *shelf.parents]):
            folder.mkdir(mode=0o700, exist_ok=True)
        # What is in the database must not end in a commit, whatever the project ignores.
        (shelf / ".gitignore").write_text("*\n")
    except OSError as error:
        raise _not_writable(shelf, error) from None


def _not_writable(shelf: Path, error: OSError) -> BackupRefused:
    return BackupRefused(
        f"{shelf} cannot be written: {error.strerror}.",
        "Allow it, or set backup_folder to another place.",
    )


@contextmanager
def _locked(shelf: Path) -> Generator[None]:
    """Keep others from clearing between the making of a folder and its lock."""
    held = _open(shelf)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _sync(folder: Path) -> None:
    """See a folder's names to the disk; without it a power cut may undo the renaming."""
    descriptor = _open(folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
