"""What a backup says of itself, and the folder it lies in."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from pathlib import Path

import msgspec

from bedplate.kernel.errors import BackupDamaged

FORMAT = 1
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
"""Holds the manifest's own hash, as `sha256sum --check` reads it."""
DUMP = "dump"
CATALOG = "catalog.txt"
ID_FORMAT = "%Y%m%dT%H%M%SZ"


class SavedFile(msgspec.Struct, frozen=True):
    """One file of a backup, by its path within the backup; the size in bytes."""

    path: str
    size: int
    sha256: str


class SavedContent(msgspec.Struct, frozen=True):
    """How many rows a table had, and the hash of all of them."""

    rows: int
    hash: str


class Making(msgspec.Struct, frozen=True):
    """What it takes to make a database like the one that was saved, before anything is in it.

    `grants` are its privileges, each a role and what it may do, PUBLIC as an empty name; None where
    the defaults were never changed. `options` are those of CREATE DATABASE. `roles` are all that
    anything in the database refers to.
    """

    owner: str
    options: dict[str, str]
    grants: tuple[tuple[str, str], ...] | None
    roles: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What was saved, when, from where, and how to tell that it came back the same.

    `identity` is that of the database on its server, which a copy never shares. `modules` tells
    the revision of each module's schema. `contents` is by the tables' full names. `size` is that
    of all files and `database_bytes` that of the database.
    """

    id: str
    database: str
    identity: str
    server_version: str
    major: int
    made_at: datetime
    size: int
    database_bytes: int
    fingerprint: str
    contents: dict[str, SavedContent]
    modules: dict[str, str | None]
    making: Making
    files: tuple[SavedFile, ...]
    format: int = FORMAT


class Backup(msgspec.Struct, frozen=True):
    """A whole backup: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        """The backup's name, which is its folder's."""
        return self.manifest.id

    @property
    def rows(self) -> int:
        """How many rows all tables had together."""
        return sum(each.rows for each in self.manifest.contents.values())


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and its seal, and see both to the disk."""
    encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    write_file(folder / MANIFEST, encoded)
    write_file(folder / SEAL, f"{hashlib.sha256(encoded).hexdigest()}  {MANIFEST}\n".encode())


def read(folder: Path) -> Manifest:
    """Read a backup's manifest; raises BackupDamaged where it is not as it was written."""
    try:
        encoded = (folder / MANIFEST).read_bytes()
        seal = (folder / SEAL).read_bytes()
    except OSError as error:
        raise BackupDamaged(
            f"The backup {folder.name} has no {Path(str(error.filename)).name} that can be read."
        ) from None
    if seal != f"{hashlib.sha256(encoded).hexdigest()}  {MANIFEST}\n".encode():
        raise BackupDamaged(f"{MANIFEST} of the backup {folder.name} does not match {SEAL}.")
    try:
        manifest = msgspec.json.decode(encoded, type=Manifest)
    except msgspec.DecodeError:
        raise BackupDamaged(
            f"{MANIFEST} of the backup {folder.name} cannot be read by this version of Bedplate.",
            "Restore it with the version that made it.",
        ) from None
    if manifest.format != FORMAT:
        raise BackupDamaged(
            f"The backup {folder.name} has format {manifest.format}; this version of Bedplate"
            f" reads format {FORMAT}.",
            "Restore it with the version that made it.",
        )
    return manifest


def write_file(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read, and see it to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
