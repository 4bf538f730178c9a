"""Delete backups that are old, but never the last good one of a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bedplate.kernel import clock
from bedplate.operations.backup import shelf
from bedplate.operations.backup.manifest import Backup
from bedplate.operations.backup.verify import is_good

KEEP = timedelta(days=7)
"""How long a backup is kept by default."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted and what is left, newest first.

    `cleared` counts what killed processes had left behind.
    """

    removed: tuple[Backup, ...]
    kept: tuple[Backup, ...]
    cleared: int


def prune(folder: Path, *, keep: timedelta = KEEP) -> Pruned:
    """Delete every backup older than `keep`; of each database the newest good one stays.

    A good one is one whose files are as they were saved, which is looked at before anything of
    that database is deleted.
    """
    cleared = shelf.clear(folder)
    found = shelf.listed(folder)
    old = [each for each in found if clock.now() - each.manifest.made_at > keep]
    last = {
        identity: _newest_good(found, identity)
        for identity in {each.manifest.identity for each in old}
    }
    removed = tuple(each for each in old if last[each.manifest.identity] not in (None, each))
    for backup in removed:
        shelf.remove(backup)
    return Pruned(removed, tuple(each for each in found if each not in removed), cleared)


def _newest_good(found: tuple[Backup, ...], identity: str) -> Backup | None:
    return next(
        (each for each in found if each.manifest.identity == identity and is_good(each)), None
    )
