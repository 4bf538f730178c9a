"""A backup to fall back on, before something is changed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from bedplate.catalog import connect
from bedplate.kernel import clock
from bedplate.operations.backup import shelf, survey
from bedplate.operations.backup.create import create
from bedplate.operations.backup.manifest import Backup
from bedplate.operations.backup.progress import OnProgress
from bedplate.operations.backup.verify import is_good

RECENT = timedelta(hours=24)
"""How young a backup must be to do instead of a new one."""


def ensure_recent(url: str, folder: Path, *, on_progress: OnProgress | None = None) -> Backup:
    """Return a good backup of this very database that is younger than 24 h; else take one.

    `url` is the owner's or the administrator's; `folder` is where backups lie
    (`Settings.backups`). Raises what `create` raises.
    """
    with connect(url, autocommit=True, purpose="backup") as connection:
        identity = survey.facts(connection).identity
    found = shelf.newest(folder, identity)
    if found is not None and _is_recent(found) and is_good(found):
        return found
    return create(url, folder, on_progress=on_progress)


def _is_recent(backup: Backup) -> bool:
    # A time to come is a clock that was wrong, then or now: it vouches for nothing.
    return timedelta() <= clock.now() - backup.manifest.made_at < RECENT
