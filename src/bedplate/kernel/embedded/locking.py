"""File locks that die with their holder: who changes the server, and who uses it.

`flock` belongs to the open file, so the kernel frees it however the holder ends; a pid in a
file would outlive its process and come back as another's.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bedplate.kernel.errors import EmbeddedError

POLL_S = 0.02


@contextmanager
def exclusive(path: Path, *, timeout_s: float) -> Generator[None]:
    """Hold the lock file alone; raises `EmbeddedError` when others hold it for too long."""
    deadline = time.monotonic() + timeout_s
    while True:
        descriptor = _open(path)
        try:
            if _locked(descriptor, fcntl.LOCK_EX):
                # A purge removes the file; a lock on a removed file guards nothing.
                if _same_file(descriptor, path):
                    yield
                    return
            elif time.monotonic() >= deadline:
                raise EmbeddedError(
                    f"Another process has held {path} for {timeout_s:g} s.",
                    "Wait for it to end, or end it, and try again.",
                )
            else:
                time.sleep(POLL_S)
        finally:
            os.close(descriptor)


class Presence:
    """One attachment of one process: a locked file that says the server is in use."""

    def __init__(self, folder: Path) -> None:
        """Announce this process in the folder; call it while holding the project's lock."""
        folder.mkdir(mode=0o700, exist_ok=True)
        for number in itertools.count(1):
            self.path = folder / f"{os.getpid()}-{number}"
            self._descriptor = _open(self.path)
            if _locked(self._descriptor, fcntl.LOCK_EX):
                return
            os.close(self._descriptor)

    def leave(self) -> None:
        """Withdraw; call it while holding the project's lock."""
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def present(folder: Path, *, sweep: bool = False) -> tuple[int, ...]:
    """Return the pids of the living attachments; `sweep` removes the files of the dead."""
    pids: list[int] = []
    for path in sorted(folder.glob("[0-9]*-[0-9]*")):
        if is_held(path):
            pids.append(int(path.name.partition("-")[0]))
        elif sweep:
            path.unlink(missing_ok=True)
    return tuple(pids)


def is_held(path: Path) -> bool:
    """Tell whether someone holds the lock file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at once do not take each other for the holder.
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
