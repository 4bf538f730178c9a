"""Which `bedplate up` serve this project: a locked file for each, which dies with its process."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bedplate.kernel.errors import FolderNotWritable

FOLDER = ".bedplate"
PREFIX = "up-"


@dataclass(frozen=True, slots=True)
class Up:
    """One running `bedplate up`; `port` is where it serves health, None where it does not."""

    pid: int
    port: int | None
    detached: bool


def prepare(folder: Path) -> None:
    """Make the project's `.bedplate` where there is none; raises FolderNotWritable.

    Behind DATABASE_URL nothing else makes it.
    """
    place = folder / FOLDER
    try:
        place.mkdir(mode=0o700)
        (place / ".gitignore").write_text("*\n")
    except FileExistsError:
        pass
    except OSError as error:
        raise FolderNotWritable(
            f"{place} cannot be written: {error.strerror}.",
            "Make it writable, or work in another folder.",
        ) from None


@contextmanager
def announced(folder: Path, up: Up) -> Generator[None]:
    """Let others find this process for as long as the block runs; raises FolderNotWritable."""
    prepare(folder)
    path = folder / FOLDER / f"{PREFIX}{up.pid}"
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        # The lock is the proof: a pid in a file may be another process's by now.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(asdict(up)).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def find(folder: Path) -> tuple[Up, ...]:
    """Return the `bedplate up` that run in the project's folder."""
    paths = sorted((folder / FOLDER).glob(f"{PREFIX}[0-9]*"))
    return tuple(up for path in paths if (up := _read(path)) is not None)


def _read(path: Path) -> Up | None:
    """Return what the holder wrote; None where nobody holds the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 1_000)
        return Up(**json.loads(text)) if text else None
    else:
        return None
    finally:
        os.close(descriptor)
