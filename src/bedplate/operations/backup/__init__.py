"""Backups: a whole database in a folder of its own, checked when made and when restored."""

from __future__ import annotations

from bedplate.operations.backup.create import create
from bedplate.operations.backup.manifest import Backup, Manifest, SavedFile
from bedplate.operations.backup.progress import OnProgress, Progress
from bedplate.operations.backup.prune import KEEP, Pruned, prune
from bedplate.operations.backup.recent import RECENT, ensure_recent
from bedplate.operations.backup.restore import Restored, restore
from bedplate.operations.backup.shelf import damaged, find, listed, newest
from bedplate.operations.backup.verify import verify

__all__ = [
    "KEEP",
    "RECENT",
    "Backup",
    "Manifest",
    "OnProgress",
    "Progress",
    "Pruned",
    "Restored",
    "SavedFile",
    "create",
    "damaged",
    "ensure_recent",
    "find",
    "listed",
    "newest",
    "prune",
    "restore",
    "verify",
]
