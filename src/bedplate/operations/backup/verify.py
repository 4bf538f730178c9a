"""Are the files of a backup still what they were when it was made?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from bedplate.kernel.errors import BackupDamaged
from bedplate.operations.backup.manifest import MANIFEST, SEAL, Backup, SavedFile, read
from bedplate.operations.backup.progress import OnProgress, tell


def saved_files(folder: Path) -> tuple[SavedFile, ...]:
    """Return every file below a folder with its size and hash, by path."""
    return tuple(
        SavedFile(path.relative_to(folder).as_posix(), path.stat().st_size, _sha256(path))
        for path in _files(folder)
    )


def verify(backup: Backup, *, on_progress: OnProgress | None = None) -> None:
    """Read every file and compare it with the manifest; about 1 s per GB.

    Raises BackupDamaged, which names the first file that is missing, changed or not of the backup.
    """
    if read(backup.folder) != backup.manifest:
        raise BackupDamaged(f"{MANIFEST} of the backup {backup.id} was changed.")
    expected = {each.path: each for each in backup.manifest.files}
    found = {path.relative_to(backup.folder).as_posix() for path in _files(backup.folder)}
    for name in sorted(found - {MANIFEST, SEAL} - expected.keys()):
        raise BackupDamaged(f"{name} is no file of the backup {backup.id}.")
    done = 0
    for name, saved in expected.items():
        path = backup.folder / name
        # A link could lead to a file that changes after this look at it.
        if name not in found or path.is_symlink():
            raise BackupDamaged(f"{name} of the backup {backup.id} is missing.")
        if path.stat().st_size != saved.size or _sha256(path) != saved.sha256:
            raise BackupDamaged(f"{name} of the backup {backup.id} is not as it was saved.")
        done += saved.size
        tell(on_progress, "Verifying", done, backup.manifest.size)


def is_good(backup: Backup) -> bool:
    """Tell whether every file is as it was saved."""
    try:
        verify(backup)
    except (BackupDamaged, OSError):
        return False
    return True


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
